"""The parts of a comparison table, as data; how they are written is text.py's question."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from salmask_plugin.lab.results.acting_settings import Items
from salmask_plugin.lab.results.grouping import Conditions, Setting
from salmask_plugin.lab.results.metric_names import brackets, metric_title
from salmask_plugin.lab.results.record import RunRecord, is_share
from salmask_plugin.lab.results.statistics import Difference, Summary


def snake_case(*parts: str) -> str:
    """Return words as a name of small letters and digits, joined by underscores."""
    return "_".join(re.findall(r"[a-z0-9]+", " ".join(parts).lower()))


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
        """With the whole protocol: "knn/top1 (%, k=20, temperature=0.07)"."""
        return f"{self.evaluation}/{self.metric}{brackets(self.metric, self.protocol)}"

    @property
    def name(self) -> str:
        """For programs: "knn_top1", and "knn_top1_k_20" where the table has another k."""
        return snake_case(self.evaluation, self.metric, *(f"{k} {v}" for k, v in self.shown))

    @property
    def protocol_name(self) -> str:
        """What the protocol's own column is called: "knn_protocol"."""
        return snake_case(self.evaluation, *(f"{k} {v}" for k, v in self.shown), "protocol")

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
    """Rows that may be compared: same images, epochs and encoder.

    ``recipes`` are those of all tables of the comparison, without the baseline.
    """

    conditions: Conditions
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    extra_columns: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    recipes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """All tables of a study, with what a reader must know about them."""

    tables: tuple[Table, ...]
    notes: tuple[str, ...] = ()
