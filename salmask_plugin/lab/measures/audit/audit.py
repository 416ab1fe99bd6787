"""``salmask audit``: what recipes remove of the object and of the background, without training."""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from salmask_plugin.adapters.lightly.views import takes_pixel_masks
from salmask_plugin.file_names import safe_name
from salmask_plugin.lab.data import ImageSplits, LabelledImages, TwoViewDataset, WholeViews
from salmask_plugin.lab.data.masked_views import with_masks
from salmask_plugin.lab.data.worker_loader import worker_loader
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.measures.audit.coverage import measure_coverage
from salmask_plugin.lab.measures.audit.tables import (
    CoverageRow,
    coverage_csv,
    coverage_json,
    coverage_markdown,
    draw_coverage,
)
from salmask_plugin.lab.measures.recipes import (
    LOCALIZER,
    RecipeRow,
    recipe_rows,
    with_embedded_localizer,
)
from salmask_plugin.lab.results.environment import environment
from salmask_plugin.lab.results.statistics import estimate
from salmask_plugin.lab.results.store import write_atomically
from salmask_plugin.lab.runs.build import build, build_splits
from salmask_plugin.lab.runs.example_views import can_be_shown
from salmask_plugin.lab.runs.folder import below_out
from salmask_plugin.lab.settings.compose import Settings
from salmask_plugin.seeding import step_generator

ROWS = {
    "mean": ["masking=mean"],
    "blur": ["masking=blur"],
    "highpass": ["masking=highpass"],
    "mean, top-k negatives": ["masking=mean", "sampler@masking.negative.sampler=top"],
}
CONTROL = f"{LOCALIZER}center"
KINDS = ("random crops", "whole images")
BATCH = 16


def run(options: argparse.Namespace) -> None:
    """Measure, print the table, and write CSV, JSON and a figure.

    Without ``masking=`` the paper's three recipes and top-k negatives are measured, without
    ``localizer=`` the embedded one; the centre box is measured beside each as a control.

    Raises:
        UserError: if the data have no masks, a recipe removes nothing or needs an encoder, or no
            view is left.
    """
    rows = audit_rows(options)
    settings = rows[0].settings
    splits = build_splits(settings)
    if not splits.has_masks:
        raise UserError(
            f"data {splits.name} has no object masks; use data=tiny_imagenet data.boxes=true, "
            "data=coco or data=generated."
        )
    name = settings["name"] or safe_name(f"{splits.name}-{settings.choices['localizer']}")
    target = below_out(settings, name, "audit")
    low, high = options.object_share
    if not 0 <= low < high <= 1:
        raise UserError(f"--object-share {low} {high} must satisfy 0 <= LOW < HIGH <= 1.")
    if options.images < 1:
        raise UserError(f"--images {options.images} must be at least 1.")
    results = [
        row
        for kind in KINDS
        for row in _measure(
            rows, splits, kind, split=options.split, count=options.images, limits=(low, high)
        )
    ]
    protocol = {
        "data": splits.name,
        "split": options.split,
        "images_drawn": min(options.images, len(_images(splits, options.split))),
        "object_share": [low, high],
        "view_size": settings["view_size"],
        "localizer_size": settings["localizer_size"],
        "views": settings.choices["method"],
        "seed": settings["seed"],
        "overrides": list(options.overrides),
        "interval": "1.96 standard errors over images",
        "environment": environment(),
    }
    files = {
        "csv": coverage_csv(results).encode(),
        "json": coverage_json(results, protocol).encode(),
        "png": draw_coverage(results),
    }
    for suffix, content in files.items():
        write_atomically(target.with_name(f"{target.name}.{suffix}"), content)
    print(coverage_markdown(results))
    print(
        f"\n{splits.name} {options.split}, views of {settings['view_size']} px, objects of {low} "
        f"to {high} of the view, seed {settings['seed']}; shares of pixels, mean ± 95 % interval "
        "over images. Centre box: as large as the foreground."
    )
    print(f"Written: {target}.csv, .json, .png")


def audit_rows(options: argparse.Namespace) -> list[RecipeRow]:
    """Return the recipes, then the same with the centre box where that differs.

    Raises:
        UserError: if a recipe removes nothing, or its localizer needs more than the views.
    """
    given = with_embedded_localizer(options.overrides)
    control = [text for text in given if not text.startswith(("localizer.", LOCALIZER))]
    rows = recipe_rows(options, ROWS, given)
    known = [row.settings["masking"] for row in rows]
    rows += [
        row
        for row in recipe_rows(options, ROWS, [*control, CONTROL])
        if row.settings["masking"] not in known
    ]
    for row in rows:
        masking = row.masking
        if masking is None or row.localizer == "none":
            raise UserError(f"{row.name} removes nothing: there is nothing to audit.")
        if not can_be_shown(masking) and not takes_pixel_masks(masking.localizer):
            raise UserError(
                f"localizer={row.localizer} needs an encoder in training, or a cache of training "
                "images: it cannot be audited."
            )
    return rows


def _measure(
    rows: list[RecipeRow],
    splits: ImageSplits,
    kind: str,
    *,
    split: str,
    count: int,
    limits: tuple[float, float],
) -> list[CoverageRow]:
    """Measure all rows on one kind of view; a localizer that rows share runs once."""
    settings = rows[0].settings
    collected: list[dict[str, list[float]]] = [defaultdict(list) for _ in rows]
    measured = 0
    batches = _batches(settings, splits, kind, split=split, count=count, limits=limits)
    for step, (views, objects) in enumerate(batches):
        measured += len(views)
        maps: dict[str, Tensor] = {}
        for row, values in zip(rows, collected, strict=True):
            masking = row.masking
            assert masking is not None
            node = json.dumps(row.settings["masking"]["localizer"], sort_keys=True)
            if node not in maps:
                given = takes_pixel_masks(masking.localizer)
                maps[node] = masking.localizer(objects if given else views)
            draws = step_generator(settings["seed"], 0, step, views.device)
            found = measure_coverage(masking, views, objects, maps[node], draws)
            for name, numbers in found.items():
                values[name] += numbers.tolist()
    if not measured:
        raise UserError(
            f"no view of {splits.name} ({kind}) has an object of {limits[0]} to {limits[1]} of it."
        )
    return [
        CoverageRow(
            views=kind,
            recipe=row.name,
            localizer=row.localizer,
            trained_on=str(getattr(row.masking.localizer, "trained_on", "unknown")),
            images=measured,
            values={name: estimate(numbers) for name, numbers in values.items()},
        )
        for row, values in zip(rows, collected, strict=True)
        if row.masking is not None
    ]


def _batches(
    settings: Settings,
    splits: ImageSplits,
    kind: str,
    *,
    split: str,
    count: int,
    limits: tuple[float, float],
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (views, object masks), one view per image, without those outside the limits.

    The images are drawn by the seed. A random crop is the first of the method's two views.
    """
    crops = kind == KINDS[0]
    transform: Any = (
        with_masks(build(settings["views"])) if crops else WholeViews(settings["view_size"])
    )
    images = _images(splits, split)
    order = np.random.default_rng(settings["seed"]).permutation(len(images))[:count]
    samples = TwoViewDataset(images, transform, seed=settings["seed"], masks=True)
    loader = worker_loader(
        samples,
        order.tolist(),
        batch_size=BATCH,
        workers=min(settings["loader"]["workers"], torch.get_num_threads()),
        seed=settings["seed"],
    )
    cuda = torch.cuda.is_available() and settings["trainer"]["accelerator"] != "cpu"
    for views, _, masks, _ in loader:
        area = (masks[0] > 0.5).double().mean((1, 2, 3))
        keep = (area >= limits[0]) & (area <= limits[1])
        if keep.any():
            device = "cuda" if cuda else "cpu"
            yield views[0][keep].to(device), masks[0][keep].to(device)


def _images(splits: ImageSplits, split: str) -> LabelledImages:
    return splits.train if split == "train" else splits.val
