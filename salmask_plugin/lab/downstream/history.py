"""A line per round of training, and what the record keeps of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl


class RoundHistory(pl.Callback):
    """Collect the rounds' mean losses and the seconds of training, through resumes.

    Args:
        round_steps: of a round.
        rounds: planned.
        losses: names of the parts that are logged.

    Attributes:
        rounds: planned.
        values: name -> one float per finished round.
        seconds: wall-clock of all rounds so far.
    """

    def __init__(self, round_steps: int, rounds: int, losses: Sequence[str]) -> None:
        self.values: dict[str, list[float]] = {}
        self.seconds = 0.0
        self._round_steps = round_steps
        self.rounds = rounds
        self._names = ("train_loss", *losses)
        self._started: float | None = None
        self._sums: dict[str, Any] = {}

    @property
    def curves(self) -> dict[str, tuple[float, ...]]:
        """What the record keeps: name -> one value per round."""
        return {name: tuple(values) for name, values in self.values.items()}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock also where no round begins, but goes on."""
        self._started = time.perf_counter()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the round's clock and sums."""
        self._started = time.perf_counter()
        self._sums = {}

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Add the step's losses on their device: nothing is read before the round's end."""
        for name in self._names:
            value = trainer.callback_metrics.get(name)
            if value is not None:
                self._sums[name] = self._sums.get(name, 0) + value.detach()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the round's means and print them."""
        assert self._started is not None, "the clock starts with the training"
        taken = time.perf_counter() - self._started
        self.seconds += taken
        for name, total in self._sums.items():
            mean = float(total) / self._round_steps
            self.values.setdefault(name.removeprefix("train_"), []).append(mean)
        if trainer.is_global_zero:
            done = trainer.current_epoch + 1
            parts = [f"{name} {values[-1]:.3f}" for name, values in self.values.items()]
            left = round((self.rounds - done) * taken / 60)
            steps = f"{done * self._round_steps}/{self.rounds * self._round_steps}"
            print(
                f"step {steps}  {'  '.join(parts)}  {taken:.1f} s, about {left} min left",
                flush=True,
            )

    def state_dict(self) -> dict[str, Any]:
        """Return what a resume needs."""
        return {"values": self.values, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue after a resume."""
        self.values = {name: list(values) for name, values in state_dict["values"].items()}
        self.seconds = float(state_dict["seconds"])
