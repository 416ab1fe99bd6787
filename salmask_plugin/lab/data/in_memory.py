"""CIFAR and STL-10: data sets whose archives hold arrays, read through torchvision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from torchvision import datasets

from salmask_plugin.lab.data.folders import existing_folder, image_folder
from salmask_plugin.lab.data.splits import ImageSplits, limited


def cifar10(
    root: str | Path,
    download: bool = False,
    limit_train: int | None = None,
    limit_val: int | None = None,
    subset_seed: int = 0,
) -> ImageSplits:
    """Read CIFAR-10: 50,000 and 10,000 images of 32 px in 10 classes.

    Args:
        root: the folder with ``cifar-10-batches-py``, or an image folder with train/ and val/.
        download: fetch the archive into root where it is missing.
        limit_train: size of a class-balanced subset; None takes all.
        limit_val: the same of the validation images.
        subset_seed: of the subsets.

    Raises:
        ValueError: if the data are not there, or a limit is out of range.

    References:
        Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html
    """
    return _cifar(datasets.CIFAR10, "cifar10", root, download, limit_train, limit_val, subset_seed)


def cifar100(
    root: str | Path,
    download: bool = False,
    limit_train: int | None = None,
    limit_val: int | None = None,
    subset_seed: int = 0,
) -> ImageSplits:
    """Read CIFAR-100: 50,000 and 10,000 images of 32 px in 100 classes.

    Args:
        root: the folder with ``cifar-100-python``, or an image folder with train/ and val/.
        download: fetch the archive into root where it is missing.
        limit_train: size of a class-balanced subset; None takes all.
        limit_val: the same of the validation images.
        subset_seed: of the subsets.

    Raises:
        ValueError: if the data are not there, or a limit is out of range.

    References:
        Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html
    """
    return _cifar(
        datasets.CIFAR100, "cifar100", root, download, limit_train, limit_val, subset_seed
    )


def stl10(
    root: str | Path,
    download: bool = False,
    limit_train: int | None = None,
    limit_val: int | None = None,
    subset_seed: int = 0,
) -> ImageSplits:
    """Read the labelled part of STL-10: 5,000 and 8,000 images of 96 px in 10 classes.

    Args:
        root: the folder with ``stl10_binary``, or an image folder with train/ and val/.
        download: fetch the archive (2.6 GB) into root where it is missing.
        limit_train: size of a class-balanced subset; None takes all.
        limit_val: the same of the validation images.
        subset_seed: of the subsets.

    Raises:
        ValueError: if the data are not there, or a limit is out of range.

    References:
        Coates et al. 2011, https://cs.stanford.edu/~acoates/stl10/
    """
    if _is_image_folder(root):
        return image_folder(
            root,
            limit_train=limit_train,
            limit_val=limit_val,
            subset_seed=subset_seed,
            name="stl10",
        )

    def split(name: str) -> ArrayImages:
        stored = from_torchvision(datasets.STL10, root, download=download, split=name)
        return ArrayImages(stored, stored.labels)

    train = split("train")
    splits = ImageSplits(train, split("test"), tuple(train.stored.classes), "stl10")
    return limited(splits, limit_train=limit_train, limit_val=limit_val, seed=subset_seed)


class ArrayImages:
    """One split of a torchvision data set that lies in memory.

    Args:
        stored: gives (PIL picture, label).
        labels: the class index of each.
    """

    def __init__(self, stored: Any, labels: Sequence[int]) -> None:
        self.stored = stored
        self.labels = tuple(int(label) for label in labels)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        image, _ = self.stored[index]
        return image.convert("RGB"), self.labels[index]


def from_torchvision(
    dataset: Callable[..., Any], root: str | Path, *, download: bool, **split: Any
) -> Any:
    """Build a torchvision data set.

    Raises:
        ValueError: if its files are missing or damaged, with what to do about it.
    """
    if not download:
        existing_folder(root)
    try:
        return dataset(Path(root).expanduser(), download=download, **split)
    except RuntimeError as error:
        raise ValueError(
            f"root='{root}' holds no sound {dataset.__name__} files ({error}). "
            "Give the folder that has them, or download=true."
        ) from error


def _cifar(
    dataset: Callable[..., Any],
    name: str,
    root: str | Path,
    download: bool,
    limit_train: int | None,
    limit_val: int | None,
    subset_seed: int,
) -> ImageSplits:
    if _is_image_folder(root):
        return image_folder(
            root,
            limit_train=limit_train,
            limit_val=limit_val,
            subset_seed=subset_seed,
            name=name,
        )
    train = from_torchvision(dataset, root, download=download, train=True)
    val = from_torchvision(dataset, root, download=download, train=False)
    splits = ImageSplits(
        ArrayImages(train, train.targets),
        ArrayImages(val, val.targets),
        tuple(train.classes),
        name,
    )
    return limited(splits, limit_train=limit_train, limit_val=limit_val, seed=subset_seed)


def _is_image_folder(root: str | Path) -> bool:
    return (Path(root).expanduser() / "train").is_dir()
