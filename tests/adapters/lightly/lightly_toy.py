"""Small views, networks and trainers that the tests of this folder share."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from pytorch_lightning import Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from salmask_plugin import GridMask, HighPassFilter, Masking, MeanFill, SaliencyMasking
from salmask_plugin.types import Images, Saliency

QUERY = Masking(GridMask(), MeanFill())
NEGATIVE = Masking(GridMask(ratio=(0.4, 0.7), background=False), MeanFill())


def corner_localizer(images: Images) -> Saliency:
    """Brightness of a 4 x 4 grid, plus a ramp so that no map is constant."""
    maps = nn.functional.adaptive_avg_pool2d(images.float().mean(1), (4, 4))
    return maps + torch.arange(16, device=images.device).view(4, 4)


def masking(**changes: Any) -> SaliencyMasking:
    """The mean recipe with hard negatives on a cheap localizer."""
    settings: dict[str, Any] = {"query": QUERY, "negative": NEGATIVE} | changes
    return SaliencyMasking(settings.pop("localizer", corner_localizer), **settings)


high_pass = partial(HighPassFilter, kernel_size=5, sigma=2.0)


class Pairs(Dataset[Any]):
    """Two fixed random views per index, of a class each."""

    def __init__(self, count: int = 24, height: int = 16, width: int = 12) -> None:
        self.shape = (count, 3, height, width)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int) -> tuple[list[Tensor], int]:
        generator = torch.Generator().manual_seed(index)
        views = torch.randn((2, *self.shape[1:]), generator=generator)
        return [views[0], views[1]], index % 3


def loader(count: int = 24, batch_size: int = 8, **options: Any) -> DataLoader[Any]:
    """Shuffled batches of pairs."""
    return DataLoader(Pairs(count), batch_size=batch_size, shuffle=True, drop_last=True, **options)


def network(normalised: bool = True) -> nn.Module:
    """Conv, BatchNorm, pool: (B, 3, H, W) -> (B, 10)."""
    norm = nn.BatchNorm2d(6) if normalised else nn.Identity()
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2),
        norm,
        nn.ReLU(),
        nn.Conv2d(6, 10, 3, padding=1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )


def trainer(epochs: int = 1, **options: Any) -> Trainer:
    """A silent CPU trainer."""
    settings: dict[str, Any] = {
        "max_epochs": epochs,
        "accelerator": "cpu",
        "devices": 1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return Trainer(**(settings | options))
