"""Lists, annotations and names that came with a data set, as text."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

HIDDEN = ("Cc", "Cs")
"""Unicode's categories of control characters and of surrogates."""


def read_text(path: Path) -> str:
    """Return the text of a UTF-8 file, without the mark that some editors put at its start.

    Raises:
        ValueError: naming the file and the place, if it is in another encoding.
    """
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"'{path}' is not in UTF-8 (line {line}: byte {content[error.start]:#04x}); save it in "
            "that encoding."
        ) from error


def read_json(path: Path) -> Any:
    """Return the content of a JSON file in UTF-8.

    Raises:
        ValueError: naming the file, if it is in another encoding or no JSON.
    """
    text = read_text(path)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"'{path}' is not JSON ({error}).") from error


def shown(name: str) -> str:
    r"""Return a name that can be written anywhere.

    Bytes of file names that are not UTF-8 (Python has surrogates for them) and control characters
    are written as escapes: ``caf\udce9``.
    """
    return "".join(
        sign.encode("unicode_escape").decode() if unicodedata.category(sign) in HIDDEN else sign
        for sign in name
    )
