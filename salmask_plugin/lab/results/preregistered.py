"""The comparisons that a study registered before its runs, corrected for their number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from salmask_plugin.lab.results.escaping import escape_markdown
from salmask_plugin.lab.results.gate import AT_CHANCE, BELOW_GATE, guesses, judge
from salmask_plugin.lab.results.grid import NOTHING, Grid
from salmask_plugin.lab.results.grouping import unlike_seeds
from salmask_plugin.lab.results.metric_names import metric_title
from salmask_plugin.lab.results.record import RunRecord, is_share, values_of
from salmask_plugin.lab.results.statistics import CONFIDENCE, Difference, difference, holm
from salmask_plugin.lab.results.study import Planned, Study, asked_gate, row_name

NO_PLAN = (
    "No comparison was registered before the runs (compare.plan), so every difference here is "
    "exploratory: a question for further runs, not a result."
)
EXPLORATORY = "Every comparison but the primary ones is exploratory."
HEADERS = [
    "Primary comparison",
    "Rows",
    "Measure",
    "Pairs",
    "Difference",
    "95 % interval",
    "p",
    "p (Holm)",
    "Smallest shown",
    "Verdict",
    "Note",
]
EXPLAINED = (
    "Primary comparisons were registered before the runs. Difference: mean over paired seeds, in "
    "percentage points for shares; interval and p: Student's t over these pairs; p (Holm): "
    "adjusted for the number of primary comparisons, and the verdict is by it; smallest shown: "
    "half the width of the interval, the smallest difference that these seeds could have shown. "
    "Until all seeds that the study was asked for are paired, it is interim: no p, no verdict."
)


@dataclass(frozen=True)
class Primary:
    """One primary comparison.

    Attributes:
        name: in the plan.
        planned: what was registered.
        found: over the paired seeds; None where nothing can be compared.
        adjusted: p by Holm over all primary comparisons of the plan.
        flag: why it is not readable, or what is missing; empty if neither.
        seeds: that the study was asked for; before all are paired there is no verdict.
    """

    name: str
    planned: Planned
    found: Difference | None
    adjusted: float | None = None
    flag: str = ""
    seeds: int = 0

    @property
    def is_interim(self) -> bool:
        """Whether seeds are missing: who looks early and stops where it suits has no test."""
        return self.found is not None and len(self.found.pairs) < self.seeds

    @property
    def verdict(self) -> str:
        """One of above, below, undecided, interim with the number of seeds, or the flag."""
        if self.flag or self.found is None:
            return self.flag
        if self.is_interim:
            return f"interim: {len(self.found.pairs)} of {self.seeds} seeds"
        if self.adjusted is None or not self.adjusted < 1 - CONFIDENCE:
            return "undecided"
        return "above" if self.found.mean > 0 else "below"


@dataclass(frozen=True)
class Registered:
    """The plan of one study.

    Attributes:
        primaries: in the plan's order; empty without a plan that counts.
        problem: why a plan does not count; empty if it does, or if there is none.
    """

    primaries: tuple[Primary, ...] = ()
    problem: str = ""


def registered(records: Sequence[RunRecord], baseline: str) -> list[Registered]:
    """Return the plans of the studies that the records belong to, those without any left out.

    A plan counts where every run of the study carries it: it was fixed before the first run.

    Args:
        records: of any studies; failed runs count nowhere.
        baseline: the row, or recipe, that the gate is asked of.
    """
    studies: dict[str, list[RunRecord]] = {}
    for record in sorted(records, key=lambda record: (record.finished_at or "", record.name)):
        if Study.of(record).row is not None and record.status == "finished":
            studies.setdefault(_study(record), []).append(record)
    found = [_registered(runs, baseline, records) for runs in studies.values()]
    return [entry for entry in found if entry.primaries or entry.problem]


def primary_grid(records: Sequence[RunRecord], baseline: str) -> tuple[Grid, list[str]]:
    """Return the primary comparisons as a table, and what has to be said about them."""
    plans = registered(records, baseline)
    rows = [_texts(primary) for plan in plans for primary in plan.primaries]
    problems = [plan.problem for plan in plans if plan.problem]
    return Grid(HEADERS, rows), [*problems, *((EXPLAINED, EXPLORATORY) if rows else (NO_PLAN,))]


def primary_blocks(records: Sequence[RunRecord], baseline: str) -> list[str]:
    """Return the primary comparisons as blocks of Markdown, or why there are none."""
    grid, notes = primary_grid(records, baseline)
    notes = [escape_markdown(note) for note in notes]
    if not grid.rows:
        return notes
    return [*notes[:-2], grid.markdown(left=3), " ".join(notes[-2:])]


def _registered(
    records: Sequence[RunRecord], baseline: str, all_records: Sequence[RunRecord]
) -> Registered:
    plans = [Study.of(record).plan for record in records]
    plan = next((entry for entry in plans if entry), None)
    if plan is None:
        return Registered()
    without = [
        record.name for record, own in zip(records, plans, strict=True) if dict(own) != dict(plan)
    ]
    if without:
        names = ", ".join(without[:3]) + (", ..." if len(without) > 3 else "")
        return Registered(
            problem=f"The plan does not count: it was not fixed before the first run. "
            f"{len(without)} of {len(records)} runs carry none or another ({names})."
        )
    rows: dict[str, dict[int, RunRecord]] = {}
    for record in records:
        rows.setdefault(row_name(record), {})[record.seed] = record
    base = rows.get(baseline)
    gate = judge(base, all_records, asked_gate(records)) if base else None
    flag = BELOW_GATE if gate is not None and not gate.passed else ""
    primaries = [_primary(name, planned, rows, flag) for name, planned in plan.items()]
    seeds = len({seed for record in records for seed in Study.of(record).seeds})
    known = [1.0 if p.found is None or p.found.p is None else p.found.p for p in primaries]
    return Registered(
        tuple(
            primary if primary.found is None else replace(primary, adjusted=adjusted, seeds=seeds)
            for primary, adjusted in zip(primaries, holm(known), strict=True)
        )
    )


def _primary(
    name: str, planned: Planned, rows: Mapping[str, Mapping[int, RunRecord]], flag: str
) -> Primary:
    evaluation, metric = planned.result
    values: list[dict[int, float]] = []
    used: list[RunRecord] = []
    for row in (planned.row, planned.against):
        seeds = rows.get(row, {})
        runs = list(seeds.values())
        different = sorted({key for run in runs for key in unlike_seeds(runs[0], run)})
        if different:
            return Primary(name, planned, None, flag=f"runs of {row} differ: {different[0]}")
        measured = values_of(seeds, evaluation, metric)
        if not measured:
            return Primary(name, planned, None, flag=f"{row} has no {planned.measure} yet")
        values.append(measured)
        used += [run for run in runs if run.seed in measured]
    if len({(run.data, repr(_protocol(run, evaluation))) for run in used}) > 1:
        return Primary(name, planned, None, flag="other images or protocols")
    if not set(values[0]) & set(values[1]):
        return Primary(name, planned, None, flag="no common seed")
    step = max(run.resolution(evaluation, metric) for run in used)
    found = difference(values[0], values[1], step)
    flag = flag or (AT_CHANCE if guesses(used, evaluation, metric) else "")
    return Primary(name, planned, found, flag=flag)


def _texts(primary: Primary) -> list[str]:
    planned, found = primary.planned, primary.found
    evaluation, metric = planned.result
    first = [
        primary.name,
        f"{planned.row} - {planned.against}",
        metric_title(evaluation, metric).removesuffix(" (%)"),
    ]
    last = [primary.verdict, planned.note or NOTHING]
    if found is None or primary.flag:
        pairs = NOTHING if found is None else str(len(found.pairs))
        return [*first, pairs, *[NOTHING] * 5, *last]
    scale, form = (100, ".2f") if is_share(metric) else (1, ".4g")
    mean, width = found.mean * scale, found.interval
    texts = [format(mean, f"+{form}"), *[NOTHING] * 4]
    if width is not None and found.p is not None and primary.adjusted is not None:
        low, high = mean - width * scale, mean + width * scale
        texts[1] = f"{format(low, f'+{form}')} to {format(high, f'+{form}')}"
        if not primary.is_interim:
            texts[2:4] = (f"{found.p:.3g}", f"{primary.adjusted:.3g}")
        texts[4] = format(width * scale, form)
    return [*first, str(len(found.pairs)), *texts, *last]


def _study(record: RunRecord) -> str:
    """The study that a run belongs to: its name, or else the experiment that it was composed of."""
    choices = record.config.get("choices")
    chosen = choices.get("experiment") if isinstance(choices, Mapping) else None
    return str(record.study.get("study") or chosen)


def _protocol(record: RunRecord, evaluation: str) -> list[tuple[str, object]]:
    return sorted(record.evaluations[evaluation].protocol.items())
