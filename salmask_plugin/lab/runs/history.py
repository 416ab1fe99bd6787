"""Per-epoch means of what a module logs, kept through resumes, and a line for each epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl

from salmask_plugin.adapters.lightly.foreground_bins import BIN_NAMES
from salmask_plugin.lab.durations import in_words
from salmask_plugin.lab.results.terminal import filled

LOGGED = (
    "train_loss",
    "mask_ratio",
    "foreground_share",
    "similarity_positive",
    "similarity_hard",
    "hard_negative_share",
)
TOGETHER = "\N{NO-BREAK SPACE}"
"""Between a number and what it is of: a line does not end there."""


class History(pl.Callback):
    """Collect the epoch means and the seconds of training; print one line per epoch.

    Args:
        names: what the module logs at a step and the history keeps, where it is logged.
        round_steps: the steps of an epoch where it is a round of training: lines then count steps.
        quiet: print nothing.

    Attributes:
        values: name -> one float per finished epoch; NaN where an epoch did not log it, such as
            the hard negatives' share during a warm-up without them.
        seconds: wall-clock of all epochs so far, those before a resume included.
    """

    def __init__(
        self,
        names: Sequence[str] = LOGGED,
        *,
        round_steps: int | None = None,
        quiet: bool = False,
    ) -> None:
        self.values: dict[str, list[float]] = {}
        self.seconds = 0.0
        self._names = tuple(names)
        self._round_steps = round_steps
        self._quiet = quiet
        self._started: float | None = None
        self._sums: dict[str, Any] = {}
        self._steps: dict[str, int] = {}

    @property
    def state_key(self) -> str:
        """Where a checkpoint has it; that of rounds is called as their first checkpoints did."""
        return "History" if self._round_steps is None else "RoundHistory"

    @property
    def curves(self) -> dict[str, tuple[float, ...]]:
        """What a record keeps: name -> one value per epoch."""
        return {name: tuple(values) for name, values in self.values.items()}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock also where no epoch begins, but goes on."""
        self._started = time.perf_counter()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the epoch's clock and sums."""
        self._started = time.perf_counter()
        self._sums, self._steps = {}, {}

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Add the step's scalars on their device: nothing is read before the epoch's end."""
        for name in self._names:
            value = trainer.callback_metrics.get(name)
            if value is not None:
                self._sums[name] = self._sums.get(name, 0) + value.detach()
                self._steps[name] = self._steps.get(name, 0) + 1

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the epoch's means and print them."""
        assert self._started is not None, "the clock starts with the training"
        taken = time.perf_counter() - self._started
        self.seconds += taken
        finished = max(map(len, self.values.values()), default=0)
        means = {
            name.removeprefix("train_"): float(total) / self._steps[name]
            for name, total in self._sums.items()
        }
        # The bins are means of the epoch already.
        shares = {name: trainer.callback_metrics.get(name) for name in BIN_NAMES}
        means |= {name: float(share) for name, share in shares.items() if share is not None}
        for name in {**self.values, **means}:
            values = self.values.setdefault(name, [math.nan] * finished)
            values.append(means.get(name, math.nan))
        if not self._quiet and trainer.is_global_zero:
            print(filled(self._line(trainer, taken), "  ").replace(TOGETHER, " "), flush=True)

    def _line(self, trainer: pl.Trainer, taken: float) -> str:
        epoch, epochs = trainer.current_epoch + 1, trainer.max_epochs or 0
        parts = [
            f"{name} {values[-1]:.3f}"
            for name, values in self.values.items()
            if name not in BIN_NAMES
        ]
        left = math.ceil((epochs - epoch) * taken)
        spent = f"{taken:.1f} s" if taken < 60 else in_words(taken)
        done = f"epoch {epoch}/{epochs}"
        if self._round_steps is not None:
            done = f"step {epoch * self._round_steps}/{epochs * self._round_steps}"
        time = f"{spent}, about {in_words(left)} left".replace(" ", TOGETHER)
        return f"{done}  {'  '.join(part.replace(' ', TOGETHER) for part in parts)}  {time}"

    def state_dict(self) -> dict[str, Any]:
        """Return what a resume needs."""
        return {"values": self.values, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue after a resume."""
        self.values = {name: list(values) for name, values in state_dict["values"].items()}
        self.seconds = float(state_dict["seconds"])
