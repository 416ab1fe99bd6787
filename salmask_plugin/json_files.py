"""JSON files that may come from anyone: read as objects, their shape checked before it is used."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Kind:
    """What a value must be.

    Attributes:
        words: for the error.
        fits: value -> whether it is.
    """

    words: str
    fits: Callable[[Any], bool]

    def __or__(self, other: Kind) -> Kind:
        """Return what either accepts."""
        return Kind(
            f"{self.words} or {other.words}", lambda value: self.fits(value) or other.fits(value)
        )


Shape = Mapping[str, Any]
"""Key -> a Kind, or the Shape of an object. "key?" may be absent. Further keys are free."""

LARGEST = 2**31
DEEPEST = 100
NULL = Kind("null", lambda value: value is None)
BOOL = Kind("true or false", lambda value: isinstance(value, bool))
TEXT = Kind("a text", lambda value: isinstance(value, str))
WHOLE = Kind("a whole number", lambda value: type(value) is int and abs(value) < LARGEST)
SIZE = Kind("a whole number from 0", lambda value: type(value) is int and 0 <= value < LARGEST)
SEED = Kind("a whole number from 0, below 2**31", SIZE.fits)
"""What every generator of the run takes: torch's, NumPy's and Lightning's."""
COUNT = Kind("a whole number from 1", lambda value: type(value) is int and 0 < value < LARGEST)
NUMBER = Kind(
    "a finite number",
    lambda value: type(value) in (int, float) and abs(value) < 2.0**1000 and isfinite(value),
)
OBJECT = Kind("an object", lambda value: isinstance(value, dict))
LIST = Kind("a list", lambda value: isinstance(value, list))
TEXTS = Kind(
    "a list of texts",
    lambda value: isinstance(value, list) and all(isinstance(item, str) for item in value),
)
NODE: Shape = {"_target_": TEXT}
"""What an object is built from."""
FILTER: Shape = {
    "kernel_size": Kind(
        "an odd number of taps", lambda value: COUNT.fits(value) and value % 2 == 1
    ),
    "sigma": Kind("a number above 0", lambda value: NUMBER.fits(value) and value > 0),
}
"""A high-pass filter."""


def read_object(path: Path, shape: Shape | None = None) -> dict[str, Any]:
    """Return the object that a JSON file holds.

    Args:
        path: of the file.
        shape: that it must have.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: naming the file, and the key where there is one.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # of the encoding, too
        raise ValueError(f"{path} is no JSON: {error}.") from error
    except RecursionError as error:
        raise ValueError(f"{path} is nested too deeply to be read.") from error
    if is_deeper(content, DEEPEST):
        raise ValueError(f"{path} is nested too deeply to be read.")
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold an object, not {_said(content)}.")
    check_shape(content, shape or {}, str(path))
    return content


def check_shape(content: Mapping[str, Any], shape: Shape, where: str, path: str = "") -> None:
    """Raise ValueError for the first value in ``content`` that is not what ``shape`` says.

    Args:
        content: plain containers.
        shape: of it.
        where: what it is, for the error.
        path: of ``content`` in it.
    """
    for key, wanted in shape.items():
        name = key.removesuffix("?")
        place = f"{path}.{name}".lstrip(".")
        if name not in content:
            if key == name:
                raise ValueError(f"{where} has no {place}.")
            continue
        value = content[name]
        kind = wanted if isinstance(wanted, Kind) else OBJECT
        if not kind.fits(value):
            raise ValueError(f"{where}: {place} must be {kind.words}, not {_said(value)}.")
        if not isinstance(wanted, Kind):
            check_shape(value, wanted, where, place)


def is_deeper(content: Any, most: int) -> bool:
    """Whether objects and lists lie in more levels: what walks through them needs a stack."""
    level = [content]
    for _ in range(most):
        level = [
            item
            for node in level
            if isinstance(node, dict | list)
            for item in (node.values() if isinstance(node, dict) else node)
        ]
    return bool(level)


def _said(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:60]}..."
