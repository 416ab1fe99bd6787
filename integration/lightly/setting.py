"""What all examples share: where images come from, and which network finds the object."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torchvision
from torch.utils.data import DataLoader

from salmask_plugin import SCDALocalizer, UniformLocalizer
from salmask_plugin.localizers.pretrained import efficientnet_lite0
from salmask_plugin.types import Localizer


@dataclass(frozen=True)
class Setting:
    """The command line of every example."""

    images: str | None
    localizer: str
    size: int
    batch_size: int
    epochs: int
    count: int
    workers: int


def setting(arguments: Sequence[str] | None = None) -> Setting:
    parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--images", help="a folder CLASS/*.jpg; without it random noise is used")
    parser.add_argument(
        "--localizer", choices=("efficientnet_lite0", "uniform"), default="efficientnet_lite0"
    )
    parser.add_argument("--size", type=int, default=32, help="side of the views in pixels")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--count", type=int, default=1024, help="images of random noise")
    parser.add_argument("--workers", type=int, default=2)
    return Setting(**vars(parser.parse_args(arguments)))


def load(chosen: Setting, transform: Callable[[Any], Any]) -> DataLoader[Any]:
    if chosen.images is None:
        shape = (3, chosen.size, chosen.size)
        dataset: Any = torchvision.datasets.FakeData(chosen.count, shape, 3, transform)
    else:
        dataset = torchvision.datasets.ImageFolder(chosen.images, transform)
    if len(dataset) < chosen.batch_size:
        few = f"{len(dataset)} images make no batch of {chosen.batch_size}"
        raise SystemExit(f"{few}: use a smaller --batch-size.")
    return DataLoader(
        dataset,
        batch_size=chosen.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=chosen.workers,
    )


def localize(chosen: Setting) -> Localizer:
    if chosen.localizer == "uniform":
        return UniformLocalizer()
    return SCDALocalizer(efficientnet_lite0(), input_size=128)
