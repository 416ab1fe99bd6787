"""Whether differences can be read: the baseline has learned something, and a probe is no guess."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from salmask_plugin.lab.results.metric_names import metric_title
from salmask_plugin.lab.results.record import RunRecord
from salmask_plugin.lab.results.study import row_name

UNTRAINED = "untrained"
BELOW_GATE, AT_CHANCE = "below the gate", "at chance"
NO_LEARNING = 1e-9
"""A learning rate up to which weights stay where they were initialised."""
PRIMARY = (
    ("linear", "top1_last"),
    ("linear", "top1"),
    ("logistic", "top1"),
    ("knn", "top1"),
)
"""The primary measure: the first of these that both have."""
_TOP1 = ("top1", "top1_last")


@dataclass(frozen=True)
class Gate:
    """A baseline beside the untrained encoder.

    Attributes:
        points: percentage points that are asked for.
        measure: (evaluation, metric) that both were measured by.
        margins: the baseline's seed -> its percentage points above the untrained encoder.
    """

    points: float
    measure: tuple[str, str]
    margins: Mapping[int, float]

    @property
    def passed(self) -> bool:
        """Whether the baseline is far enough above in every seed."""
        # Accuracies are single precision: .6 - .5 is a hair below .1.
        return all(round(margin, 4) >= self.points for margin in self.margins.values())

    def sentence(self, name: str) -> str:
        """Say how far ``name`` is above the untrained encoder, and what follows."""
        seeds = ", ".join(f"{margin:+.2f} (seed {seed})" for seed, margin in self.margins.items())
        measured = (
            f"{metric_title(*self.measure).removesuffix(' (%)')}, {name} minus the untrained "
            f"encoder: {seeds} points; at least {self.points:g} are asked for in every seed"
        )
        if self.passed:
            return f"The gate is passed. {measured}."
        return (
            f"Below the gate. {measured}. The baseline has learned too little: differences to it "
            "are not readable, and none of them is a finding."
        )


def is_untrained(record: RunRecord) -> bool:
    """Whether a run is the encoder as it was initialised: by its name, or by its learning rate."""
    rate = record.optimizer.get("learning_rate")
    still = isinstance(rate, int | float) and not isinstance(rate, bool) and rate <= NO_LEARNING
    return UNTRAINED in (row_name(record), record.recipe) or still


def judge(
    baseline: Mapping[int, RunRecord], records: Sequence[RunRecord], points: float
) -> Gate | None:
    """Hold a baseline against the untrained runs among ``records``.

    A seed without an untrained run of its own is held against the best untrained one.

    Args:
        baseline: its finished runs, by seed.
        records: of the whole study, of any length.
        points: percentage points that are asked for.

    Returns:
        None where no untrained run has the baseline's images, encoder and protocol.
    """
    some = next(iter(baseline.values()))
    still = [
        record
        for record in records
        if record.status == "finished"
        and is_untrained(record)
        and (record.data, record.backbone) == (some.data, some.backbone)
    ]
    # An untrained encoder is the same for every method; its own study's come first.
    still = [record for record in still if record.method == some.method] or still
    for evaluation, metric in PRIMARY:
        wanted = some.protocol(evaluation)
        floor = {
            record.seed: value
            for record in still
            if record.protocol(evaluation) == wanted
            and (value := record.value(evaluation, metric)) is not None
        }
        values = {seed: run.value(evaluation, metric) for seed, run in baseline.items()}
        margins = {
            seed: 100 * (value - floor.get(seed, max(floor.values())))
            for seed, value in values.items()
            if floor and value is not None
        }
        if margins:
            return Gate(points, (evaluation, metric), margins)
    return None


def guesses(runs: Sequence[RunRecord], evaluation: str, metric: str) -> bool:
    """Whether every accuracy is one that guessing gives: 1 / classes, within two standard errors.

    Args:
        runs: those of all rows that are compared; untrained ones are left out.
        evaluation: on the runs' own images; of others the number of classes is not known.
        metric: a top-1 accuracy; of others nothing is said.
    """
    values = [(run, run.value(evaluation, metric)) for run in runs if not is_untrained(run)]
    known = [(run, value) for run, value in values if value is not None]
    if metric not in _TOP1 or "/" in evaluation or not known:
        return False
    return all(_is_guess(value, run.data.classes, run.data.val_images) for run, value in known)


def guess_sentence(evaluation: str, metric: str) -> str:
    """Say that a probe is at chance in every run."""
    return (
        f"{metric_title(evaluation, metric).removesuffix(' (%)')} is at chance in every run: the "
        "probe has learned nothing, and its differences are not readable."
    )


def _is_guess(value: float, classes: int, images: int) -> bool:
    share = 1 / classes
    return classes > 1 and abs(value - share) <= 2 * math.sqrt(share * (1 - share) / images)
