"""BatchNorm on one device, in groups as if on several."""

from __future__ import annotations

import sys
from copy import deepcopy
from typing import Any

from lightly.models.batchnorm import SplitBatchNorm
from pytorch_lightning.utilities import rank_zero_info
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm


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
        if group_size is not None and group_size < 2:
            raise ValueError(f"group_size={group_size} must be at least 2, or None.")
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


def describe_groups(
    batch_size: int,
    group_size: int | None,
    *,
    devices: int,
    layers: int,
    whole: int = 0,
    synchronised: bool = False,
) -> str:
    """Say in words how a training batch of ``batch_size`` per device is normalised.

    Args:
        batch_size: images per device.
        group_size: images per group, or None.
        devices: that train.
        layers: of BatchNorm, all of them.
        whole: those of a kind that is not split.
        synchronised: whether they normalise the images of all devices together.
    """
    if layers == 0:
        return "BatchNorm: the backbone has none."
    if devices > 1 and synchronised:
        return f"BatchNorm: {devices} devices normalise {devices * batch_size} images together."
    if devices > 1:
        return f"BatchNorm: each of {devices} devices normalises its own {batch_size} images."
    groups = group_count(batch_size, group_size)
    if groups > 1 and whole == layers:
        return (
            f"BatchNorm: NOT split, {batch_size} images are normalised together, since none of the "
            f"{layers} layers is of a kind that can be split."
        )
    if groups > 1:
        some = f" {whole} of {layers} layers are of another kind and NOT split." if whole else ""
        return f"BatchNorm: split into {groups} groups of {group_size} images, keys shuffled.{some}"
    if group_size is None or batch_size == group_size:
        return f"BatchNorm: not split, {batch_size} images are normalised together."
    return (
        f"BatchNorm: NOT split, {batch_size} images are normalised together, since the batch is no "
        f"multiple of split_batch_size={group_size}."
    )


class GroupsNotice:
    """Says how BatchNorm sees the batches, once, when the first comes.

    Args:
        group_size: images per group, or None.
    """

    def __init__(self, group_size: int | None) -> None:
        self._group_size = group_size
        self._said = False

    def __call__(self, batch_size: int, backbone: nn.Module, *, devices: int) -> None:
        """Say it unless it was said."""
        if self._said:
            return
        self._said = True
        layers = [part for part in backbone.modules() if isinstance(part, _BatchNorm)]
        rank_zero_info(
            describe_groups(
                batch_size,
                self._group_size,
                devices=devices,
                layers=len(layers),
                whole=sum(not isinstance(layer, GroupedBatchNorm) for layer in layers),
                synchronised=all(isinstance(layer, nn.SyncBatchNorm) for layer in layers),
            )
        )


def leave_whole(module: nn.Module) -> None:
    """Normalise batches as a whole: several devices split them already."""
    for part in module.modules():
        if isinstance(part, GroupedBatchNorm):
            part.group_size = None


def split_batch_norm(module: nn.Module, group_size: int | None) -> None:
    """Replace every BatchNorm2d below ``module`` by a :class:`GroupedBatchNorm`, in place.

    So is timm's ``BatchNormAct2d``. Layers of other kinds, without weights or without running
    statistics stay as they are, which :class:`GroupsNotice` says. Parameters and buffers are taken
    over, not copied, so a handle on ``module`` stays the network that is trained, with the same
    ``state_dict`` keys and shapes.

    Raises:
        ValueError: if a layer has no momentum (a cumulative average), which lightly's lacks.
    """
    for name, child in module.named_children():
        timms = type(child) is _timms_norm()
        if (
            not isinstance(child, nn.BatchNorm2d)
            or not (timms or type(child) is nn.BatchNorm2d)
            or not (child.affine and child.track_running_stats)
        ):
            split_batch_norm(child, group_size)
            continue
        if child.momentum is None:
            raise ValueError(f"BatchNorm {name!r} has momentum=None; a number is needed to split.")
        grouped = (
            GroupedBatchNormAct(child, group_size)
            if timms
            else GroupedBatchNorm(child.num_features, group_size, child.eps, child.momentum)
        )
        grouped.weight, grouped.bias = child.weight, child.bias
        for buffer in ("running_mean", "running_var", "num_batches_tracked"):
            setattr(grouped, buffer, getattr(child, buffer))
        grouped.training = child.training
        setattr(module, name, grouped)


def _timms_norm() -> type | None:
    """Return timm's layer where timm is loaded: it is no requirement here."""
    return getattr(sys.modules.get("timm.layers"), "BatchNormAct2d", None)


def plain_batch_norm(module: nn.Module) -> nn.Module:
    """Return a copy of ``module`` with its first kinds in place of :class:`GroupedBatchNorm`.

    For exports of whole modules; a ``state_dict`` needs no conversion.
    """
    copy = deepcopy(module)
    for parent in list(copy.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, GroupedBatchNorm):
                settings = child.num_features, child.eps, child.momentum
                if isinstance(child, GroupedBatchNormAct):
                    plain = child.kind(*settings)
                    plain.drop, plain.act = child.drop, child.act
                else:
                    plain = nn.BatchNorm2d(*settings)
                plain = plain.to(child.weight.device, child.weight.dtype)
                plain.load_state_dict(child.state_dict())
                setattr(parent, name, plain.train(child.training))
    return copy
