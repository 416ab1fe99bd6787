"""What the masks of every recipe cost, as shares of a training step measured in one run.

    python integration/benchmarks/recipe_cost.py --rounds 7

Masks and fills of one step, saliency given, over a step of the host's MoCo v2 on the same views:
one thread, processor seconds, in turn. What encoders pay (hard negatives, places that are not seen)
and what a localizer pays stand in other tables.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from bench_clock import take_turns
from bench_rows import MASKS_ONLY, Row, Setting, batch_with_maps, masking_of, step_of
from torch import Tensor

from salmask_plugin import step_generator

RECIPES: dict[str, tuple[str, ...]] = {
    "`random`": ("masking=random",),
    "`random`, one block": ("masking=random", "sampler@masking.query.sampler=block"),
    "`random`, another image": ("masking=random", "fill@masking.query.fill=other_image"),
    "`random`, mixture of fills": ("masking=random", "fill@masking.query.fill=mixture"),
    "`mean`, masks only": ("masking=mean", MASKS_ONLY),
    "`sparse`": ("masking=sparse",),
    "`other_image`": ("masking=other_image",),
    "`background_mean`": ("masking=background_mean",),
    "`background_noise`": ("masking=background_noise",),
    "`background_swap`": ("masking=background_swap",),
    "`erasing`": ("masking=erasing",),
    "`blur`, masks only": ("masking=blur", MASKS_ONLY),
    "`highpass`, masks only": ("masking=highpass", MASKS_ONLY),
    "`mscn`": ("masking=mscn",),
    "`nonsemantic`": ("masking=nonsemantic",),
}
"""Name -> overrides; a cache's maps wherever a recipe asks for saliency."""
SETTINGS = (
    Setting("resnet50", "standard", 224, 4, 224, ()),
    Setting("small", "", 48, 64, 48, ()),
)


def works_of(setting: Setting) -> dict[str, Callable[[], Any]]:
    """Return the baseline's step and the masks of every recipe, each as a call of its own."""
    draw = torch.Generator().manual_seed(0)
    shape = (2, setting.batch, 3, setting.view, setting.view)
    views: list[Tensor] = list(torch.randn(shape, generator=draw))
    maps = tuple(batch_with_maps(setting, views)[2])
    works: dict[str, Callable[[], Any]] = {
        "step": step_of(Row(), setting, views, "cpu", torch.float32)
    }
    for name, overrides in RECIPES.items():
        masking = masking_of(Row(overrides=("localizer=uniform", *overrides)), setting)
        assert masking is not None
        generator = step_generator(0, 0, 0)

        def mask(masking: Any = masking, generator: torch.Generator = generator) -> None:
            masking(*views, generator, maps)

        works[name] = mask
    return works


def table(setting: Setting, *, rounds: int, minutes: float) -> list[str]:
    """Return a line for each recipe: per cent of the baseline's step, lowest and highest."""
    until = time.monotonic() + 60 * minutes
    times = take_turns(works_of(setting), "cpu", rounds=rounds, warm_up=1, until=until)
    step = times.pop("step")
    lines = []
    for name, own in times.items():
        shares = sorted(100 * mask / whole for mask, whole in zip(own, step, strict=True))
        spread = f"{median(shares):.1f} % ({shares[0]:.1f} to {shares[-1]:.1f})"
        lines.append(f"| {name} | {spread} |")
    return lines


def main() -> None:
    """Print a table for each setting."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--minutes", type=float, default=4, help="bound for each setting")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    for setting in SETTINGS:
        print(f"{setting}, torch {torch.__version__}", flush=True)
        for line in table(setting, rounds=options.rounds, minutes=options.minutes):
            print(line, flush=True)


if __name__ == "__main__":
    main()
