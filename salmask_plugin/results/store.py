"""Records on disk: written whole or not at all, read strictly, found below a folder."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from salmask_plugin.results.codec import FieldError, decode, encode
from salmask_plugin.results.privacy import shorten_text, shortened, without_secrets
from salmask_plugin.results.record import RunRecord

RECORD_NAME = "record.json"
"""File name of a record inside its run's folder."""
SCHEMA_VERSION = 1
__all__ = [
    "RECORD_NAME",
    "SCHEMA_VERSION",
    "LoadedRecords",
    "RecordError",
    "load_records",
    "read_record",
    "shorten_text",
    "shortened",
    "without_secrets",
    "write_atomically",
    "write_record",
]


class RecordError(ValueError):
    """A record file cannot be used; the message names the file and the field."""


@dataclass(frozen=True)
class LoadedRecords:
    """What was found below a folder.

    Attributes:
        records: in the order of their paths.
        problems: one sentence per file that could not be used, naming it.
    """

    records: tuple[RunRecord, ...]
    problems: tuple[str, ...]


def write_record(path: Path | str, record: RunRecord) -> Path:
    """Write ``record`` as JSON, atomically: a reader sees the old file or the new one.

    Absolute paths inside texts are shortened to their last part, and values that look like secrets
    are removed, so that a record can be shared.

    Args:
        path: of the file, or of a run's folder, which then holds ``record.json``. Folders are made.
        record: of the run.

    Returns:
        The path of the file.

    Raises:
        RecordError: if a value has no JSON form. The old file stays.
        OSError: if the disk refuses. The old file stays.
    """
    path = Path(path)
    path = path if path.suffix == ".json" else path / RECORD_NAME
    try:
        content = {"schema_version": SCHEMA_VERSION, **shortened(encode(record))}
    except FieldError as problem:
        raise RecordError(f"{path}: {problem}") from problem
    write_atomically(path, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())
    return path


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file through a temporary sibling that takes its place when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read_record(path: Path | str) -> RunRecord:
    """Read one record file, or the ``record.json`` of a run's folder.

    Raises:
        RecordError: naming the file, and the field where there is one.
    """
    path = Path(path)
    path = path / RECORD_NAME if path.is_dir() else path
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise RecordError(f"{path}: cannot be read ({problem.strerror}).") from problem
    except ValueError as problem:
        raise RecordError(f"{path}: is not JSON ({problem}).") from problem
    if not isinstance(content, dict):
        raise RecordError(f"{path}: must hold one JSON object, not a {type(content).__name__}.")
    version = content.pop("schema_version", None)
    if version != SCHEMA_VERSION:
        raise RecordError(
            f"{path}: schema_version={version!r} is not supported; this version of "
            f"salmask_plugin reads {SCHEMA_VERSION}."
        )
    try:
        record: RunRecord = decode(content, RunRecord)
    except FieldError as problem:
        raise RecordError(f"{path}: {problem}") from problem
    return record


def load_records(folder: Path | str) -> LoadedRecords:
    """Read every ``record.json`` at and below ``folder``.

    A file that cannot be used does not stop the others: it is named in ``problems``, which the
    caller shows.

    Raises:
        ValueError: if ``folder`` is no folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"folder={str(folder)!r} is not a folder.")
    records, problems = [], []
    for path in sorted(folder.rglob(RECORD_NAME)):
        try:
            records.append(read_record(path))
        except RecordError as problem:
            problems.append(str(problem))
    return LoadedRecords(tuple(records), tuple(problems))
