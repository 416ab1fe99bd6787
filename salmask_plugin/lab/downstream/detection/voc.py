"""Pascal VOC's objects in its own layout: VOCYEAR/{ImageSets/Main, Annotations, JPEGImages}."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from salmask_plugin.file_names import path_below
from salmask_plugin.lab.data.folder_walk import check_files
from salmask_plugin.lab.data.folders import existing_folder
from salmask_plugin.lab.data.text_files import read_text
from salmask_plugin.lab.downstream.detection.instances import (
    InstanceFiles,
    Instances,
    InstanceSplits,
    box_in_picture,
    limited_instances,
    with_learnable_train,
)

VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
    "tvmonitor",
)  # fmt: skip


def voc(
    root: str | Path,
    train: Sequence[str] = ("2007_trainval", "2012_trainval"),
    test: Sequence[str] = ("2007_test",),
    learn_difficult: bool = True,
    classes: Sequence[str] = VOC_CLASSES,
    limit_train: int | None = None,
    limit_val: int | None = None,
    subset_seed: int = 0,
) -> InstanceSplits:
    """Read VOC07+12, or any set in this layout.

    Coordinates are 1-based pixels, both ends inside; 1 is taken off the first, so that x1 - x0 is
    the width. Objects marked difficult are ignored in the test whatever ``learn_difficult`` says.

    Args:
        root: the folder with VOC2007 and VOC2012, or the one with VOCdevkit.
        train: YEAR_SET of the training images, read from VOCYEAR/ImageSets/Main/SET.txt.
        test: the same of the test images.
        learn_difficult: train on objects marked difficult, as detectron2 does.
        classes: names in the order of the class indices.
        limit_train: size of a seeded subset; None takes all.
        limit_val: the same of the test images.
        subset_seed: of the subsets.

    Raises:
        ValueError: if a folder, list, annotation or image is missing, an image set is empty, a box
            has no area or lies outside, a class is unknown, or an argument is out of range.

    References:
        Everingham et al. 2010, https://doi.org/10.1007/s11263-009-0275-4; difficult objects in
        training:
        https://github.com/facebookresearch/detectron2/blob/0a07b6bf895639a35a223fc2027216b105525971/detectron2/data/datasets/pascal_voc.py
    """
    folder = existing_folder(root)
    folder = folder / "VOCdevkit" if (folder / "VOCdevkit").is_dir() else folder
    index = {name: label for label, name in enumerate(classes)}
    learned, tested = (_read_sets(folder, names, index, learn_difficult) for names in (train, test))
    splits = InstanceSplits(
        learned, tested, tuple(classes), "voc", metric="voc", has_outlines=False
    )
    return limited_instances(
        with_learnable_train(splits), limit_train=limit_train, limit_val=limit_val, seed=subset_seed
    )


def _read_sets(
    folder: Path, names: Sequence[str], index: dict[str, int], learn_difficult: bool
) -> InstanceFiles:
    pictures = [path for name in names for path in _pictures_of(folder, name)]
    annotations = [
        path.parents[1] / "Annotations" / path.with_suffix(".xml").name for path in pictures
    ]
    return InstanceFiles(
        pictures, [_read_objects(path, index, learn_difficult) for path in annotations]
    )


def _pictures_of(folder: Path, name: str) -> list[Path]:
    year, _, split = name.partition("_")
    if not split:
        raise ValueError(f"{name!r} must be YEAR_SET, such as '2007_trainval'.")
    place = folder / f"VOC{year}"
    lines = place / "ImageSets" / "Main" / f"{split}.txt"
    if not lines.is_file():
        raise ValueError(f"'{lines}' does not exist.")
    stems = [line.split()[0] for line in read_text(lines).splitlines() if line.strip()]
    if not stems:
        raise ValueError(f"'{lines}' is empty.")
    pictures = place / "JPEGImages"
    found = [path_below(pictures, f"{stem}.jpg", f"'{lines}'", follow_links=True) for stem in stems]
    check_files(pictures, [f"{stem}.jpg" for stem in stems])
    return found


def _read_objects(path: Path, index: dict[str, int], learn_difficult: bool) -> Instances:
    if not path.is_file():
        raise ValueError(f"'{path}' does not exist.")
    try:
        tree = ElementTree.parse(path).getroot()
        size = (_number(tree, "size/width"), _number(tree, "size/height"))
        found = [
            (
                _text(entry, "name"),
                [float(_text(entry, f"bndbox/{key}")) for key in ("xmin", "ymin", "xmax", "ymax")],
                _text(entry, "difficult", default="0") == "1",
            )
            for entry in tree.iter("object")
        ]
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # of encodings, too
        raise ValueError(f"'{path}' is not an annotation of VOC: {error}.") from error
    boxes = []
    for name, (x0, y0, x1, y1), _ in found:
        if name not in index:
            raise ValueError(f"'{path}': the class {name!r} is none of {', '.join(index)}.")
        boxes.append(box_in_picture((x0 - 1, y0 - 1, x1, y1), size, f"'{path}'"))
    corners = np.array(boxes, np.float64).reshape(-1, 4)
    difficult = np.array([entry[2] for entry in found], bool)
    return Instances(
        boxes=corners,
        labels=np.array([index[entry[0]] for entry in found], np.int64),
        ignored=difficult,
        learned=np.ones_like(difficult) if learn_difficult else ~difficult,
        areas=np.prod(corners[:, 2:] - corners[:, :2], axis=1),
        outlines=None,
        size=size,
        name=f"{path.stem}.jpg",
    )


def _text(node: ElementTree.Element, path: str, default: str | None = None) -> str:
    text = node.findtext(path, default)
    if text is None:
        raise ValueError(f"it has no <{path}>")
    return text.strip()


def _number(node: ElementTree.Element, path: str) -> int:
    return int(_text(node, path))
