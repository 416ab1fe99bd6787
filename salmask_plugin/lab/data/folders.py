"""Folders of pictures, one sub-folder per class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from salmask_plugin.lab.data.channels import RGB, chosen_channels
from salmask_plugin.lab.data.files import ImageFiles, OnUnreadable
from salmask_plugin.lab.data.folder_walk import (
    SUFFIXES,
    FoldersOnce,
    has_images,
    images_below,
    some_of,
    subfolders,
)
from salmask_plugin.lab.data.mask_files import mask_files
from salmask_plugin.lab.data.split_folders import UnlabelledError, split_folders
from salmask_plugin.lab.data.splits import ImageSplits, limited
from salmask_plugin.lab.data.text_files import read_text


def image_folder(
    root: str | Path,
    val_share: float | None = None,
    classes_file: str | Path | None = None,
    limit_train: int | None = None,
    limit_val: int | None = None,
    subset_seed: int = 0,
    on_unreadable: OnUnreadable = "raise",
    name: str = "image_folder",
    masks: str | Path | None = None,
    channels: int = RGB.count,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> ImageSplits:
    """Read a data set from folders: ``root/train/CLASS/**`` beside ``val``, or ``root/CLASS/**``.

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
        masks: folder with a mask picture of every picture, under the picture's path below root and
            any suffix; "alpha": the pictures' alpha channels. See :func:`mask_files`.
        channels: of every picture; see :class:`~salmask_plugin.data.ImageFiles`.
        mean: of each channel, for other channels than RGB; None: the error says what it is.
        std: likewise.

    Raises:
        ValueError: if a folder is missing or has no images, there are fewer than two classes, the
            validation classes are not among the training classes, folders can be read as splits and
            as classes, a link leads to images that are read anyway, a picture has no mask, or an
            argument is out of range.
    """
    folder = existing_folder(root)
    chosen = None if classes_file is None else read_class_names(classes_file)
    train_folder, val_folder = split_folders(folder, chosen or ())
    once = FoldersOnce(folder)
    paths, labels, classes = list_classes(train_folder, chosen, once)
    if val_folder is not None:
        if val_share is not None:
            raise ValueError(
                f"val_share={val_share} must be null: '{root}' has a val folder of its own."
            )
        val_paths, val_labels = list_known_classes(val_folder, classes, chosen, once)
    else:
        held = _hold_out(labels, classes, val_share, subset_seed, folder)
        val_paths, val_labels = [paths[i] for i in held], [labels[i] for i in held]
        rest = sorted(set(range(len(paths))) - set(held))
        paths, labels = [paths[i] for i in rest], [labels[i] for i in rest]
    train, val = (
        ImageFiles(
            files,
            of_files,
            on_unreadable,
            masks=None if masks is None else mask_files(files, folder, masks, channels),
            channels=channels,
        )
        for files, of_files in ((paths, labels), (val_paths, val_labels))
    )
    splits = ImageSplits(
        train,
        val,
        classes,
        name,
        has_masks=masks is not None,
        channels=chosen_channels(train, channels, mean, std),
    )
    return limited(splits, limit_train=limit_train, limit_val=limit_val, seed=subset_seed)


def list_images(folder: str | Path) -> list[Path]:
    """Return the picture files below a folder, by suffix, sorted; hidden files are left out.

    Raises:
        ValueError: if the folder is missing or holds no picture, or a link leads in a circle.
    """
    there = existing_folder(folder)
    found = sorted(images_below(there, FoldersOnce(there.resolve().parent)))
    if not found:
        raise ValueError(f"There are no images ({', '.join(SUFFIXES)}) below '{folder}'.")
    return found


def list_classes(
    folder: Path, chosen: Sequence[str] | None = None, once: FoldersOnce | None = None
) -> tuple[list[Path], list[int], tuple[str, ...]]:
    """Return (files, class indices, class names) of the class folders below ``folder``.

    Args:
        folder: with the class folders.
        chosen: which of them; None takes all.
        once: the folders whose images are part of the data set already.

    Raises:
        UnlabelledError: if there are fewer than two class folders.
        ValueError: if one of ``chosen`` is missing, one has no images, or a link leads to images
            that are read anyway.
    """
    once = once or FoldersOnce(folder)
    present = subfolders(folder)
    missing = sorted(set(chosen or ()) - set(present))
    if missing:
        raise ValueError(f"'{folder}' has no folder for {some_of(missing)} of the class list.")
    classes = tuple(sorted(set(chosen))) if chosen is not None else tuple(present)
    if not classes and not has_images(folder):
        raise ValueError(f"There are no images ({', '.join(SUFFIXES)}) below '{folder}'.")
    if len(classes) < 2:
        raise UnlabelledError(
            f"'{folder}' has {len(classes)} class folder(s), at least 2 are needed: one sub-folder "
            "per class, with the class' images in it."
        )
    files = {name: sorted(images_below(folder / name, once)) for name in classes}
    empty = [name for name in classes if not files[name]]
    if empty:
        raise ValueError(
            f"There are no images ({', '.join(SUFFIXES)}) in {some_of(empty)} of '{folder}'."
        )
    paths = [path for name in classes for path in files[name]]
    labels = [label for label, name in enumerate(classes) for _ in files[name]]
    return paths, labels, classes


def list_known_classes(
    folder: Path,
    classes: Sequence[str],
    chosen: Sequence[str] | None = None,
    once: FoldersOnce | None = None,
) -> tuple[list[Path], list[int]]:
    """Return (files, class indices) of a validation folder, in the training classes' indices.

    Raises:
        UnlabelledError: if it has no class folders, or none of a training class.
        ValueError: if it has other classes too (beyond ``chosen``), no images, or a link to images
            that are read anyway.
    """
    once = once or FoldersOnce(folder)
    present = [name for name in subfolders(folder) if chosen is None or name in chosen]
    unknown = sorted(set(present) - set(classes))
    if unknown:
        # Folders of which no name is a class are years or places, not a mistake among classes.
        error = UnlabelledError if len(unknown) == len(present) else ValueError
        raise error(f"{some_of(unknown)} of '{folder}' is not among the training classes.")
    files = [(path, name) for name in present for path in sorted(images_below(folder / name, once))]
    if not files:
        error = ValueError if present else UnlabelledError
        raise error(f"There are no images ({', '.join(SUFFIXES)}) in class folders of '{folder}'.")
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
