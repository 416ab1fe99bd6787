"""BatchNorm's running statistics anew, from clean images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from salmask_plugin.adapters.lightly.evaluation.batches import images_of
from salmask_plugin.adapters.lightly.evaluation.features import device_of
from salmask_plugin.module_modes import kept_modes


@torch.no_grad()
def reestimate_batch_norm(model: nn.Module, loader: Iterable[Sequence[Any]]) -> int:
    """Replace the running statistics that ``model(images)`` uses, in place.

    Where every query is masked, a backbone's running statistics have seen masked images alone, and
    evaluation on clean ones then differs from the baseline's by more than the weights. Each layer
    gets the plain mean over the batches of what it would have averaged exponentially. Parameters,
    modes and layers that the forward does not reach stay as they are.

    Args:
        model: images -> features.
        loader: batches (images, ...), clean and shuffled: images of one class in a batch have too
            small a variance. A batch smaller than the first, such as the last, is left out, since
            all batches weigh the same.

    Returns:
        The number of batches used; 0 where the model has no BatchNorm.

    Raises:
        ValueError: if the loader gives no batch.

    References:
        As ``torch.optim.swa_utils.update_bn``, which needs layers that take ``momentum=None``.
    """
    layers = [
        layer
        for layer in model.modules()
        if isinstance(layer, _BatchNorm) and layer.track_running_stats
    ]
    if not layers:
        return 0
    used, size = 0, 0
    device = device_of(model)
    with _training(model), _momentum_kept(layers):
        for batch in loader:
            images = images_of(batch)
            size = size or len(images)
            if len(images) < size:
                continue
            used += 1
            for layer in layers:
                # Share 1/n of the n-th batch: the mean over batches; the first replaces the old.
                layer.momentum = 1 / used
            model(images.to(device))
    if not used:
        raise ValueError("the loader gave no batch to re-estimate BatchNorm's statistics from.")
    return used


@contextmanager
def _training(model: nn.Module) -> Iterator[None]:
    """Put every submodule in training mode, and each back in its own afterwards."""
    with kept_modes(model):
        model.train()
        yield


@contextmanager
def _momentum_kept(layers: Sequence[_BatchNorm]) -> Iterator[None]:
    kept = [layer.momentum for layer in layers]
    try:
        yield
    finally:
        for layer, momentum in zip(layers, kept, strict=True):
            layer.momentum = momentum
