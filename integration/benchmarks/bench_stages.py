"""Where a step's time goes: augmentation, transfer, localizer, masks and fills, encoders, loss."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from bench_clock import take_turns
from bench_rows import ROWS, Setting, batch_with_maps, cache_of, masking_of, placements_of
from lightly.models.modules import MoCoProjectionHead
from lightly.models.utils import update_momentum
from lightly.transforms import MoCoV2Transform
from PIL import Image
from torch import Tensor

from salmask_plugin import step_generator
from salmask_plugin.adapters.lightly import HardNegativeNTXentLoss, resnet, split_batch_norm
from salmask_plugin.adapters.lightly.cached_maps import look_up
from salmask_plugin.running_statistics import frozen_running_statistics

LOCALIZERS = {
    "localizer: EfficientNet-Lite0": "mean, EfficientNet-Lite0",
    "localizer: ResNet-50": "mean, ResNet-50",
}
RECIPES = {
    "masks and fills: mean": "mean, cached",
    "masks and fills: blur": "blur, cached",
    "masks and fills: highpass": "highpass, cached",
}


def stages_of(
    setting: Setting, views: list[Tensor], device: str, dtype: torch.dtype
) -> dict[str, Callable[[], Any]]:
    """Return every stage of a MoCo v2 step as a call of its own, for one batch.

    "augmentation" and "maps from a cache" are work of the loader on one core, which its workers do
    beside the step.
    """
    return {
        **_before(setting, views, device),
        **_masking(setting, views, device, dtype),
        **_encoders(setting, views, device, dtype),
    }


def _before(setting: Setting, views: list[Tensor], device: str) -> dict[str, Callable[[], Any]]:
    draw = np.random.default_rng(0)
    side = setting.view + setting.view // 4
    image = Image.fromarray(draw.integers(0, 256, (side, side, 3), dtype=np.uint8))
    transform = MoCoV2Transform(input_size=setting.view)
    stages: dict[str, Callable[[], Any]] = {
        "augmentation": lambda: [transform(image) for _ in range(setting.batch)]
    }
    cache, indices, at = cache_of(setting), torch.arange(setting.batch), placements_of(setting)
    stages["maps from a cache"] = lambda: [look_up(cache, indices, at) for _ in views]
    if device == "cuda":
        pinned = [view.cpu().pin_memory() for view in views]
        stages["transfer"] = lambda: [view.to(device, non_blocking=True) for view in pinned]
    return stages


def _masking(
    setting: Setting, views: list[Tensor], device: str, dtype: torch.dtype
) -> dict[str, Callable[[], Any]]:
    both = torch.cat(views)
    halves = tuple(batch_with_maps(setting, views)[2])
    generator = step_generator(0, 0, 0, device)
    stages: dict[str, Callable[[], Any]] = {}

    def mixed(work: Callable[[], Any]) -> Callable[[], Any]:
        def run() -> None:
            with torch.autocast(device, dtype=dtype, enabled=dtype != torch.float32):
                work()

        return run

    for name, row in LOCALIZERS.items():
        masking = masking_of(ROWS[row], setting)
        assert masking is not None
        stages[name] = mixed(lambda localizer=masking.localizer: localizer(both))
    for name, row in RECIPES.items():
        masking = masking_of(ROWS[row], setting)
        assert masking is not None
        alone = replace(masking, negative=None)
        for label, made in ((name, masking), (f"{name}, no negatives", alone)):
            stages[label] = mixed(lambda made=made: made(*views, generator, halves))
    return stages


def _encoders(
    setting: Setting, views: list[Tensor], device: str, dtype: torch.dtype
) -> dict[str, Callable[[], Any]]:
    backbone, features = resnet(setting.backbone, stem=setting.stem)
    split_batch_norm(backbone, 32)
    network = torch.nn.Sequential(backbone, MoCoProjectionHead(features, features, 128)).to(device)
    if device == "cuda":
        network.to(memory_format=torch.channels_last)
    key_network = deepcopy(network).requires_grad_(False)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-4, momentum=0.9, weight_decay=1e-4)
    criterion = HardNegativeNTXentLoss(0.2, (65536, 128)).to(device)
    embedded = [torch.randn(setting.batch, 128, device=device) for _ in range(3)]
    enabled = dtype != torch.float32

    def query() -> None:
        network.zero_grad(set_to_none=True)
        with torch.autocast(device, dtype=dtype, enabled=enabled):
            out = network(views[0])
        out.float().square().sum().backward()

    def key() -> None:
        with torch.no_grad(), torch.autocast(device, dtype=dtype, enabled=enabled):
            key_network(views[1])

    def negatives() -> None:
        with frozen_running_statistics(key_network):
            key()

    def loss(hard: Tensor | None = None) -> None:
        criterion(embedded[0].clone().requires_grad_(), embedded[1], hard).backward()

    return {
        "query: forward and backward": query,
        "key: forward": key,
        "hard negatives: forward": negatives,
        "loss without hard negatives": loss,
        "loss": lambda: loss(embedded[2]),
        "momentum update": lambda: update_momentum(network, key_network, 0.999),
        "optimiser": optimizer.step,
    }


def time_stages(
    setting: Setting,
    views: list[Tensor],
    device: str,
    dtype: torch.dtype,
    *,
    rounds: int,
    until: float,
) -> dict[str, list[float]]:
    """Time the stages in turns: name -> one time per round."""
    stages = stages_of(setting, views, device, dtype)
    return take_turns(stages, device, rounds=rounds, warm_up=1, until=until)
