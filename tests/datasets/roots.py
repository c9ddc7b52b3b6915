"""Small roots of the published data sets in their layouts, whole: as they unpack, and as the archives themselves."""

from __future__ import annotations

import json
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

from PIL import Image

from tests.datasets.conftest import write_table
from wsolbench.data.dataset import SPLITS

IMAGES = Path("ILSVRC", "Data", "CLS-LOC")
LEVELS = ("", "_genus", "_family", "_order", "_class", "_phylum", "_kingdom")


def write_images(root: Path, names: Iterable[str]) -> None:
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), (number + 1, 90, 90)).save(root / name)


def write_lists(folder: Path, labels: Mapping[str, int], located: Iterable[str]) -> None:
    """Write split files as Choe et al. do: no line end after the last line."""
    folder.mkdir(parents=True)
    (folder / "image_ids.txt").write_text("\n".join(labels))
    (folder / "class_labels.txt").write_text("\n".join(f"{name},{label}" for name, label in labels.items()))
    (folder / "image_sizes.txt").write_text("\n".join(f"{name},40,30" for name in labels))
    (folder / "localization.txt").write_text("\n".join(located))


def boxes(names: Iterable[str]) -> list[str]:
    return [f"{name},1,2,30,29" for name in names]


def write_cub(root: Path) -> None:
    paths = [f"{name}/{n}.jpg" for name in ("001.Auk", "002.Wren") for n in range(8)]
    base, fresh = root / "CUB_200_2011", {"001.Auk/77.jpg": 0, "002.Wren/88.jpg": 1}
    write_images(base / "images", paths)
    write_images(root / "segmentations", [path.replace(".jpg", ".png") for path in paths])
    write_table(base / "classes.txt", ["001.Auk", "002.Wren"])
    write_table(base / "images.txt", paths)
    write_table(base / "image_class_labels.txt", [path[2] for path in paths])
    write_table(base / "train_test_split.txt", [int(int(path[-5]) < 6) for path in paths])
    write_table(base / "bounding_boxes.txt", ["5.0 2.0 35.0 10.0"] * len(paths))
    write_images(root / "CUBV2", fresh)
    write_lists(root / "metadata" / "CUB" / "val", fresh, boxes(fresh))


def write_ilsvrc(root: Path) -> None:
    write_images(root / IMAGES, [f"train/{name}.JPEG" for name in ("n01/a", "n01/b", "n02/c")])
    write_images(root / IMAGES, ["val/v1.JPEG", "val/v2.JPEG"])
    write_images(root / "imagenetv2", ["0/0.jpeg", "1/0.jpeg"])
    (root / "LOC_synset_mapping.txt").write_text("n01 first, one\nn02 second\n")
    for split, labels in (
        ("val", {"val2/0/0.jpeg": 0, "val2/1/0.jpeg": 1}),
        ("test", {"val/v1.JPEG": 1, "val/v2.JPEG": 0}),
    ):
        write_lists(root / "metadata" / "ILSVRC" / split, labels, boxes(labels))
    proxy = root / "metadata" / "ILSVRC" / "train" / "image_ids_proxy.txt"
    proxy.parent.mkdir()
    proxy.write_text("train/n02/c.JPEG\ntrain/n01/a.JPEG")


def write_openimages30k(root: Path) -> None:
    for split in SPLITS:
        labels = {f"{split}/0a/1.jpg": 0, f"{split}/0b/2.jpg": 1}
        stems = [] if split == "train" else [name.removesuffix(".jpg") for name in labels]
        write_images(
            root / "OpenImages", [*labels, *(f"{stem}{end}.png" for stem in stems for end in ("_m", "_ignore"))]
        )
        folder = root / "metadata" / "OpenImages" / split
        write_lists(folder, labels, [f"{stem}.jpg,{stem}_m.png,{stem}_ignore.png" for stem in stems])
        (folder / "image_sizes.txt").write_text("")


def write_inatloc500(root: Path) -> None:
    for split in SPLITS:
        labels = {f"{split}/Aves/Passer domesticus/1.jpg": 0, f"{split}/Mammalia/Vulpes vulpes/2.jpg": 1}
        write_images(root / "images", labels)
        write_lists(root / "metadata" / split, labels, boxes(labels))
        for level in LEVELS[1:]:
            shutil.copy(root / f"metadata/{split}/class_labels.txt", root / f"metadata/{split}/class_labels{level}.txt")
    for level in LEVELS:
        (root / "metadata" / f"class_names{level}.txt").write_text("two,1\none,0\n")


def write_image_folder(root: Path) -> None:
    names = [f"{name}/{n}.png" for name in ("cat", "dog") for n in range(8)]
    write_images(root / "images", names)
    (root / "boxes.csv").write_text("\n".join(["id,x0,y0,x1,y1", *boxes(names)]))


def write_coco(root: Path) -> None:
    names = [f"images/{n}.png" for n in range(16)]
    write_images(root, names)
    images = [{"id": at, "file_name": name, "width": 40, "height": 30} for at, name in enumerate(names)]
    things = [{"image_id": at, "category_id": at % 2, "bbox": [1, 2, 29, 27]} for at in range(16)]
    categories = [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}]
    content = {"images": images, "annotations": things, "categories": categories}
    (root / "annotations").mkdir()
    (root / "annotations" / "instances_default.json").write_text(json.dumps(content))


def write_voc(root: Path) -> None:
    write_images(root / "JPEGImages", [f"{n}.png" for n in range(16)])
    (root / "Annotations").mkdir()
    box = "<xmin>2</xmin><ymin>3</ymin><xmax>30</xmax><ymax>29</ymax>"
    for n in range(16):
        thing = f"<object><name>{'cat' if n % 2 else 'dog'}</name><bndbox>{box}</bndbox></object>"
        (root / "Annotations" / f"{n}.xml").write_text(f"<annotation>{thing}</annotation>")


WRITERS: dict[str, Callable[[Path], None]] = {
    "cub": write_cub,
    "ilsvrc": write_ilsvrc,
    "openimages30k": write_openimages30k,
    "inatloc500": write_inatloc500,
    "image_folder": write_image_folder,
    "coco_folder": write_coco,
    "voc_folder": write_voc,
}
"""What writes the root of each data set that is not generated."""


def pack(root: Path, target: Path, archives: Collection[str]) -> dict[str, bytes]:
    """Put the named archives of a root into ``target``, and the rest but for Choe et al.'s lists as it is.

    Returns:
        The lists, by their path below the root.
    """
    target.mkdir()
    lists = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.glob("metadata/*/*/*.txt")}
    for place, name in _ARCHIVES.items():
        if name in archives:
            _pack(root / place, target / name)
            shutil.rmtree(root / place)
    shutil.rmtree(root / "metadata", ignore_errors=True)
    shutil.copytree(root, target, dirs_exist_ok=True)
    return lists


_ARCHIVES = {
    "CUB_200_2011": "CUB_200_2011.tgz",
    "segmentations": "segmentations.tgz",
    "CUBV2": "CUBV2.tar",
    "ILSVRC/Data/CLS-LOC/val": "ILSVRC2012_img_val.tar",
    "ILSVRC/Data/CLS-LOC/train": "ILSVRC2012_img_train.tar",
    "imagenetv2": "imagenetv2-threshold0.7.tar.gz",
    "images": "iNatLoc.tar.gz",
    "metadata": "metadata_choe.zip",
}


def _pack(folder: Path, archive: Path) -> None:
    """Pack a folder as its authors did: ILSVRC's files without folders, those of train in a tar per class."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w") as packed:
            for path in folder.rglob("*.txt"):
                packed.write(path, path.relative_to(folder))
        return
    with tarfile.open(archive, "w:gz" if archive.suffix in {".tgz", ".gz"} else "w") as tar:
        if archive.name.startswith("ILSVRC"):
            for path in sorted(folder.iterdir()):
                if path.is_dir():
                    _pack_flat(path, archive.parent / f"{path.name}.tar")
                    tar.add(archive.parent / f"{path.name}.tar", f"{path.name}.tar")
                    (archive.parent / f"{path.name}.tar").unlink()
                else:
                    tar.add(path, path.name)
        else:
            tar.add(folder, folder.name)


def _pack_flat(folder: Path, archive: Path) -> None:
    with tarfile.open(archive, "w") as tar:
        for path in sorted(folder.iterdir()):
            tar.add(path, path.name)
