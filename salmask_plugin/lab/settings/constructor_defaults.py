"""What a node of ours leaves out, as its constructor has it: so settings say all that is built."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from salmask_plugin.lab.settings.reserved_arguments import METHOD

PACKAGE = "salmask_plugin"
NOT_SAID = frozenset(METHOD) | {"query_index"}
"""Arguments that a command gives, and one that no run's settings have unless it is typed."""


def left_out(
    node: Mapping[str, Any],
    target: Any,
    parameters: Mapping[str, inspect.Parameter],
    set_by_us: Mapping[str, str],
) -> dict[str, Any]:
    """Return the arguments that a node does not name, with their defaults as plain containers.

    Only of classes and functions of this package: other libraries' arguments keep their own
    defaults. A partial node's are given later, and a default that is no plain value stays out.

    Args:
        node: with a ``_target_``.
        target: what it names.
        parameters: of the target.
        set_by_us: further arguments that a command gives, and why.
    """
    ours = str(getattr(target, "__module__", "")).split(".")[0] == PACKAGE
    if not ours or node.get("_partial_"):
        return {}
    said = node.keys() | NOT_SAID | set_by_us.keys()
    return {
        name: _plain(parameter.default)
        for name, parameter in parameters.items()
        if name not in said and _is_plain(parameter.default)
    }


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return all(map(_is_plain, value))
    return value is None or type(value) in (bool, int, float, str)


def _plain(value: Any) -> Any:
    return [_plain(entry) for entry in value] if isinstance(value, tuple | list) else value
