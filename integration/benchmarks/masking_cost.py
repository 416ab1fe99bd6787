"""What masking costs, as ratios measured in one run.

    python integration/benchmarks/masking_cost.py

Both sides of a ratio are timed in turn, round by round, so that whatever else the machine does
falls on both. Saliency is given: the localizer's forward is a cost of its own, and depends on it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch

from salmask_plugin import (
    BlurFill,
    FocalMask,
    GridMask,
    HighPassFilter,
    Masking,
    MaskMixture,
    MeanFill,
    NoiseFill,
    SaliencyMasking,
    UniformLocalizer,
)

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))
from oracles.grid import grid_mask_per_image

QUERY, NEGATIVE = (0.05, 0.25), (0.4, 0.7)


@dataclass(frozen=True)
class Ratio:
    """Seconds of ``numerator`` over seconds of ``denominator``, once per round."""

    name: str
    rounds: tuple[float, ...]
    target: str
    scale: float = 1.0
    unit: str = "x"

    @property
    def typical(self) -> float:
        return self.scale * median(self.rounds)

    def __str__(self) -> str:
        low, high = self.scale * min(self.rounds), self.scale * max(self.rounds)
        number = f"{self.typical:8.2f} {self.unit}  ({low:.2f} to {high:.2f})"
        return f"{self.name:<58}{number:<34} target {self.target}"


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def interleave(
    numerator: Callable[[], object], denominator: Callable[[], object], rounds: int
) -> tuple[float, ...]:
    """Ratios of the two, timed alternately after one warm-up of each."""
    numerator(), denominator()
    return tuple(seconds(numerator) / seconds(denominator) for _ in range(rounds))


def recipes() -> dict[str, SaliencyMasking]:
    """The three recipes of the paper, without a localizer's cost."""

    def mixture(ratio: tuple[float, float], background: bool, focal: FocalMask) -> MaskMixture:
        cells = (GridMask(ratio, background, per_channel=each) for each in (False, True))
        return MaskMixture((focal, *cells), (0.20, 0.24, 0.56))

    def plain(fill: MeanFill | BlurFill) -> SaliencyMasking:
        return SaliencyMasking(
            UniformLocalizer(),
            query=Masking(GridMask(QUERY), fill),
            negative=Masking(GridMask(NEGATIVE, background=False), fill),
        )

    return {
        "mean": plain(MeanFill()),
        "blur": plain(BlurFill()),
        "high-pass": SaliencyMasking(
            UniformLocalizer(),
            query=Masking(mixture(QUERY, True, FocalMask()), NoiseFill(0.18)),
            negative=Masking(
                mixture(NEGATIVE, False, FocalMask(130 / 224, inside=True)), NoiseFill(0.14)
            ),
            view_filter=HighPassFilter(),
        ),
    }


def sampling_over_loop(batch: int, rounds: int) -> Ratio:
    """(a) The per-image loop over vectorised sampling of the same masks: larger is better."""
    saliency, generator = torch.rand(batch, 7, 7), torch.Generator().manual_seed(0)
    sampler = GridMask(QUERY)
    ratios = interleave(
        lambda: grid_mask_per_image(saliency, QUERY, True, generator),
        lambda: sampler(saliency, generator),
        rounds,
    )
    return Ratio("per-image torch loop / vectorised sampling", ratios, ">= 10")


def mean_fill_over_copy(batch: int, size: int, rounds: int) -> Ratio:
    """(b) Mask and mean fill in copies of the batch."""
    images, saliency = torch.randn(batch, 3, size, size), torch.rand(batch, 7, 7)
    generator = torch.Generator().manual_seed(0)
    masking = Masking(GridMask(QUERY), MeanFill())
    ratios = interleave(
        lambda: masking(images, saliency, generator), lambda: images.clone(), rounds
    )
    return Ratio("mask and mean fill / copy of the batch", ratios, "<= 4", unit="copies")


def step_over_training(batch: int, size: int, rounds: int) -> list[Ratio]:
    """(c) All masking of a step against a ResNet-50 training step at batch 8, both per image."""
    from torchvision.models import resnet50

    views = torch.randn(2, batch, 3, size, size)
    saliency = tuple(torch.rand(2, batch, 7, 7))
    network = resnet50(weights=None)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)

    def train() -> None:
        optimizer.zero_grad()
        network(views[0, :8]).square().mean().backward()
        optimizer.step()

    results = []
    for name, masking in recipes().items():
        generator = torch.Generator().manual_seed(0)

        def mask(masking: SaliencyMasking = masking, draw: torch.Generator = generator) -> None:
            masking(*views, draw, saliency=saliency)

        ratios = tuple(8 / batch * ratio for ratio in interleave(mask, train, rounds))
        label = f"{name}: masking of a step / ResNet-50 training step"
        results.append(Ratio(label, ratios, "<= 4 %", scale=100, unit="%"))
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=128, help="views per batch (default 128)")
    parser.add_argument("--size", type=int, default=224, help="side of a view in px (default 224)")
    parser.add_argument("--rounds", type=int, default=7, help="interleaved rounds (default 7)")
    arguments = parser.parse_args()
    batch, size, rounds = arguments.batch, arguments.size, arguments.rounds
    print(
        f"{batch} views of {size} px, {torch.get_num_threads()} CPU threads, "
        f"torch {torch.__version__}; median of {rounds} interleaved rounds (lowest to highest)"
    )
    print(sampling_over_loop(batch, rounds))
    print(mean_fill_over_copy(batch, size, rounds))
    for ratio in step_over_training(batch, size, rounds):
        print(ratio)


if __name__ == "__main__":
    main()
