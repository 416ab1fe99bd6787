"""``salmask results``: the kept records of all studies as one page, and how records are kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from salmask_plugin.file_names import path_below, safe_name
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.results import load_records, write_record
from salmask_plugin.lab.results.evidence import RECORDS, TEXT, evidence_page
from salmask_plugin.lab.results.record import RunRecord
from salmask_plugin.lab.results.shown import shown
from salmask_plugin.lab.results.store import write_atomically
from salmask_plugin.lab.results.study import row_name

DROPPED = ("out", "logger", "checkpoints")
"""Parts of a configuration that say where a run took place, not what it was."""
DROPPED_OF_THE_LOADER = ("workers", "keep")


def write_evidence(folder: Path, *, keep: Path | None = None, study: str | None = None) -> Path:
    """Keep records if asked to, then write ``FOLDER.md`` and the figures below ``FOLDER``.

    Args:
        folder: of studies.
        keep: a folder of runs whose finished records are copied into ``study`` first.
        study: a folder below ``folder``.

    Raises:
        UserError: if ``keep`` and ``study`` are not given together, or nothing can be kept.
    """
    if (keep is None) != (study is None):
        raise UserError("keep=RUNS and study=NAME belong together.")
    if keep is not None and study is not None:
        keep_records(keep, path_below(folder, study, "study"))
    page = evidence_page(folder)
    for path, png in page.figures.items():
        write_atomically(folder / path, png)
    target = folder.with_suffix(".md")
    write_atomically(target, page.markdown.encode())
    print(f"Written: {shown(str(target))}, {len(page.figures)} figures")
    return target


def keep_records(runs: Path, study: Path) -> None:
    """Copy the finished records below ``runs`` into the study, one small file per run.

    A run that is kept already is replaced by the newer record.

    Raises:
        UserError: if there is no finished record, or the study has no text yet.
    """
    if not (study / TEXT).is_file():
        raise UserError(f"{study / TEXT} is missing: write first what the study asks and how.")
    if not runs.is_dir():
        raise UserError(f"keep={runs} is not a folder.")
    loaded = load_records(runs)
    finished = [record for record in loaded.records if record.status == "finished"]
    for problem in loaded.problems:
        print(f"not used: {problem}")
    if not finished:
        raise UserError(f"keep={runs} has no finished run in it or below it.")
    for record in finished:
        name = safe_name(f"{row_name(record)}-seed{record.seed}")
        write_record(study / RECORDS / f"{name}.json", slim(record))
    print(f"Kept: {len(finished)} records in {shown(str(study / RECORDS))}")


def slim(record: RunRecord) -> RunRecord:
    """Return the record without what only its own machine needs."""
    config = {key: value for key, value in record.config.items() if key not in DROPPED}
    loader = config.get("loader")
    if isinstance(loader, dict):
        kept = {key: value for key, value in loader.items() if key not in DROPPED_OF_THE_LOADER}
        config["loader"] = kept
    return replace(record, config=config)
