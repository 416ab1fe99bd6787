"""The rows of one study against its baseline, seed by seed, with the interval that seeds allow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from salmask_plugin.lab.results.grouping import unlike_seeds
from salmask_plugin.lab.results.record import RunRecord, values_of
from salmask_plugin.lab.results.statistics import Difference, difference
from salmask_plugin.lab.results.study import Study, row_name


@dataclass(frozen=True)
class Arm:
    """One row of a study: its runs by seed, whatever their length.

    Attributes:
        name: of the row.
        runs: the finished records, by seed.
        reported: title -> value that the paper gives for the row, in the metric's shown unit.
    """

    name: str
    runs: Mapping[int, RunRecord]
    reported: Mapping[str, float]

    @property
    def epochs(self) -> int:
        """Planned epochs; the same in every seed."""
        return next(iter(self.runs.values())).epochs

    def values(self, evaluation: str, metric: str) -> dict[int, float]:
        """Return seed -> value, where the run has been evaluated so."""
        return values_of(self.runs, evaluation, metric)


def arms_of(records: Sequence[RunRecord], baseline: str) -> list[Arm]:
    """Sort a study's finished records into rows, the baseline first, the others as configured.

    Raises:
        ValueError: if no record belongs to the baseline, one seed occurs twice in a row, or runs of
            one row differ in their epochs or in a setting that acts on the result.
    """
    runs: dict[str, dict[int, RunRecord]] = {}
    order: dict[str, None] = {}
    for record in records:
        if record.status != "finished":
            continue
        name = row_name(record)
        order |= dict.fromkeys((*Study.of(record).rows, name))
        seeds = runs.setdefault(name, {})
        if record.seed in seeds:
            raise ValueError(f"row {name!r} has seed {record.seed} twice.")
        seeds[record.seed] = record
        different = unlike_seeds(next(iter(seeds.values())), record)
        if different:
            raise ValueError(f"the runs of row {name!r} differ in {', '.join(different)}.")
    if baseline not in runs:
        raise ValueError(f"baseline={baseline!r} is none of the rows: {', '.join(runs)}.")
    names = [baseline, *(name for name in order if name in runs and name != baseline)]
    return [
        Arm(name, dict(sorted(runs[name].items())), _reported(runs[name], name)) for name in names
    ]


def against(row: Arm, reference: Arm, evaluation: str, metric: str) -> Difference | None:
    """Return row minus reference over their common seeds.

    None without a common seed, or where the two were measured under different protocols.
    """
    values, others = row.values(evaluation, metric), reference.values(evaluation, metric)
    runs = [*row.runs.values(), *reference.runs.values()]
    measured = [run.evaluations[evaluation] for run in runs if evaluation in run.evaluations]
    if len({repr(sorted(found.protocol.items())) for found in measured}) > 1:
        return None
    step = max(run.resolution(evaluation, metric) for run in runs)
    return difference(values, others, step) if set(values) & set(others) else None


@dataclass(frozen=True)
class Order:
    """What the paper's values and ours say of two rows.

    Attributes:
        title: of the paper's values, such as "Table 6 (%)".
        row: the one.
        reference: the other, the first of the rows that the paper has under this title.
        reported: the paper's difference, row minus reference.
        found: ours.
    """

    title: str
    row: str
    reference: str
    reported: float
    found: Difference

    @property
    def verdict(self) -> str:
        """One of agrees, contradicts, undecided: our interval holds zero."""
        if self.found.verdict == "undecided" or self.reported == 0:
            return "undecided"
        return "agrees" if (self.found.mean > 0) == (self.reported > 0) else "contradicts"


def orders(arms: Sequence[Arm], evaluation: str, metric: str) -> list[Order]:
    """Compare every row that the paper has with the first such row, title by title."""
    found = []
    for title in dict.fromkeys(title for arm in arms for title in arm.reported):
        known = [arm for arm in arms if title in arm.reported]
        first = known[0]
        for arm in known[1:]:
            ours = against(arm, first, evaluation, metric)
            if ours is not None:
                reported = arm.reported[title] - first.reported[title]
                found.append(Order(title, arm.name, first.name, reported, ours))
    return found


def _reported(runs: Mapping[int, RunRecord], name: str) -> Mapping[str, float]:
    return Study.of(list(runs.values())[-1]).targets.get(name, {})
