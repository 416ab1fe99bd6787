"""Records on disk: written whole or not at all, read strictly, found below a folder."""

from __future__ import annotations

import errno
import json
import os
import secrets
import stat
import warnings
from dataclasses import dataclass
from pathlib import Path

from salmask_plugin.json_files import is_deeper
from salmask_plugin.lab.results.codec import FieldError, decode, encode
from salmask_plugin.lab.results.escaping import shown
from salmask_plugin.lab.results.privacy import shorten_text, shortened, without_secrets
from salmask_plugin.lab.results.record import RunRecord
from salmask_plugin.lab.results.study import Study

RECORD_NAME = "record.json"
"""File name of a record inside its run's folder."""
SCHEMA_VERSION = 1
LARGEST_RECORD = 32 * 2**20
"""Bytes of a record file that are read at most; one of 1,000 epochs has less than one million."""
DEEPEST = 40
"""Levels of objects and lists in a record."""
NAMES_IN_EVALUATION = (("metrics",), ("curves",))
NAMES = (
    *(("evaluations", "*", *place) for place in NAMES_IN_EVALUATION),
    *(("evaluations",), ("history",), ("environment", "versions")),
    *(("config", "choices"), ("config", "evaluation"), ("config", "evaluation", "data")),
    *(("config", "compare", part) for part in ("rows", "targets", "left_out", "plan")),
    ("config", "compare", "targets", "*"),
)
"""Objects of a record whose keys are names: of results, data sets and rows."""

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
        paths: of the records' files.
    """

    records: tuple[RunRecord, ...]
    problems: tuple[str, ...]
    paths: tuple[Path, ...] = ()


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
        RecordError: if a value has no JSON form, or the file could not be read again. The old file
            stays.
        OSError: if the disk refuses. The old file stays.
    """
    path = Path(path)
    path = path if path.suffix == ".json" else path / RECORD_NAME
    try:
        content = shortened(encode(record), NAMES)
        _record(content)  # a file that cannot be read would lose what the old one has
    except (FieldError, RecordError) as problem:
        raise RecordError(f"{path}: {problem}") from problem
    content = {"schema_version": SCHEMA_VERSION, **content}
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    write_atomically(path, text.encode())
    return path


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file through a temporary sibling that takes its place when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            flush_to_disk(file.fileno(), path)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def flush_to_disk(handle: int, path: Path) -> None:
    """Make a written file durable; where its file system has no such notion, say so and go on.

    Args:
        handle: of the open file.
        path: of the file, for the warning.

    Raises:
        OSError: if the disk refuses what was written, as a full one does.
    """
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP):
            raise
        warnings.warn(
            f"{path.parent}: its file system does not flush files to the disk ({error}); a power "
            "cut may lose the newest.",
            stacklevel=2,
        )


class RefusedFileError(OSError):
    """A path is no regular file, or the file is too large; ``strerror`` says which."""


def read_regular(path: Path, most: int) -> bytes:
    """Return the content of a regular file.

    A pipe is not waited for, a device not read, whatever a link leads to.

    Args:
        path: of the file.
        most: bytes that are read at most.

    Raises:
        RefusedFileError: if it is no regular file, or holds more.
        OSError: if it cannot be read.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags)  # not inherited by other programs
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise RefusedFileError(0, "it is no regular file", str(path))
        if found.st_size > most:
            raise RefusedFileError(
                0, f"it has {found.st_size:,} bytes, {most:,} are read at most", str(path)
            )
        return file.read(most)


def read_record(path: Path | str) -> RunRecord:
    """Read one record file, or the ``record.json`` of a run's folder.

    Raises:
        RecordError: naming the file, and the field where there is one.
    """
    path = Path(path)
    path = path / RECORD_NAME if path.is_dir() else path
    try:
        return _read(path)
    except RecordError as problem:
        raise RecordError(f"{path}: {problem}") from problem


def _read(path: Path) -> RunRecord:
    """Read one record file; errors do not name it."""
    try:
        content = json.loads(read_regular(path, LARGEST_RECORD).decode())
    except OSError as problem:
        raise RecordError(f"cannot be read ({problem.strerror}).") from problem
    except ValueError as problem:
        raise RecordError(f"is not JSON ({problem}).") from problem
    except RecursionError:
        raise RecordError(f"is nested deeper than {DEEPEST} levels.") from None
    if not isinstance(content, dict):
        raise RecordError(f"must hold one JSON object, not a {type(content).__name__}.")
    version = content.pop("schema_version", None)
    if version != SCHEMA_VERSION:
        raise RecordError(
            f"schema_version={version!r:.40} is not supported; this version of "
            f"salmask_plugin reads {SCHEMA_VERSION}."
        )
    return _record(content)


def _record(content: dict[str, object]) -> RunRecord:
    """Return what plain containers hold; errors do not name the file."""
    if is_deeper(content, DEEPEST):
        raise RecordError(f"is nested deeper than {DEEPEST} levels.")
    try:
        record: RunRecord = decode(content, RunRecord)
        Study.of(record)  # what reports read of the configuration
    except FieldError as problem:
        raise RecordError(str(problem)) from problem
    return record


def load_records(folder: Path | str) -> LoadedRecords:
    """Read every ``record.json`` at and below ``folder``.

    A file that cannot be used does not stop the others: it is named in ``problems``, by its place
    below the folder, which the caller shows.

    Raises:
        ValueError: if ``folder`` is no folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"folder={str(folder)!r} is not a folder.")
    records, paths, problems = [], [], []
    for path in sorted(folder.rglob(RECORD_NAME)):
        try:
            records.append(_read(path))
            paths.append(path)
        except RecordError as problem:
            problems.append(shown(f"{path.relative_to(folder.parent)}: {problem}"))
    return LoadedRecords(tuple(records), tuple(problems), tuple(paths))
