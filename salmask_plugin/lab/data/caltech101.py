"""Caltech-101, with the customary split: 30 images of every class to train on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torchvision import datasets

from salmask_plugin.lab.data.files import ImageFiles, OnUnreadable
from salmask_plugin.lab.data.folders import existing_folder, list_classes
from salmask_plugin.lab.data.in_memory import from_torchvision
from salmask_plugin.lab.data.splits import ImageSplits, limited

NOT_A_CLASS = "BACKGROUND_Google"


def caltech101(
    root: str | Path,
    download: bool = False,
    train_per_class: int = 30,
    limit_train: int | None = None,
    limit_val: int | None = None,
    subset_seed: int = 0,
    on_unreadable: OnUnreadable = "raise",
) -> ImageSplits:
    """Read Caltech-101: 8,677 images of about 300x200 px in 101 classes, no official split.

    Args:
        root: the folder with ``caltech101/101_ObjectCategories``, or with the latter itself.
        download: fetch the archive into root where it is missing.
        train_per_class: images of every class, drawn by ``subset_seed``, for training; the rest is
            the validation split.
        limit_train: size of a class-balanced subset; None takes all.
        limit_val: the same of the validation images.
        subset_seed: of the split and of the subsets.
        on_unreadable: see :class:`~salmask_plugin.data.ImageFiles`.

    Raises:
        ValueError: if the data are not there, a class has no more than ``train_per_class`` images,
            or an argument is out of range.

    References:
        Li et al. 2004, https://data.caltech.edu/records/mzrjq-6wc02
    """
    if train_per_class < 1:
        raise ValueError(f"train_per_class={train_per_class} must be at least 1.")
    if download:
        from_torchvision(datasets.Caltech101, root, download=True)
    folder = _categories(existing_folder(root))
    present = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
    classes = [name for name in present if name != NOT_A_CLASS and name[0] != "."]
    paths, labels, names = list_classes(folder, classes)

    rng = np.random.default_rng(subset_seed)
    chosen: list[int] = []
    for label, name in enumerate(names):
        members = rng.permutation(np.flatnonzero(np.asarray(labels) == label))
        if len(members) <= train_per_class:
            raise ValueError(
                f"Class {name!r} has {len(members)} images: train_per_class={train_per_class} "
                "leaves none to test on."
            )
        chosen.extend(members[:train_per_class].tolist())
    rest = sorted(set(range(len(paths))) - set(chosen))
    train, val = (
        ImageFiles([paths[i] for i in part], [labels[i] for i in part], on_unreadable)
        for part in (sorted(chosen), rest)
    )
    splits = ImageSplits(train, val, names, "caltech101")
    return limited(splits, limit_train=limit_train, limit_val=limit_val, seed=subset_seed)


def _categories(root: Path) -> Path:
    for folder in (root / "caltech101" / "101_ObjectCategories", root / "101_ObjectCategories"):
        if folder.is_dir():
            return folder
    raise ValueError(
        f"root='{root}' has no caltech101/101_ObjectCategories. Give the folder that has it, or "
        "download=true."
    )
