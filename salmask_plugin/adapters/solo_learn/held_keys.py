"""A queue that takes the keys of all batches of an optimizer step together."""

from __future__ import annotations

from typing import Any

from torch import Tensor


class HeldKeys:
    """Under gradient accumulation, enqueue when the optimizer has stepped; before a MoCo's class.

    Batches that share a step are then not each other's negatives, as if they were one batch.
    solo-learn moves the momentum encoder once per step by itself. Without accumulation keys enter
    the queue as in solo-learn, in the training step.
    """

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg)  # type: ignore[call-arg]
        self._held: list[Tensor] = []

    def _dequeue_and_enqueue(self, keys: Tensor) -> None:
        if int(self.accumulate_grad_batches or 1) > 1:  # type: ignore[attr-defined]
            self._held.append(keys.detach())
        else:
            super()._dequeue_and_enqueue(keys)  # type: ignore[misc]

    def optimizer_step(self, *arguments: Any, **named: Any) -> None:
        """Step, then enqueue the keys that were held, oldest first."""
        super().optimizer_step(*arguments, **named)  # type: ignore[misc]
        for keys in self._held:
            super()._dequeue_and_enqueue(keys)  # type: ignore[misc]
        self._held = []
