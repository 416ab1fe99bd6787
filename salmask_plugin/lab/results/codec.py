"""Dataclasses to plain JSON values and strictly back: every error names the field."""

from __future__ import annotations

import math
import numbers
import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from pathlib import PurePath
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

# JSON has no words for these; a diverged loss must survive the file.
_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}

LARGEST = 2**63 - 1
"""What a whole number of a record may be: any program reads it."""
SAID = 80
"""Signs of a wrong value that an error repeats."""


class FieldError(ValueError):
    """A value of a record is missing, unknown or of the wrong kind."""


def encode(value: Any, where: str = "record") -> Any:
    """Return ``value`` as JSON knows it: dict, list, str, int, float, bool or None.

    Numbers that are not finite become the strings "NaN", "Infinity" and "-Infinity".

    Raises:
        FieldError: if a value has no plain form.
    """
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return _encode_real(float(value))
    if is_dataclass(value) and not isinstance(value, type):
        return {
            entry.name: encode(getattr(value, entry.name), f"{where}.{entry.name}")
            for entry in fields(value)
        }
    if isinstance(value, Mapping):
        return {str(key): encode(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [encode(item, f"{where}[{index}]") for index, item in enumerate(value)]
    raise FieldError(f"{where}: a {type(value).__name__} cannot be written as JSON.")


def _encode_real(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return next(word for word, number in _NOT_FINITE.items() if str(number) == str(value))


def decode(value: Any, expected: Any, where: str = "record") -> Any:
    """Return ``value`` as the annotated type ``expected``.

    Raises:
        FieldError: if the value does not fit, a field is missing or a field is unknown.
    """
    if expected is Any:
        return value
    if is_dataclass(expected):
        return _decode_dataclass(value, expected, where)
    origin, arguments = get_origin(expected), get_args(expected)
    if origin in (Union, types.UnionType):
        return _decode_union(value, arguments, where)
    if origin is Literal:
        if not isinstance(value, str) or value not in arguments:
            raise FieldError(f"{where}: {_short(value)} must be one of {arguments}.")
        return value
    if origin is Mapping:
        _require(isinstance(value, dict), value, "an object", where)
        return {key: decode(item, arguments[1], f"{where}.{key}") for key, item in value.items()}
    if origin is tuple:
        _require(isinstance(value, list), value, "a list", where)
        return tuple(decode(item, arguments[0], f"{where}[{i}]") for i, item in enumerate(value))
    return _decode_scalar(value, expected, where)


def _decode_scalar(value: Any, expected: Any, where: str) -> Any:
    if expected is float:
        if isinstance(value, str) and value in _NOT_FINITE:
            return _NOT_FINITE[value]
        fits = isinstance(value, (int, float)) and not isinstance(value, bool)
        _require(fits, value, "a number", where)
        try:
            return float(value)
        except OverflowError:
            raise FieldError(f"{where}: {_short(value)} is too large a number.") from None
    if expected is int:
        fits = isinstance(value, int) and not isinstance(value, bool)
        _require(fits, value, "a whole number", where)
        if not -LARGEST <= value <= LARGEST:
            raise FieldError(f"{where}: {_short(value)} is too large a number.")
        return value
    words = {str: "a text", bool: "true or false", types.NoneType: "null"}
    _require(isinstance(value, expected), value, words[expected], where)
    return value


def _decode_union(value: Any, members: tuple[Any, ...], where: str) -> Any:
    problems = []
    for member in members:
        try:
            return decode(value, member, where)
        except FieldError as problem:
            problems.append(str(problem).removeprefix(f"{where}: "))
    raise FieldError(f"{where}: {' Or: '.join(problems)}")


def _decode_dataclass(value: Any, expected: Any, where: str) -> Any:
    _require(isinstance(value, dict), value, "an object", where)
    hints = get_type_hints(expected)
    unknown = sorted(set(value) - set(hints))
    if unknown:
        raise FieldError(f"{where}: unknown field {unknown[0]!r}; known are {sorted(hints)}.")
    given = {}
    for entry in fields(expected):
        if entry.name in value:
            given[entry.name] = decode(value[entry.name], hints[entry.name], _join(where, entry))
        elif entry.default is MISSING and entry.default_factory is MISSING:
            raise FieldError(f"{_join(where, entry)}: is missing.")
    try:
        return expected(**given)
    except FieldError:
        raise
    except ValueError as problem:
        raise FieldError(f"{where}: {problem}") from problem


def _join(where: str, entry: Any) -> str:
    return f"{where}.{entry.name}"


def _require(fits: bool, value: Any, what: str, where: str) -> None:
    if not fits:
        raise FieldError(f"{where}: {_short(value)} must be {what}.")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SAID else f"{text[:SAID]}..."
