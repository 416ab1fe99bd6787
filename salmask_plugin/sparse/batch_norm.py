"""BatchNorm with the statistics of visible places alone."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from salmask_plugin.precision import in_float
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

    torch's own layer runs on maps with zeros in hidden places; its result is then moved to the
    statistics of the visible ones. With h hidden and n visible places, e = h / n, and mean m and
    variance v over all places, zeros included, these are

        mean (1 + e) m    and    variance v + e (v - (1 + e) m^2),

    so that every correction is a product with e: where nothing is hidden it is zero or one, and the
    result and its gradient are torch's own, bit for bit.

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
    grouped = len(input) != places.batch
    shown = input * places.in_groups(input) if grouped else places.shown(input)
    plain = functional.batch_norm(
        shown, running_mean, running_var, weight, bias, training, momentum, eps
    )
    if training:
        plain = _corrected(
            places, shown, plain, running_mean, running_var, weight, bias, momentum, eps
        )
    return plain * places.in_groups(input) if grouped else places.hide(plain)


def _corrected(
    places: VisiblePlaces,
    shown: Tensor,
    plain: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    momentum: float,
    eps: float,
) -> Tensor:
    hidden, visible = places.counts(shown)
    excess = hidden / visible.clamp(min=1)
    variance, mean = torch.var_mean(in_float(shown), dim=(0, 2, 3), correction=0)
    change = excess * (variance - (1 + excess) * mean.square())
    spread = variance + eps
    # (variance of visible places + eps) / spread, which rounding must not make negative.
    ratio = torch.maximum(1 + change / spread, (eps / spread).detach())
    scale = 1 / ratio.sqrt()
    shift = -scale * excess * mean / spread.sqrt()
    if weight is not None:
        shift = weight * shift
    if bias is not None:
        shift = shift + bias * (1 - scale)
    with torch.no_grad():
        # By .data, as torch's own update does not count as a change: a graph may have kept them,
        # though its backward reads the batch's statistics alone.
        if running_mean is not None:
            running_mean.data += momentum * excess * mean
        if running_var is not None:
            seen = (variance + change).clamp(min=0) * _unbiased(visible)
            running_var.data += momentum * (seen - variance * _unbiased(hidden + visible))
    corrected = torch.addcmul(
        shift[:, None, None], in_float(plain), scale[:, None, None].to(in_float(plain).dtype)
    )
    return corrected.to(plain.dtype)


def _unbiased(count: Tensor) -> Tensor:
    """The factor n / (n - 1) by which running variances are larger than the batch's."""
    return count / (count - 1).clamp(min=1)
