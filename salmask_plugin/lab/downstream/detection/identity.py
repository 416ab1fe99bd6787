"""What tells a detection data set from another."""

from __future__ import annotations

import hashlib
from typing import Any

from salmask_plugin.lab.data import pixel_digest, split_identity, spot_checks
from salmask_plugin.lab.downstream.detection.instances import InstanceImages, InstanceSplits


def identity_of(splits: InstanceSplits) -> dict[str, Any]:
    """Return it as JSON: classes, both splits' pictures by name, and what is annotated in them.

    Of the training pictures the pixels of up to 16. An outline counts by its box and area.
    """
    places = spot_checks(len(splits.train))
    return {
        "classes": list(splits.classes),
        "train": _split(splits.train, [str(pixel_digest(splits.train[p])) for p in places]),
        "val": _split(splits.val, []),
    }


def _split(images: InstanceImages, pixels: list[str]) -> dict[str, Any]:
    digest = hashlib.sha256()
    for found in images.instances:
        digest.update(len(found).to_bytes(8, "little"))
        for values in (found.boxes, found.labels, found.ignored, found.learned, found.areas):
            digest.update(values.tobytes())
    names = [found.name for found in images.instances]
    return split_identity(len(images), labels=digest.hexdigest(), names=names, pixels=pixels)
