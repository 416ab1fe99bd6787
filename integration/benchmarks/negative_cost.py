"""What a step costs with less of its hard negatives, as ratios measured in one run.

    python integration/benchmarks/negative_cost.py --rounds 7

Steps of the real modules with the small encoder. Counted are forwards of the batch (a backward
counts two) and multiplications of convolutions and matrices, which no other program disturbs; timed
in turn are processor seconds of one thread, float32. A form is measured over two steps, so that
"every second" is paid once.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from functools import partial

import torch
from bench_clock import ratios, take_turns
from bench_rows import MASKS_ONLY, Row, Setting, step_of
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from salmask_plugin import NegativeEncoding

RECIPE = ("masking=mean", "localizer=uniform")
CHOICE = "negative_encoding@method.negative_encoding="
FORMS: dict[str, tuple[tuple[str, ...], float]] = {
    "none": ((*RECIPE, MASKS_ONLY), 0.0),
    "all of them (the paper)": (RECIPE, NegativeEncoding().passes),
    "half side": ((*RECIPE, f"{CHOICE}half_side"), NegativeEncoding(side=0.5).passes),
    "every second step": ((*RECIPE, f"{CHOICE}every_second"), NegativeEncoding(every=2).passes),
    "half of the batch": ((*RECIPE, f"{CHOICE}half_batch"), NegativeEncoding(share=0.5).passes),
}
"""Name -> overrides, and forwards of the batch."""
PASSES = {"simclr": 6, "mocov2": 4}
"""Forwards of a step without hard negatives, a backward counted as two."""


def twice(step: Callable[[], None]) -> None:
    """Two steps: one with hard negatives and one without, where they come every second."""
    step()
    step()


def flops(work: Callable[[], None]) -> int:
    """Floating-point operations of convolutions and matrix products."""
    with FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops())


def table(method: str, setting: Setting, *, rounds: int, minutes: float) -> list[str]:
    """Return a line for each form: passes, work and time over the step without hard negatives."""
    generator = torch.Generator().manual_seed(0)
    shape = (2, setting.batch, 3, setting.view, setting.view)
    views: list[Tensor] = list(torch.randn(shape, generator=generator))
    works = {
        name: partial(twice, step_of(Row(method, given), setting, views, "cpu", torch.float32))
        for name, (given, _) in FORMS.items()
    }
    work = {name: flops(step) for name, step in works.items()}
    until = time.monotonic() + 60 * minutes
    times = take_turns(works, "cpu", rounds=rounds, warm_up=1, until=until)
    lines = []
    for name, (_, passes) in FORMS.items():
        found = ratios(times, name, "none")
        counted = 1 + passes / PASSES[method]
        spread = f"{found['median']:.3f} ({found['low']:.2f} to {found['high']:.2f})"
        share = work[name] / work["none"]
        lines.append(f"| {method} | {name} | {counted:.3f} | {share:.3f} | {spread} |")
    return lines


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--view", type=int, default=32, help="side of the views in pixels")
    parser.add_argument("--minutes", type=float, default=5, help="bound for each method")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    setting = Setting("small", "", options.view, options.batch, options.view, ())
    for method in PASSES:
        for line in table(method, setting, rounds=options.rounds, minutes=options.minutes):
            print(line, flush=True)


if __name__ == "__main__":
    main()
