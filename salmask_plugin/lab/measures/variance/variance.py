"""How far an image's views spread in a run's encoder (Table 7)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from salmask_plugin.adapters.lightly.cached_maps import cached_localizer
from salmask_plugin.adapters.lightly.views import bind_encoder, takes_pixel_masks
from salmask_plugin.encoders.checkpoint_files import epochs_of, final_checkpoint
from salmask_plugin.lab.data import ImageSplits
from salmask_plugin.lab.data.channels import RGB
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.measures.recipes import LOCALIZER, RecipeRow, recipe_rows, views_of_run
from salmask_plugin.lab.measures.variance.measured import (
    Encoder,
    Measured,
    batch_size,
    image_groups,
)
from salmask_plugin.lab.measures.variance.tables import VarianceRow, draw_variance
from salmask_plugin.lab.measures.variance.view_variance import view_variance
from salmask_plugin.lab.results.apart import apart_from_others, measurement_json
from salmask_plugin.lab.results.environment import environment
from salmask_plugin.lab.results.late_pictures import files_written
from salmask_plugin.lab.results.statistics import OF_IMAGES, estimate
from salmask_plugin.lab.runs.band_channels import channels_asked
from salmask_plugin.lab.runs.build import build_masking, build_splits
from salmask_plugin.lab.runs.cached_data import without_cache
from salmask_plugin.lab.runs.folder import read_settings
from salmask_plugin.lab.runs.trained import load_module
from salmask_plugin.lab.runs.writable import check_writable
from salmask_plugin.lab.settings.allowed_targets import Trust
from salmask_plugin.lab.settings.settings import Settings
from salmask_plugin.localizers.needs import needs_of
from salmask_plugin.masking import SaliencyMasking
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
class Variance:
    """What was found.

    Attributes:
        rows: a recipe each.
        protocol: what was measured, and how.
        words: the same in a line.
        files: suffix -> file that was written; a figure that could not be drawn is none.
    """

    rows: list[VarianceRow]
    protocol: dict[str, Any]
    words: str
    files: dict[str, Path]

    @property
    def bound(self) -> float:
        """The largest variance that unit vectors can have, in the table's unit."""
        views = self.protocol["views_per_image"]
        return float(1e4 * views / (views - 1) / self.protocol["dimension"])


def variance(
    folder: Path,
    overrides: Sequence[str] = (),
    *,
    measured: Measured | None = None,
    config_dir: str | None = None,
    trust: Trust = False,
) -> Variance:
    """Measure, and write JSON and a figure into the run's folder.

    Without ``masking=`` the rows of Table 7 are measured, without ``localizer=`` by the run's own
    choice. The data, the views and their size are the run's.

    Args:
        folder: of a finished run.
        overrides: settings of the recipes, ``key=value``.
        measured: which images, views and layer; None: the paper's.
        config_dir: a folder whose configuration groups come before ours.
        trust: what may be built besides what our configurations name.

    Raises:
        UserError: if a setting cannot work.
        FileNotFoundError, ValueError: if the run has no last checkpoint that is whole.
    """
    measured = measured or Measured()
    check_writable(folder)
    settings = read_settings(folder, trust=trust)
    checkpoint = final_checkpoint(folder)
    if measured.views < 2:
        raise UserError(f"--views {measured.views} must be at least 2.")
    splits = build_splits(settings)
    module = load_module(settings, splits, build_masking(without_cache(settings)), checkpoint)
    backbone, head = module.backbone, getattr(module, "projection_head", None)
    if not (isinstance(backbone, nn.Module) and isinstance(head, nn.Module)):
        raise UserError(f"{folder} is a supervised run: it has no views' projections to measure.")
    encoder = Encoder(backbone, head, measured.layer, measured.batch_norm)
    rows = variance_rows(overrides, settings, module, config_dir=config_dir, trust=trust)
    results, count, dimension = _measure(rows, encoder, settings, splits, measured)
    protocol = {
        "encoder": {key: settings.choices[key] for key in ("backbone", "method", "masking")},
        "epochs": epochs_of(checkpoint),
        "checkpoint": checkpoint.name,
        "data": splits.name,
        "split": measured.split,
        "images": count,
        "views_per_image": measured.views,
        "layer": measured.layer,
        "dimension": dimension,
        "batch_norm": measured.batch_norm,
        "batch_size": batch_size(settings, splits, measured),
        "view_size": settings.view_size,
        "unit": "1",
        "seed": settings.seed,
        "overrides": list(overrides),
        "interval": OF_IMAGES,
        "environment": environment(),
    }
    words = (
        f"{measured.layer} of {settings.choices['backbone']}, {settings.choices['method']} "
        f"({settings.choices['masking']}); D {dimension}, r {measured.views}, "
        f"{count} images of {splits.name} {measured.split}, BN {measured.batch_norm}"
    )
    name = f"variance-{measured.layer}-{measured.batch_norm}"
    path = apart_from_others(folder / name, protocol)
    files: dict[str, Callable[[], bytes]] = {
        "json": lambda: measurement_json(protocol, results).encode(),
        "png": lambda: draw_variance(results, words.replace("; ", "\n")),
    }
    return Variance(results, protocol, words, files_written(path, files))


def variance_rows(
    overrides: Sequence[str],
    settings: Settings,
    module: pl.LightningModule,
    *,
    config_dir: str | None = None,
    trust: Trust = False,
) -> list[RecipeRow]:
    """Return the recipes with the run's view size, localizers bound to the run's key encoder.

    Raises:
        UserError: if a localizer needs a key encoder or masks that are not there.
    """
    given = views_of_run(settings)
    if (channels := channels_asked(settings)) != RGB.count:
        given.append(f"in_channels={channels}")
    own = not any(text.startswith(LOCALIZER) for text in overrides)
    if own:
        given.append(f"{LOCALIZER}{settings.choices['localizer']}")
    rows = []
    for row in recipe_rows(
        ROWS,
        [*given, *overrides],
        typed=overrides,
        config_dir=config_dir,
        trust=trust,
        foreign=own,
    ):
        masking = row.masking
        if masking is not None and takes_pixel_masks(masking.localizer):
            raise UserError("localizer=given is not available here: the views carry no masks.")
        if masking is not None and cached_localizer(masking.localizer) is not None:
            raise UserError("localizer=cached is not available here: name the one that made it.")
        if masking is not None and needs_of(masking.localizer) == "an encoder in training":
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
    measured: Measured,
) -> tuple[list[VarianceRow], int, int]:
    """Return the rows' variances, the number of images, and D."""
    variances: list[list[float]] = [[] for _ in rows]
    cosines: list[list[float]] = [[] for _ in rows]
    device = next(encoder.backbone.parameters()).device
    dimension = 0
    step = 0
    for group in image_groups(settings, splits, measured):
        embeddings: list[list[Tensor]] = [[] for _ in rows]
        for views in group:
            views = views.to(device)
            for row, found in zip(rows, embeddings, strict=True):
                draws = step_generator(settings.seed, 0, step, device)
                found.append(_embedded(encoder, row.masking, views, draws).cpu())
            step += 1
        for place, found in enumerate(embeddings):
            spread = view_variance(torch.stack(found, 1))
            variances[place] += spread.variance.tolist()
            cosines[place] += spread.mean_cosine.tolist()
            dimension = spread.dimension
    results = [
        VarianceRow(row.name, estimate(variance), estimate(cosine), row.localizer)
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
