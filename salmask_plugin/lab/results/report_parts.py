"""The parts of a report, ready to be laid out as Markdown or HTML."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from salmask_plugin.lab.results.codec import encode
from salmask_plugin.lab.results.comparison import ExtraColumns, compare
from salmask_plugin.lab.results.drawing import VECTORS, rendered, to_png
from salmask_plugin.lab.results.gate import AT_CHANCE, BELOW_GATE
from salmask_plugin.lab.results.grid import NOTHING, Grid
from salmask_plugin.lab.results.late_pictures import is_drawn
from salmask_plugin.lab.results.preregistered import primary_grid
from salmask_plugin.lab.results.record import RunRecord
from salmask_plugin.lab.results.report_figures import DRAWERS, Drawer
from salmask_plugin.lab.results.report_summary import summarize_study
from salmask_plugin.lab.results.statistics import EXPLAINED
from salmask_plugin.lab.results.table import Row, Table
from salmask_plugin.lab.results.text import VS_BASELINE, grid_of

HOW_TO_READ = (
    "Accuracies are percentages of the validation images: mean and, in brackets, the sample "
    f"standard deviation over seeds (SD); {NOTHING} where one seed has none or a value is missing.",
    f"“{VS_BASELINE}” is the difference in percentage points to the baseline of the same host, "
    f"method and training settings, taken seed by seed. Its ± is the {EXPLAINED}; an interval that "
    "holds zero shows nothing. † marks a difference of two means without common seeds.",
    f"“{BELOW_GATE}”: the baseline is hardly better than the untrained encoder; “{AT_CHANCE}”: "
    "every run guesses. Such differences are not readable.",
    "Time ratio is the wall-clock of pretraining over the baseline's on the same kind of machine.",
)


@dataclass(frozen=True)
class Figure:
    """A picture with what it shows, and the same as other formats, by their name."""

    title: str
    caption: str
    png: bytes
    vectors: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Section:
    """One comparison table with its figures and settings."""

    title: str
    table: Grid
    notes: tuple[str, ...]
    figures: tuple[Figure, ...]
    settings: Grid
    protocols: Grid


@dataclass(frozen=True)
class Content:
    """Everything a report shows."""

    title: str
    summary: list[str]
    primary: Grid
    primary_notes: list[str]
    how_to_read: tuple[str, ...]
    sections: list[Section]
    galleries: list[Figure]
    runs: Grid
    environments: Grid
    configs: list[tuple[str, str]]
    notes: list[str]


def build(
    records: Sequence[RunRecord],
    galleries: Mapping[str, bytes],
    title: str,
    notes: Sequence[str],
    baseline: str = "none",
    extra_columns: ExtraColumns | None = None,
) -> Content:
    """Gather a report's content. The same arguments give the same content."""
    records = sorted(records, key=lambda record: (record.name, record.finished_at or ""))
    comparison = compare(records, baseline=baseline, extra_columns=extra_columns)
    caption = (
        "Foreground: cells the masks call object, the rest darkened. The hard negative hides "
        "object cells and keeps the background."
    )
    primary, primary_notes = primary_grid(records, baseline)
    return Content(
        title=title,
        summary=summarize_study(records, comparison),
        primary=primary,
        primary_notes=primary_notes if comparison.tables else [],
        how_to_read=HOW_TO_READ,
        sections=[_section(table) for table in comparison.tables],
        galleries=[Figure(name, caption, png) for name, png in galleries.items()],
        runs=_runs(records),
        environments=_environments(records),
        configs=_configs(records),
        notes=[*notes, *comparison.notes, *_record_notes(records)],
    )


def _section(table: Table) -> Section:
    return Section(
        title=table.conditions.title,
        table=grid_of(table),
        notes=table.notes,
        figures=_figures(table),
        settings=_settings(table.rows),
        protocols=_protocols(table),
    )


def _figures(table: Table) -> tuple[Figure, ...]:
    """Draw what there is to draw; a figure that fails is a warning, and the tables stand."""
    found: list[Figure] = []
    for title, caption, draw in DRAWERS:

        def add(title: str = title, caption: str = caption, draw: Drawer = draw) -> None:
            drawing = draw(table)
            if drawing is not None:
                vectors = {kind: rendered(drawing, kind) for kind in VECTORS}
                found.append(Figure(title, caption, to_png(drawing), vectors))

        is_drawn(f'The figure "{title}"', add)
    return tuple(found)


def _settings(rows: Sequence[Row]) -> Grid:
    """Return what was set, a column per row of the table: settings are compared across."""
    variants: list[dict[str, object]] = [
        {
            "localizer": row.setting.localizer,
            "trained on": row.setting.localizer_trained_on,
            **row.setting.variant,
        }
        for row in rows
    ]
    further = {key for row in rows for key, _ in row.setting.config}
    keys = [
        key
        for key in dict.fromkeys(key for variant in variants for key in variant)
        # Of the whole configuration only what differs; all of it stands at the end.
        if key not in further or len({repr(variant.get(key)) for variant in variants}) > 1
    ]
    return Grid(
        ["Setting", *(row.label for row in rows)],
        [[key, *(_text(variant.get(key)) for variant in variants)] for key in keys],
    )


def _protocols(table: Table) -> Grid:
    lines = {
        (column.evaluation, ", ".join(f"{key}={value}" for key, value in column.protocol))
        for column in table.columns
    }
    return Grid(
        ["Evaluation", "Protocol"], [[name, text or NOTHING] for name, text in sorted(lines)]
    )


def _runs(records: Sequence[RunRecord]) -> Grid:
    rows = [
        [
            record.name,
            str(record.seed),
            record.status,
            _number(record.timing.pretrain_seconds, 1 / 60),
            _number(record.timing.images_per_second),
            _number(record.timing.evaluation_seconds),
            record.finished_at or NOTHING,
        ]
        for record in records
    ]
    titles = ["Run", "Seed", "Status", "Pretraining (min)", "Images/s", "Evaluation (s)", "Ended"]
    return Grid(titles, rows)


def _environments(records: Sequence[RunRecord]) -> Grid:
    rows = {
        (
            record.environment.device,
            record.environment.commit or NOTHING,
            ", ".join(f"{name} {value}" for name, value in record.environment.versions.items()),
        )
        for record in records
    }
    return Grid(["Machine", "Commit", "Versions"], [list(row) for row in sorted(rows)])


def _configs(records: Sequence[RunRecord]) -> list[tuple[str, str]]:
    """Return the resolved configurations as JSON, one per run that has one."""
    return [
        (record.name, json.dumps(encode(record.config), indent=2, ensure_ascii=False))
        for record in records
        if record.config
    ]


def _record_notes(records: Sequence[RunRecord]) -> list[str]:
    """Return the records' own notes and warnings; the same text from several runs is said once."""
    said: dict[str, list[str]] = {}
    for record in records:
        for text in (*record.notes, *(f"Warning: {text}" for text in record.warnings)):
            said.setdefault(text, []).append(record.name)
    return [f"{text} ({', '.join(names)})" for text, names in said.items()]


def _text(value: object) -> str:
    return NOTHING if value is None or value == "none" else str(value)


def _number(value: float | None, scale: float = 1.0) -> str:
    return NOTHING if value is None else f"{value * scale:.1f}"
