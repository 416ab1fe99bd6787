"""What people type as ``key=value`` -> what Hydra's grammar reads, as they mean it."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType, Quote, QuotedString
from hydra.errors import HydraException

from salmask_plugin.lab.errors import UserError

_KEY = re.compile(r"(?P<sign>~|\+{0,2})(?P<key>[\w./$-]+)(?P<package>@[\w./:$-]+)?", re.ASCII)


@dataclass(frozen=True)
class Typed:
    """One setting as it was typed.

    Attributes:
        key: dotted, or the group.
        value: as typed; None for a deletion without one.
        is_choice: whether it chooses a group's file.
        hydra: the override that Hydra reads.
    """

    key: str
    value: str | None
    is_choice: bool
    hydra: str


def read_typed(
    texts: Sequence[str], is_group: Callable[[str], bool], as_text: Collection[str] = ()
) -> list[Typed]:
    """Read ``key=value`` and its relatives with ``+``, ``++`` and ``~``.

    A value that Hydra's grammar cannot read, or would take for several, is a text: paths hold
    ``~ = , (`` and every script. A key may be new: which keys there are is judged afterwards, with
    or without a ``+``.

    Args:
        texts: as typed.
        is_group: whether a name is that of a configuration group.
        as_text: keys whose value is a text whatever it looks like, "2024".

    Raises:
        UserError: for what is no setting at all.
    """
    parser = OverridesParser.create()
    return [_read(text, parser, is_group, as_text) for text in texts]


def _read(
    text: str, parser: OverridesParser, is_group: Callable[[str], bool], as_text: Collection[str]
) -> Typed:
    typed, separator, value = text.partition("=")
    found = _KEY.fullmatch(typed)
    if found is None or not (separator or found["sign"] == "~"):
        raise UserError(f"'{text}' is not a setting; settings are key=value.")
    key, package = found["key"], found["package"]
    if key.split(".")[0].split("/")[0] == "hydra":
        raise UserError(f"'{text}' is a setting of Hydra's, which nothing reads here.")
    choice = package is not None or is_group(key)
    if not separator:
        return Typed(key, None, choice, text)
    if choice and value == "null":
        raise UserError(f"'{text}' chooses nothing; name one of the choices of {key}.")
    if choice and "," in value and not value.startswith("["):
        raise UserError(
            f"'{text}' names several choices; `salmask compare` runs them side by side, see "
            "compare.only=[none,mean] and compare.rows."
        )
    given = _readable(value, parser, is_text=key in as_text)
    # Whether a key exists is judged once everything is composed: Hydra would ask for a `+`.
    is_value = not choice or given.lstrip().startswith("{")
    sign = "++" if is_value and found["sign"] != "~" else found["sign"]
    return Typed(key, value, not is_value, f"{sign}{key}{package or ''}={given}")


def _readable(value: str, parser: OverridesParser, *, is_text: bool) -> str:
    if is_text:
        return quoted(value)
    if _parsed(value, parser) is not None:
        return value
    stripped = value.strip()
    if stripped.startswith("[") and stripped.endswith("]"):
        # A list whose elements need quotes: paths again.
        parts = [part.strip() for part in stripped[1:-1].split(",")]
        given = ",".join(
            part if _parsed(part, parser) is not None else quoted(part) for part in parts
        )
        if _parsed(f"[{given}]", parser) is not None:
            return f"[{given}]"
    return quoted(value)


def _parsed(value: str, parser: OverridesParser) -> Override | None:
    """The value as Hydra reads it, or None if it cannot or takes it for several."""
    try:
        found = parser.parse_override(f"x={value}")
    except HydraException:
        return None
    return None if found.is_sweep_override() or found.type is not OverrideType.CHANGE else found


def quoted(value: str) -> str:
    """Return a text as Hydra's grammar reads it."""
    return QuotedString(value, Quote.single).with_quotes()


def parse_value(typed: Typed) -> Any:
    """Return the value of a setting that is no choice, as plain containers and scalars."""
    return OverridesParser.create().parse_override(typed.hydra).value()
