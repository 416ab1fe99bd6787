"""What a run's record says of the study it belongs to: rows, the paper's values, plan and gate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from salmask_plugin.lab.results.codec import FieldError, Number, Text, decode
from salmask_plugin.lab.results.record import RunRecord

MOST_PRIMARY = 5
GATE = 10.0
"""Percentage points that a baseline must lie above the untrained encoder, in every seed."""


@dataclass(frozen=True)
class Planned:
    """A primary comparison, registered before the first run.

    Args:
        row: the row that is compared.
        against: the row it is compared with.
        measure: a result as tables know it, "evaluation/metric", such as "linear/top1_last".
        note: why it is asked.

    Raises:
        ValueError: if the two rows are one, or the measure is no such name.
    """

    row: Text
    against: Text
    measure: Text
    note: Text | None = None

    def __post_init__(self) -> None:
        if self.row == self.against:
            raise ValueError(f"row and against are both {self.row!r}; they must differ.")
        if not all(self.measure.rpartition("/")[::2]):
            raise ValueError(
                f"measure={self.measure!r} must be evaluation/metric, such as linear/top1_last."
            )

    @property
    def result(self) -> tuple[str, str]:
        """The evaluation and its metric."""
        evaluation, _, metric = self.measure.rpartition("/")
        return evaluation, metric


@dataclass(frozen=True)
class Study:
    """The part of a record's ``config.compare`` that reports read; empty for other hosts' runs.

    Attributes:
        row: the row that the run belongs to, or None.
        rows: names of all rows, as configured.
        targets: row -> title -> value that the paper reports.
        open: what the paper leaves open.
        left_out: row -> why it is not run.
        plan: name -> primary comparison.
        gate: see ``GATE``.
        seeds: that the study was asked for when the run began.
    """

    row: Text | None = None
    rows: tuple[Text, ...] = ()
    targets: Mapping[str, Mapping[str, Number]] = field(default_factory=dict)
    open: tuple[Text, ...] = ()
    left_out: Mapping[str, Text] = field(default_factory=dict)
    plan: Mapping[str, Planned] = field(default_factory=dict)
    gate: Number = GATE
    seeds: tuple[int, ...] = ()

    @classmethod
    def of(cls, record: RunRecord) -> Study:
        """Return what a record says.

        Raises:
            FieldError: naming the field that is none.
        """
        where = "record.config.compare"
        given: dict[str, Any] = {
            key: value for key, value in record.study.items() if value is not None
        }
        rows = given.pop("rows", {})
        if not isinstance(rows, Mapping):
            raise FieldError(f"{where}.rows: must be an object.")
        if isinstance(given.get("row"), bool | int | float):
            given["row"] = str(given["row"])  # a row called 15 is a number in YAML
        if "plan" in given:
            given["plan"] = plan_of(given["plan"], f"{where}.plan")
        kept = {key: given[key] for key in ("row", "targets", "open", "left_out") if key in given}
        read: Study = decode(kept, cls, where)
        points = gate_of(given.get("gate", GATE), f"{where}.gate")
        return cls(
            read.row,
            tuple(map(str, rows)),
            read.targets,
            read.open,
            read.left_out,
            given.get("plan", {}),
            points,
            _seeds_of(given.get("seeds")),
        )


def _seeds_of(value: Any) -> tuple[int, ...]:
    return tuple(seed for seed in value if type(seed) is int) if isinstance(value, list) else ()


def plan_of(value: Any, where: str = "compare.plan") -> dict[str, Planned]:
    """Return a registered plan, from plain values.

    Raises:
        FieldError: naming what is no comparison; or if there are more than ``MOST_PRIMARY``.
    """
    plan: dict[str, Planned] = decode({} if value is None else value, Mapping[str, Planned], where)
    if len(plan) > MOST_PRIMARY:
        raise FieldError(
            f"{where} has {len(plan)} comparisons; at most {MOST_PRIMARY} can be primary."
        )
    return plan


def gate_of(value: Any, where: str = "compare.gate") -> float:
    """Return the gate in percentage points.

    Raises:
        FieldError: if it is no number in [0, 100].
    """
    points: float = decode(value, Number, where)
    if not 0 <= points <= 100:
        raise FieldError(f"{where}={points:g} must be percentage points in [0, 100].")
    return points


def row_name(record: RunRecord) -> str:
    """Return the row of its study that a run belongs to; without one, its recipe."""
    return Study.of(record).row or record.recipe


def asked_gate(records: Sequence[RunRecord]) -> float:
    """Return the highest gate that the runs' studies ask for."""
    return max((Study.of(record).gate for record in records), default=GATE)
