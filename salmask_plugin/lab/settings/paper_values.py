"""The values that the paper reports for a study, and what it leaves open, from the records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from salmask_plugin.lab.results import RunRecord
from salmask_plugin.lab.results.grouping import Setting
from salmask_plugin.lab.results.study import Study

GALLERY, HIDDEN = "gallery.png", "hidden.png"
"""In a run's folder: what its encoder saw. Reports read it where no host is installed."""


def reported_columns(records: Sequence[RunRecord]) -> dict[str, dict[tuple[str, str], str]]:
    """Return title -> (method, recipe) -> text: the paper's values beside the runs' own.

    A run's configuration names its row and the targets of its study.
    """
    columns: dict[str, dict[tuple[str, str], str]] = {}
    for record in records:
        study = Study.of(record)
        for title, value in study.targets.get(study.row or "", {}).items():
            place = (Setting.of(record).method, record.recipe)
            columns.setdefault(title, {})[place] = written(value)
    return columns


def written(value: float) -> str:
    """Return a value as the paper prints it: percent to two decimals, errors below 1 to three."""
    return f"{value:.3f}" if 0 < value < 1 else f"{value:.2f}"


def open_points(records: Sequence[RunRecord]) -> list[str]:
    """Return what the paper leaves open about the runs' studies, each point once."""
    points = [point for record in records for point in Study.of(record).open]
    return [f"Left open by the paper. {point}" for point in dict.fromkeys(points)]


def left_out_rows(rows: Iterable[str], left_out: Mapping[str, str]) -> list[str]:
    """Return a sentence for each row that a study has and does not run."""
    return [f"Row {name} is left out: {left_out[name]}" for name in rows if name in left_out]


def study_notes(records: Sequence[RunRecord]) -> list[str]:
    """Return what the runs' studies leave out, and what the paper leaves open, each once."""
    studies = map(Study.of, records)
    left_out = [line for study in studies for line in left_out_rows(study.rows, study.left_out)]
    return [*dict.fromkeys(left_out), *open_points(records)]
