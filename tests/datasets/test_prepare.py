"""The whole of ``wsolbench prepare``, for every data set and every value of its options, as a stranger calls it."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Literal, get_args, get_origin, get_type_hints

import pytest
from PIL import Image

from tests.datasets.conftest import prepare_whole
from tests.datasets.roots import IMAGES, WRITERS, pack, write_ilsvrc, write_images, write_openimages30k
from tests.datasets.serving import serving
from tests.tiny import TINY_SHAPES
from wsolbench.acquire import sources
from wsolbench.acquire.sources import Archive
from wsolbench.config import registry
from wsolbench.data.dataset import SPLITS, Split
from wsolbench.data.index import read_split
from wsolbench.data.roots import root_variable
from wsolbench.errors import DataError

GENERATED = {"shapes": TINY_SHAPES}


def options(name: str) -> dict[str, tuple[object, ...]]:
    """Return the values of each option of a data set that has a known few."""
    hints = get_type_hints(registry.load("dataset", name).__init__)
    known = {key: get_args(hint) for key, hint in hints.items() if get_origin(hint) is Literal}
    return known | {key: (False, True) for key, hint in hints.items() if hint is bool}


SMALL = {("ilsvrc", "holdout"): {"holdout_images": 1}}  # what a value asks for where a set is as small as here

CASES = [
    (name, {} if option is None else {option: value, **SMALL.get((name, value), {})})
    for name in registry.names("dataset")
    for option, values in {None: (None,), **options(name)}.items()
    for value in values
]


@pytest.fixture(autouse=True)
def small_archives(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let archives be small ones of our own, and ILSVRC have two classes; unset all roots."""
    monkeypatch.setattr(sys.modules[registry.load("dataset", "ilsvrc").__module__], "_CLASSES", 2)
    for name in registry.names("dataset"):
        module = sys.modules[registry.load("dataset", name).__module__]
        monkeypatch.delenv(root_variable(name), raising=False)
        for key, archive in vars(module).copy().items():
            if isinstance(archive, Archive):
                monkeypatch.setattr(module, key, replace(archive, size=None, sha256=None, md5=None, urls=()))


def archives_of(name: str) -> list[str]:
    module: ModuleType = sys.modules[registry.load("dataset", name).__module__]
    return [each.file for each in vars(module).values() if isinstance(each, Archive)]


def splits(directory: Path) -> list[Split]:
    return [read_split(directory, name) for name in SPLITS]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "block"), CASES, ids=str)
def test_every_option_is_prepared_from_directories_and_the_same_from_archives(
    name: str, block: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any network, everything lies below the root; then only archives do, and lists are downloaded."""
    if name in GENERATED:
        assert all(len(split) for split in splits(prepare_whole(name, tmp_path, **GENERATED[name], **block)))
        return
    WRITERS[name](tmp_path / "root")
    found = splits(prepare_whole(name, tmp_path / "one", root=str(tmp_path / "root"), download=False, **block))
    assert len(found[2]) > 0
    truth = [split.truth(item.id) for split in found[1:] for item in split.items]
    assert all(len(each.boxes) or each.masks for each in truth)
    lists = pack(tmp_path / "root", tmp_path / "packed", archives_of(name))
    facts = {path: (len(content), hashlib.sha256(content).hexdigest()) for path, content in lists.items()}
    monkeypatch.setattr(sources, "CHOE_FILES", facts)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving({f"/{path}": content for path, content in lists.items()}) as server:
        served = {"root": str(tmp_path / "packed"), "mirrors": {"wsolevaluation": server.address}}
        again = splits(prepare_whole(name, tmp_path / "two", **served, **block))
    assert [split.digest for split in again] == [split.digest for split in found]


def test_files_of_imagenetv2_may_have_their_present_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list of both is downloaded where the listed names are not there; a wrong one is not taken."""
    write_ilsvrc(tmp_path / "root")
    block = {"root": str(tmp_path / "root"), "val": "imagenetv2"}
    expected = read_split(prepare_whole("ilsvrc", tmp_path, **block, download=False), "val")
    for label in (0, 1):
        folder = tmp_path / "root" / "imagenetv2" / str(label)
        (folder / "0.jpeg").rename(folder / f"{label}a5f.jpeg")
    with pytest.raises(DataError, match=r"mapping\.txt is missing, and download is false"):
        prepare_whole("ilsvrc", tmp_path, **block, download=False)
    names = b"0/0.jpeg, 0/0a5f.jpeg\n1/0.jpeg, 1/1a5f.jpeg\n"
    monkeypatch.setattr(sources, "NAMES_SIZE", len(names))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving({"/metadata/ILSVRC/val/mapping.txt": names}) as server:
        found = read_split(
            prepare_whole("ilsvrc", tmp_path, **block, mirrors={"wsolevaluation": server.address}), "val"
        )
    assert [(item.id, item.label, item.sha256) for item in found.items] == [
        (item.id, item.label, item.sha256) for item in expected.items
    ]
    (tmp_path / "root" / "metadata" / "ILSVRC" / "val" / "mapping.txt").write_text("0/0.jpeg\n")
    with pytest.raises(DataError, match=r"mapping\.txt:1: expected the former and the present name"):
        prepare_whole("ilsvrc", tmp_path, **block)


def test_a_few_masks_of_another_aspect_do_not_stop_a_published_set(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The reference stretches all masks to a square; more than a few are another set's."""
    write_openimages30k(tmp_path / "root")
    folder = tmp_path / "root" / "metadata" / "OpenImages" / "test"
    for n in range(38):
        path = tmp_path / "root" / "OpenImages" / "test" / "0a" / f"more{n}.jpg"
        write_images(path.parent, [path.name, f"more{n}_m.png"])
        for file, text in (("image_ids", ""), ("class_labels", ",0"), ("localization", f",test/0a/more{n}_m.png,")):
            with (folder / f"{file}.txt").open("a") as stream:
                stream.write(f"\ntest/0a/{path.name}{text}")
    turned = tmp_path / "root" / "OpenImages" / "test" / "0a"
    Image.new("RGB", (30, 40), "white").save(turned / "more0_m.png")
    prepare_whole("openimages30k", tmp_path, root=str(tmp_path / "root"), download=False)
    assert "1 image has masks of another aspect" in caplog.text
    for n in range(3):
        Image.new("RGB", (30, 40), "white").save(turned / f"more{n}_m.png")
    with pytest.raises(DataError, match="3 images have masks of another aspect"):
        prepare_whole("openimages30k", tmp_path, root=str(tmp_path / "root"), download=False)


def test_resized_images_of_ilsvrc_are_refused(tmp_path: Path) -> None:
    write_ilsvrc(tmp_path / "root")
    Image.new("RGB", (20, 15)).save(tmp_path / "root" / IMAGES / "val" / "v1.JPEG")
    with pytest.raises(DataError, match=r"image_sizes\.txt: 1 of 2 images have another size.*\n.*v1\.JPEG: 20x15"):
        prepare_whole("ilsvrc", tmp_path, root=str(tmp_path / "root"))


def test_every_value_of_every_option_is_among_the_cases() -> None:
    assert ("ilsvrc", {"train": "proxy"}) in CASES
    assert {name for name, _ in CASES} == set(registry.names("dataset"))
