"""The public names of detection; the code is in ``salmask_plugin.lab.downstream``."""

from salmask_plugin.lab.downstream.detection import (
    C4Detector,
    Detections,
    Schedule,
    coco_average_precision,
    detections_of,
    voc_average_precision,
)

__all__ = [
    "C4Detector",
    "Detections",
    "Schedule",
    "coco_average_precision",
    "detections_of",
    "voc_average_precision",
]
