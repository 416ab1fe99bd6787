"""Whether a cache of maps belongs to the training images of a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from salmask_plugin.lab.data import (
    ImageSplits,
    LabelledImages,
    changed_images,
    labels_sha256,
    spot_checks,
)
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.settings.nodes import built_by
from salmask_plugin.lab.settings.settings import Settings
from salmask_plugin.localizers import CachedLocalizer
from salmask_plugin.localizers.map_store import MapStore


def identity_of(splits: ImageSplits) -> dict[str, object]:
    """Return what a manifest says of a data set's training images, without decoding any."""
    return {
        "dataset": f"{splits.name} train",
        "count": len(splits.train),
        "labels_sha256": labels_sha256(splits.train.labels),
    }


def check_cached(cached: CachedLocalizer, splits: ImageSplits) -> None:
    """Compare name, number and labels of the training images, and the pixels of sixteen of them.

    Raises:
        UserError: if the cache was made of other images.
    """
    store = cached.store
    folder = Path("memory") if store is None else store.folder
    try:
        cached.manifest.check(identity_of(splits), folder)
    except ValueError as error:
        raise UserError(str(error)) from error
    if store is not None:
        check_some_pixels(store, splits.train)


def check_some_pixels(store: MapStore, images: LabelledImages) -> None:
    """Decode sixteen images, spread over the set, and compare them with their digests.

    Raises:
        UserError: if one is not the image that the map was made of.
    """
    changed = changed_images(images, store.digests(), spot_checks(len(images)))
    if changed:
        raise UserError(
            f"The cache in {store.folder} was made of other images: {len(changed)} of the "
            f"{len(spot_checks(len(images)))} compared differ, the first at index {changed[0]}. "
            "`salmask cache --verify` with the same settings finds all and redoes their maps."
        )


def without_cache(settings: Settings) -> Settings:
    """Return the settings with no cache in them, for what trains nothing: it may be gone by then.

    A uniform localizer takes its place. Settings without a cache come back as they are.
    """
    values = _replaced(settings.values)
    return settings if values == settings.values else replace(settings, values=values)


def _replaced(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    if built_by(node) == "open_cache":
        return {"_target_": "salmask_plugin.UniformLocalizer", "grid": node.get("grid", [7, 7])}
    return {key: _replaced(value) for key, value in node.items()}
