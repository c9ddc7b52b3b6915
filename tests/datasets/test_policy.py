"""How much of val there is and whose truth it has, whatever the data set."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wsolbench.acquire.building import build_dataset
from wsolbench.acquire.policy import Policy, policy_and_sources
from wsolbench.acquire.prepare import prepare
from wsolbench.config.paths import Layout
from wsolbench.config.settings import Settings, read_settings
from wsolbench.data.dataset import SPLITS, Contents, Item, Truth
from wsolbench.data.index import read_split
from wsolbench.data.masks import encode
from wsolbench.data.roots import root_variable
from wsolbench.errors import DataError, SettingsError

SMALL = {"image_size": 48, "num_classes": 3, "train": 6, "val": 15, "test": 6}


def prepared(tmp_path: Path, **policy: object) -> Path:
    layout = Layout(tmp_path)
    prepare(settings_with(**policy), "small", layout)
    return layout.prepared("small")


def settings_with(**policy: object) -> Settings:
    track = {"dataset": "shapes", "backbone": "convnet", "resize": 48, "crop": 48, "epochs": 1, "batch": 2, "lr": 0.1}
    track |= {"weights": None, "momentum": 0.9, "weight_decay": 0.0, "head_lr_mult": 1.0, "schedule": "cosine"}
    run = {"tracks": [], "methods": [], "seeds": [0]}
    blocks = {"methods": {}, "tracks": {"small": track}, "datasets": {"shapes": SMALL | policy}, "run": run}
    return Settings.model_validate(blocks)


def ids(directory: Path, split: str = "val") -> list[str]:
    return [item.id for item in read_split(directory, split).items]  # type: ignore[arg-type]


def test_a_few_images_of_each_class_by_seed(tmp_path: Path) -> None:
    whole = ids(prepared(tmp_path))
    few = prepared(tmp_path, val_per_class=2)
    labels = [item.label for item in read_split(few, "val").items]
    assert sorted(labels) == [0, 0, 1, 1, 2, 2]
    chosen = ids(few)
    assert set(chosen) < set(whole)
    assert [name for name in whole if name in chosen] == chosen  # in the order of the index
    assert len(ids(few, "test")) == SMALL["test"]
    assert ids(prepared(tmp_path, val_per_class=2)) == chosen
    assert ids(prepared(tmp_path, val_per_class=2, val_seed=1)) != chosen
    assert set(chosen) < set(ids(prepared(tmp_path, val_per_class=3)))
    with pytest.raises(DataError, match=r"val_per_class: class .* has 5 val images, fewer than 6"):
        prepared(tmp_path, val_per_class=6)


def test_boxes_of_a_file_stand_for_those_of_val_only(tmp_path: Path) -> None:
    before = prepared(tmp_path)
    names, test = ids(before), read_split(before, "test")
    path = tmp_path / "pseudo.csv"
    lines = [f"{name},1,2,{10 + k},20.5" for k, name in enumerate(names)]
    path.write_text("\n".join(["id,x0,y0,x1,y1", *lines, f"{names[0]},5,5,9,9"]) + "\n")
    after = prepared(tmp_path, val_truth=str(path))
    val = read_split(after, "val")
    assert val.truth(names[0]).boxes.tolist() == [[1, 2, 10, 20.5], [5, 5, 9, 9]]
    assert val.truth(names[1]).masks == ()
    assert val.val_truth.startswith("boxes of pseudo.csv (sha256 ")
    for item in test.items:
        np.testing.assert_array_equal(read_split(after, "test").truth(item.id).boxes, test.truth(item.id).boxes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,x0,y0,x1,y1\n", "the header must be id,x0,y0,x1,y1"),
        ("id,x0,y0,x1,y1\nnobody,0,0,9,9\n", r"pseudo\.csv:2: image 'nobody' is not in val"),
        ("id,x0,y0,x1,y1\nFIRST,0,0,9\n", r"pseudo\.csv:2: expected 5 values, found 4"),
        ("id,x0,y0,x1,y1\nFIRST,0,0,9,x\n", "a box must be four numbers"),
        ("id,x0,y0,x1,y1\nFIRST,0,0,9,9\n", "14 images of val have no box"),
    ],
)
def test_a_wrong_file_of_boxes_is_named(tmp_path: Path, text: str, message: str) -> None:
    first = ids(prepared(tmp_path))[0]
    path = tmp_path / "pseudo.csv"
    path.write_text(text.replace("FIRST", first))
    with pytest.raises(DataError, match=message):
        prepared(tmp_path, val_truth=str(path))
    with pytest.raises(DataError, match=r"nowhere\.csv is missing"):
        prepared(tmp_path, val_truth=str(tmp_path / "nowhere.csv"))


def test_a_mistyped_policy_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="val_per_class"):
        prepared(tmp_path, val_per_class=0)


def test_boxes_can_be_taken_around_masks(tmp_path: Path) -> None:
    given, tight = prepared(tmp_path / "given"), prepared(tmp_path / "tight", boxes="masks")
    for split in ("val", "test"):
        one, other = read_split(given, split), read_split(tight, split)
        assert len(one) == len(other) > 0
        for item in one.items:
            assert np.array_equal(one.truth(item.id).boxes, other.truth(item.id).boxes)  # shapes' boxes are its masks'


def test_boxes_around_masks_of_another_size_are_scaled() -> None:
    mask = np.zeros((10, 20), bool)
    mask[2:5, 4:8] = True
    items, policy = [Item("a", "a.png", 0, 200, 30, "test")], Policy(boxes="masks")
    around = policy.applied(Contents(["a"], items, {"a": Truth(np.zeros((0, 4)), (encode(mask),))}))
    assert around.truth["a"].boxes.tolist() == [[40, 6, 80, 15]]
    with pytest.raises(DataError, match="image 'a' is empty"):
        policy.applied(Contents(["a"], items, {"a": Truth(np.zeros((0, 4)), (encode(mask & False),))}))


def small_birds() -> Contents:
    """Four classes of five images in each split."""
    names = ["001.Auk", "017.Wren", "100.Owl", "Kiwi"]
    items = [Item(f"{split}{k}", "", k % 4, 9, 9, split) for split in SPLITS for k in range(20)]
    truth = {item.id: Truth(np.array([[0.0, 0, 5, 5]])) for item in items if item.split != "train"}
    return Contents(names, items, truth)


def sizes(contents: Contents) -> dict[str, int]:
    return dict(Counter(f"{item.split} {contents.class_names[item.label]}" for item in contents.items))


def test_classes_are_kept_by_name_in_the_order_of_the_set_and_labels_count_from_0() -> None:
    whole, part = small_birds(), Policy(classes=["Kiwi", "Wren", "017.Wren"]).applied(small_birds())
    assert list(part.class_names) == ["017.Wren", "Kiwi"]
    assert sizes(part) == {f"{split} {name}": 5 for split in SPLITS for name in part.class_names}
    named = {item.id: whole.class_names[item.label] for item in whole.items}
    assert all(part.class_names[item.label] == named[item.id] for item in part.items)
    assert part.truth.keys() == {item.id for item in part.items if item.split != "train"}
    with pytest.raises(DataError, match=r"classes: 'Wrem'.*'017\.Wren'"):
        Policy(classes=["Wrem"]).applied(whole)


@pytest.mark.parametrize(("keys", "count"), [({"per_class": 2}, 2), ({"per_class": 9}, 5), ({"fraction": 0.5}, 3)])
def test_images_of_each_class_and_split_are_drawn_by_a_seed(keys: dict[str, Any], count: int) -> None:
    part = Policy(**keys).applied(small_birds())
    assert sizes(part) == {f"{split} {name}": count for split in SPLITS for name in part.class_names}
    assert Policy(**keys).applied(small_birds()).items == part.items
    assert (Policy(**keys, seed=1).applied(small_birds()).items == part.items) == (count == 5)


def test_a_seed_draws_the_pictures_of_a_generated_set_too(tmp_path: Path) -> None:
    first, other = (read_split(prepared(tmp_path, seed=seed), "test") for seed in (0, 1))
    assert not {item.sha256 for item in first.items} & {item.sha256 for item in other.items}


def test_a_part_of_any_set_is_prepared(tmp_path: Path) -> None:
    part = prepared(tmp_path, classes=["hue_2", "hue_0"], per_class=1)
    for split in SPLITS:
        found = read_split(part, split)
        assert [item.label for item in found.items] == [0, 1]
        assert list(found.class_names) == ["hue_0", "hue_2"]


def test_cub20_is_a_part_of_cub_where_cub_lies(test_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(root_variable("cub20"), raising=False)
    monkeypatch.setenv(root_variable("cub"), str(test_data / "data" / "cub20"))
    settings = read_settings()
    contents = build_dataset(settings, "cub20").contents(Path("unused"))
    part = policy_and_sources(settings, "cub20")[0].applied(contents)
    assert list(part.class_names) == list(contents.class_names)
    assert len(part.class_names) == 20
    assert part.items == contents.items
