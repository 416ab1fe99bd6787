"""BatchNorm on one device, in groups as if on several."""

from __future__ import annotations

import sys
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from lightly.models.batchnorm import SplitBatchNorm
from torch import Tensor, nn
from torch.nn import functional

from salmask_plugin.checks import whole_number


class GroupedBatchNorm(SplitBatchNorm):
    """lightly's SplitBatchNorm with a group size instead of a group count.

    In training each group of ``group_size`` images is normalised by its own statistics, as on
    devices that hold that many each. A batch that is no multiple of ``group_size`` is normalised as
    a whole. The running statistics are the mean over the groups after every step; lightly averages
    them when it enters evaluation, which is the same number. So the state is that of
    ``nn.BatchNorm2d``, whatever the batch, and an exported backbone loads anywhere.

    Args:
        num_features: C.
        group_size: images per group, at least 2; None normalises the whole batch.
        eps: as in ``nn.BatchNorm2d``.
        momentum: as in ``nn.BatchNorm2d``, but not None.

    References:
        MoCo's shuffled BatchNorm, https://arxiv.org/abs/1911.05722, section 3.3.
    """

    running_mean: Tensor | None
    running_var: Tensor | None

    def __init__(
        self,
        num_features: int,
        group_size: int | None = 32,
        eps: float = 1e-5,
        momentum: float = 0.1,
    ) -> None:
        if group_size is not None:
            group_size = whole_number(group_size, "group_size", at_least=2)
        super().__init__(num_features, num_splits=1, eps=eps, momentum=momentum)
        self.group_size = group_size

    def train(self, mode: bool = True) -> GroupedBatchNorm:
        """Set the mode. There is nothing to average: the statistics are never kept per group."""
        nn.Module.train(self, mode)
        return self

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (B, C, H, W)."""
        groups = group_count(len(input), self.group_size) if self.training else 1
        if groups == 1:
            # The same numbers as lightly's layer, whose repeated weights and reshaped batch cost a
            # ResNet-50's step a tenth on a CPU. Any memory format stays as it is.
            return functional.batch_norm(
                input,
                self.running_mean,
                self.running_var,
                self.weight,
                self.bias,
                training=self.training or not self.track_running_stats,
                momentum=self.momentum or 0.0,
                eps=self.eps,
            )
        kept = self.running_mean, self.running_var
        split = [None if whole is None else whole.repeat(groups) for whole in kept]
        self.num_splits = groups
        self.running_mean, self.running_var = split
        try:
            output: Tensor = super().forward(input.contiguous())
        finally:
            self.num_splits = 1
            self.running_mean, self.running_var = kept
        for whole, parts in zip(kept, split, strict=True):
            if whole is not None and parts is not None:
                whole.copy_(parts.view(groups, -1).mean(0))
        return output


class GroupedBatchNormAct(GroupedBatchNorm):
    """:class:`GroupedBatchNorm` followed by what timm's ``BatchNormAct2d`` does after its own.

    Args:
        norm: the layer whose ``drop`` and ``act`` are taken over, under their names.
        group_size: as in :class:`GroupedBatchNorm`.
    """

    def __init__(self, norm: Any, group_size: int | None = 32) -> None:
        super().__init__(norm.num_features, group_size, norm.eps, norm.momentum)
        self.kind = type(norm)
        self.drop = norm.drop
        self.act = norm.act

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (B, C, H, W), then drop and activate."""
        output: Tensor = self.act(self.drop(super().forward(input)))
        return output


def group_count(batch_size: int, group_size: int | None) -> int:
    """Return how many groups a batch is split into; 1 if it cannot be."""
    if group_size is None or batch_size % group_size:
        return 1
    return batch_size // group_size


def leave_whole(module: nn.Module) -> None:
    """Normalise batches as a whole: several devices split them already."""
    for part in module.modules():
        if isinstance(part, GroupedBatchNorm):
            part.group_size = None


def split_batch_norm(module: nn.Module, group_size: int | None) -> None:
    """Replace every BatchNorm2d below ``module`` by a :class:`GroupedBatchNorm`, in place.

    So is timm's ``BatchNormAct2d``. Layers of other kinds, without weights or without running
    statistics stay as they are, which a notice says when training begins. Parameters and buffers
    are taken over, not copied, so a handle on ``module`` stays the network that is trained, with
    the same ``state_dict`` keys and shapes.

    Raises:
        ValueError: if a layer has no momentum (a cumulative average), which lightly's lacks.
    """
    _replace_layers(module, lambda layer: _grouped(layer, group_size))


def _grouped(layer: nn.Module, group_size: int | None) -> GroupedBatchNorm | None:
    """The layer in groups, on the same parameters and buffers; None for another kind."""
    timms = type(layer) is _timms_norm()
    if (
        not isinstance(layer, nn.BatchNorm2d)
        or not (timms or type(layer) is nn.BatchNorm2d)
        or not (layer.affine and layer.track_running_stats)
    ):
        return None
    if layer.momentum is None:
        raise ValueError("BatchNorm has momentum=None; a number is needed to split it.")
    grouped = (
        GroupedBatchNormAct(layer, group_size)
        if timms
        else GroupedBatchNorm(layer.num_features, group_size, layer.eps, layer.momentum)
    )
    grouped.weight, grouped.bias = layer.weight, layer.bias
    for buffer in ("running_mean", "running_var", "num_batches_tracked"):
        setattr(grouped, buffer, getattr(layer, buffer))
    grouped.training = layer.training
    return grouped


def _replace_layers(
    module: nn.Module, replacement: Callable[[nn.Module], nn.Module | None]
) -> None:
    """Put replacements in the place of layers below a module: of a shared one the same everywhere.

    Args:
        module: whose layers are replaced, in place.
        replacement: layer -> what comes in its place, or None to leave it.
    """
    made: dict[nn.Module, nn.Module | None] = {}
    for parent in list(module.modules()):
        # Not named_children(), which names a layer once that has two names.
        for name, child in parent._modules.items():
            if child is None:
                continue
            if child not in made:
                made[child] = replacement(child)
            if (new := made[child]) is not None:
                setattr(parent, name, new)


def _timms_norm() -> type | None:
    """Return timm's layer where timm is loaded: it is no requirement here."""
    return getattr(sys.modules.get("timm.layers"), "BatchNormAct2d", None)


def plain_batch_norm(module: nn.Module) -> nn.Module:
    """Return a copy of ``module`` with its first kinds in place of :class:`GroupedBatchNorm`.

    For exports of whole modules; a ``state_dict`` needs no conversion.
    """
    copy = nn.ModuleDict({"whole": deepcopy(module)})
    _replace_layers(copy, _plain)
    return copy["whole"]


def _plain(layer: nn.Module) -> nn.Module | None:
    """A layer of groups as its first kind; None for another kind."""
    if not isinstance(layer, GroupedBatchNorm):
        return None
    settings = layer.num_features, layer.eps, layer.momentum
    if isinstance(layer, GroupedBatchNormAct):
        plain: nn.Module = layer.kind(*settings)
        plain.drop, plain.act = layer.drop, layer.act
    else:
        plain = nn.BatchNorm2d(*settings)
    plain = plain.to(layer.weight.device, layer.weight.dtype)
    plain.load_state_dict(layer.state_dict())
    return plain.train(layer.training)
