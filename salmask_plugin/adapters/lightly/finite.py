"""A loss that is NaN or infinite stops the run, without a look at the device in every step."""

from __future__ import annotations

import torch
from torch import Tensor, distributed

from salmask_plugin.losses.finite import not_finite

NEVER = -1


class FiniteWatch:
    """Remember on the device which step's loss was the first that is not finite.

    :meth:`add` runs in every step and only queues work; :meth:`check` waits for the device and
    raises. It is called where the host reads the device anyway, and before every checkpoint, so
    that no checkpoint holds what came after the step. Not a module: no part of any state dict.
    """

    def __init__(self) -> None:
        self._step: Tensor | None = None
        self._loss: Tensor | None = None

    @torch.no_grad()
    def add(self, loss: Tensor, *, step: int) -> None:
        """Note a scalar loss. On several processes give the mean over them, so that all stop.

        Args:
            loss: of this step.
            step: its number, for the message.
        """
        loss = loss.detach()
        if self._step is None or self._loss is None or self._step.device != loss.device:
            self._step = torch.full((), NEVER, dtype=torch.long, device=loss.device)
            self._loss = torch.zeros_like(loss)
        first = ~loss.isfinite() & (self._step == NEVER)
        self._step = self._step.masked_fill(first, step)
        self._loss = torch.where(first, loss, self._loss)

    def check(self) -> None:
        """Stop if any loss so far was not finite.

        Raises:
            FloatingPointError: with the first such step, and what usually causes it.
        """
        if self._step is None or self._loss is None:
            return
        step, loss = int(self._step), float(self._loss)
        if step != NEVER:
            self._step = None
            raise not_finite(loss, step=step)


@torch.no_grad()
def mean_over_processes(values: Tensor) -> Tensor:
    """Average a detached copy of ``values`` over the processes, in one collective; alone: none."""
    mean = values.detach().clone()
    if distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(mean)
        mean /= distributed.get_world_size()
    return mean
