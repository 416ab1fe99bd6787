"""``salmask report``: every record below a folder as one table, Markdown and HTML."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from salmask_plugin.cli.errors import UserError
from salmask_plugin.cli.reported import GALLERY, reported_columns, study_notes
from salmask_plugin.results import compare, load_records, to_markdown
from salmask_plugin.results.report import write_report
from salmask_plugin.results.store import RECORD_NAME, read_record


@dataclass(frozen=True)
class Written:
    """What a report consists of.

    Attributes:
        table: as Markdown, for the terminal.
        markdown: the file.
        html: the file; self-contained.
    """

    table: str
    markdown: Path
    html: Path


def run(options: argparse.Namespace) -> None:
    """Write the report of a folder; ``baseline=``, ``title=`` and ``out=`` are its settings."""
    folder = Path(options.folder)
    settings = {"baseline": "none", "title": f"Runs in {folder.name}", "out": ""}
    for text in options.overrides:
        key, separator, value = text.partition("=")
        if not separator or key not in settings:
            raise UserError(f"'{text}' is not a setting of report: {', '.join(settings)}.")
        settings[key] = value
    written = report_folder(
        folder,
        title=settings["title"],
        baseline=settings["baseline"],
        out=Path(settings["out"]).expanduser() if settings["out"] else None,
    )
    print(written.table)
    print(f"\nReport: {written.html}\n        {written.markdown}")


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

    A record that cannot be read is named in the report and on the terminal. Runs of a study that
    knows the paper's values have these in a column, and the paper's open points among the notes.

    Raises:
        UserError: if there is no run at all.
    """
    for place in (folder, *include):
        if not place.is_dir():
            raise UserError(f"{place} is not a folder.")
    loaded = [load_records(place) for place in (folder, *include)]
    records = [record for found in loaded for record in found.records]
    troubles = [problem for found in loaded for problem in found.problems]
    if not records and not troubles:
        raise UserError(f"{folder} has no finished run ({RECORD_NAME}) in it or below it.")
    columns = reported_columns(records)
    paths = write_report(
        out or folder / "report",
        records,
        galleries=_galleries(folder),
        title=title,
        notes=[*notes, *study_notes(records), *troubles],
        baseline=baseline,
        extra_columns=columns,
    )
    table = to_markdown(compare(records, baseline=baseline, extra_columns=columns))
    problems = "\n".join(f"not used: {problem}" for problem in troubles)
    return Written("\n".join(filter(None, (table, problems))), paths.markdown, paths.html)


def _galleries(folder: Path) -> dict[str, bytes | Path]:
    """One gallery per recipe: those of further seeds show the same."""
    galleries: dict[str, bytes | Path] = {}
    for path in sorted(folder.rglob(GALLERY)):
        if (path.parent / RECORD_NAME).is_file():
            galleries.setdefault(read_record(path.parent).recipe, path)
    return galleries
