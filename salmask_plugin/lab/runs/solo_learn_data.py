"""The images of a solo-learn run, as its own data sets read them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torchvision.datasets.folder import IMG_EXTENSIONS

from salmask_plugin.lab.results import DataSet

IMAGES = {"cifar10": (50_000, 10_000), "cifar100": (50_000, 10_000), "stl10": (105_000, 8_000)}
"""(train, val) of the data sets solo-learn does not read from class folders."""
EVALUATED = {"cifar10": 32, "cifar100": 32, "stl10": 96}
"""Side in pixels of what its linear evaluation sees; 224 of everything else."""


def data_of(arguments: Mapping[str, Any]) -> DataSet:
    """Return what a pretraining saw.

    Raises:
        FileNotFoundError: if the images cannot be counted.
    """
    data = arguments["data"]
    if data["dataset"] in IMAGES:
        train, val = IMAGES[data["dataset"]]
    else:
        plain, path = bool(data.get("no_labels")), data.get("val_path")
        train = _count(data.get("train_path"), plain=plain)
        val = 0 if plain or path is None else _count(path)
    fraction = data.get("fraction") or -1
    if fraction > 0:
        train = int(train * fraction)
    view = int(arguments["augmentations"][0]["crop_size"])
    return DataSet(data_name(arguments), train, val, int(data["num_classes"]), view)


def data_name(arguments: Mapping[str, Any]) -> str:
    """Return the data set's name, which is its folder's where solo-learn has none for it."""
    data = arguments["data"]
    if data["dataset"] == "custom" and data.get("train_path"):
        return Path(data["train_path"]).resolve().parent.name
    return str(data["dataset"])


def _count(folder: str | None, *, plain: bool = False) -> int:
    path = Path(folder or "")
    if folder is None or not path.is_dir():
        raise FileNotFoundError(f"{folder} is no folder: the images of the run cannot be counted.")
    if plain:
        return sum(1 for _ in path.iterdir())
    # Class folders are often links into a larger data set.
    return sum(
        name.lower().endswith(IMG_EXTENSIONS)
        for entry in path.iterdir()
        if entry.is_dir()
        for _, _, names in os.walk(entry, followlinks=True)
        for name in names
    )
