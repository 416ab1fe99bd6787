"""Saliency from an encoder that has learned something: a warm-up without labels."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol

from salmask_plugin.checks import height_and_width, number
from salmask_plugin.localizers import UniformLocalizer
from salmask_plugin.masking import SaliencyMasking


@dataclass(frozen=True)
class SaliencyWarmUp:
    """Masks that fall anywhere and no hard negatives at first; then the masking, with rho rising.

    In its first steps an encoder that localizes for itself (``MomentumLocalizer``) knows nothing,
    and its maps say nothing. So, by the share of training done:

    - below ``uniform``: the masking's own samplers on a constant map; no hard negative is made,
      encoded or contrasted, and the localizer does not run (hosts try it once, at the start);
    - from there on: the masking, rho rising linearly from 0 over a share ``ramp``.

    rho = 0 is not "no hard negatives". The logit rho q.t / tau + bias is then the bias: a constant
    e^bias in the denominator, one more negative at a right angle to every query. It has no gradient
    of its own, but it damps all others, by 1 term beside the 65536 of the paper's queue. Hence no
    hard negatives at all in the first phase; the constant enters with the second.

    A function of the share alone, which counts training batches: a resumed run goes on where it
    was, and all processes agree.

    Args:
        uniform: share of training without saliency, in (0, 1).
        ramp: share of training over which rho rises, in [0, 1 - uniform]; 0 starts at its value.
        grid: (h, w) cells of the constant map. Those of the localizer keep the cells' size.

    Raises:
        ValueError: if a share is out of range.
    """

    uniform: float = 0.1
    ramp: float = 0.1
    grid: tuple[int, int] = (7, 7)

    def __post_init__(self) -> None:
        object.__setattr__(self, "uniform", number(self.uniform, "uniform", above=0, below=1))
        object.__setattr__(self, "ramp", number(self.ramp, "ramp", at_least=0))
        if self.uniform + self.ramp > 1 + 1e-9:  # 0.8 + 0.2 may be a rounding above 1
            raise ValueError(
                f"ramp={self.ramp} must be at least 0 and at most {1 - self.uniform:g}, so that "
                "rho reaches its value before the end."
            )
        object.__setattr__(self, "grid", height_and_width(self.grid, "grid"))

    def is_uniform(self, done: float) -> bool:
        """Whether saliency has no say yet, at this share of training done, in [0, 1]."""
        return done < self.uniform

    def masking(self, masking: SaliencyMasking, done: float) -> SaliencyMasking:
        """Return what masks the next batch."""
        if not self.is_uniform(done):
            return masking
        return replace(masking, localizer=UniformLocalizer(self.grid), negative=None)

    def rho(self, rho: float, done: float) -> float:
        """Return the next batch's rho; ``rho`` is its value after the ramp."""
        if self.is_uniform(done):
            return 0.0
        return rho if self.ramp == 0 else rho * min(1.0, (done - self.uniform) / self.ramp)


class LengthOfTraining(Protocol):
    """What a Trainer of either Lightning package knows of its own length."""

    @property
    def max_epochs(self) -> int | None:
        """Epochs in all; None or -1: no end."""

    @property
    def num_training_batches(self) -> int | float:
        """Batches of an epoch."""

    @property
    def max_steps(self) -> int:
        """Steps of the optimizer in all; -1: as many as the epochs have."""

    @property
    def accumulate_grad_batches(self) -> int:
        """Batches of a step."""


def training_batches(
    trainer: LengthOfTraining, *, per_step: int | None = None, at_epoch_end: bool = True
) -> int:
    """Return how many batches a process sees in the whole training, to its last epoch or step.

    Args:
        trainer: that trains.
        per_step: batches of a step; None: as many as the trainer accumulates.
        at_epoch_end: whether the last batch of an epoch always makes a step, as Lightning's own
            accumulation does.

    Raises:
        ValueError: if training has no end that is known.
    """
    epochs, steps = trainer.max_epochs or -1, trainer.max_steps
    batches = trainer.num_training_batches
    lengths = [int(batches) * epochs] if epochs > 0 and math.isfinite(batches) else []
    if steps > 0:
        every = trainer.accumulate_grad_batches if per_step is None else per_step
        if math.isfinite(batches):
            count = int(batches)
            in_an_epoch = -(-count // every) if at_epoch_end else count // every
            if in_an_epoch:
                whole, last = divmod(steps - 1, in_an_epoch)
                lengths.append(whole * count + min(count, (last + 1) * every))
        else:
            lengths.append(steps * every)
    if not lengths:
        raise ValueError(
            "warm_up needs to know how long training is: trainer.max_steps must be at least 1, or "
            "trainer.max_epochs, with a loader that has a length."
        )
    return min(lengths)
