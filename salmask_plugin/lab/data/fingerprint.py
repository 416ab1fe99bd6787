"""Whether these are the images that something was computed from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from salmask_plugin.lab.data.folder_walk import some_of
from salmask_plugin.lab.data.splits import ImageSplits, ImageSubset, LabelledImages

SPOT_CHECKS = 16
SHOWN = 5
SPLITS = {"train": "training", "val": "validation", "test": "test"}
"""What an identity calls its parts, and words do."""


def pixel_digest(image: Image.Image | Tensor) -> int:
    """Return 63 bits of BLAKE2b over a picture's size and decoded pixels, never 0.

    Of the pixels, not the file: the same picture read from an archive or a folder is the same, and
    a file that decodes to something else is another one. Against accidents, not against malice: a
    changed image keeps its digest by chance once in 2**63.
    """
    if isinstance(image, Tensor):
        words, content = f"{image.dtype} {tuple(image.shape)}", image.numpy().tobytes()
    else:
        words, content = f"{image.mode} {image.size}", image.tobytes()
    digest = hashlib.blake2b(words.encode(), digest_size=8)
    digest.update(content)
    return int.from_bytes(digest.digest(), "little") >> 1 or 1


def labels_sha256(labels: Sequence[int]) -> str:
    """Return a digest of the labels in their order."""
    return hashlib.sha256(np.asarray(labels, dtype="<i8").tobytes()).hexdigest()


def spot_checks(count: int) -> list[int]:
    """Return up to 16 places spread over ``count`` images, the first and the last among them."""
    return sorted(set(np.linspace(0, count - 1, SPOT_CHECKS).round().astype(int).tolist()))


def changed_images(
    images: LabelledImages, digests: NDArray[np.uint64], places: Sequence[int]
) -> list[int]:
    """Return those of ``places`` whose image is not the one that the digest was made of.

    Each one is decoded; a digest of 0 says nothing and passes.
    """
    return [
        place
        for place in places
        if digests[place] and pixel_digest(images[place][0]) != int(digests[place])
    ]


def identity_of_splits(splits: ImageSplits) -> dict[str, Any]:
    """Return what tells a data set from another, as JSON: classes, and both splits' images.

    Of a split: the number of images, digests of the labels and of the files' names in their order,
    and of the training images the pixels of up to 16, spread over the set. Nothing else is decoded:
    a file that is exchanged between those under its old name is not noticed.
    """
    return {
        "classes": list(splits.classes),
        "train": _identity_of(splits.train, decoded=True),
        "val": _identity_of(splits.val, decoded=False),
    }


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Say in words what changed between two identities of one kind of data."""
    found = []
    for words, some, others in (
        ("new", now.get("classes", ()), before.get("classes", ())),
        ("missing", before.get("classes", ()), now.get("classes", ())),
    ):
        names = sorted(set(some) - set(others))
        if names:
            found.append(f"{words} classes: {some_of(names, SHOWN)}")
    for split, words in SPLITS.items():
        if split not in now:
            continue
        old, new = before[split], now[split]
        if old["images"] != new["images"]:
            found.append(f"{new['images']} {words} images, {old['images']} before")
            continue
        for part, changed in (("names", "other files"), ("labels", "other labels")):
            if old[part] != new[part]:
                found.append(f"{changed} among the {words} images")
        if old["names"] == new["names"]:
            pixels = zip(old.get("pixels", ()), new.get("pixels", ()), strict=True)
            changed_pixels = sum(one != other for one, other in pixels)
            if changed_pixels:
                of = f"of the {len(new['pixels'])} {words} images that are compared"
                found.append(f"{changed_pixels} {of} show something else")
    return found


def split_identity(
    images: int, *, labels: str | None, names: Sequence[str] | None, pixels: Sequence[str]
) -> dict[str, Any]:
    """Return what tells one split of any data set from another, as JSON.

    Args:
        images: their number.
        labels: a digest of what is annotated, None where nothing is.
        names: of the files in their order; None where images are not files.
        pixels: digests of the images at some places, see :func:`spot_checks`.
    """
    digest = (
        None if names is None else hashlib.sha256("\0".join(names).encode("utf-8", "surrogatepass"))
    )
    return {
        "images": images,
        "labels": labels,
        "names": None if digest is None else digest.hexdigest(),
        "pixels": list(pixels),
    }


def _identity_of(images: LabelledImages, *, decoded: bool) -> dict[str, Any]:
    return split_identity(
        len(images),
        labels=labels_sha256(images.labels),
        names=_names(images),
        pixels=[
            str(pixel_digest(images[place][0]))
            for place in (spot_checks(len(images)) if decoded else ())
        ],
    )


def _names(images: LabelledImages) -> list[str] | None:
    """Return folder/file of every image; None where images are not files."""
    if isinstance(images, ImageSubset):
        names = _names(images.images)
        return None if names is None else [names[index] for index in images.indices]
    paths = getattr(images, "paths", None)
    return None if paths is None else [f"{path.parent.name}/{path.name}" for path in paths]
