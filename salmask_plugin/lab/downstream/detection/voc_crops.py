"""Objects cut out of VOC's pictures: natural occlusion for classifiers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

from PIL import Image

from salmask_plugin.lab.data.reading import read_image
from salmask_plugin.lab.data.splits import ImageSplits, limited
from salmask_plugin.lab.downstream.detection.voc import VOC_CLASSES
from salmask_plugin.lab.downstream.detection.voc_annotations import (
    Annotation,
    devkit,
    pictures_of,
    read_annotation,
)

Shown = Literal["all", "clear", "occluded", "truncated"]
Box = tuple[int, int, int, int]


class CropFiles:
    """Parts of pictures, cut out when asked for.

    Args:
        paths: the picture of each part.
        boxes: (left, top, right, bottom) in pixels; the last two are the first not inside.
        labels: the class index of each.
    """

    def __init__(self, paths: Sequence[Path], boxes: Sequence[Box], labels: Sequence[int]) -> None:
        self.paths, self.boxes, self.labels = tuple(paths), tuple(boxes), tuple(labels)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return read_image(self.paths[index]).crop(self.boxes[index]), self.labels[index]


def voc_crops(
    root: str | Path,
    train: Sequence[str] = ("2012_train",),
    test: Sequence[str] = ("2012_val",),
    test_objects: Shown = "all",
    min_side: int = 32,
    classes: Sequence[str] = VOC_CLASSES,
    limit_train: int | None = None,
    limit_val: int | None = None,
    subset_seed: int = 0,
) -> ImageSplits:
    """Read the boxes of VOC's objects as pictures of one class each.

    Classifiers learn from all objects of the training sets; tested are all of the test sets, or
    those alone that are clear, occluded or truncated. Objects marked difficult are left out.

    Args:
        root: the folder with VOC2012, or the one with VOCdevkit.
        train: YEAR_SET of the training images.
        test: the same of the test images.
        test_objects: "occluded": something hides a part; "truncated": a part lies outside of the
            box; "clear": neither. Annotations of 2007 do not say what is occluded.
        min_side: boxes with a shorter side, in pixels, are left out.
        classes: names in the order of the class indices.
        limit_train: size of a class-balanced subset; None takes all.
        limit_val: the same of the test crops.
        subset_seed: of the subsets.

    Raises:
        ValueError: as :func:`~salmask_plugin.data.voc`; if ``test_objects`` is unknown or the
            annotations do not say it; if no object is left; or a limit is out of range.

    References:
        Everingham et al. 2015, https://doi.org/10.1007/s11263-014-0733-5
    """
    if test_objects not in get_args(Shown):
        raise ValueError(
            f"test_objects={test_objects!r} must be one of {', '.join(get_args(Shown))}."
        )
    if min_side < 1:
        raise ValueError(f"min_side={min_side} must be at least 1 pixel.")
    folder, index = devkit(root), {name: label for label, name in enumerate(classes)}
    name = "voc_crops" if test_objects == "all" else f"voc_crops, {test_objects} ones tested"
    splits = ImageSplits(
        _crops(folder, train, index, "all", min_side),
        _crops(folder, test, index, test_objects, min_side),
        tuple(classes),
        name,
    )
    return limited(splits, limit_train=limit_train, limit_val=limit_val, seed=subset_seed)


def _crops(
    folder: Path, names: Sequence[str], index: dict[str, int], objects: str, min_side: int
) -> CropFiles:
    paths: list[Path] = []
    boxes: list[Box] = []
    labels: list[int] = []
    for picture in (path for name in names for path in pictures_of(folder, name)):
        found = read_annotation(picture, index)
        for place, corners in enumerate(found.boxes):
            left, top, right, bottom = (round(value) for value in corners.tolist())
            small = min(right - left, bottom - top) < min_side
            if small or found.difficult[place] or not _is_one(found, place, objects):
                continue
            paths.append(picture)
            boxes.append((left, top, right, bottom))
            labels.append(found.labels[place])
    if not paths:
        raise ValueError(
            f"{', '.join(names)} of '{folder}' has no object to show: test_objects={objects}, "
            f"min_side={min_side}."
        )
    return CropFiles(paths, boxes, labels)


def _is_one(found: Annotation, place: int, objects: str) -> bool:
    occluded, truncated = found.occluded[place], found.truncated[place]
    if objects in ("clear", "occluded") and occluded is None:
        raise ValueError(
            f"test_objects={objects} needs annotations that say what is occluded; that of "
            f"'{found.name}' does not. Those from 2008 on do."
        )
    if objects == "clear":
        return not (occluded or truncated)
    return {"all": True, "occluded": occluded is True, "truncated": truncated}[objects]
