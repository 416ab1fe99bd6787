"""Dataclasses to plain JSON values and, by pydantic, strictly back: errors name the field."""

from __future__ import annotations

import math
import numbers
import types
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import PurePath
from typing import Annotated, Any, TypeAlias, get_args, get_origin, get_type_hints

from pydantic import BeforeValidator, ConfigDict, Field, Strict, TypeAdapter, ValidationError

# JSON has no words for these; a diverged loss must survive the file.
_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}

LARGEST = 2**63 - 1
"""What a whole number of a record may be: any program reads it."""
SAID = 80
"""Signs of a wrong value that an error repeats."""


class FieldError(ValueError):
    """A value of a record is missing, unknown or of the wrong kind."""


def _from_word(value: Any) -> Any:
    return _NOT_FINITE.get(value, value) if isinstance(value, str) else value


# What the fields of a record are declared as. JSON's objects and lists become what is annotated;
# nothing else is converted: "1" is no number, and true is none either.
Flag: TypeAlias = Annotated[bool, Strict()]
Whole: TypeAlias = Annotated[int, Field(strict=True, ge=-LARGEST, le=LARGEST)]
Number: TypeAlias = Annotated[float, Strict(), BeforeValidator(_from_word)]
Text: TypeAlias = Annotated[str, Strict()]
Scalar: TypeAlias = Annotated[
    Flag | Whole | Number | Text | None, Field(union_mode="left_to_right")
]
"""A plain setting, as YAML and JSON know it."""

_WORDS = {
    "bool_type": "true or false",
    "int_type": "a whole number",
    "float_type": "a number",
    "string_type": "a text",
    "dict_type": "an object",
    "dataclass_type": "an object",
    "tuple_type": "a list",
    "literal_error": "one of {expected}",
}
"""What pydantic's errors say is allowed."""
_UNKNOWN = ("unexpected_keyword_argument", "string_unicode")  # the second: a name of no UTF-8


def encode(value: Any, where: str = "record") -> Any:
    """Return ``value`` as JSON knows it: dict, list, str, int, float, bool or None.

    Numbers that are not finite become the strings "NaN", "Infinity" and "-Infinity". (pydantic's
    own way out does not say which field has no plain form.)

    Raises:
        FieldError: if a value has no plain form.
    """
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        number = float(value)
        words = (word for word, other in _NOT_FINITE.items() if str(other) == str(number))
        return next(words, number)
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


def decode(value: Any, expected: Any, where: str = "record") -> Any:
    """Return ``value``, of plain containers, as the annotated type ``expected``.

    Raises:
        FieldError: if the value does not fit, a field is missing or a field is unknown.
    """
    try:
        return _adapter(expected).validate_python((value,))[0]
    except ValidationError as problem:
        raise FieldError(_sentence(problem, value, expected, where)) from problem


@cache
def _adapter(expected: Any) -> TypeAdapter[Any]:
    # Within a tuple: a dataclass alone takes no configuration.
    rules = ConfigDict(extra="forbid", coerce_numbers_to_str=True)  # a key 15 of YAML is "15"
    return TypeAdapter(tuple[expected], config=rules)


def _sentence(problem: ValidationError, value: Any, expected: Any, where: str) -> str:
    """Say the first thing that is wrong; an unknown field is often what a missing one is called."""
    errors = problem.errors(include_url=False)
    first = min(errors, key=lambda error: error["type"] not in _UNKNOWN)
    kind, path = first["type"], first["loc"][1:]
    if kind in _UNKNOWN:
        name, path = (path[-1], path[:-1]) if kind == _UNKNOWN[0] else (first["input"], path)
        known = sorted(get_type_hints(_annotation(expected, path)))
        return f"{_place(where, path)}: unknown field {name!r}; known are {known}."
    if kind in ("missing", "missing_argument"):
        return f"{_place(where, path)}: is missing."
    path = _inside(value, path)
    place, said = _place(where, path), _short(first["input"])
    if kind == "value_error":
        return f"{place}: {first['ctx']['error']}"
    huge = isinstance(first["input"], int) and not -LARGEST <= first["input"] <= LARGEST
    if huge and kind in ("less_than_equal", "greater_than_equal", "float_type"):
        return f"{place}: {said} is too large a number."
    # Of a union each member has its own error, at the same place.
    allowed = [
        _WORDS.get(error["type"], error["msg"]).format(**error.get("ctx", {}))
        for error in errors
        if _inside(value, error["loc"][1:]) == path
    ]
    allowed += ["null"] if types.NoneType in get_args(_annotation(expected, path)) else []
    return f"{place}: {said} must be {', or '.join(dict.fromkeys(allowed))}."


def _inside(value: Any, path: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """The part of an error's path that leads through the value; the rest names types."""
    for length, part in enumerate(path):
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return path[:length]
    return path


def _annotation(expected: Any, path: tuple[int | str, ...]) -> Any:
    """What is expected at a place of the value."""
    for part in path:
        if is_dataclass(expected):
            expected = get_type_hints(expected)[str(part)]
        else:  # Mapping[str, x] or tuple[x, ...]
            expected = get_args(expected)[0 if get_origin(expected) is tuple else 1]
    return expected


def _place(where: str, path: tuple[int | str, ...]) -> str:
    return where + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SAID else f"{text[:SAID]}..."
