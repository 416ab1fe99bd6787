"""A classifier whose training diverged has no accuracy: it is said, not reported."""

from __future__ import annotations

from typing import Any

from pytorch_lightning import Callback

from salmask_plugin.losses.finite import first_not_finite


class RefuseDiverged(Callback):
    """Stop a training whose weights are no numbers, at the end of an epoch.

    Args:
        learning_rate: for a batch of 256, which the error names.
    """

    def __init__(self, learning_rate: float) -> None:
        self.learning_rate = learning_rate

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Look at what is trained.

        Raises:
            FloatingPointError: if a value is NaN or infinite.
        """
        weights = pl_module.named_parameters()
        if first_not_finite({name: value for name, value in weights if value.requires_grad}):
            raise FloatingPointError(
                f"its weights are not finite after {trainer.current_epoch + 1} epoch(s): with "
                f"learning_rate={self.learning_rate:g} the training diverges; take a smaller one."
            )
