"""Records on disk: written whole or not at all, read strictly, found below a folder."""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import warnings
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from salmask_plugin.results.codec import FieldError, decode, encode
from salmask_plugin.results.files import read_regular
from salmask_plugin.results.record import RunRecord
from salmask_plugin.results.shown import shown
from salmask_plugin.results.study import Study

RECORD_NAME = "record.json"
"""File name of a record inside its run's folder."""
SCHEMA_VERSION = 1
LARGEST_RECORD = 32 * 2**20
"""Bytes of a record file that are read at most; one of 1,000 epochs has less than one million."""
DEEPEST = 40
"""Levels of objects and lists in a record."""

REMOVED = "(removed)"
"""Stands where a secret stood."""
_SECRET_KEY = re.compile(
    r"(^|[_.-])(token|secret|pass_?word|passwd|pwd|passphrase|credentials?"
    r"|(api|access|private)_?key)s?($|[_.-])",
    re.IGNORECASE,
)
_PASSWORD_KEY = re.compile(r"secret|pass_?word|passwd|pwd|passphrase", re.IGNORECASE)
"""A number below such a key is one too; "max_tokens" has a number that is none."""
_CREDENTIALS = re.compile(r"(\w+://)[^\s/]+@")

_PART = r"""[^\s\\/'":,;()<>]+[\\/]"""
# A path of the machine inside a sentence. What precedes it rules out URLs and plain fractions.
_PATH_IN_TEXT = re.compile(
    "(?:"
    rf"(?<![\w:/\\.~<])(?:[A-Za-z]:)?[\\/](?={_PART})"  # /a/b, C:\a\b
    r"|(?<![\w/\\.~<])~(?:[A-Za-z_][\w.-]*)?[\\/]"  # ~/a, ~ann/a
    r"|\bfile:[\\/]+"
    rf"|(?<![\w.:/-])[\w.-]+@[\w.-]+:(?=[~\\/]|{_PART})~?[\\/]?"  # ann@host:/a
    rf")(?:{_PART})*"
)


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

    Absolute paths inside texts are shortened to their last part, and values of the configuration
    that look like secrets are removed, so that a record can be shared.

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
        content["config"] = without_secrets(content["config"])
        for key in ("notes", "warnings"):
            content[key] = without_secrets(content[key])
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
    if _is_deeper(content, DEEPEST):
        raise RecordError(f"is nested deeper than {DEEPEST} levels.")
    version = content.pop("schema_version", None)
    if version != SCHEMA_VERSION:
        raise RecordError(
            f"schema_version={version!r:.40} is not supported; this version of "
            f"salmask_plugin reads {SCHEMA_VERSION}."
        )
    try:
        record: RunRecord = decode(content, RunRecord)
        Study.of(record)  # what reports read of the configuration
    except FieldError as problem:
        raise RecordError(str(problem)) from problem
    return record


def _is_deeper(value: Any, most: int) -> bool:
    level = [value]
    for _ in range(most):
        level = [
            item
            for found in level
            if isinstance(found, dict | list)
            for item in (found.values() if isinstance(found, dict) else found)
        ]
    return bool(level)


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


def shortened(value: Any) -> Any:
    """Return plain values as a record keeps them: absolute paths cut to their last part."""
    if isinstance(value, dict):
        return {key: shortened(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shortened(item) for item in value]
    return shorten_text(value) if isinstance(value, str) else value


def without_secrets(value: Any) -> Any:
    """Return plain containers without the texts that a key or an address marks as secret."""
    if isinstance(value, dict):
        return {
            key: REMOVED if _is_secret(str(key), item) else without_secrets(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [without_secrets(item) for item in value]
    return _CREDENTIALS.sub(rf"\1{REMOVED}@", value) if isinstance(value, str) else value


def _is_secret(key: str, value: Any) -> bool:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key)  # accessToken
    if not _SECRET_KEY.search(words) or isinstance(value, bool) or not value:
        return False
    is_number = isinstance(value, int | float)
    return not is_number or _PASSWORD_KEY.search(words) is not None


def shorten_text(text: str) -> str:
    """Replace the folders of absolute paths in a text by "...": they tell of the machine."""
    for kind in (PurePosixPath, PureWindowsPath):
        path = kind(text)
        if path.is_absolute() and "\n" not in text:
            return f".../{path.name}"
    return _PATH_IN_TEXT.sub(".../", text)
