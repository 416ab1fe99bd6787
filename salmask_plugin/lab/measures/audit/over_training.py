"""How well a run's own encoder localizes, at each checkpoint that it has kept."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

from torch import nn

from salmask_plugin.adapters.lightly.views import bind_encoder
from salmask_plugin.encoders.checkpoint_files import CHECKPOINTS, checkpoints_in, damage, epochs_of
from salmask_plugin.file_names import safe_name
from salmask_plugin.lab.data import ImageSplits
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.measures.audit.asked import Asked
from salmask_plugin.lab.measures.audit.audit import Audit, measure_rows, written
from salmask_plugin.lab.measures.audit.tables import CoverageRow
from salmask_plugin.lab.measures.audit.views import KINDS
from salmask_plugin.lab.measures.recipes import (
    LOCALIZER,
    MASKING,
    RecipeRow,
    recipe_rows,
    views_of_run,
)
from salmask_plugin.lab.runs.build import build_masking, build_module, build_splits
from salmask_plugin.lab.runs.cached_data import without_cache
from salmask_plugin.lab.runs.folder import read_settings
from salmask_plugin.lab.runs.trained import device_for, load_module
from salmask_plugin.lab.runs.writable import check_writable
from salmask_plugin.lab.settings.allowed_targets import Trust
from salmask_plugin.lab.settings.nodes import built_by
from salmask_plugin.lab.settings.override_text import quoted
from salmask_plugin.lab.settings.settings import Settings
from salmask_plugin.localizers.needs import innermost, needs_of, with_innermost
from salmask_plugin.masking import SaliencyMasking

RECIPE = f"{MASKING}label_free"
OWN = f"{LOCALIZER}momentum"
WAITS = "an encoder in training"
_PART = re.compile(r"\w+(\.\w+)*")


def audit_run(
    folder: Path,
    overrides: Sequence[str] = (),
    *,
    images: int = 500,
    split: Literal["train", "val"] = "val",
    object_share: tuple[float, float] = (0.01, 0.75),
    config_dir: str | None = None,
    trust: Trust = False,
) -> Audit:
    """Measure the saliency of a run's encoder before training and at each kept checkpoint.

    The recipe is the one that is named, ``label_free`` by default; its localizer reads the run's
    key encoder (SimCLR: its encoder) at the layer that the run's own localizer reads, where it has
    one, behind the filter that the run trains it on. The views, their size and the seed are the
    run's, so is the data set unless one is named.
    The files are written into the run's folder, ``audit-DATA`` or as ``name=`` names them.

    Args:
        folder: of a run, finished or not.
        overrides: the recipe's settings and the data, ``key=value``.
        images: at most so many.
        split: which of the data set's images.
        object_share: views are left out whose object is a smaller or larger share of them.
        config_dir: a folder whose configuration groups come before ours.
        trust: what may be built besides what our configurations name.

    Raises:
        UserError: if there is no checkpoint or one is damaged, the run trains on labels, the data
            have no masks, or the recipe's localizer is not the run's encoder.
    """
    settings = read_settings(folder, trust=trust)
    if settings.is_supervised:
        raise UserError(f"{folder} is a supervised run: it has no saliency of its own to audit.")
    checkpoints = checkpoints_in(folder / CHECKPOINTS)
    if not checkpoints:
        raise UserError(f"{folder} has kept no checkpoint: there is nothing to audit.")
    row = _recipe(overrides, settings, config_dir=config_dir, trust=trust)
    named = any(text.startswith(("data=", "data.")) for text in overrides)
    splits = build_splits(row.settings if named else settings)
    asked = Asked(images, split, object_share)
    asked.check(splits)
    target = folder / f"audit-{safe_name(row.settings.name or splits.name)}"
    check_writable(folder)
    results: list[CoverageRow] = []
    own = build_masking(without_cache(settings))
    masking = _filtered_as_in_training(row.masking, own)
    for epochs, encoder in _encoders(settings, splits, own, checkpoints):
        bound = replace(row, masking=bind_encoder(masking, encoder))
        for kind in KINDS:
            found = measure_rows([bound], settings, splits, kind, asked)
            results += [replace(each, epochs=epochs) for each in found]
    results.sort(key=lambda found: KINDS.index(found.views))  # stable: epochs stay in order
    return written(results, settings, splits, asked, overrides, target)


def _recipe(
    overrides: Sequence[str], settings: Settings, *, config_dir: str | None, trust: Trust
) -> RecipeRow:
    """The recipe that is measured, its localizer still waiting for an encoder."""
    given = views_of_run(settings)
    named = [text for text in overrides if text.startswith(MASKING)]
    named, added = (named, []) if named else ([RECIPE], [RECIPE])
    own = not any(text.startswith(LOCALIZER) for text in overrides)
    given += [*added, *([OWN] if own else [])]
    if own and (layer := _own_layer(settings)) is not None:
        # label_free and its warm-up have a localizer of their own; other recipes take the choice.
        place = "masking.localizer" if named[-1].startswith(RECIPE) else "localizer"
        given.append(f"{place}.layer={quoted(layer)}")
    (row,) = recipe_rows({}, [*given, *overrides], config_dir=config_dir, trust=trust)
    waits = row.masking is not None and needs_of(row.masking.localizer) == WAITS
    # A recipe with a localizer of its own would not heed another that is named.
    if not waits or built_by(row.settings.localizer) != "MomentumLocalizer":
        raise UserError(
            f"{row.name} with localizer={row.settings.choices['localizer']} does not look at the "
            "run's own encoder; with --run it is localizer=momentum. Without --run others are "
            "audited."
        )
    return row


def _filtered_as_in_training(
    masking: SaliencyMasking | None, own: SaliencyMasking | None
) -> SaliencyMasking | None:
    """The recipe, its localizer looking at what the run's encoder is trained on, by its own."""
    waiting = masking and innermost(masking.localizer)
    if masking is None or not isinstance(waiting, partial) or "view_filter" in waiting.keywords:
        return masking
    trained_on = None if own is None else own.view_filter
    # Without a filter of its own it sees whole views, whatever the recipe filters.
    sees = partial(waiting, view_filter=trained_on or nn.Identity())
    return replace(masking, localizer=with_innermost(masking.localizer, lambda _: sees))


def _own_layer(settings: Settings) -> str | None:
    """The layer that the run's own localizer reads, out of settings that may be anyone's."""
    localizer = (settings.masking or {}).get("localizer")
    layer = localizer.get("layer") if isinstance(localizer, dict) else None
    if layer is not None and not (isinstance(layer, str) and _PART.fullmatch(layer)):
        raise UserError(
            f"the run's masking.localizer.layer={layer!r:.100} must name a part of its encoder, "
            "such as layer4."
        )
    return layer


def _encoders(
    settings: Settings,
    splits: ImageSplits,
    masking: SaliencyMasking | None,
    checkpoints: Sequence[Path],
) -> Iterator[tuple[int, nn.Module]]:
    """(epochs, encoder that localizes), one at a time: the untrained one, then the kept ones."""
    start = build_module(settings, splits, masking).to(device_for(settings)).eval()
    yield 0, _localizing(start)
    for path in checkpoints:
        trouble = damage(path)
        if trouble is not None:
            raise UserError(f"{path} is damaged ({trouble}): move it away and audit the others.")
        yield epochs_of(path), _localizing(load_module(settings, splits, masking, path))


def _localizing(module: nn.Module) -> nn.Module:
    """The key encoder, or the encoder of a method that has one alone."""
    encoder = getattr(module, "key_backbone", None) or module.backbone
    assert isinstance(encoder, nn.Module)
    return encoder
