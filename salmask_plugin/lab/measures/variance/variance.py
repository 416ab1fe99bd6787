"""``salmask variance``: how far an image's views spread in a run's encoder (Table 7)."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from salmask_plugin.adapters.lightly.cached_maps import cached_localizer
from salmask_plugin.adapters.lightly.views import bind_encoder, takes_pixel_masks
from salmask_plugin.encoders.checkpoint_files import epochs_of, final_checkpoint
from salmask_plugin.lab.data import ImageSplits, TwoViewDataset
from salmask_plugin.lab.data.worker_loader import batches_loader
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.measures.recipes import LOCALIZER, RecipeRow, recipe_rows
from salmask_plugin.lab.measures.variance.tables import (
    UNIT_TEXT,
    SpreadRow,
    draw_spread,
    spread_json,
    spread_markdown,
)
from salmask_plugin.lab.measures.variance.view_variance import view_variance
from salmask_plugin.lab.probes.evaluate import load_module
from salmask_plugin.lab.results.environment import environment
from salmask_plugin.lab.results.estimate import estimate
from salmask_plugin.lab.results.store import write_atomically
from salmask_plugin.lab.runs.build import build, build_masking, build_splits
from salmask_plugin.lab.runs.cached_data import without_cache
from salmask_plugin.lab.runs.folder import read_settings
from salmask_plugin.lab.settings.compose import Settings
from salmask_plugin.masking import SaliencyMasking
from salmask_plugin.running_statistics import frozen_running_statistics
from salmask_plugin.seeding import step_generator
from salmask_plugin.sparse import visible_only

NEGATIVE_OFF = "masking.negative=null"
ROWS = {
    "standard": ["masking=none"],
    "high-pass filter, no masks": ["masking=highpass", "masking.query=null", NEGATIVE_OFF],
    "highpass": ["masking=highpass"],
    "blur": ["masking=blur"],
    "mean": ["masking=mean"],
}
"""The rows of the paper's Table 7."""


@dataclass(frozen=True)
class Encoder:
    """What embeds the views.

    Attributes:
        backbone: of the run's online branch, without the run's view filter.
        head: its projection head.
        layer: "projection" or "backbone".
        batch_norm: "batch" normalises by the batch at hand, in the module's own groups, and updates
            nothing; "running" is the module's eval mode.
    """

    backbone: nn.Module
    head: nn.Module
    layer: str
    batch_norm: str

    @torch.no_grad()
    def __call__(self, views: Tensor) -> Tensor:
        """Return embeddings (B, D)."""
        by_batch = self.batch_norm == "batch"
        for network in (self.backbone, self.head):
            network.train(by_batch)
        # In eval mode no layer is in training, and there is nothing to keep from changing.
        with frozen_running_statistics(self.backbone, self.head):
            features: Tensor = self.backbone(views).flatten(1)
            embeddings: Tensor = self.head(features) if self.layer == "projection" else features
        return embeddings


def run(options: argparse.Namespace) -> None:
    """Measure, print the table, and write JSON and a figure into the run's folder.

    Without ``masking=`` the rows of Table 7 are measured, without ``localizer=`` by the run's own
    choice. The data, the views and their size are the run's.

    Raises:
        UserError: if a setting cannot work.
        FileNotFoundError, ValueError: if the run has no last checkpoint that is whole.
    """
    folder = Path(options.folder)
    settings = read_settings(folder, trust=options.trust)
    checkpoint = final_checkpoint(folder)
    if options.views < 2:
        raise UserError(f"--views {options.views} must be at least 2.")
    splits = build_splits(settings)
    module = load_module(settings, splits, build_masking(without_cache(settings)), checkpoint)
    backbone, head = module.backbone, getattr(module, "projection_head", None)
    if not (isinstance(backbone, nn.Module) and isinstance(head, nn.Module)):
        raise UserError(f"{folder} is a supervised run: it has no views' projections to measure.")
    encoder = Encoder(backbone, head, options.layer, options.batch_norm)
    rows = variance_rows(options, settings, module)
    results, count, dimension = _measure(rows, encoder, settings, splits, options)
    protocol = {
        "encoder": {key: settings.choices[key] for key in ("backbone", "method", "masking")},
        "epochs": epochs_of(checkpoint),
        "checkpoint": checkpoint.name,
        "data": splits.name,
        "split": options.split,
        "images": count,
        "views_per_image": options.views,
        "layer": options.layer,
        "dimension": dimension,
        "batch_norm": options.batch_norm,
        "batch_size": _batch_size(settings, splits, options),
        "view_size": settings["view_size"],
        "unit": "1",
        "seed": settings["seed"],
        "overrides": list(options.overrides),
        "interval": "1.96 standard errors over images",
        "environment": environment(),
    }
    words = (
        f"{options.layer} of {settings.choices['backbone']}, {settings.choices['method']} "
        f"({settings.choices['masking']}); D {dimension}, r {options.views}, "
        f"{count} images of {splits.name} {options.split}, BN {options.batch_norm}"
    )
    path = folder / f"variance-{options.layer}-{options.batch_norm}"
    write_atomically(path.with_suffix(".json"), spread_json(results, protocol).encode())
    write_atomically(path.with_suffix(".png"), draw_spread(results, words.replace("; ", "\n")))
    print(spread_markdown(results))
    bound = 1e4 * options.views / (options.views - 1) / dimension
    print(f"\n{words}. Mean ± 95 % interval over images; unit {UNIT_TEXT}, at most {bound:.1f}.")
    print(f"Written: {path}.json, .png")


def variance_rows(
    options: argparse.Namespace, settings: Settings, module: pl.LightningModule
) -> list[RecipeRow]:
    """Return the recipes with the run's view size, localizers bound to the run's key encoder.

    Raises:
        UserError: if a localizer needs a key encoder or masks that are not there.
    """
    given = [f"{key}={settings[key]}" for key in ("view_size", "localizer_size", "seed")]
    if not any(text.startswith(LOCALIZER) for text in options.overrides):
        given.append(f"{LOCALIZER}{settings.choices['localizer']}")
    rows = []
    for row in recipe_rows(options, ROWS, [*given, *options.overrides]):
        masking = row.masking
        if masking is not None and takes_pixel_masks(masking.localizer):
            raise UserError("localizer=given is not available here: the views carry no masks.")
        if masking is not None and cached_localizer(masking.localizer) is not None:
            raise UserError("localizer=cached is not available here: name the one that made it.")
        if masking is not None and isinstance(masking.localizer, partial):
            key_encoder = getattr(module, "key_backbone", None)
            if not isinstance(key_encoder, nn.Module):
                raise UserError("localizer=momentum needs a run with a key encoder (MoCo).")
            masking = bind_encoder(masking, key_encoder)
        # Hard negatives are no views: they are neither made nor measured.
        rows.append(replace(row, masking=masking and replace(masking, negative=None)))
    return rows


def _measure(
    rows: list[RecipeRow],
    encoder: Encoder,
    settings: Settings,
    splits: ImageSplits,
    options: argparse.Namespace,
) -> tuple[list[SpreadRow], int, int]:
    """Return the rows' variances, the number of images, and D."""
    variances: list[list[float]] = [[] for _ in rows]
    cosines: list[list[float]] = [[] for _ in rows]
    device = next(encoder.backbone.parameters()).device
    dimension = 0
    step = 0
    for group in _image_groups(settings, splits, options):
        embeddings: list[list[Tensor]] = [[] for _ in rows]
        for views in group:
            views = views.to(device)
            for row, found in zip(rows, embeddings, strict=True):
                draws = step_generator(settings["seed"], 0, step, device)
                found.append(_embedded(encoder, row.masking, views, draws).cpu())
            step += 1
        for place, found in enumerate(embeddings):
            spread = view_variance(torch.stack(found, 1))
            variances[place] += spread.variance.tolist()
            cosines[place] += spread.mean_cosine.tolist()
            dimension = spread.dimension
    results = [
        SpreadRow(row.name, estimate(variance), estimate(cosine), row.localizer)
        for row, variance, cosine in zip(rows, variances, cosines, strict=True)
    ]
    return results, len(variances[0]), dimension


def _embedded(
    encoder: Encoder, masking: SaliencyMasking | None, views: Tensor, draws: torch.Generator
) -> Tensor:
    """Return the embeddings of the views as the masked branch gets them."""
    if masking is None:
        return encoder(views)
    masked = masking(views, views, draws)
    with visible_only(encoder.backbone, masked.query_unseen):
        return encoder(masked.key if masking.branch == "key" else masked.query)


def _image_groups(
    settings: Settings, splits: ImageSplits, options: argparse.Namespace
) -> Iterator[list[Tensor]]:
    """Yield the r views of one batch of images after the other, each (B, 3, H, W).

    Images are drawn by the seed, so that classes mix in a batch. Every batch holds one view of each
    of its images, as in training; an incomplete last batch is left out.
    """
    images = splits.train if options.split == "train" else splits.val
    size = _batch_size(settings, splits, options)
    order = np.random.default_rng(settings["seed"]).permutation(len(images))[: options.images]
    groups = [order[start : start + size].tolist() for start in range(0, len(order), size)]
    epochs = (options.views + 1) // 2
    keys = [
        [(epoch, index) for index in group]
        for group in groups
        if len(group) == size
        for epoch in range(epochs)
    ]
    samples = TwoViewDataset(images, build(settings["views"]), seed=settings["seed"])
    loader = batches_loader(
        samples, keys, workers=settings["loader"]["workers"], seed=settings["seed"]
    )
    views: list[Tensor] = []
    for pair, _, _ in loader:
        views += pair
        if len(views) == 2 * epochs:
            yield views[: options.views]
            views = []


def _batch_size(settings: Settings, splits: ImageSplits, options: argparse.Namespace) -> int:
    """Return the run's batch size, or all images where there are fewer."""
    images = splits.train if options.split == "train" else splits.val
    size = min(settings["loader"]["batch_size"], options.images, len(images))
    if size < 2:
        raise UserError(f"--images {options.images}: at least 2 images are needed.")
    return int(size)
