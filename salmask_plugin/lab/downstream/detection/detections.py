"""What a detector found in one picture, on the CPU and small enough to send between processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from salmask_plugin.lab.data.outlines import coco_tools

MASK_THRESHOLD = 0.5


@dataclass(frozen=True)
class Detections:
    """Boxes with class and score, best first.

    Attributes:
        boxes: (N, 4) float64, x0, y0, x1, y1 in pixels of the picture.
        labels: (N,) class indices from 0.
        scores: (N,) in [0, 1].
        masks: N compressed run lengths; None from a detector without masks.
    """

    boxes: NDArray[np.float64]
    labels: NDArray[np.int64]
    scores: NDArray[np.float64]
    masks: tuple[dict[str, Any], ...] | None = None

    def __len__(self) -> int:
        return len(self.labels)


def detections_of(output: dict[str, Tensor]) -> Detections:
    """Return torchvision's output for one picture: labels from 0, masks as run lengths."""
    masks = None
    if "masks" in output:
        tools = coco_tools("mask")
        pixels = (output["masks"][:, 0] >= MASK_THRESHOLD).cpu().numpy().astype(np.uint8)
        masks = tuple(tools.encode(np.asfortranarray(mask)) for mask in pixels)
    return Detections(
        output["boxes"].double().cpu().numpy(),
        output["labels"].cpu().numpy() - 1,
        output["scores"].double().cpu().numpy(),
        masks,
    )
