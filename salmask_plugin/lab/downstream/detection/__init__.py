"""Faster and Mask R-CNN on the C4 features of a pretrained ResNet, and their metrics."""

from salmask_plugin.lab.downstream.detection.coco_ap import coco_average_precision
from salmask_plugin.lab.downstream.detection.detections import Detections, detections_of
from salmask_plugin.lab.downstream.detection.detector import C4Detector
from salmask_plugin.lab.downstream.detection.schedule import Schedule
from salmask_plugin.lab.downstream.detection.voc_ap import voc_average_precision

__all__ = [
    "C4Detector",
    "Detections",
    "Schedule",
    "coco_average_precision",
    "detections_of",
    "voc_average_precision",
]
