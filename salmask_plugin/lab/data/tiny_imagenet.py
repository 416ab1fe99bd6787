"""Tiny-ImageNet-200 in the layout it is distributed in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from salmask_plugin.file_names import path_below
from salmask_plugin.lab.data.files import Box, ImageFiles, OnUnreadable
from salmask_plugin.lab.data.folder_walk import check_files
from salmask_plugin.lab.data.folders import existing_folder, list_classes
from salmask_plugin.lab.data.splits import ImageSplits, first_classes, limited
from salmask_plugin.lab.data.text_files import read_text


def tiny_imagenet(
    root: str | Path,
    boxes: bool = False,
    limit_classes: int | None = None,
    limit_train: int | None = None,
    limit_val: int | None = None,
    subset_seed: int = 0,
    on_unreadable: OnUnreadable = "raise",
) -> ImageSplits:
    """Read Tiny-ImageNet-200: 100,000 and 10,000 images of 64 px in 200 classes.

    Args:
        root: the folder with train/WNID/images/ and val/val_annotations.txt, or the one above it
            that has ``tiny-imagenet-200``.
        boxes: also read the box of every object, as its mask.
        limit_classes: the first so many classes, by WordNet id; None takes all.
        limit_train: size of a class-balanced subset; None takes all.
        limit_val: the same of the validation images.
        subset_seed: of the subsets.
        on_unreadable: see :class:`~salmask_plugin.data.ImageFiles`.

    Raises:
        ValueError: if a folder, an annotation, a box or, with "raise", a picture is missing, or an
            argument is out of range.

    References:
        Le and Yang 2015, http://cs231n.stanford.edu/reports/2015/pdfs/yle_project.pdf
    """
    folder = existing_folder(root)
    if (folder / "tiny-imagenet-200").is_dir():
        folder = folder / "tiny-imagenet-200"
    if not (folder / "train").is_dir():
        raise ValueError(f"'{folder}' has no train folder: this is not Tiny-ImageNet's layout.")
    paths, labels, classes = list_classes(folder / "train")
    train_boxes = _train_boxes(folder / "train", classes, paths) if boxes else None
    train = ImageFiles(paths, labels, on_unreadable, train_boxes)

    rows = list(_rows(folder / "val" / "val_annotations.txt", columns=6))
    unknown = sorted({row[1] for row in rows} - set(classes))
    if unknown:
        raise ValueError(f"Class {unknown[0]!r} of val_annotations.txt has no training folder.")
    if not rows:
        raise ValueError(f"'{folder / 'val' / 'val_annotations.txt'}' lists no image.")
    index = {name: label for label, name in enumerate(classes)}
    pictures, list_name = folder / "val" / "images", "val_annotations.txt: file"
    val_paths = [path_below(pictures, row[0], list_name, follow_links=True) for row in rows]
    if on_unreadable == "raise":
        check_files(pictures, [row[0] for row in rows])
    val = ImageFiles(
        val_paths,
        [index[row[1]] for row in rows],
        on_unreadable,
        [_box(row[2:]) for row in rows] if boxes else None,
    )
    splits = ImageSplits(train, val, classes, "tiny_imagenet", has_masks=boxes)
    splits = first_classes(splits, limit_classes)
    return limited(splits, limit_train=limit_train, limit_val=limit_val, seed=subset_seed)


def _train_boxes(folder: Path, classes: tuple[str, ...], paths: list[Path]) -> list[Box]:
    boxes = {
        row[0]: _box(row[1:])
        for name in classes
        for row in _rows(folder / name / f"{name}_boxes.txt", columns=5)
    }
    missing = [path.name for path in paths if path.name not in boxes]
    if missing:
        raise ValueError(f"{len(missing)} training images have no box, {missing[0]!r} among them.")
    return [boxes[path.name] for path in paths]


def _rows(path: Path, columns: int) -> Iterator[list[str]]:
    if not path.is_file():
        raise ValueError(f"'{path}' does not exist.")
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        row = line.split()
        if len(row) != columns:
            raise ValueError(
                f"'{path}', line {number}: {columns} columns expected, not {len(row)}."
            )
        if not all(column.isdecimal() for column in row[-4:]):
            raise ValueError(f"'{path}', line {number}: {row[-4:]} are no pixels of a box.")
        yield row


def _box(columns: list[str]) -> Box:
    left, top, right, bottom = (int(column) for column in columns)
    return left, top, right, bottom
