"""A forward of an encoder in which hidden places do not exist."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils import checkpoint

from salmask_plugin.filters import HighPassFilter
from salmask_plugin.sparse.layers import HANDLERS, OF_IMAGES, OF_ONE_PLACE
from salmask_plugin.sparse.places import VisiblePlaces
from salmask_plugin.sparse.rules import call
from salmask_plugin.types import PixelMask

_INSIDE = ContextVar("inside visible_only", default=False)


@contextmanager
def visible_only(encoder: nn.Module, hidden: PixelMask | None) -> Iterator[None]:
    """Inside, ``encoder(images)`` does not see the masked places of its images.

    Convolutions read and write zeros there, at every resolution; BatchNorm takes its statistics,
    the running ones too, from visible places; pooling pools these. So the features, and their
    gradient, are the same whatever the images show in hidden places. Parameters, buffers and their
    names stay as they are, and outside nothing is left behind. With nothing hidden the result is
    the plain encoder's, bit for bit.

    Works for ConvNets of convolutions, BatchNorm, pooling and functions of one place, as are
    torchvision's and timm's. Any other function of torch on a map that is not pooled is refused,
    whatever it does, unless it is known to keep places apart; so is activation checkpointing by
    ``torch.utils.checkpoint``. Not noticed is what torch does not tell: compiled or scripted code,
    an ``autograd.Function`` or an extension that mixes places by itself, values taken out of torch,
    a checkpointing of another library. A place of a smaller map is hidden where all its pixels are.
    No value is read back from the device, and autocast and any memory format stay.

    Args:
        encoder: the network that will be called inside, or the one that contains it.
        hidden: (B, 1, H, W) bool of the images that it gets, True = not seen
            (``MaskedViews.query_unseen``); None does nothing.

    Raises:
        ValueError: if the mask is drawn per channel, if the encoder is compiled, filters its input,
            or normalises across processes, if one is inside another, and inside, if it is called
            on images of another number or size than the mask's, mixes places by another function,
            or checkpoints its activations.

    References:
        The idea, for masked image modelling: Tian et al., SparK, ICLR 2023,
        https://arxiv.org/abs/2301.03580. Theirs hides whole cells of the last map; here any cells.
    """
    if hidden is None:
        yield
        return
    if hidden.ndim != 4 or hidden.shape[1] != 1 or hidden.dtype != torch.bool:
        raise ValueError(
            f"hidden is {hidden.dtype} {tuple(hidden.shape)}; places that are not seen must be "
            "bool (B, 1, H, W): masks drawn per channel hide no place."
        )
    _check(encoder)
    if _INSIDE.get():
        raise ValueError(
            "visible_only is inside another: join the masks, hidden_here | hidden_there, and "
            "enter it once."
        )
    token = _INSIDE.set(True)
    try:
        with _VisibleOnly(VisiblePlaces(hidden)):
            yield
    finally:
        _INSIDE.reset(token)


class _VisibleOnly(TorchFunctionMode):
    def __init__(self, places: VisiblePlaces) -> None:
        super().__init__()
        self._places = places
        self._trains, self._checkpoints = torch.is_grad_enabled(), _checkpoints()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        named = dict(kwargs or {})
        handler = HANDLERS.get(func)
        if handler is None:
            return call(self._places, func, args, named)
        maps, rest = (args[0], args[1:]) if args else (named.pop("input", None), ())
        if func in OF_IMAGES and self._places.axes(maps) is None:
            self._places.check_images(maps)
        if not self._is_map(maps):
            return call(self._places, func, args, kwargs or {})
        if func not in OF_ONE_PLACE and self._trains and _checkpoints() > self._checkpoints:
            raise ValueError(
                "the encoder checkpoints its activations, and what is computed again in the "
                "backward pass would see hidden places: the fill 'not seen' needs them kept "
                "(grad_checkpointing=False; in timm, encoder.set_grad_checkpointing(False))."
            )
        return handler(self._places, func, maps, *rest, **named)

    def _is_map(self, maps: Any) -> bool:
        """Maps of the batch, also in groups as BatchNorm's; nothing else."""
        if not isinstance(maps, Tensor) or maps.ndim != 4 or isinstance(maps, nn.Parameter):
            return False
        return self._places.batch % max(1, len(maps)) == 0


def _checkpoints() -> int:
    """Return how many calls of torch's activation checkpointing this one is inside of."""
    count, frame = 0, sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        count += frame.f_code.co_filename == checkpoint.__file__
    return count


def _check(encoder: nn.Module) -> None:
    """Raise ValueError for what the functions inside a forward would not tell."""
    several = torch.distributed.is_available() and torch.distributed.is_initialized()
    several = several and torch.distributed.get_world_size() > 1
    for part in encoder.modules():
        if getattr(part, "_compiled_call_impl", None) is not None or hasattr(part, "_orig_mod"):
            raise ValueError(
                "the encoder is compiled, and compiled code does not notice the fill 'not seen': "
                "leave the encoder as it is, or use another fill."
            )
        if isinstance(part, HighPassFilter):
            raise ValueError(
                "the encoder filters its own input, which would mix hidden places with visible "
                "ones: filter first (SaliencyMasking(view_filter=...)), then mask."
            )
        if isinstance(part, nn.SyncBatchNorm) and several and part.training:
            raise ValueError(
                "SyncBatchNorm takes its statistics from all places of all processes: the fill "
                "'not seen' needs BatchNorm of each process (sync_batchnorm=false)."
            )
