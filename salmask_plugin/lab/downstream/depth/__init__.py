"""Monodepth2's protocol on a pretrained ResNet: networks, geometry, loss and the seven metrics."""

from salmask_plugin.lab.downstream.depth.decoder import DepthDecoder, depth_of
from salmask_plugin.lab.downstream.depth.encoder import ResNetMaps
from salmask_plugin.lab.downstream.depth.loss import DepthLoss, depth_loss, photometric_error
from salmask_plugin.lab.downstream.depth.metrics import (
    DepthTest,
    depth_errors,
    enlarged,
    mean_errors,
)
from salmask_plugin.lab.downstream.depth.model import Monodepth
from salmask_plugin.lab.downstream.depth.pose import PoseNetwork, motion_matrix
from salmask_plugin.lab.downstream.depth.schedule import DepthSchedule
from salmask_plugin.lab.downstream.depth.warp import seen_from_middle

__all__ = [
    "DepthDecoder",
    "DepthLoss",
    "DepthSchedule",
    "DepthTest",
    "Monodepth",
    "PoseNetwork",
    "ResNetMaps",
    "depth_errors",
    "depth_loss",
    "depth_of",
    "enlarged",
    "mean_errors",
    "motion_matrix",
    "photometric_error",
    "seen_from_middle",
]
