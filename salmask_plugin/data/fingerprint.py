"""Whether these are the images that something was computed from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from salmask_plugin.data.splits import LabelledImages

SPOT_CHECKS = 16


def pixel_digest(image: Image.Image) -> int:
    """Return 63 bits of BLAKE2b over a picture's size and decoded pixels, never 0.

    Of the pixels, not the file: the same picture read from an archive or a folder is the same, and
    a file that decodes to something else is another one. Against accidents, not against malice: a
    changed image keeps its digest by chance once in 2**63.
    """
    digest = hashlib.blake2b(f"{image.mode} {image.size}".encode(), digest_size=8)
    digest.update(image.tobytes())
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
