"""Nodes of a configuration, what they build, and other types that say more than Python's do."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Annotated, Any

from salmask_plugin.json_files import COUNT, SEED

PATH = "path"
"""Mark of a text that is a path: ``~`` at its beginning is the user's folder."""
TARGET = "target"
"""Mark of a node that is built: a mapping with a ``_target_``, or an empty one for nothing."""
NO_FOLDER = "root may be null"
"""Mark of a data set whose folder may still be missing; its command says so."""

PathText = Annotated[str, PATH]
Seed = Annotated[int, SEED]
Side = Annotated[int, COUNT]
"""In pixels."""
Node = Annotated[dict[str, Any], TARGET]
"""What is built: a ``_target_`` and its arguments; empty for nothing."""
DataNode = Annotated[dict[str, Any], TARGET, NO_FOLDER]


def built_by(node: Mapping[str, Any] | None) -> str:
    """Return the name of the class or function that a node builds with, "" for none.

    The name alone, without its module: where it stands has changed and may change again.
    """
    return str((node or {}).get("_target_", "")).rpartition(".")[2]


def target_of(node: Mapping[str, Any]) -> Any:
    """Return what a node with a ``_target_`` calls, or None where that cannot be imported."""
    path, *parts = str(node["_target_"]).split(".")
    try:  # not by Hydra, which logs what it does not find
        found: Any = import_module(path)
        for part in parts:
            path = f"{path}.{part}"
            found = getattr(found, part) if hasattr(found, part) else import_module(path)
    except Exception:  # whatever an import raises: building the node says what it is
        return None
    return found
