"""The public names of depth; the code is in ``salmask_plugin.lab.downstream``."""

from salmask_plugin.lab.downstream.depth import (
    DepthDecoder,
    DepthLoss,
    DepthSchedule,
    DepthTest,
    Monodepth,
    PoseNetwork,
    ResNetMaps,
    depth_errors,
    depth_loss,
    depth_of,
    enlarged,
    mean_errors,
    motion_matrix,
    photometric_error,
    seen_from_middle,
)

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
