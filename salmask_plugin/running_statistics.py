"""A training-mode forward that leaves no trace in running statistics."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase


@contextmanager
def frozen_running_statistics(*modules: nn.Module) -> Iterator[None]:
    """Normalise by the batch, as the mode says, but update no running statistics inside.

    A hard negative has lost its object: what it looks like must not become part of the statistics
    that the network is evaluated with. BatchNorm and InstanceNorm keep no statistics inside; in
    other layers whose buffers are called ``running_...``, the values are put back.
    """
    training = [layer for module in modules for layer in module.modules() if layer.training]
    layers = [
        layer for layer in training if isinstance(layer, _NormBase) and layer.track_running_stats
    ]
    others = [
        (buffer, buffer.clone())
        for layer in training
        if not isinstance(layer, _NormBase)
        for name, buffer in layer.named_buffers(recurse=False)
        if name.startswith("running_")
    ]
    kept = [(layer.running_mean, layer.running_var) for layer in layers]
    try:
        for layer in layers:
            # Both are needed: lightly's layer ignores the flag, torch's counts batches with it.
            layer.track_running_stats = False
            layer.running_mean = layer.running_var = None
        yield
    finally:
        for layer, (mean, variance) in zip(layers, kept, strict=True):
            layer.track_running_stats = True
            layer.running_mean, layer.running_var = mean, variance
        with torch.no_grad():
            for buffer, before in others:
                buffer.copy_(before)
