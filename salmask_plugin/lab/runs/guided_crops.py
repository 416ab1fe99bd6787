"""Crops chosen by saliency: built from the settings, or refused where nobody would heed them."""

from __future__ import annotations

from salmask_plugin.crops import GuidedCrops
from salmask_plugin.lab.data import ImageSplits
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.runs.cached_data import check_cached
from salmask_plugin.lab.runs.node import as_mistakes, build
from salmask_plugin.lab.settings.nodes import built_by
from salmask_plugin.lab.settings.settings import Settings
from salmask_plugin.localizers import CachedLocalizer

KNOW_THE_PICTURE = ("open_cache", "GivenLocalizer")


def build_crops(settings: Settings, splits: ImageSplits) -> GuidedCrops | None:
    """Return how boxes are chosen; None where the host draws them.

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
            f"crops.localizer={settings.choices['localizer']} is asked about views, and a crop is "
            "chosen before there is one: use localizer=cached (`salmask cache` makes the maps) or "
            "localizer=given (object masks)."
        )
    with as_mistakes("the crops cannot be chosen"):
        crops = build(node, GuidedCrops)
    if isinstance(crops.localizer, CachedLocalizer):
        check_cached(crops.localizer, splits)
    elif not splits.has_masks:
        raise UserError(f"crops by localizer=given need images with masks; {splits.name} has none.")
    return crops
