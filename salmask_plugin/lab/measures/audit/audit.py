"""What recipes remove of the object and of the background, without training."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from salmask_plugin.adapters.lightly.views import takes_pixel_masks
from salmask_plugin.file_names import safe_name
from salmask_plugin.lab.data import ImageSplits
from salmask_plugin.lab.data.splits import images_of
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.measures.audit.asked import Asked
from salmask_plugin.lab.measures.audit.coverage import measure_coverage
from salmask_plugin.lab.measures.audit.tables import (
    CoverageRow,
    coverage_csv,
    draw_coverage,
)
from salmask_plugin.lab.measures.audit.views import KINDS, measured_views
from salmask_plugin.lab.measures.recipes import (
    LOCALIZER,
    RecipeRow,
    recipe_rows,
    with_embedded_localizer,
)
from salmask_plugin.lab.results.apart import apart_from_others, measurement_json
from salmask_plugin.lab.results.environment import environment
from salmask_plugin.lab.results.late_pictures import files_written
from salmask_plugin.lab.results.statistics import OF_IMAGES, estimate
from salmask_plugin.lab.runs.build import build_splits
from salmask_plugin.lab.runs.example_views import can_be_shown
from salmask_plugin.lab.runs.folder import below_out
from salmask_plugin.lab.runs.writable import check_writable
from salmask_plugin.lab.settings.allowed_targets import Trust
from salmask_plugin.lab.settings.settings import Settings
from salmask_plugin.seeding import step_generator

ROWS = {
    "mean": ["masking=mean"],
    "blur": ["masking=blur"],
    "highpass": ["masking=highpass"],
    "mean, top-k negatives": ["masking=mean", "sampler@masking.negative.sampler=top"],
}
CONTROL = f"{LOCALIZER}center"


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Attributes:
        rows: a recipe and kind of view each.
        protocol: what was measured, and how.
        files: suffix -> file that was written; a figure that could not be drawn is none.
    """

    rows: list[CoverageRow]
    protocol: dict[str, Any]
    files: dict[str, Path]


def audit(
    overrides: Sequence[str] = (),
    *,
    images: int = 500,
    split: Literal["train", "val"] = "val",
    object_share: tuple[float, float] = (0.01, 0.75),
    config_dir: str | None = None,
    trust: Trust = False,
) -> Audit:
    """Measure, and write CSV, JSON and a figure.

    Without ``masking=`` the paper's three recipes and top-k negatives are measured, without
    ``localizer=`` the embedded one; the centre box is measured beside each as a control.

    Args:
        overrides: settings, ``key=value``.
        images: at most so many.
        split: which of the data set's images.
        object_share: views are left out whose object is a smaller or larger share of them.
        config_dir: a folder whose configuration groups come before ours.
        trust: what may be built besides what our configurations name.

    Raises:
        UserError: if the data have no masks, a recipe removes nothing or needs an encoder, or no
            view is left.
    """
    rows = audit_rows(overrides, config_dir=config_dir, trust=trust)
    settings = rows[0].settings
    splits = build_splits(settings)
    asked = Asked(images, split, object_share)
    asked.check(splits)
    name = settings.name or safe_name(f"{splits.name}-{settings.choices['localizer']}")
    target = below_out(settings, name, "audit")
    check_writable(target.parent)
    results = [row for kind in KINDS for row in measure_rows(rows, settings, splits, kind, asked)]
    return written(results, settings, splits, asked, overrides, target)


def written(
    results: list[CoverageRow],
    settings: Settings,
    splits: ImageSplits,
    asked: Asked,
    overrides: Sequence[str],
    target: Path,
) -> Audit:
    """Write the rows as CSV, JSON and a figure beside each other, and return all of it.

    Args:
        results: the rows.
        settings: that the views were made by.
        splits: whose images they are.
        asked: what was looked at.
        overrides: what was typed.
        target: the files' path without a suffix, but for :func:`apart_from_others`.
    """
    protocol = {
        "data": splits.name,
        "split": asked.split,
        "images_drawn": min(asked.images, len(images_of(splits, asked.split))),
        "object_share": list(asked.object_share),
        "view_size": settings.view_size,
        "localizer_size": settings.localizer_size,
        "views": settings.choices["method"],
        "seed": settings.seed,
        "crops": "anywhere, unlike the run's own" if settings.crops else "anywhere",
        "overrides": list(overrides),
        "interval": OF_IMAGES,
        "environment": environment(),
    }
    files: dict[str, Callable[[], bytes]] = {
        "csv": lambda: coverage_csv(results).encode(),
        "json": lambda: measurement_json(protocol, results).encode(),
        "png": lambda: draw_coverage(results),
    }
    return Audit(results, protocol, files_written(apart_from_others(target, protocol), files))


def audit_rows(
    overrides: Sequence[str], *, config_dir: str | None = None, trust: Trust = False
) -> list[RecipeRow]:
    """Return the recipes, then the same with the centre box where that differs.

    Raises:
        UserError: if a recipe removes nothing, or its localizer needs more than the views.
    """
    given = with_embedded_localizer(overrides)
    control = [text for text in given if not text.startswith(("localizer.", LOCALIZER))]
    rows = recipe_rows(ROWS, given, typed=overrides, config_dir=config_dir, trust=trust)
    known = [row.settings.masking for row in rows]
    rows += [
        row
        for row in recipe_rows(ROWS, [*control, CONTROL], config_dir=config_dir, trust=trust)
        if row.settings.masking not in known
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


def measure_rows(
    rows: list[RecipeRow], settings: Settings, splits: ImageSplits, kind: str, asked: Asked
) -> list[CoverageRow]:
    """Measure all rows on one kind of view; a localizer that rows share runs once.

    Args:
        rows: the recipes.
        settings: that the views are made by.
        splits: whose images they are.
        kind: one of ``KINDS``.
        asked: what is looked at.

    Raises:
        UserError: if no view has an object of a size that counts.
    """
    collected: list[dict[str, list[float]]] = [defaultdict(list) for _ in rows]
    measured = 0
    limits = asked.object_share
    batches = measured_views(
        settings, splits, kind, split=asked.split, count=asked.images, limits=limits
    )
    for step, (views, objects) in enumerate(batches):
        measured += len(views)
        maps: dict[str, Tensor] = {}
        for row, values in zip(rows, collected, strict=True):
            masking = row.masking
            assert masking is not None
            node = json.dumps(row.settings.masking["localizer"], sort_keys=True)
            if node not in maps:
                given = takes_pixel_masks(masking.localizer)
                maps[node] = masking.localizer(objects if given else views)
            draws = step_generator(settings.seed, 0, step, views.device)
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
