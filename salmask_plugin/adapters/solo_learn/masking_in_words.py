"""One line that says what masking a run has."""

from __future__ import annotations

from typing import Any

from salmask_plugin.adapters.solo_learn.adios_settings import OcclusionSettings
from salmask_plugin.adapters.solo_learn.localizer import trained_on
from salmask_plugin.adapters.solo_learn.settings import MaskingSettings


def describe(
    settings: MaskingSettings, localizer: Any, *, method: str, highpass: bool, seed: int
) -> str:
    """Return the line a run prints at its start."""
    filter_name = "high-pass (in the backbone)" if highpass else "none"
    head = f"salmask: method={method} recipe={settings.recipe} seed={seed} filter={filter_name}"
    if not settings.masks:
        return f"{head} | no masks: this is the baseline"
    branch = settings.branch if settings.query is not None else "no view"
    hard = (
        f"{settings.num_negatives} per image from the {settings.negative_source}, "
        f"rho={settings.rho}{_encoded(settings)}"
        if settings.negative is not None
        else "none"
    )
    warm_up = settings.saliency_warm_up
    first = "" if warm_up is None else f" | first {warm_up.uniform:.0%} of training: masks anywhere"
    return (
        f"{head} | masking is active: branch={branch} localizer={settings.localizer} "
        f"(trained on: {trained_on(localizer)}) hard negatives: {hard}{first}"
    )


def _encoded(settings: MaskingSettings) -> str:
    if settings.negative_encoding is None:
        return ""
    return f", encoded {settings.encoding.in_words()}"


def describe_occlusion(settings: OcclusionSettings, *, method: str, seed: int) -> str:
    """Return the line an ADIOS run prints at its start."""
    played = "all" if settings.masks_per_step == "all" else "one per image"
    return (
        f"salmask: method={method} recipe={settings.recipe} seed={seed} filter=none | masks are "
        f"learned: {settings.num_masks}, played: {played} | occluder: width={settings.width} "
        f"sparsity={settings.sparsity} {settings.mask_optimizer} "
        f"lr={settings.mask_learning_rate}"
    )
