"""lightly as host: a loss, a callback for unmodified modules, and methods."""

# ruff: noqa: E402 - what is missing is said before it is imported

from importlib.util import find_spec

for _host in ("lightly", "pytorch_lightning"):
    if find_spec(_host) is None:
        raise ImportError(
            f"salmask_plugin.adapters.lightly needs {_host}, which is not installed: "
            "pip install '.[lightly]' in the clone of salmask_plugin.",
            name=_host,
        )

import salmask_plugin.adapters.lightly.supported  # noqa: F401  (first: says what is missing)
from salmask_plugin.adapters.lightly.adios_moco import ADIOSMoCoV2
from salmask_plugin.adapters.lightly.adios_simclr import ADIOSSimCLR
from salmask_plugin.adapters.lightly.backbone import resnet
from salmask_plugin.adapters.lightly.batch_norm import plain_batch_norm, split_batch_norm
from salmask_plugin.adapters.lightly.cached_maps import MapsOfViews
from salmask_plugin.adapters.lightly.callback import SaliencyMaskingCallback
from salmask_plugin.adapters.lightly.evaluation import (
    KNNResult,
    LinearResult,
    LogisticResult,
    OcclusionResult,
    extract_features,
    knn_evaluation,
    linear_evaluation,
    logistic_evaluation,
    occlusion_evaluation,
    reestimate_batch_norm,
)
from salmask_plugin.adapters.lightly.guided_views import GuidedViews
from salmask_plugin.adapters.lightly.loss import HardNegativeNTXentLoss, LossStatistics
from salmask_plugin.adapters.lightly.moco import MaskedMoCoV2
from salmask_plugin.adapters.lightly.placements import PlacedViews
from salmask_plugin.adapters.lightly.simclr import MaskedSimCLR
from salmask_plugin.adapters.lightly.supervised import SupervisedClassifier
from salmask_plugin.running_statistics import frozen_running_statistics
from salmask_plugin.warm_up import SaliencyWarmUp

__all__ = [
    "ADIOSMoCoV2",
    "ADIOSSimCLR",
    "GuidedViews",
    "HardNegativeNTXentLoss",
    "KNNResult",
    "LinearResult",
    "LogisticResult",
    "LossStatistics",
    "MapsOfViews",
    "MaskedMoCoV2",
    "MaskedSimCLR",
    "OcclusionResult",
    "PlacedViews",
    "SaliencyMaskingCallback",
    "SaliencyWarmUp",
    "SupervisedClassifier",
    "extract_features",
    "frozen_running_statistics",
    "knn_evaluation",
    "linear_evaluation",
    "logistic_evaluation",
    "occlusion_evaluation",
    "plain_batch_norm",
    "reestimate_batch_norm",
    "resnet",
    "split_batch_norm",
]
