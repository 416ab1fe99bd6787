"""The figures of a report's tables, with what is said below each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from salmask_plugin.lab.results.bars import accuracy_bars, difference_dots
from salmask_plugin.lab.results.curves import (
    accuracy_curves,
    diagnostics,
    loss_curves,
    occlusion_curves,
)
from salmask_plugin.lab.results.statistics import EXPLAINED
from salmask_plugin.lab.results.table import Table

Drawer = Callable[[Table], Any]
"""Makes a figure of a table, or None where there is nothing to draw."""

DRAWERS: tuple[tuple[str, str, Drawer], ...] = (
    (
        "Accuracy",
        "Bars: mean over seeds; dots: seeds; whiskers: sample standard deviation; dotted line: "
        "chance.",
        accuracy_bars,
    ),
    (
        "Difference to the baseline",
        "Dots: seeds, paired with the baseline of the same seed; diamond: their mean; whiskers: "
        f"{EXPLAINED}.",
        difference_dots,
    ),
    (
        "Pretraining loss",
        "Thick: mean over seeds; thin: seeds. Hard negatives add a term to the denominator, so the "
        "losses of different recipes are not on one scale.",
        loss_curves,
    ),
    (
        "Diagnostics of the masking",
        "Thick: mean over seeds; thin: seeds. Where the hard negative takes most of the softmax, "
        "it dominates the loss: its share depends on queue and batch size.",
        diagnostics,
    ),
    ("Evaluation over epochs", "Thick: mean over seeds; thin: seeds.", accuracy_curves),
    ("Accuracy on hidden pictures", "By classifiers fitted on whole ones.", occlusion_curves),
)
