"""From a node to its object; what a node makes a library raise is a mistake in the settings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, overload

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import OmegaConf
from pytorch_lightning.utilities.exceptions import MisconfigurationException  # type: ignore[attr-defined]
from torch import nn

from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.settings.checks import judge_node

SPEAKING = (UserError, ValueError, OSError, ImportError, MisconfigurationException)
"""Errors that say what is wrong themselves."""
LONGEST = 400
"""Characters of another library's error."""
T = TypeVar("T")


@overload
def build(node: dict[str, Any], /, **arguments: Any) -> Any: ...


@overload
def build(node: dict[str, Any], kind: type[T], /, **arguments: Any) -> T: ...


def build(node: dict[str, Any], kind: type[Any] = object, /, **arguments: Any) -> Any:
    """Build the object that a configuration node describes.

    Args:
        node: with a ``_target_``; its targets are allowed.
        kind: of the object: a target that is allowed elsewhere may build another one.
        arguments: added as they are.

    Raises:
        UserError: if it is no node, sets one of ``arguments``, which would be lost, or builds an
            object of another kind; naming the argument, if the constructor takes no such, or of
            another type; with the error's words for whatever else it raises.
    """
    # A text would be read as YAML, and a node come out of it that nobody has checked.
    if not isinstance(node, dict) or "_target_" not in node:
        raise UserError(f"{node!r:.200} must be a node with a _target_, which says what is built.")
    for key in sorted(arguments.keys() & node.keys()):
        raise UserError(
            f"{key}={node[key]!r} of {node['_target_']} would be lost: the command sets it."
        )
    for fault in judge_node(node):
        raise UserError(f"{node['_target_']}: {fault.message}")
    # As a partial: merged into the node, arguments that are dataclasses would become
    # configuration themselves.
    with as_mistakes(f"{node['_target_']} cannot be built"):
        factory = instantiate(OmegaConf.create(node), _convert_="all", _partial_=True)
        found = factory(**arguments)
    if not isinstance(found, kind):
        raise UserError(
            f"{node['_target_']} builds an object of type {type(found).__name__}; in its place one "
            f"of type {kind.__name__} is needed."
        )
    return found


@contextmanager
def as_mistakes(what: str) -> Iterator[None]:
    """Turn whatever settings make libraries raise into a mistake in the settings.

    Ours raise a ValueError that names the argument. Others get values that nobody has foreseen:
    the settings may come from anyone, and torch says TypeError, KeyError or RuntimeError.

    Args:
        what: cannot be done, for errors that do not speak of the settings.

    Raises:
        UserError: with the message of the error.
    """
    try:
        yield
    except Exception as raised:
        nested = isinstance(raised, InstantiationException) and raised.__cause__
        error = nested if isinstance(nested, Exception) else raised
        if isinstance(error, SPEAKING) and error is raised:
            raise
        if isinstance(error, SPEAKING):
            raise UserError(str(error)) from raised
        words = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"{what}: {words:.{LONGEST}}") from raised


@torch.no_grad()
def check_takes_views(network: nn.Module, size: int) -> None:
    """Try one blank view: a network halves it until nothing may be left.

    Args:
        network: in eval mode, which a forward leaves as it is.
        size: side of the views in pixels.

    Raises:
        UserError: if the network cannot take it.
    """
    first = next((part for part in network.modules() if isinstance(part, nn.Conv2d)), None)
    channels = 3 if first is None else first.in_channels
    device = next(network.parameters()).device
    with as_mistakes(f"the encoder cannot take views of {size} px (view_size)"):
        network(torch.zeros(1, channels, size, size, device=device))
