"""``salmask plan``: what a run will cost, from a few timed steps, before it starts."""

from __future__ import annotations

import math
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import pytorch_lightning as pl
import torch

from salmask_plugin.lab.durations import in_words
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.runs.build import PretrainData, build_parts
from salmask_plugin.lab.runs.expected_warnings import expected_warnings
from salmask_plugin.lab.runs.launcher import check_world
from salmask_plugin.lab.runs.node import build
from salmask_plugin.lab.runs.progress import check_length
from salmask_plugin.lab.runs.refusals import check_trainer, refused_in_words
from salmask_plugin.lab.settings.allowed_targets import Trust
from salmask_plugin.lab.settings.compose import compose_settings
from salmask_plugin.lab.settings.shorthand import check_data_is_named
from salmask_plugin.lab.settings.unused import refuse_unused

WARM_UP, TIMED = 2, 5


def plan(
    overrides: Sequence[str] = (), *, config_dir: str | None = None, trust: Trust = False
) -> None:
    """Time a few real steps, loader included, and extrapolate.

    Raises:
        UserError: for settings that cannot work, or a run of too few steps to time one.
    """
    check_data_is_named(overrides, config_dir=config_dir)
    settings = compose_settings(overrides, config_dir=config_dir, trust=trust)
    refuse_unused(settings)
    check_length(settings.trainer)
    check_world(settings.trainer)
    check_trainer(settings)
    parts = build_parts(settings)
    splits, data = parts.splits, parts.data
    clock = _StepClock()
    period = period_of(parts.module, settings.trainer)
    with tempfile.TemporaryDirectory() as folder, expected_warnings(), refused_in_words():
        trainer = build(
            {**settings.trainer, "max_steps": WARM_UP + max(TIMED, period)},
            pl.Trainer,
            callbacks=[clock],
            logger=False,
            default_root_dir=folder,
            use_distributed_sampler=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            num_sanity_val_steps=0,
        )
        trainer.fit(parts.module, datamodule=PretrainData(data))
    if not trainer.is_global_zero:
        return
    seconds = timed(clock.ends, period)
    step = statistics.median(seconds)
    epochs = settings.trainer["max_epochs"]
    batch = data.batch_size * trainer.world_size
    steps = int(trainer.num_training_batches) * epochs
    most = settings.trainer.get("max_steps", -1)
    if most != -1:  # they are the optimizer's, of which a batch may have a part or several
        steps = min(steps, math.ceil(most * len(clock.ends) / trainer.global_step))
    images = len(splits.train)
    print(f"data        {splits.name}, {images:,} images")
    print(f"length      {epochs} epochs, {steps:,} steps of {batch} images")
    print(
        f"step        {step:.3f} s, median of {len(seconds)} ({min(seconds):.3f} to "
        f"{max(seconds):.3f}): {batch / step:.0f} images/s"
    )
    print(f"memory      {_peak_memory()}")
    most_time = settings.trainer.get("max_time")
    ends = f", unless trainer.max_time={most_time} ends it" if most_time else ""
    print(f"pretraining about {_duration(steps * step)}{ends}; evaluation comes on top")


def period_of(module: pl.LightningModule, trainer: Mapping[str, Any]) -> int:
    """Return after how many batches costs repeat: hard negatives may come in some steps alone."""
    found = getattr(module, "hard_negatives", None)
    every = 1 if found is None else int(found.encoding.every)
    return every if every == 1 else every * int(trainer.get("accumulate_grad_batches") or 1)


def timed(ends: Sequence[float], period: int) -> list[float]:
    """Return what steps cost, averaged over whole periods, without those that warm up.

    Args:
        ends: of consecutive steps, in seconds.
        period: after how many steps costs repeat.

    Raises:
        UserError: if the steps hold no whole period.
    """
    found = whole_periods([end - start for start, end in pairwise(ends)][WARM_UP - 1 :], period)
    if not found:
        raise UserError(
            f"the run has {len(ends)} steps in all, and timing needs {WARM_UP + period}: give more "
            "epochs, or a smaller loader.batch_size."
        )
    return found


def whole_periods(seconds: Sequence[float], period: int) -> list[float]:
    """Return the mean time of a step over each whole period, the newest ones."""
    first = len(seconds) % period
    starts = range(first, len(seconds), period)
    return [statistics.fmean(seconds[start : start + period]) for start in starts]


class _StepClock(pl.Callback):
    """Time between the ends of consecutive steps: what a step costs, waiting for data included."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_batch_end(self, *arguments: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.ends.append(time.perf_counter())


def _peak_memory() -> str:
    unit = 1 if sys.platform == "darwin" else 1024
    host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
    if torch.cuda.is_available():
        return (
            f"{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB on the GPU, {host:.1f} GiB here"
        )
    return f"{host:.1f} GiB"


def _duration(seconds: float) -> str:
    return in_words(seconds) if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"
