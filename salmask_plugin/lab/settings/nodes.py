"""Nodes of a configuration, and what they build."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Node = dict[str, Any]
"""What is built: a ``_target_`` and its arguments; empty for nothing."""


def built_by(node: Mapping[str, Any] | None) -> str:
    """Return the name of the class or function that a node builds with, "" for none.

    The name alone, without its module: where it stands has changed and may change again.
    """
    return str((node or {}).get("_target_", "")).rpartition(".")[2]
