"""The test: every picture's errors as soon as its depth is there, and a few depths to show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from salmask_plugin.lab.downstream.depth import DepthTest, enlarged, mean_errors
from salmask_plugin.lab.downstream.depth.figure import DepthScene, draw_depths
from salmask_plugin.lab.downstream.depth.splits import DepthSplits
from salmask_plugin.lab.results.store import write_atomically

PICTURES = 4


class TestRound(pl.Callback):
    """Measure the whole test split.

    Args:
        splits: the data set.
        test: how depths are compared.

    Attributes:
        errors: picture's place -> errors; of all processes after the test.
        shown: picture's place -> inverse depth (H, W), of a few pictures.
    """

    __test__ = False  # no test class, whatever its name begins with

    def __init__(self, splits: DepthSplits, test: DepthTest) -> None:
        self.errors: dict[int, dict[str, float]] = {}
        self.shown: dict[int, np.ndarray[Any, Any]] = {}
        self._splits = splits
        self._test = test
        count = len(splits.test)
        self._chosen = {place * count // PICTURES for place in range(PICTURES)}

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin anew."""
        self.errors, self.shown = {}, {}

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Compare each picture's depth with the truth."""
        for index, inverse in zip(outputs["indices"], outputs["found"], strict=True):
            truth = self._splits.test.depth(index)
            try:
                self.errors[index] = self._test.errors(inverse, truth)
            except ValueError as error:
                raise ValueError(f"{self._splits.name}, test picture {index}: {error}") from error
            if index in self._chosen:
                self.shown[index] = enlarged(inverse, truth.shape)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Join what all processes found."""
        if trainer.world_size > 1:
            parts: list[Any] = [None] * trainer.world_size
            torch.distributed.all_gather_object(parts, (self.errors, self.shown))
            for errors, shown in parts:
                self.errors.update(errors)
                self.shown.update(shown)

    def metrics(self) -> dict[str, float]:
        """Return the means over all pictures.

        Raises:
            RuntimeError: if a picture of the test split was not looked at.
        """
        count = len(self._splits.test)
        if sorted(self.errors) != list(range(count)):
            raise RuntimeError(f"{len(self.errors)} of {count} test images were looked at.")
        return mean_errors([self.errors[index] for index in range(count)])

    def write_picture(self, path: Path, *, title: str) -> None:
        """Draw a few pictures with their predicted and measured depth."""
        scenes = [
            DepthScene(
                np.asarray(self._splits.test[index]),
                inverse,
                self._splits.test.depth(index),
                f"Abs Rel {self.errors[index]['abs_rel']:.3f}",
            )
            for index, inverse in sorted(self.shown.items())
        ]
        write_atomically(path, draw_depths(scenes, title=title))
