"""``salmask report``: every record below a folder as one table, Markdown and HTML."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from salmask_plugin.file_names import refuse_link_out
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.results import LoadedRecords, compare, load_records
from salmask_plugin.lab.results.escaping import printable, shown
from salmask_plugin.lab.results.grouping import Setting
from salmask_plugin.lab.results.preregistered import primary_grid, registered
from salmask_plugin.lab.results.record import RunRecord
from salmask_plugin.lab.results.report_files import png_of, write_report
from salmask_plugin.lab.results.store import RECORD_NAME
from salmask_plugin.lab.results.terminal import filled, grid_entries, to_terminal
from salmask_plugin.lab.settings.paper_values import GALLERY, HIDDEN, reported_columns, study_notes


@dataclass(frozen=True)
class Written:
    """What a report consists of.

    Attributes:
        table: as text, for the terminal.
        markdown: the file.
        html: the file; self-contained.
    """

    table: str
    markdown: Path
    html: Path


def report_folder(
    folder: Path,
    *,
    title: str,
    baseline: str,
    notes: tuple[str, ...] = (),
    out: Path | None = None,
    include: Sequence[Path] = (),
) -> Written:
    """Write the report of all runs below ``folder`` and ``include`` into ``folder/report``.

    A record or a gallery that cannot be used is named in the report and on the terminal. Runs of a
    study that knows the paper's values have these in a column, and the paper's open points among
    the notes.

    Raises:
        UserError: if there is no run at all.
    """
    for place in (folder, *include):
        if not place.is_dir():
            raise UserError(f"{place} is not a folder.")
    loaded = [load_records(place) for place in (folder, *include)]
    records = [printable(record) for found in loaded for record in found.records]
    troubles = [problem for found in loaded for problem in found.problems]
    if not records and not troubles:
        raise UserError(f"{folder} has no finished run ({RECORD_NAME}) in it or below it.")
    columns = reported_columns(records)
    if out is None:
        refuse_link_out(folder, folder / "report")
    galleries, unusable = _galleries(loaded[0])
    troubles += unusable
    paths = write_report(
        out or folder / "report",
        records,
        galleries=galleries,
        title=title,
        notes=[*notes, *study_notes(records), *troubles],
        baseline=baseline,
        extra_columns=columns,
    )
    table = to_terminal(compare(records, baseline=baseline, extra_columns=columns))
    if any(plan.primaries for plan in registered(records, baseline)):
        table = "\n\n".join([_primaries(records, baseline), table])
    problems = "\n".join(filled(f"not used: {problem}", "  ") for problem in troubles)
    return Written("\n".join(filter(None, (table, problems))), paths.markdown, paths.html)


def _primaries(records: Sequence[RunRecord], baseline: str) -> str:
    """The primary comparisons for the terminal, or why there are none."""
    grid, notes = primary_grid(records, baseline)
    return "\n\n".join(filter(None, [grid_entries(grid), *(filled(shown(note)) for note in notes)]))


def _galleries(loaded: LoadedRecords) -> tuple[dict[str, bytes | Path], list[str]]:
    """The galleries per setting, for those of further seeds show the same, and what is wrong."""
    drawn: dict[str, bytes | Path] = {}
    problems = []
    for file, what in ((GALLERY, ""), (HIDDEN, ": partly hidden")):
        found: dict[Setting, tuple[str, bytes]] = {}
        for record, path in zip(loaded.records, loaded.paths, strict=True):
            gallery, setting = path.with_name(file), Setting.of(record)
            if setting in found or not os.path.lexists(gallery):
                continue
            name = shown(record.name)
            try:
                found[setting] = (name, png_of(gallery))
            except OSError as problem:
                problems.append(f"The gallery of {name} is left out: {problem.strerror}.")
            except ValueError as problem:
                problems.append(f"The gallery of {name} is left out: {problem}")
        recipes = [setting.recipe for setting in found]
        for setting, (name, png) in found.items():
            alone = recipes.count(setting.recipe) == 1
            drawn[(setting.recipe if alone else f"{setting.recipe}, {name}") + what] = png
    return drawn, problems
