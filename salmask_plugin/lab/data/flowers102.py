"""Oxford Flowers-102, trained on its official train and validation images, tested on the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from torchvision import datasets

from salmask_plugin.lab.data.files import ImageFiles, OnUnreadable
from salmask_plugin.lab.data.folder_walk import check_files
from salmask_plugin.lab.data.folders import existing_folder
from salmask_plugin.lab.data.in_memory import from_torchvision
from salmask_plugin.lab.data.splits import ImageSplits, limited


def flowers102(
    root: str | Path,
    download: bool = False,
    limit_train: int | None = None,
    limit_val: int | None = None,
    subset_seed: int = 0,
    on_unreadable: OnUnreadable = "raise",
) -> ImageSplits:
    """Read Flowers-102: 2,040 images (official train and val) and 6,149 (test) in 102 classes.

    Args:
        root: the folder with ``flowers-102`` (jpg/, imagelabels.mat, setid.mat). Needs SciPy.
        download: fetch the archives into root where they are missing.
        limit_train: size of a class-balanced subset; None takes all.
        limit_val: the same of the test images.
        subset_seed: of the subsets.
        on_unreadable: see :class:`~salmask_plugin.data.ImageFiles`.

    Raises:
        ValueError: if the data are not there (with "raise" every picture), or an argument is out of
            range.
        ModuleNotFoundError: if SciPy is missing, which reads the label files.

    References:
        Nilsback and Zisserman 2008, https://www.robots.ox.ac.uk/~vgg/data/flowers/102/
    """
    if download:
        from_torchvision(datasets.Flowers102, root, download=True)
    folder = existing_folder(root) / "flowers-102"
    labels = _matlab(folder / "imagelabels.mat")["labels"].astype(np.int64) - 1
    parts = _matlab(folder / "setid.mat")

    def split(*names: str) -> ImageFiles:
        numbers = np.sort(np.concatenate([np.atleast_1d(parts[name]) for name in names]))
        files = [f"image_{number:05d}.jpg" for number in numbers.tolist()]
        if on_unreadable == "raise":
            check_files(folder / "jpg", files)
        paths = [folder / "jpg" / name for name in files]
        return ImageFiles(paths, labels[numbers.astype(np.int64) - 1].tolist(), on_unreadable)

    classes = tuple(datasets.Flowers102.classes)
    splits = ImageSplits(split("trnid", "valid"), split("tstid"), classes, "flowers102")
    return limited(splits, limit_train=limit_train, limit_val=limit_val, seed=subset_seed)


def _matlab(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ValueError(
            f"'{path}' does not exist. Give the folder with flowers-102 as root, or download=true."
        )
    try:
        from scipy.io import loadmat  # type: ignore[import-untyped, import-not-found, unused-ignore]
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "Flowers-102 keeps its labels in MATLAB files: install scipy to read them."
        ) from error
    content: dict[str, Any] = loadmat(path, squeeze_me=True)
    return content
