"""Which `_target_`s a configuration may build: a `_target_` is code execution."""

from __future__ import annotations

import inspect
from typing import Any

from hydra.utils import get_object

from salmask_plugin.cli.errors import UserError

CLASS_ROOTS = ("torch", "torchvision", "timm", "lightly", "pytorch_lightning", "salmask_plugin")
FUNCTION_ROOTS = (
    "salmask_plugin.data",
    "salmask_plugin.localizers.cached",
    "salmask_plugin.localizers.pretrained",
    "salmask_plugin.adapters.lightly",
    "torchvision.models",
    "timm.models",
)
CLASS_FAMILIES = {
    "torch": ("torch.nn.modules.module.Module", "torch.optim.optimizer.Optimizer"),
    "torchvision": ("torch.nn.modules.module.Module",),
    "timm": ("torch.nn.modules.module.Module", "torch.optim.optimizer.Optimizer"),
    "pytorch_lightning": (
        "pytorch_lightning.trainer.trainer.Trainer",
        "pytorch_lightning.callbacks.callback.Callback",
        "pytorch_lightning.loggers.logger.Logger",
        "pytorch_lightning.strategies.strategy.Strategy",
    ),
}
"""Where only some classes are harmless: these and their subclasses."""


def check_targets(node: Any, path: str = "") -> None:
    """Raise UserError for the first ``_target_`` in ``node`` that is not on the list.

    The resolved object is judged, not its dotted name: ``lightly.loss.ntx_ent_loss.torch.load``
    has a harmless prefix.
    """
    if isinstance(node, dict):
        if "_target_" in node:
            _check(str(node["_target_"]), path or "the top level")
        for key, value in node.items():
            check_targets(value, f"{path}.{key}".lstrip("."))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            check_targets(value, f"{path}[{index}]")


def _check(name: str, path: str) -> None:
    if name.split(".")[0] not in CLASS_ROOTS:
        raise _refusal(name, path)
    try:
        target = get_object(name)
    except Exception as error:
        raise UserError(f"_target_ {name!r} at {path} cannot be imported: {error}") from error
    if not _allowed(target):
        raise _refusal(name, path)


def _allowed(target: Any) -> bool:
    module = getattr(target, "__module__", None) or ""
    if inspect.isclass(target):
        root = module.split(".")[0]
        if root not in CLASS_FAMILIES:
            return root in CLASS_ROOTS
        ancestors = {f"{base.__module__}.{base.__qualname__}" for base in target.__mro__}
        return any(family in ancestors for family in CLASS_FAMILIES[root])
    listed = any(module == root or module.startswith(root + ".") for root in FUNCTION_ROOTS)
    return inspect.isfunction(target) and listed


def _refusal(name: str, path: str) -> UserError:
    return UserError(
        f"_target_ {name!r} at {path} is not allowed: a configuration may build classes of "
        f"{', '.join(CLASS_ROOTS)} and factories of {', '.join(FUNCTION_ROOTS)}. "
        "For your own class in your own configuration add --trust."
    )
