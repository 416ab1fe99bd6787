"""Crops chosen by saliency: built from the settings, or refused where nobody would heed them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from salmask_plugin.crops import GuidedCrops
from salmask_plugin.lab.data import ImageSplits
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.runs.cached_data import check_cached
from salmask_plugin.lab.runs.node import as_mistakes, build
from salmask_plugin.lab.settings.choice_names import crops_localizer
from salmask_plugin.lab.settings.nodes import built_by
from salmask_plugin.lab.settings.settings import Settings
from salmask_plugin.localizers import CachedLocalizer

KNOW_THE_PICTURE = ("open_cache", "GivenLocalizer", "UniformLocalizer")


def build_crops(
    settings: Settings, splits: ImageSplits, cached: CachedLocalizer | None = None
) -> GuidedCrops | None:
    """Return how boxes are chosen; None where the host draws them.

    Args:
        settings: of the run.
        splits: its data set.
        cached: the masking's maps, which whoever opened them checks. They are the crops' too if
            they lie in the same folder: read and put on the device once.

    Raises:
        UserError: if the localizer sees views alone, or its maps are of other images, or the
            method is trained on one view.
    """
    node = settings.crops
    if not node:
        return None
    if settings.is_supervised:
        raise UserError("crops choose two views of a picture; method=supervised trains on one.")
    # Said before the localizer is built, which may want weights.
    if built_by(node.get("localizer")) not in KNOW_THE_PICTURE:
        raise UserError(
            f"crops.localizer={crops_localizer(settings)} is asked about views, and a crop is "
            "chosen before there is one: use localizer=cached (`salmask cache` makes the maps) or "
            "localizer=given (object masks); crops=apart_anywhere asks for no saliency."
        )
    given = {}
    if cached is not None and _reads(node["localizer"], cached):
        given = {"localizer": cached}
    with as_mistakes("the crops cannot be chosen"):
        crops = build({k: v for k, v in node.items() if k not in given}, GuidedCrops, **given)
    if isinstance(crops.localizer, CachedLocalizer):
        if not given:
            check_cached(crops.localizer, splits)
    elif crops.takes_object_masks and not splits.has_masks:
        raise UserError(f"crops by localizer=given need images with masks; {splits.name} has none.")
    return crops


def _reads(node: dict[str, Any], cached: CachedLocalizer) -> bool:
    """Whether a localizer's node opens the files of maps that are open already."""
    return (
        built_by(node) == "open_cache"
        and cached.store is not None
        and Path(str(node.get("folder"))) == cached.store.folder
    )
