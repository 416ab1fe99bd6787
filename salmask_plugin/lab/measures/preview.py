"""``salmask preview``: the masks on the user's own images, before any training."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from salmask_plugin.lab.data import UnreadableImageError, list_images, read_image
from salmask_plugin.lab.data.bands import read_bands
from salmask_plugin.lab.data.channels import RGB, Channels, statistics_of
from salmask_plugin.lab.data.text_files import shown
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.measures.recipes import RecipeRow, recipe_rows, with_embedded_localizer
from salmask_plugin.lab.runs.band_channels import channels_asked
from salmask_plugin.lab.runs.example_views import can_be_shown, write_gallery
from salmask_plugin.lab.runs.folder import below_out
from salmask_plugin.lab.settings.allowed_targets import Trust
from salmask_plugin.lab.settings.choice_names import ANYWHERE

RECIPES = ("mean", "blur", "highpass")
COUNT = 8


def preview(
    folder: Path,
    overrides: Sequence[str] = (),
    *,
    config_dir: str | None = None,
    trust: Trust = False,
) -> Iterator[tuple[Path, RecipeRow]]:
    """Write one gallery per recipe; yield each with its recipe as soon as it is there.

    Without ``masking=`` all three recipes of the paper are shown, without ``localizer=`` the
    embedded one is used.

    Raises:
        UserError: if no image can be read, or the recipe shows nothing.
        ValueError: if the folder has no image.
    """
    rows = {recipe: [f"masking={recipe}"] for recipe in RECIPES}
    given = with_embedded_localizer(overrides)
    found = recipe_rows(rows, given, typed=overrides, config_dir=config_dir, trust=trust)
    count = channels_asked(found[0].settings)
    paths, images, there = _some_images(folder, count)
    some = "" if there == len(images) else f", {len(images)} of {there} pictures"
    channels = RGB
    if count != RGB.count:
        # Of these pictures alone: a picture for people, from which nothing is learned.
        channels = Channels(*map(tuple, statistics_of([(image, 0) for image in images])))
    for row in found:
        settings, masking = row.settings, row.masking
        name, localizer = settings.choices["masking"], row.localizer
        placed = "anywhere" if localizer == ANYWHERE else f"saliency from {localizer}"
        if masking is None or not can_be_shown(masking):
            raise UserError(
                f"masking={name} with localizer={localizer} has nothing to show on images alone."
            )
        path = write_gallery(
            below_out(settings, f"{name}-{localizer}.png", "preview"),
            masking,
            images,
            [shown(path.stem) for path in paths],
            view_size=settings.view_size,
            seed=settings.seed,
            title=f"{name}, {placed}{some}",
            channels=channels,
        )
        yield path, row


def _some_images(folder: Path, channels: int) -> tuple[list[Path], list[Any], int]:
    """Up to COUNT images, evenly spread over the folder, and how many it has.

    An unreadable one is named and skipped.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder.")
    found = list_images(folder)
    paths: list[Path] = []
    images: list[Any] = []
    spread = [found[place * len(found) // COUNT] for place in range(COUNT)]
    for path in dict.fromkeys(spread + found):
        if len(images) == COUNT:
            break
        try:
            images.append(read_image(path) if channels == RGB.count else read_bands(path, channels))
        except UnreadableImageError as error:
            warnings.warn(str(error), stacklevel=2)
            continue
        paths.append(path)
    if not images:
        raise UserError(f"none of the {len(found)} images in {folder} can be read.")
    return paths, images, len(found)
