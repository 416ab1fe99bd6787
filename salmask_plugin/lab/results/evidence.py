"""What was measured, as one page: kept studies with their records, tables, figures and words."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from salmask_plugin.lab.results.escaping import printable
from salmask_plugin.lab.results.record import RunRecord
from salmask_plugin.lab.results.store import RecordError, read_record
from salmask_plugin.lab.results.study_page import study_results

TEXT, RECORDS, MARK = "study.md", "records", "{{results}}"


@dataclass(frozen=True)
class Page:
    """The page and its pictures.

    Attributes:
        markdown: of the whole page.
        figures: path relative to the folder of studies -> PNG.
    """

    markdown: str
    figures: Mapping[str, bytes]


def evidence_page(folder: Path, *, baseline: str = "none") -> Page:
    """Compose the page of all studies below ``folder``, in the order of their names.

    ``folder/study.md`` opens the page. A study is a folder with a ``study.md``, whose line
    ``{{results}}`` is replaced by what its ``records/*.json`` say; one without records has no such
    line. Links of each text are relative to its own folder and are made relative to the page's. The
    same files give the same page.

    Raises:
        ValueError: if a text is missing, a record cannot be read, or line and records do not match.
    """
    parts = [_rebased(_read(folder / TEXT), folder, folder)]
    figures: dict[str, bytes] = {}
    for study in sorted(path for path in folder.iterdir() if path.is_dir()):
        text, records = _rebased(_read(study / TEXT), study, folder), _records(study)
        if (MARK in text) != bool(records):
            raise ValueError(
                f"{study / TEXT} must have the line {MARK} if and only if there are records in "
                f"{study / RECORDS}; it has {len(records)}."
            )
        if records:
            results, drawn = study_results(
                records, study.name, baseline=baseline, folder=folder.name
            )
            text = text.replace(MARK, results)
            figures |= drawn
        parts.append(text)
    return Page("\n\n".join(part.strip() for part in parts) + "\n", figures)


def _rebased(text: str, study: Path, folder: Path) -> str:
    """The text with its relative links as they are from the page beside ``folder``."""

    def moved(link: re.Match[str]) -> str:
        path, mark, anchor = link[1].partition("#")
        target = os.path.relpath(study / path, folder.parent).replace(os.sep, "/")
        target = "" if mark and target == f"{folder.name}.md" else target
        return f"]({target}{mark}{anchor})"

    return _LINK.sub(moved, text)


_LINK = re.compile(r"\]\((?![a-z]+:|#)([^)\s]+)\)")


def _records(study: Path) -> list[RunRecord]:
    try:
        return [printable(read_record(path)) for path in sorted((study / RECORDS).glob("*.json"))]
    except RecordError as error:
        raise ValueError(str(error)) from error


def _read(path: Path) -> str:
    if not path.is_file():
        raise ValueError(f"{path} is missing: every study says in words what it is.")
    return path.read_text(encoding="utf-8")
