"""The parts of a comparison table, as data; how they are written is text.py's question."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from salmask_plugin.lab.results.acting import Items
from salmask_plugin.lab.results.grouping import Conditions, Setting
from salmask_plugin.lab.results.occlusion_names import is_occlusion, occlusion_title
from salmask_plugin.lab.results.record import RunRecord, is_share
from salmask_plugin.lab.results.statistics import Difference, Summary

_EVALUATIONS = {
    "knn": "kNN",
    "linear": "Linear",
    "logistic": "Logistic",
    "linear_1percent": "Linear, 1 % labels,",
    "linear_10percent": "Linear, 10 % labels,",
    "finetune": "Fine-tuned",
    "finetune_1percent": "Fine-tuned, 1 % labels,",
    "finetune_10percent": "Fine-tuned, 10 % labels,",
    "supervised": "Supervised",
}
_METRICS = {
    "top1": "top-1",
    "top5": "top-5",
    "top1_last": "top-1 last epoch",
    "top1_best": "top-1 best epoch",
    "mean_per_class": "mean per class",
    "abs_rel": "Abs Rel",
    "sq_rel": "Sq Rel",
    "rmse": "RMSE",
    "rmse_log": "RMSE log",
    "delta1": "delta < 1.25",
    "delta2": "delta < 1.25^2",
    "delta3": "delta < 1.25^3",
}


def metric_title(evaluation: str, metric: str, shown: Items = ()) -> str:
    """Name a metric for people, with its unit and the settings that tell it apart."""
    data, _, task = evaluation.rpartition("/")
    name = (f"{data}: " if data else "") + _EVALUATIONS.get(task, task)
    if is_occlusion(evaluation):
        name = name.removesuffix(task) + "Occlusion:"
        return f"{name} {occlusion_title(metric)}{_brackets(metric, shown)}"
    return f"{name} {_METRICS.get(metric, metric)}{_brackets(metric, shown)}"


def _brackets(metric: str, settings: Items) -> str:
    parts = ["%"] if is_share(metric) else []
    parts += [f"{key}={value}" for key, value in settings]
    return f" ({', '.join(parts)})" if parts else ""


@dataclass(frozen=True)
class Column:
    """One metric under one protocol: values under another protocol are another column.

    Attributes:
        evaluation: such as "knn".
        metric: such as "top1".
        protocol: the settings its values were measured under.
        shown: the part of the protocol that tells it from another column of the same metric.
    """

    evaluation: str
    metric: str
    protocol: Items
    shown: Items = ()

    @property
    def title(self) -> str:
        """For people: "kNN top-1 (%, k=20)"."""
        return metric_title(self.evaluation, self.metric, self.shown)

    @property
    def key(self) -> str:
        """For programs, with the whole protocol: "knn/top1 (%, k=20, temperature=0.07)"."""
        return f"{self.evaluation}/{self.metric}{_brackets(self.metric, self.protocol)}"

    @property
    def is_compared(self) -> bool:
        """Whether tables show its difference to the baseline: a value chosen as best flatters."""
        return not self.metric.endswith("_best")

    @property
    def scale(self) -> float:
        """What a value is multiplied with for display: shares are shown in percent."""
        return 100.0 if is_share(self.metric) else 1.0


@dataclass(frozen=True)
class Row:
    """One setting: its seeds, results and cost.

    Attributes:
        setting: what ran.
        runs: the records, by seed.
        values: per column, seed -> value in the record's unit.
        results: per column, mean and spread; a column without values is absent.
        differences: per column, to the baseline; absent for the baseline and without one.
        unread: per column, why its difference is not readable; a readable one is absent.
        minutes: wall-clock of pretraining, or None where no run has it.
        time_ratio: its mean over the baseline's, on the same kind of machine, or None.
        is_baseline: whether others are compared with it.
        variant: the settings in which it differs from its siblings, as text.
        name: the row in a few words, beside its host and method.
        label: the same with host and method where the table has several.
        extra: title -> text.
    """

    setting: Setting
    runs: Mapping[int, RunRecord]
    values: Mapping[Column, Mapping[int, float]]
    results: Mapping[Column, Summary]
    differences: Mapping[Column, Difference] = field(default_factory=dict)
    unread: Mapping[Column, str] = field(default_factory=dict)
    minutes: Summary | None = None
    time_ratio: float | None = None
    is_baseline: bool = False
    variant: str = ""
    name: str = ""
    label: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """Rows that may be compared: same images, epochs and encoder."""

    conditions: Conditions
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    extra_columns: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """All tables of a study, with what a reader must know about them."""

    tables: tuple[Table, ...]
    notes: tuple[str, ...] = ()
