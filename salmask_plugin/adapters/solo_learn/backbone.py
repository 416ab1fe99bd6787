"""ResNets that carry the high-pass filter: the one hook solo-learn's three programs share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from salmask_plugin.filters import HighPassFilter, check_kernel

KERNEL = "highpass_kernel"
"""Name of the buffer: (taps per axis, sigma in pixels), float32. Part of every checkpoint."""
HIGHPASS = "_highpass"
CIFAR = "_cifar"

Factory = Callable[..., nn.Module]


class HighPassHook:
    """Forward pre-hook that filters what goes into its backbone.

    Its own kernel is a Python pair, so that no forward waits for a copy from the device; the buffer
    beside it is what checkpoints keep.
    """

    def __init__(self, kernel: Tensor) -> None:
        self.bypassed = False
        self.set(kernel)

    def set(self, kernel: Tensor) -> None:
        """Take the filter of a kernel buffer."""
        taps, sigma = (float(value) for value in kernel.tolist())
        self.filter = HighPassFilter(kernel_size=int(taps), sigma=sigma)

    def __call__(self, module: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """Filter the images, the first argument."""
        if self.bypassed:
            return None
        return (self.filter(arguments[0]), *arguments[1:])


def highpass_factories(backbones: Mapping[str, Factory]) -> dict[str, Factory]:
    """Return the factories we add, by name.

    ``resnet18_highpass`` and ``resnet50_highpass`` filter their input. ``..._cifar`` have the
    small-image stem that solo-learn gives ResNets on CIFAR only, for custom folders; both combine
    to ``..._cifar_highpass``. All names begin with "resnet", by which solo-learn knows a ResNet.
    """
    factories: dict[str, Factory] = {}
    for name in ("resnet18", "resnet50"):
        small = _with_small_stem(backbones[name])
        factories[name + CIFAR] = small
        factories[name + HIGHPASS] = _with_filter(backbones[name])
        factories[name + CIFAR + HIGHPASS] = _with_filter(small)
    return factories


def is_highpass(name: str) -> bool:
    """Whether a backbone of this name filters its input."""
    return name.endswith(HIGHPASS)


def highpass_hook(backbone: nn.Module) -> HighPassHook | None:
    """Return the backbone's own filter hook, or None for a plain backbone."""
    hook = getattr(backbone, "highpass", None)
    return hook if isinstance(hook, HighPassHook) else None


def filtered(backbone: nn.Module, images: Tensor) -> Tensor:
    """Return the images as the backbone's first layer sees them."""
    hook = highpass_hook(backbone)
    return images if hook is None else hook.filter(images)


@contextmanager
def already_filtered(backbone: nn.Module) -> Iterator[None]:
    """Inside, the backbone takes images that :func:`filtered` has seen; it does not filter twice.

    Masks belong behind the filter: noise in a masked place would be filtered otherwise.
    """
    hook = highpass_hook(backbone)
    if hook is None:
        yield
        return
    hook.bypassed = True
    try:
        yield
    finally:
        hook.bypassed = False


def _with_filter(plain: Factory) -> Factory:
    def build(
        method: Any = None,
        *args: Any,
        highpass_kernel_size: int = 11,
        highpass_sigma: float = 5.0,
        **kwargs: Any,
    ) -> nn.Module:
        check_kernel(highpass_kernel_size, highpass_sigma)
        backbone = plain(method, *args, **kwargs)
        kernel = torch.tensor([highpass_kernel_size, highpass_sigma], dtype=torch.float32)
        backbone.register_buffer(KERNEL, kernel)
        hook = HighPassHook(kernel)
        backbone.highpass = hook  # type: ignore[assignment]
        backbone.register_forward_pre_hook(hook)
        return backbone

    return build


def _with_small_stem(plain: Factory) -> Factory:
    def build(method: Any = None, *args: Any, **kwargs: Any) -> nn.Module:
        backbone = plain(method, *args, **kwargs)
        # As solo-learn builds it for data.dataset=cifar10, padding of 2 included.
        backbone.conv1 = nn.Conv2d(3, 64, kernel_size=3, stride=1, padding=2, bias=False)
        backbone.maxpool = nn.Identity()
        return backbone

    return build
