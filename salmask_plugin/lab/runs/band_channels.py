"""How many channels a run's pictures have, and what cannot be done with others than three."""

from __future__ import annotations

from typing import Any

from PIL import Image
from torch import Tensor

from salmask_plugin.adapters.lightly.placements import PlacedViews
from salmask_plugin.lab.data.band_views import LEFT_OUT, BandViews
from salmask_plugin.lab.data.channels import RGB, Channels
from salmask_plugin.lab.data.device.lightly_recipe import recipe_of
from salmask_plugin.lab.data.seeded import seeded_draws
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.runs.node import SPEAKING, as_mistakes, build
from salmask_plugin.lab.settings.settings import Settings


def channels_asked(settings: Settings) -> int:
    """Return how many channels the encoder's images have."""
    found: int = (settings.values.get("backbone") or {}).get("in_channels", RGB.count)
    return found


def check_channels(settings: Settings) -> None:
    """Refuse, before anything is read, what other channels than three cannot have.

    Raises:
        UserError: if encoder and data have different ones, or something is for RGB alone.
    """
    channels = channels_asked(settings)
    given = (settings.values.get("data") or {}).get("channels", RGB.count)
    if channels != given:
        chosen = settings.choices.get("data", "...")
        raise UserError(
            f"backbone.in_channels={channels}, and data={chosen} gives pictures of {given} "
            "channels; data=folder and data=imagefolder read others, and in_channels=... says both."
        )
    if channels == RGB.count:
        return
    if settings.is_supervised:
        raise UserError(f"method=supervised trains on RGB, not on {channels} channels.")
    if settings.crops:
        raise UserError(f"crops choose boxes of RGB views; {channels} channels need crops=null.")
    if settings.loader.input != "host":
        raise UserError(
            f"loader.input={settings.loader.input} makes views of RGB alone; {channels} channels "
            "need loader.input=host."
        )


def views_said(settings: Settings) -> list[str]:
    """Return what a reader is told of the views: nothing, for RGB."""
    channels = channels_asked(settings)
    if channels == RGB.count:
        return []
    return [f"Views of {channels} channel{'s' * (channels > 1)}: {LEFT_OUT}."]


def transform_of(settings: Settings) -> Any:
    """Return what makes views of a picture for the method, tried on a blank one.

    Nothing is drawn from the global generators.

    Raises:
        UserError: if it does not make two views, or the one that a method with labels trains on.
    """
    transform = build(settings.views)
    target = settings.views["_target_"]
    fault = f"{target} cannot make views of a picture"
    try:
        with seeded_draws(0, 0, 0), as_mistakes(fault):
            found = transform(Image.new("RGB", (64, 64)))
    except SPEAKING as error:
        raise UserError(str(error) if fault in str(error) else f"{fault}: {error}") from error
    one = settings.is_supervised
    views = [found] if one else found if isinstance(found, list | tuple) else []
    if len(views) < (1 if one else 2) or not all(isinstance(view, Tensor) for view in views):
        raise UserError(f"{target} must make {'one view' if one else 'two views'} of a picture.")
    return transform


def views_of(transform: Any, channels: Channels, *, placements: bool = False) -> Any:
    """Return the transform for pictures of these channels.

    Args:
        transform: of lightly, for RGB.
        channels: of the pictures.
        placements: whether it also says where each view lies.

    Raises:
        ValueError: if a transform for RGB has an operation that other channels cannot have.
    """
    if channels != RGB:
        return BandViews(recipe_of(transform), channels, placements=placements)
    return PlacedViews(transform) if placements else transform
