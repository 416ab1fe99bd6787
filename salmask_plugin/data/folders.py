"""Folders of pictures, one sub-folder per class."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from salmask_plugin.data.files import ImageFiles, OnUnreadable
from salmask_plugin.data.splits import ImageSplits, limited
from salmask_plugin.data.text_files import read_text

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")


def image_folder(
    root: str | Path,
    val_share: float | None = None,
    classes_file: str | Path | None = None,
    limit_train: int | None = None,
    limit_val: int | None = None,
    subset_seed: int = 0,
    on_unreadable: OnUnreadable = "raise",
    name: str = "image_folder",
) -> ImageSplits:
    """Read a data set from folders: root/train/CLASS/**, root/val/CLASS/**, or root/CLASS/**.

    Class indices follow the sorted names of the training classes.

    Args:
        root: the folder.
        val_share: share of every class that is held out where there is no ``val`` folder, above 0
            and below 1; must be None where there is one.
        classes_file: text file with the class folders to use: one per line, or all in one line
            separated by spaces; lines that start with # are comments. None takes every folder.
        limit_train: size of a class-balanced subset of the training images; None takes all.
        limit_val: the same of the validation images.
        subset_seed: of the held-out share and of the subsets. Not the run's seed: runs that are
            compared should see the same images.
        on_unreadable: see :class:`~salmask_plugin.data.ImageFiles`.
        name: of the data set, for records.

    Raises:
        ValueError: if a folder is missing or has no images, there are fewer than two classes, the
            validation classes are not among the training classes, or an argument is out of range.
    """
    folder = existing_folder(root)
    chosen = None if classes_file is None else read_class_names(classes_file)
    val_folder = folder / "val"
    train_folder = folder / "train" if (folder / "train").is_dir() else folder
    if val_folder.is_dir() and train_folder == folder:
        raise ValueError(f"'{root}' has a val folder but no train folder.")
    paths, labels, classes = list_classes(train_folder, chosen)
    if val_folder.is_dir():
        if val_share is not None:
            raise ValueError(
                f"val_share={val_share} must be null: '{root}' has a val folder of its own."
            )
        val_paths, val_labels = list_known_classes(val_folder, classes, chosen)
    else:
        held = _hold_out(labels, classes, val_share, subset_seed, folder)
        val_paths, val_labels = [paths[i] for i in held], [labels[i] for i in held]
        rest = sorted(set(range(len(paths))) - set(held))
        paths, labels = [paths[i] for i in rest], [labels[i] for i in rest]
    train = ImageFiles(paths, labels, on_unreadable)
    val = ImageFiles(val_paths, val_labels, on_unreadable)
    splits = ImageSplits(train, val, classes, name)
    return limited(splits, limit_train=limit_train, limit_val=limit_val, seed=subset_seed)


def list_images(folder: str | Path) -> list[Path]:
    """Return the picture files below a folder, by suffix, sorted; hidden files are left out.

    Raises:
        ValueError: if the folder is missing or holds no picture.
    """
    found = _images_below(existing_folder(folder))
    if not found:
        raise ValueError(f"There are no images ({', '.join(SUFFIXES)}) below '{folder}'.")
    return found


def list_classes(
    folder: Path, chosen: Sequence[str] | None = None
) -> tuple[list[Path], list[int], tuple[str, ...]]:
    """Return (files, class indices, class names) of the class folders below ``folder``.

    Raises:
        ValueError: if there are fewer than two class folders, one of ``chosen`` is missing, or one
            has no images.
    """
    present = _subfolders(folder)
    missing = sorted(set(chosen or ()) - set(present))
    if missing:
        raise ValueError(f"'{folder}' has no folder for {_some(missing)} of the class list.")
    classes = tuple(sorted(set(chosen))) if chosen is not None else tuple(present)
    if not classes and not _images_below(folder):
        raise ValueError(f"There are no images ({', '.join(SUFFIXES)}) below '{folder}'.")
    if len(classes) < 2:
        raise ValueError(
            f"'{folder}' has {len(classes)} class folder(s), at least 2 are needed: one sub-folder "
            "per class, with the class' images in it."
        )
    files = {name: _images_below(folder / name) for name in classes}
    empty = [name for name in classes if not files[name]]
    if empty:
        raise ValueError(
            f"There are no images ({', '.join(SUFFIXES)}) in {_some(empty)} of '{folder}'."
        )
    paths = [path for name in classes for path in files[name]]
    labels = [label for label, name in enumerate(classes) for _ in files[name]]
    return paths, labels, classes


def list_known_classes(
    folder: Path, classes: Sequence[str], chosen: Sequence[str] | None = None
) -> tuple[list[Path], list[int]]:
    """Return (files, class indices) of a validation folder, in the training classes' indices.

    Raises:
        ValueError: if it has classes that training lacks (beyond ``chosen``), or no images.
    """
    present = [name for name in _subfolders(folder) if chosen is None or name in chosen]
    unknown = sorted(set(present) - set(classes))
    if unknown:
        raise ValueError(f"{_some(unknown)} of '{folder}' is not among the training classes.")
    files = [(path, name) for name in present for path in _images_below(folder / name)]
    if not files:
        raise ValueError(
            f"There are no images ({', '.join(SUFFIXES)}) in class folders of '{folder}'."
        )
    index = {name: label for label, name in enumerate(classes)}
    return [path for path, _ in files], [index[name] for _, name in files]


def read_class_names(path: str | Path) -> tuple[str, ...]:
    """Read a class list: one name per line, or all in one line separated by spaces.

    Raises:
        ValueError: if the file is missing, not in UTF-8, or names no class.
    """
    if not Path(path).is_file():
        raise ValueError(f"classes_file='{path}' does not exist.")
    lines = [line.strip() for line in read_text(Path(path)).splitlines()]
    names = [line for line in lines if line and not line.startswith("#")]
    if len(names) == 1:
        names = names[0].split()
    if not names:
        raise ValueError(f"classes_file='{path}' names no class.")
    return tuple(names)


def existing_folder(root: str | Path) -> Path:
    """Return root as a path.

    Raises:
        ValueError: if it is not a folder.
    """
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise ValueError(f"The data folder '{root}' does not exist.")
    return folder


def _hold_out(
    labels: Sequence[int], classes: Sequence[str], share: float | None, seed: int, folder: Path
) -> list[int]:
    """Choose a share of every class; both parts keep at least one image of it."""
    if share is None:
        raise ValueError(
            f"'{folder}' has no val folder: give val_share, the share of every class "
            "to hold out, for example val_share=0.1."
        )
    if not 0 < share < 1:
        raise ValueError(f"val_share={share} must be above 0 and below 1.")
    rng = np.random.default_rng(seed)
    held: list[int] = []
    for label, name in enumerate(classes):
        members = rng.permutation(np.flatnonzero(np.asarray(labels) == label))
        if len(members) < 2:
            raise ValueError(f"Class {name!r} has {len(members)} image: too few to hold one out.")
        count = min(max(round(len(members) * share), 1), len(members) - 1)
        held.extend(members[:count].tolist())
    return sorted(held)


def _subfolders(folder: Path) -> list[str]:
    return sorted(
        entry.name for entry in folder.iterdir() if entry.is_dir() and entry.name[0] != "."
    )


def _images_below(folder: Path) -> list[Path]:
    return sorted(
        Path(place) / name
        for place, _, names in os.walk(folder, followlinks=True)
        for name in names
        if name[0] != "." and name.lower().endswith(SUFFIXES)
    )


def _some(names: Sequence[str], shown: int = 5) -> str:
    rest = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(repr(name) for name in names[:shown]) + rest
