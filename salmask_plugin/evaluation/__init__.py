"""The public names of encoders out of checkpoints, and of measures that need no training."""

from salmask_plugin.encoders.backbone import (
    FilteredBackbone,
    PretrainedBackbone,
    fingerprint,
    load_backbone,
)
from salmask_plugin.lab.cache.map_agreement import measure_agreement
from salmask_plugin.lab.measures.audit.coverage import (
    Agreement,
    agreement,
    centre_box,
    measure_coverage,
    removed_share,
)
from salmask_plugin.lab.measures.variance.view_variance import ViewVariance, view_variance
from salmask_plugin.masking import foreground_tolerance

__all__ = [
    "Agreement",
    "FilteredBackbone",
    "PretrainedBackbone",
    "ViewVariance",
    "agreement",
    "centre_box",
    "fingerprint",
    "foreground_tolerance",
    "load_backbone",
    "measure_agreement",
    "measure_coverage",
    "removed_share",
    "view_variance",
]
