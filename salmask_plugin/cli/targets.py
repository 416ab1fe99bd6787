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
    "salmask_plugin.encoders",
)
MODEL_LIBRARIES = ("torchvision.models", "timm.models")
"""Of these the registered builders of models alone: their modules hold loaders of files as well."""
FILE_KEYS = ("checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir")
"""Arguments of timm's builders that name a file, which older versions unpickle."""
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
    has a harmless prefix. An interpolation that is still there is refused as well: resolved when
    the object is built, it could make a ``_target_`` out of a text.

    Args:
        node: plain containers, every interpolation resolved.
        path: of the node in its configuration.
    """
    if isinstance(node, dict):
        if "_target_" in node:
            _check(node, path or "the top level")
        for key, value in node.items():
            _check_text(key, path)
            check_targets(value, f"{path}.{key}".lstrip("."))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            check_targets(value, f"{path}[{index}]")
    else:
        _check_text(node, path)


def _check_text(value: Any, path: str) -> None:
    if isinstance(value, str) and "${" in value:
        raise UserError(f"{value!r} at {path} is an interpolation inside a text: not allowed.")


def _check(node: dict[str, Any], path: str) -> None:
    name = str(node["_target_"])
    if name.split(".")[0] not in CLASS_ROOTS:
        raise _refusal(name, path)
    try:
        target = get_object(name)
    except Exception as error:
        raise UserError(f"_target_ {name!r} at {path} cannot be imported: {error}") from error
    if not _allowed(target):
        raise _refusal(name, path)
    if inspect.isfunction(target) and target.__module__.startswith("timm."):
        for key in FILE_KEYS:
            if key in node:
                raise UserError(f"{key} at {path} is not allowed: it names a file to be unpickled.")


def _allowed(target: Any) -> bool:
    module = getattr(target, "__module__", None) or ""
    if inspect.isclass(target):
        root = module.split(".")[0]
        if root not in CLASS_FAMILIES:
            return root in CLASS_ROOTS
        ancestors = {f"{base.__module__}.{base.__qualname__}" for base in target.__mro__}
        return any(family in ancestors for family in CLASS_FAMILIES[root])
    if not inspect.isfunction(target):
        return False
    return _below(module, FUNCTION_ROOTS) or (
        _below(module, MODEL_LIBRARIES) and _is_builder(target)
    )


def _below(module: str, roots: tuple[str, ...]) -> bool:
    return any(module == root or module.startswith(root + ".") for root in roots)


def _is_builder(target: Any) -> bool:
    """Whether a function of a model library is what its registry has under its name."""
    if target.__module__.startswith("timm."):
        import timm

        return timm.is_model(target.__name__) and (timm.model_entrypoint(target.__name__) is target)
    from torchvision import models

    return target.__name__ in models.list_models() and (
        models.get_model_builder(target.__name__) is target
    )


def _refusal(name: str, path: str) -> UserError:
    return UserError(
        f"_target_ {name!r} at {path} is not allowed: a configuration may build classes of "
        f"{', '.join(CLASS_ROOTS)}, factories of {', '.join(FUNCTION_ROOTS)} and models of "
        f"{', '.join(MODEL_LIBRARIES)}. "
        "For your own class in your own configuration add --trust."
    )
