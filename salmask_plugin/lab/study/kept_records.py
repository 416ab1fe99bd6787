"""``salmask results``: the kept records of all studies as one page, and how records are kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from salmask_plugin.file_names import path_below, safe_name
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.results import load_records, write_record
from salmask_plugin.lab.results.escaping import shown
from salmask_plugin.lab.results.evidence import RECORDS, TEXT, evidence_page
from salmask_plugin.lab.results.grouping import WITHOUT_RESULT, unlike_seeds
from salmask_plugin.lab.results.record import RunRecord
from salmask_plugin.lab.results.store import read_record, write_atomically
from salmask_plugin.lab.results.study import row_name

DROPPED = ("out", "logger", "checkpoints")
"""Parts of a configuration that say where a run took place, not what it was."""
DROPPED_OF_THE_LOADER = ("workers", "keep")


def write_evidence(folder: Path, *, keep: Path | None = None, study: str | None = None) -> Path:
    """Keep records if asked to, then write ``FOLDER.md`` and the figures below ``FOLDER``.

    The page stands beside the folder, under its whole name: ``results.2026`` has
    ``results.2026.md``.

    Args:
        folder: of studies.
        keep: a folder of runs whose finished records are copied into ``study`` first.
        study: a folder below ``folder``.

    Raises:
        UserError: if ``keep`` and ``study`` are not given together, nothing can be kept, or the
            folder has no name or no place for a page beside it.
    """
    if (keep is None) != (study is None):
        raise UserError("keep=RUNS and study=NAME belong together.")
    if folder.name in ("", ".."):  # "." is nameless here too
        folder = folder.resolve()
    if not folder.name:
        raise UserError(f"{folder} has no name that its page could have: give a folder of studies.")
    target = folder.with_name(f"{folder.name}.md")
    if target.is_dir():
        raise UserError(f"{target} is a folder: the page of {folder} has that name.")
    if keep is not None and study is not None:
        keep_records(keep, path_below(folder, study, "study"))
    page = evidence_page(folder)
    for path, png in page.figures.items():
        write_atomically(folder / path, png)
    write_atomically(target, page.markdown.encode())
    print(f"Written: {shown(str(target))}, {len(page.figures)} figures")
    return target


def keep_records(runs: Path, study: Path) -> None:
    """Copy the finished records below ``runs`` into the study, one small file per run.

    A record is called by its row and seed. Of several of one setting, kept ones included, the
    newest stays.

    Raises:
        UserError: if there is no finished record, the study has no text yet, or two runs of
            different settings have the same row and seed. Then nothing is kept.
        RecordError: if a record that is kept already cannot be read.
    """
    if not (study / TEXT).is_file():
        raise UserError(f"{study / TEXT} is missing: write first what the study asks and how.")
    if not runs.is_dir():
        raise UserError(f"keep={runs} is not a folder.")
    loaded = load_records(runs)
    finished = [record for record in loaded.records if record.status == "finished"]
    for problem in loaded.problems:
        print(f"not used: {problem}")
    for record in loaded.records:
        if record.status != "finished":
            print(shown(f"not used: {record.name} {WITHOUT_RESULT[record.status]}"))
    if not finished:
        raise UserError(f"keep={runs} has no finished run in it or below it.")
    newest: dict[Path, RunRecord] = {}
    for record in sorted(finished, key=_ended):
        path = study / RECORDS / f"{safe_name(f'{row_name(record)}-seed{record.seed}')}.json"
        there = newest.get(path)
        if there is None and path.is_file():
            there = read_record(path)
        if there is not None:
            _refuse_other_settings(there, record, path)
            if _ended(there) > _ended(record):
                print(shown(f"not used: {record.name} ended before what is kept as {path.name}"))
                continue
            if path in newest:
                print(shown(f"not used: {there.name} ended before {record.name}, the same again"))
        newest[path] = record
    for path, record in newest.items():
        write_record(path, slim(record))
    print(f"Kept: {len(newest)} records in {shown(str(study / RECORDS))}")


def _ended(record: RunRecord) -> str:
    return record.finished_at or ""


def _refuse_other_settings(there: RunRecord, record: RunRecord, path: Path) -> None:
    """Refuse to put a record into the place of one that is no run of the same settings."""
    different = unlike_seeds(there, record)
    if different:
        raise UserError(
            shown(
                f"{there.name} and {record.name} differ in {', '.join(different)}, and both would "
                f"be kept as {path.name}: keep them in two studies, or delete the one that is not "
                "wanted."
            )
        )


def slim(record: RunRecord) -> RunRecord:
    """Return the record without what only its own machine needs."""
    config = {key: value for key, value in record.config.items() if key not in DROPPED}
    loader = config.get("loader")
    if isinstance(loader, dict):
        kept = {key: value for key, value in loader.items() if key not in DROPPED_OF_THE_LOADER}
        config["loader"] = kept
    return replace(record, config=config)
