"""Refuse weights that do not belong to a backbone, where solo-learn would load what fits."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from torch import Tensor, nn

from salmask_plugin.adapters.solo_learn.backbone import KERNEL, highpass_hook


def guard_checkpoints(name: str, factory: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    """Return ``factory`` whose networks check each state dict before they load it.

    solo-learn loads with ``strict=False``: a high-pass checkpoint in a plain backbone, the reverse,
    or a checkpoint of which nothing fits would be evaluated without a word. Networks, parameters
    and random numbers are those of ``factory``.

    The factory is told solo-learn's own name of the method: its ViTs are built differently for
    "mocov3", and ``salmask_mocov3`` needs the same one.
    """
    if getattr(factory, "salmask_guard", False):
        return factory

    @wraps(factory)
    def build(method: Any = None, *args: Any, **kwargs: Any) -> nn.Module:
        plain = method.removeprefix("salmask_") if isinstance(method, str) else method
        network = factory(plain, *args, **kwargs)
        network.register_load_state_dict_pre_hook(_Guard(name))  # type: ignore[no-untyped-call]
        return network

    build.salmask_guard = True  # type: ignore[attr-defined]
    return build


class _Guard:
    """Load-state-dict pre-hook; a class, so that networks can be pickled."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, module: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
        hook = highpass_hook(module)
        kernel = state.get(prefix + KERNEL)
        if kernel is not None and hook is None:
            raise ValueError(
                f"The checkpoint was pretrained behind a high-pass filter, but backbone.name="
                f"{self.name} has none: its features would mean nothing. Use backbone.name="
                f"{self.name}_highpass."
            )
        if kernel is None and hook is not None:
            raise ValueError(
                f"The checkpoint was pretrained without a high-pass filter, but backbone.name="
                f"{self.name} filters its input: its features would mean nothing. Use "
                f"backbone.name={self.name.removesuffix('_highpass')}."
            )
        self._check_names(module, state, prefix)
        if kernel is not None and hook is not None:
            hook.set(kernel)

    def _check_names(self, module: nn.Module, state: dict[str, Tensor], prefix: str) -> None:
        # Only ResNets: a ViT's head and norms legitimately differ between methods.
        if not self.name.startswith("resnet"):
            return
        own = [name for name, _ in module.named_parameters()]
        own += [name for name, _ in module.named_buffers() if "num_batches" not in name]
        missing = [name for name in own if prefix + name not in state]
        if missing:
            raise ValueError(
                f"The checkpoint lacks {len(missing)} of the {len(own)} tensors of backbone.name="
                f"{self.name} ({', '.join(missing[:3])}, ...): it belongs to another backbone."
            )
