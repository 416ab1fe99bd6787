"""kNN, linear and fine-tuned evaluation of a model by lightly's classifiers."""

from salmask_plugin.adapters.lightly.evaluation.features import extract_features
from salmask_plugin.adapters.lightly.evaluation.finetune import FinetuneResult, finetune_evaluation
from salmask_plugin.adapters.lightly.evaluation.knn import KNNResult, knn_evaluation
from salmask_plugin.adapters.lightly.evaluation.linear import LinearResult, linear_evaluation
from salmask_plugin.adapters.lightly.evaluation.logistic import LogisticResult, logistic_evaluation
from salmask_plugin.adapters.lightly.evaluation.occlusion import (
    OcclusionResult,
    occlusion_evaluation,
)
from salmask_plugin.adapters.lightly.evaluation.reestimation import reestimate_batch_norm

__all__ = [
    "FinetuneResult",
    "KNNResult",
    "LinearResult",
    "LogisticResult",
    "OcclusionResult",
    "extract_features",
    "finetune_evaluation",
    "knn_evaluation",
    "linear_evaluation",
    "logistic_evaluation",
    "occlusion_evaluation",
    "reestimate_batch_norm",
]
