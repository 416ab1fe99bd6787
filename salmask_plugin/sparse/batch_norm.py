"""BatchNorm with the statistics of visible places alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from salmask_plugin.sparse.places import VisiblePlaces


def visible_batch_norm(
    places: VisiblePlaces,
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """``torch.nn.functional.batch_norm`` of the visible places; hidden ones are zero.

    Args:
        places: of the batch.
        input: (B, C, h, w), or (B / G, G C, h, w) where a layer normalises G groups apart.
        running_mean: updated in place, with the visible places' mean.
        running_var: likewise.
        weight: of the layer.
        bias: of the layer.
        training: whether the batch's own statistics are used.
        momentum: of the running statistics.
        eps: of the layer.
    """
    visible = places.in_groups(input)
    whole = len(input) == places.batch
    shown = places.shown(input) if whole else input * visible
    if not training:
        plain = functional.batch_norm(
            shown, running_mean, running_var, weight, bias, False, momentum, eps
        )
        return plain * visible
    counts = places.counts(input)
    found: Tensor = _VisibleNorm.apply(
        shown, weight, bias, running_mean, running_var, visible, counts, momentum, eps
    )
    return places.mark(found) if whole else found


class _VisibleNorm(torch.autograd.Function):
    """torch's own layer, moved to the statistics of visible places.

    It runs on maps with zeros in hidden places. With h hidden and n visible ones, e = h / n, and
    mean m and variance v over all of them, zeros included, the visible ones have

        mean (1 + e) m    and    variance v + e (v - (1 + e) m^2).

    The gradient of torch's layer has sums over all h + n places divided by h + n, which must be n:
    (1 + e) times that gradient, less e times its first term; the layer's weight takes the factor.
    So every correction is a product with e: where nothing is hidden, the result and its gradient
    are torch's, bit for bit.
    """

    @staticmethod
    def forward(
        ctx: Any,
        shown: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        visible: Tensor,
        counts: tuple[Tensor, Tensor],
        momentum: float,
        eps: float,
    ) -> Tensor:
        plain, mean, inverse, reserve, kind = torch._batch_norm_impl_index(
            shown,
            weight,
            bias,
            running_mean,
            running_var,
            True,
            momentum,
            eps,
            torch.backends.cudnn.enabled,
        )
        hidden, seen = (count.to(mean.dtype) for count in counts)
        excess = hidden / seen.clamp(min=1)
        spread = inverse.square().reciprocal()  # variance + eps
        variance = (spread - eps).clamp(min=0)
        change = excess * (variance - (1 + excess) * mean.square())
        # (variance of visible places + eps) / spread, which rounding must not make negative.
        scale = 1 / torch.maximum(1 + change / spread, eps / spread).sqrt()
        shift = -scale * excess * mean * inverse
        shift = shift if weight is None else shift * weight
        shift = shift if bias is None else shift + bias * (1 - scale)
        # By .data: as torch's own update, it is no change to graphs that have kept the buffers.
        if running_mean is not None:
            running_mean.data += momentum * excess * mean
        if running_var is not None:
            own = (variance + change).clamp(min=0) * _unbiased(seen)
            running_var.data += momentum * (own - variance * _unbiased(hidden + seen))
        ctx.save_for_backward(
            shown, weight, visible, mean + excess * mean, inverse * scale, excess, reserve
        )
        ctx.kind, ctx.eps = kind, eps
        return _by_channel(plain, scale, shift).mul_(visible)

    @staticmethod
    @once_differentiable  # what it keeps does not depend on the input for a second derivative
    def backward(ctx: Any, *gradients: Any) -> Any:
        shown, weight, visible, mean, inverse, excess, reserve = ctx.saved_tensors
        gradient = gradients[0] * visible
        needed = [ctx.needs_input_grad[index] for index in range(3)]
        factor = (1 + excess).expand_as(mean)
        images, of_weight, of_bias = torch.ops.aten._batch_norm_impl_index_backward(
            ctx.kind,
            shown,
            gradient,
            factor if weight is None else factor * weight,
            None,
            None,
            mean,
            inverse,
            True,
            ctx.eps,
            needed,
            reserve,
        )
        if needed[0]:
            first = excess * inverse if weight is None else excess * inverse * weight
            images = images.addcmul_(gradient, first[:, None, None].to(images.dtype), value=-1)
        return images, of_weight, of_bias, None, None, None, None, None, None


def _by_channel(maps: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Return ``maps * scale + shift`` in one pass: a BatchNorm whose mean is 0 and variance 1."""
    nothing, one = torch.zeros_like(scale), torch.ones_like(scale)
    return functional.batch_norm(maps, nothing, one, scale, shift, False, 0.0, 0.0)


def _unbiased(count: Tensor) -> Tensor:
    """The factor n / (n - 1) by which running variances are larger than the batch's."""
    return count / (count - 1).clamp(min=1)
