"""Measures that need no training: what masks remove, how far views spread."""

from salmask_plugin.evaluation.coverage import (
    Agreement,
    agreement,
    centre_box,
    foreground_tolerance,
    measure_coverage,
    removed_share,
)
from salmask_plugin.evaluation.map_agreement import measure_agreement
from salmask_plugin.evaluation.variance import ViewVariance, view_variance

__all__ = [
    "Agreement",
    "ViewVariance",
    "agreement",
    "centre_box",
    "foreground_tolerance",
    "measure_agreement",
    "measure_coverage",
    "removed_share",
    "view_variance",
]
