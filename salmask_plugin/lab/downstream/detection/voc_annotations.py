"""What VOC's files say of a picture's objects."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from salmask_plugin.file_names import path_below
from salmask_plugin.lab.data.folder_walk import check_files
from salmask_plugin.lab.data.folders import existing_folder
from salmask_plugin.lab.data.text_files import read_text
from salmask_plugin.lab.downstream.detection.instances import box_in_picture


@dataclass(frozen=True)
class Annotation:
    """The objects of one picture.

    Attributes:
        boxes: (N, 4) float64, x0, y0, x1, y1 in pixels; x1 and y1 are the first not inside.
        labels: the class index of each.
        difficult: whether the annotators found it hard to recognise.
        truncated: whether a part of it lies outside of the box.
        occluded: whether something hides a part of it; None where it is not said, as in 2007.
        size: (width, height) of the picture in pixels.
        name: of the picture, for messages.
    """

    boxes: NDArray[np.float64]
    labels: tuple[int, ...]
    difficult: tuple[bool, ...]
    truncated: tuple[bool, ...]
    occluded: tuple[bool | None, ...]
    size: tuple[int, int]
    name: str


def devkit(root: str | Path) -> Path:
    """Return the folder with VOC2007 and VOC2012: ``root``, or VOCdevkit in it.

    Raises:
        ValueError: if root is not a folder.
    """
    folder = existing_folder(root)
    return folder / "VOCdevkit" if (folder / "VOCdevkit").is_dir() else folder


def pictures_of(folder: Path, name: str) -> list[Path]:
    """Return the pictures of an image set, YEAR_SET such as "2007_trainval".

    Raises:
        ValueError: if the name is none, or the list or a picture is missing.
    """
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


def read_annotation(picture: Path, index: Mapping[str, int]) -> Annotation:
    """Read what ``Annotations`` says of a picture in ``JPEGImages``.

    Coordinates in the file are 1-based, both ends inside.

    Args:
        picture: the file.
        index: class name -> class index.

    Raises:
        ValueError: if the file is missing or no annotation, a class is unknown, or a box has no
            area or lies outside.
    """
    path = picture.parents[1] / "Annotations" / picture.with_suffix(".xml").name
    if not path.is_file():
        raise ValueError(f"'{path}' does not exist.")
    try:
        tree = ElementTree.parse(path).getroot()
        size = (int(_text(tree, "size/width")), int(_text(tree, "size/height")))
        entries = list(tree.iter("object"))
        names = [_text(entry, "name") for entry in entries]
        corners = [
            [float(_text(entry, f"bndbox/{key}")) for key in ("xmin", "ymin", "xmax", "ymax")]
            for entry in entries
        ]
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # of encodings, too
        raise ValueError(f"'{path}' is not an annotation of VOC: {error}.") from error
    boxes = []
    for name, (x0, y0, x1, y1) in zip(names, corners, strict=True):
        if name not in index:
            raise ValueError(f"'{path}': the class {name!r} is none of {', '.join(index)}.")
        boxes.append(box_in_picture((x0 - 1, y0 - 1, x1, y1), size, f"'{path}'"))
    return Annotation(
        boxes=np.array(boxes, np.float64).reshape(-1, 4),
        labels=tuple(index[name] for name in names),
        difficult=tuple(_flag(entry, "difficult") is True for entry in entries),
        truncated=tuple(_flag(entry, "truncated") is True for entry in entries),
        occluded=tuple(_flag(entry, "occluded") for entry in entries),
        size=size,
        name=picture.name,
    )


def _flag(entry: ElementTree.Element, name: str) -> bool | None:
    text = entry.findtext(name)
    return None if text is None else text.strip() == "1"


def _text(node: ElementTree.Element, path: str) -> str:
    text = node.findtext(path)
    if text is None:
        raise ValueError(f"it has no <{path}>")
    return text.strip()
