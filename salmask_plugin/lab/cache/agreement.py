"""``salmask cache --agreement``: cached saliency beside the localizer's own on the views."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from salmask_plugin.adapters.lightly.cached_maps import look_up
from salmask_plugin.adapters.lightly.placements import PlacedViews
from salmask_plugin.lab.cache.agreement_tables import (
    AgreementExample,
    agreement_rows,
    agreement_text,
    draw_agreement,
)
from salmask_plugin.lab.cache.map_agreement import measure_agreement
from salmask_plugin.lab.data import ImageSplits, MaskedImages
from salmask_plugin.lab.data.seeded import seeded_draws
from salmask_plugin.lab.data.two_view import mask_to_tensor
from salmask_plugin.lab.results.apart import apart_from_others, measurement_json
from salmask_plugin.lab.results.display import display_view
from salmask_plugin.lab.results.environment import environment
from salmask_plugin.lab.results.late_pictures import files_written
from salmask_plugin.lab.results.statistics import OF_IMAGES
from salmask_plugin.lab.results.terminal import filled
from salmask_plugin.lab.runs.band_channels import transform_of
from salmask_plugin.lab.runs.node import build
from salmask_plugin.lab.settings.settings import Settings
from salmask_plugin.localizers import CachedLocalizer
from salmask_plugin.localizers.area import resample
from salmask_plugin.localizers.map_store import MapStore
from salmask_plugin.masks import foreground
from salmask_plugin.types import Localizer

BATCH = 16
EXAMPLES = 6


def report_agreement(store: MapStore, settings: Settings, splits: ImageSplits, count: int) -> None:
    """Measure, print the table, and write ``agreement.json`` and ``agreement.png`` to the store.

    One view of each of ``count`` images drawn by the seed: the first that a run of this seed makes
    in its first epoch. Online is the localizer as a run with these settings would use it.

    Args:
        store: that is whole.
        settings: of the views and the localizer.
        splits: whose training images the maps are of.
        count: of images, at least 2.
    """
    online: Localizer = build(settings.localizer)
    values: dict[str, list[float]] = defaultdict(list)
    areas: list[float] = []
    examples: list[AgreementExample] = []
    grid: tuple[int, int] | None = None
    for indices, views, placements, objects in _views(settings, splits, count):
        maps = online(views)
        grid = (maps.shape[1], maps.shape[2])
        cached = look_up(CachedLocalizer(store.maps(), store.manifest, grid), indices, placements)
        for name, numbers in measure_agreement(cached, maps, objects).items():
            values[name] += numbers.tolist()
        area = (placements[:, 2] - placements[:, 0]) * (placements[:, 3] - placements[:, 1])
        areas += area.tolist()
        for place in range(len(views) if len(examples) < EXAMPLES else 0):
            examples.append(_example(views[place], maps[place], cached[place], area[place].item()))
    rows = agreement_rows(np.array(areas), {name: np.array(v) for name, v in values.items()})
    protocol: dict[str, Any] = {
        "data": store.manifest.dataset,
        "images_drawn": len(areas),
        "localizer": store.manifest.name,
        "trained_on": store.manifest.trained_on,
        "cached_grid": store.manifest.grid,
        "cached_localizer": store.manifest.localizer,
        "compared_grid": grid,
        "localizer_size": settings.localizer_size,
        "view_size": settings.view_size,
        "views": settings.choices["method"],
        "seed": settings.seed,
        "tolerance": 0.6,
        "interval": f"{OF_IMAGES}; one view per image",
        "environment": environment(),
    }
    made: dict[str, Callable[[], bytes]] = {
        "json": lambda: measurement_json(protocol, rows).encode(),
        "png": lambda: draw_agreement(rows, examples[:EXAMPLES]),
    }
    path = apart_from_others(store.folder / "agreement", protocol)
    files = files_written(path, made)
    print("\n" + agreement_text(rows) + "\n")
    said = (
        f"{grid} cells of views of {settings.view_size} px; online sees them at "
        f"{settings.localizer_size} px."
    )
    print(filled(said, "  "))
    print(f"Written: {path}.{', .'.join(files)}")


def _views(
    settings: Settings, splits: ImageSplits, count: int
) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor | None]]:
    """Yield (indices, views, placements, objects or None) in batches of at least two images."""
    placed, images = PlacedViews(transform_of(settings)), splits.train
    order = np.random.default_rng(settings.seed).permutation(len(images))[:count].tolist()
    size = settings.view_size
    starts = range(0, max(1, len(order) - 1), BATCH)
    for start in tqdm(starts, unit=" batches", disable=None):
        # A rest of one image joins the batch before it: the control needs another image.
        stop = len(order) if len(order) - start <= BATCH + 1 else start + BATCH
        indices = order[start:stop]
        views, placements, objects = [], [], []
        for index in indices:
            mask = None
            if splits.has_masks:
                assert isinstance(images, MaskedImages)
                image, mask, _ = images.with_mask(index)
            else:
                image, _ = images[index]
            with seeded_draws(settings.seed, 0, index):
                both, places = placed(image)
            views.append(both[0])
            placements.append(places[0])
            if mask is not None:
                seen = resample(mask_to_tensor(mask) / 255, places[0][None, :4], (size, size)) > 0.5
                objects.append(seen.flip(-1) if places[0][4] else seen)
        yield (
            torch.tensor(indices),
            torch.stack(views),
            torch.stack(placements),
            torch.stack(objects) if objects else None,
        )


def _example(view: Tensor, online: Tensor, cached: Tensor, area: float) -> AgreementExample:
    return AgreementExample(
        display_view(view.numpy()),
        online.numpy(),
        cached.numpy(),
        foreground(online[None])[0].numpy(),
        foreground(cached[None])[0].numpy(),
        f"crop {area:.2f}",
    )
