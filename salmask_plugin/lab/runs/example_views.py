"""Pictures of what the encoders are shown: gallery rows from images and a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

from salmask_plugin.lab.data.augment import to_normalised
from salmask_plugin.lab.data.channels import FIRST_THREE, RGB, Channels, shown_bands
from salmask_plugin.lab.results import GalleryRow, display_filtered, display_view, draw_gallery
from salmask_plugin.lab.results.store import write_atomically
from salmask_plugin.localizers import UniformLocalizer
from salmask_plugin.localizers.needs import needs_of
from salmask_plugin.masking import SaliencyMasking, foreground_tolerance
from salmask_plugin.masks import foreground
from salmask_plugin.seeding import step_generator


def clean_views(
    images: Sequence[Image.Image | Tensor], view_size: int, channels: Channels = RGB
) -> Tensor:
    """Return the images' centres as normalised views, (B, C, view_size, view_size).

    No augmentation: a gallery should show the image that its reader knows.
    """
    transform = v2.Compose(
        [
            v2.Resize(view_size, antialias=True),
            v2.CenterCrop(view_size),
            *to_normalised(channels),
        ]
    )
    return torch.stack([torch.as_tensor(transform(image)) for image in images])


def gallery_rows(
    masking: SaliencyMasking, views: Tensor, labels: Sequence[str], *, seed: int
) -> list[GalleryRow]:
    """Return one row per view (B, C, H, W): image, saliency, foreground, query, key, negative.

    Of other channels than three, those are shown that the localizer sees, or the first three. Where
    masks fall anywhere there is no saliency to show.
    """
    masked = masking(views, views, step_generator(seed, 0, 0, views.device))
    filtered = masking.view_filter is not None
    show = display_filtered if filtered else display_view
    objects = partial(foreground, tolerance=foreground_tolerance(masking))
    bands = shown_bands(views.shape[1], getattr(masking.localizer, "bands", FIRST_THREE))

    maps = None if isinstance(masking.localizer, UniformLocalizer) else masked.saliency

    def seen(view: Tensor) -> NDArray[Any]:
        return view[bands].cpu().numpy()

    rows = []
    for index, label in enumerate(labels):
        negatives = masked.negatives
        rows.append(
            GalleryRow(
                image=display_view(seen(views[index])),
                saliency=None if maps is None else maps[0][index].numpy(),
                foreground=None if maps is None else objects(maps[0])[index].numpy(),
                query=show(seen(masked.query[index])),
                key=show(seen(masked.key[index])),
                negative=None if negatives is None else show(seen(negatives[index, 0])),
                label=label,
            )
        )
    return rows


def write_gallery(
    path: Path,
    masking: SaliencyMasking,
    images: Sequence[Image.Image | Tensor],
    labels: Sequence[str],
    *,
    view_size: int,
    seed: int,
    title: str,
    channels: Channels = RGB,
) -> Path:
    """Write the gallery of ``images`` under a recipe as a PNG, and return its path."""
    rows = gallery_rows(masking, clean_views(images, view_size, channels), labels, seed=seed)
    filtered = masking.view_filter is not None
    write_atomically(path, draw_gallery(rows, filtered=filtered, title=title))
    return path


def can_be_shown(masking: SaliencyMasking | None) -> bool:
    """Whether a gallery needs nothing but images: no encoder in training, no masks of the user."""
    return masking is not None and needs_of(masking.localizer) == "views"
