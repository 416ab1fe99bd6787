"""Several batches to one optimizer step, as if they were one."""

from __future__ import annotations

from pytorch_lightning import Trainer


class MicroBatches:
    """Says which batch is the first of its optimizer step.

    Under gradient accumulation the weights stand still for several batches. What happens once per
    step, such as the key encoder's average, must then happen with the first of them alone.
    """

    def __init__(self) -> None:
        self._open = False

    def begins(self, trainer: Trainer) -> bool:
        """Return whether this batch is a first one; to be asked once per batch."""
        first = not (self.accumulates(trainer) and self._open)
        self._open = True
        return first

    def end(self) -> None:
        """The optimizer has stepped: the next batch is a first one."""
        self._open = False

    @staticmethod
    def accumulates(trainer: Trainer) -> bool:
        """Return whether a step takes more than one batch, as the trainer is set now."""
        return trainer.accumulate_grad_batches > 1
