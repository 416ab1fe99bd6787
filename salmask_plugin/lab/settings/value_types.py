"""Whether a plain value fits a type annotation, and the annotation in words."""

from __future__ import annotations

import inspect
import os
import types
import typing
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union

from salmask_plugin.json_files import Kind
from salmask_plugin.lab.settings.groups import GROUPS
from salmask_plugin.lab.settings.nodes import PATH

ABSENT = object()
LARGEST = 2**63
"""Whole numbers are smaller: torch and NumPy hold no others, and no count comes near."""
_SCALARS = {int: "an integer", float: "a number", bool: "true or false", str: "a text"}


def fitted(value: Any, hint: Any) -> Any:
    """Return the value as the annotation takes it, or ``ABSENT`` if it does not.

    A text for a path has its ``~`` expanded. A class takes a node with a ``_target_``, and one of
    another package a text; annotations that say nothing, such as type variables, take everything.

    Raises:
        ValueError: for a path that is empty or begins with an unknown user.
    """
    if hint is Any:
        return value
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        if kind := _kind(hint):
            return value if kind.fits(value) else ABSENT
        return _path(value) if PATH in hint.__metadata__ else fitted(value, arguments[0])
    if origin in (Union, types.UnionType):
        return _first(value, arguments)
    if origin is Literal:
        same = [other for other in arguments if other == value and type(other) is type(value)]
        return value if same else ABSENT
    if hint is None or hint is types.NoneType:
        return value if value is None else ABSENT
    if hint in _SCALARS:
        return value if _is_scalar(value, hint) else ABSENT
    if hint is Path or hint is os.PathLike:
        return _path(value)
    if _is_sequence(hint):
        return _elements(value, origin or hint, arguments)
    if inspect.isclass(origin or hint) and hint is not object:
        return value if _is_node(value) or _is_name(value, origin or hint) else ABSENT
    return value


def _kind(hint: Any) -> Kind | None:
    """What an annotation asks of its value besides a type."""
    return next((mark for mark in hint.__metadata__ if isinstance(mark, Kind)), None)


def _is_node(value: Any) -> bool:
    return isinstance(value, dict) and "_target_" in value


def _is_name(value: Any, hint: type) -> bool:
    """Whether a text may stand for an object, as other packages take names of theirs."""
    return isinstance(value, str) and not hint.__module__.startswith("salmask_plugin")


def _first(value: Any, arguments: tuple[Any, ...]) -> Any:
    # A path before a text: both take a text, and the path expands it.
    ordered = sorted(arguments, key=lambda hint: hint is str)
    found = (fitted(value, hint) for hint in ordered)
    return next((entry for entry in found if entry is not ABSENT), ABSENT)


def is_too_large(value: Any) -> bool:
    """Whether a value is a whole number that nothing can hold."""
    return isinstance(value, int) and abs(value) >= LARGEST


def _is_scalar(value: Any, hint: Any) -> bool:
    if is_too_large(value):
        return False
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is hint


def _is_sequence(hint: Any) -> bool:
    origin = typing.get_origin(hint) or hint
    return (
        inspect.isclass(origin)
        and issubclass(origin, Collection)
        and origin not in (str, dict)
        and not hasattr(origin, "keys")
        and (issubclass(origin, tuple | list | set | frozenset) or origin in (Sequence, Collection))
    )


def _elements(value: Any, origin: Any, arguments: tuple[Any, ...]) -> Any:
    if not isinstance(value, list | tuple):
        return ABSENT
    fixed = issubclass(origin, tuple) and arguments and arguments[-1] is not ...
    if fixed and len(arguments) != len(value):
        return ABSENT
    inner = arguments if fixed else [*(arguments[:1] or (Any,))] * len(value)
    found = [fitted(entry, hint) for entry, hint in zip(value, inner, strict=True)]
    return ABSENT if any(entry is ABSENT for entry in found) else found


def _path(value: Any) -> Any:
    if not isinstance(value, str):
        return ABSENT
    if not value:
        raise ValueError("the path is empty.")
    if not value.startswith("~"):
        return value
    try:
        return str(Path(value).expanduser())
    except RuntimeError as error:
        raise ValueError(
            f"{value!r} begins with a user who is not known here; write ./{value} for a folder of "
            "that name."
        ) from error


def is_text(hint: Any) -> bool:
    """Whether a setting takes a text and nothing else but null."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        parts = [part for part in arguments if part is not types.NoneType]
        return bool(parts) and all(is_text(part) for part in parts)
    if origin is Annotated:
        return is_text(arguments[0])
    return hint in (str, Path)


def in_words(hint: Any) -> str:
    """Return what an annotation takes, in words."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        if kind := _kind(hint):
            return kind.words
        return "a path" if PATH in hint.__metadata__ else in_words(arguments[0])
    if origin in (Union, types.UnionType):
        return _union_in_words(arguments)
    if origin is Literal:
        return "one of " + ", ".join(str(entry) for entry in arguments)
    if hint is None or hint is types.NoneType:
        return "null"
    if hint in _SCALARS:
        return _SCALARS[hint]
    if hint is Path or hint is os.PathLike:
        return "a path"
    if _is_sequence(hint):
        return _list_in_words(origin or hint, arguments)
    if typing.is_typeddict(hint) or hint in GROUPS:
        return f"a mapping with {', '.join(typing.get_type_hints(hint))}"
    name = getattr(origin or hint, "__name__", str(hint))
    return "a mapping" if name in ("dict", "Mapping") else f"a node with a _target_ ({name})"


def _union_in_words(arguments: Sequence[Any]) -> str:
    """Choices in one list, plain values before lists and nodes, null at the end."""
    choices = [entry for part in arguments for entry in _choices(part)]
    words = [in_words(part) for part in arguments if not _choices(part)]
    if choices:
        listed = dict.fromkeys(str(entry) for entry in choices)
        words.append("one of " + ", ".join(listed))
    words.sort(key=lambda text: (text == "null", text.startswith("a list"), "_target_" in text))
    return " or ".join(dict.fromkeys(words))


def _choices(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if typing.get_origin(hint) is Literal else ()


def _list_in_words(origin: Any, arguments: tuple[Any, ...]) -> str:
    if issubclass(origin, tuple) and arguments and arguments[-1] is not ...:
        return f"a list [{', '.join(in_words(part) for part in arguments)}]"
    inner = [part for part in arguments if part is not ...]
    return f"a list, each {in_words(inner[0])}" if inner else "a list"
