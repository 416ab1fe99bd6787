"""How BatchNorm sees the batches of a training, said once."""

from __future__ import annotations

from pytorch_lightning.utilities import rank_zero_info
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from salmask_plugin.adapters.lightly.batch_norm import GroupedBatchNorm, group_count


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
