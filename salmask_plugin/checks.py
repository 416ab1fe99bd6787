"""Settings that are numbers, words or yes and no: taken, or refused by the argument's name."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, get_args


def check_flag(value: object, argument: str) -> None:
    """Raise ValueError unless it is true or false: a word such as "no" would count as yes."""
    if value not in (True, False):
        raise ValueError(f"{argument}={value!r:.80} must be True or False.")


def check_choice(value: object, argument: str, allowed: Any) -> None:
    """Raise ValueError unless it is one of the words of a ``Literal``."""
    if not isinstance(value, str) or value not in get_args(allowed):
        raise ValueError(f"{argument}={value!r:.80} must be one of {get_args(allowed)}.")


def whole_number(value: Any, argument: str, *, at_least: int = 1) -> int:
    """Return a whole number as Python's own; NumPy's are taken, 2.0 and True are not.

    Raises:
        ValueError: if it is no whole number, or too small.
    """
    if not _is_whole(value):
        raise ValueError(f"{argument}={value!r:.80} must be a whole number, at least {at_least}.")
    if value < at_least:
        raise ValueError(f"{argument}={value} must be at least {at_least}.")
    return int(value)


def number(value: Any, argument: str, **bounds: float) -> float:
    """Return a finite number in its range: as it came, or as Python's own where it is NumPy's.

    Args:
        value: what was given.
        argument: its name.
        bounds: of ``above``, ``at_least``, ``below`` and ``at_most``.

    Raises:
        ValueError: if it is no number, not finite, or out of its range.
    """
    if not _in_range(value, bounds):
        kind = "" if _is_number(value) else "a number, "
        raise ValueError(f"{argument}={value!r:.80} must be {kind}{_range(bounds)}.")
    return value if type(value) in (int, float) else float(value)


def numbers(value: Any, argument: str, **bounds: float) -> tuple[float, ...]:
    """Return a list's numbers as a tuple of floats; ``bounds`` as for :func:`number`.

    Raises:
        ValueError: if it is no list, is empty, or one of its numbers is out of its range.
    """
    given = _listed(value)
    if not given or not all(_in_range(each, bounds) for each in given):
        raise ValueError(
            f"{argument}={value!r:.80} must be a list of numbers, each {_range(bounds)}."
        )
    return tuple(float(each) for each in given)


def whole_numbers(value: Any, argument: str, *, at_least: int = 1) -> tuple[int, ...]:
    """Return a list's whole numbers as a tuple of Python's own.

    Raises:
        ValueError: if it is no list, is empty, or one of them is no whole number, or too small.
    """
    given = _listed(value)
    if not given or not all(_is_whole(each) and each >= at_least for each in given):
        raise ValueError(
            f"{argument}={value!r:.80} must be a list of whole numbers, each at least {at_least}."
        )
    return tuple(int(each) for each in given)


def low_and_high(value: Any, argument: str, **bounds: float) -> tuple[float, float]:
    """Return the ends (low, high) of a draw as floats; ``bounds`` as for :func:`number`.

    Raises:
        ValueError: if these are not two numbers in range, the lower one first.
    """
    if _is_number(value):
        raise ValueError(
            f"{argument}={value} must be (low, high): one number is drawn between them for each "
            f"image. Always {value} is {argument}=({value}, {value})."
        )
    ends = _listed(value)
    if len(ends) != 2 or not all(_in_range(end, bounds) for end in ends) or ends[0] > ends[1]:
        raise ValueError(
            f"{argument}={value!r:.80} must be (low, high), two numbers with low <= high, each "
            f"{_range(bounds)}."
        )
    return float(ends[0]), float(ends[1])


def height_and_width(value: Any, argument: str) -> tuple[int, int]:
    """Return (height, width) as a tuple of Python's whole numbers.

    Raises:
        ValueError: if these are not two whole numbers, both at least 1.
    """
    sides = _listed(value)
    if len(sides) != 2 or not all(_is_whole(side) and side >= 1 for side in sides):
        raise ValueError(
            f"{argument}={value!r:.80} must be (height, width), whole numbers, both at least 1."
        )
    return int(sides[0]), int(sides[1])


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


_HOLDS = {
    "above": operator.gt,
    "at_least": operator.ge,
    "below": operator.lt,
    "at_most": operator.le,
}


def _is_finite(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float can hold
        return False


def _in_range(value: Any, bounds: Mapping[str, float]) -> bool:
    return (
        _is_number(value)
        and _is_finite(value)
        and all(_HOLDS[name](value, bound) for name, bound in bounds.items())
    )


def _range(bounds: Mapping[str, float]) -> str:
    """A range in words; one without an upper end says that infinity is not in it."""
    words = [f"{name.replace('_', ' ')} {bound:g}" for name, bound in bounds.items()]
    if not bounds.keys() & {"below", "at_most"}:
        words.append("finite")
    return " and ".join(words)


def _listed(value: Any) -> tuple[Any, ...]:
    """What a list holds; nothing where it is none, as a word or a single number."""
    try:
        return () if isinstance(value, str | Mapping) else tuple(value)
    except TypeError:
        return ()
