"""What happens around the test: BatchNorm's statistics before it, all processes' finds after it."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch

from salmask_plugin.adapters.lightly.evaluation import reestimate_batch_norm
from salmask_plugin.lab.downstream.detection import (
    Detections,
    coco_average_precision,
    voc_average_precision,
)
from salmask_plugin.lab.downstream.detection.batches import DetectionBatch
from salmask_plugin.lab.downstream.detection.data_module import DetectionData
from salmask_plugin.lab.downstream.detection.instances import InstanceSplits

PERCENT = 100.0
TABLED = ("ap", "ap50", "ap75")
"""COCO's numbers that tables of this field show."""


class TestRound(pl.Callback):
    """Collect the detections of the whole test split.

    Args:
        data: gives the batches for BatchNorm's statistics.
        precise: take them anew before the test.
        seed: of the draws of these forward passes.

    Attributes:
        found: picture's index -> detections; of all processes after the test.
        batches: used for the statistics, per process.
    """

    __test__ = False  # no test class, whatever its name begins with

    def __init__(self, data: DetectionData, *, precise: bool, seed: int) -> None:
        self.found: dict[int, Detections] = {}
        self.batches = 0
        self._data = data
        self._precise = precise
        self._seed = seed

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take BatchNorm's statistics anew; frozen layers keep theirs."""
        self.found = {}
        if self._precise:
            torch.manual_seed(self._seed)
            batches = ((batch,) for batch in self._data.precise_dataloader())
            self.batches = reestimate_batch_norm(pl_module, batches)

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: DetectionBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep what was found."""
        self.found.update(zip(batch.indices, outputs["found"], strict=True))

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Join what all processes found."""
        if trainer.world_size > 1:
            parts: list[Any] = [None] * trainer.world_size
            torch.distributed.all_gather_object(parts, self.found)
            self.found = {index: found for part in parts for index, found in part.items()}


def metrics_of(
    found: dict[int, Detections], splits: InstanceSplits, *, masks: bool
) -> tuple[dict[str, float], str]:
    """Return the benchmark's numbers in percent, and what they are.

    Raises:
        RuntimeError: if a picture of the test split was not looked at.
    """
    if sorted(found) != list(range(len(splits.val))):
        raise RuntimeError(f"{len(found)} of {len(splits.val)} test images were looked at.")
    ordered = [found[index] for index in range(len(found))]
    truth, classes = splits.val.instances, len(splits.classes)
    if splits.metric == "voc":
        by_points = voc_average_precision(ordered, truth, classes)
        area = voc_average_precision(ordered, truth, classes, "area", (0.5,))
        values = {
            "ap": sum(by_points.values()) / len(by_points),
            "ap50": by_points[0.5],
            "ap75": by_points[0.75],
            "ap50_area": area[0.5],
        }
        words = "VOC, 11 points, AP over IoU 0.50:0.95; ap50_area: area below the curve"
    else:
        values = {}
        for kind, name in (("bbox", "box"), ("segm", "mask"))[: 2 if masks else 1]:
            numbers = coco_average_precision(ordered, truth, classes, kind)  # type: ignore[arg-type]
            values |= {f"{name}_{key}": numbers[key] for key in TABLED}
        words = "COCO, 100 detections, AP over IoU 0.50:0.95"
    return {name: PERCENT * value for name, value in values.items()}, words
