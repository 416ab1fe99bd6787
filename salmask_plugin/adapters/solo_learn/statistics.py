"""A training-mode forward that leaves no trace in BatchNorm's running statistics."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def frozen_running_statistics(*modules: nn.Module) -> Iterator[None]:
    """Normalise by the batch inside, but update no running statistics.

    A hard negative has lost its object; it must not become part of what the network is evaluated
    with.
    """
    layers = [
        layer
        for module in modules
        for layer in module.modules()
        if isinstance(layer, _BatchNorm) and layer.training and layer.track_running_stats
    ]
    for layer in layers:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True
