"""Features of one encoder and their linear probe, which tasks that follow each other share."""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor

from salmask_plugin.adapters.lightly.evaluation import extract_features
from salmask_plugin.adapters.lightly.evaluation.logistic_regression import (
    LogisticProbe,
    choose_logistic,
)
from salmask_plugin.encoders import PretrainedBackbone
from salmask_plugin.lab.probes.pictures import splits_of, whole_pictures
from salmask_plugin.lab.settings.evaluation_request import EvaluationRequest

Features = tuple[Tensor, Tensor]
Split = Literal["train", "val"]
SPLITS: tuple[Split, ...] = get_args(Split)
Asked = tuple[str, str, int]
_FEATURES: dict[Asked, dict[str, Features]] = {}
"""Of the newest encoder and set alone: those of a large set fill gigabytes."""
_PROBES: dict[tuple[Asked, tuple[float, ...], float], LogisticProbe] = {}
"""Of the newest alone."""


def features_of(request: EvaluationRequest, backbone: PretrainedBackbone, split: Split) -> Features:
    """Return (features, labels) of training or validation images, not augmented."""
    asked = _asked(request, backbone)
    if asked not in _FEATURES:
        _FEATURES.clear()
    known = _FEATURES.setdefault(asked, {})
    if split not in known:
        loaders = dict(zip(SPLITS, whole_pictures(request, splits_of(request)), strict=True))
        known[split] = extract_features(backbone.filtered(), loaders[split])
    return known[split]


def probe_of(request: EvaluationRequest, backbone: PretrainedBackbone) -> LogisticProbe:
    """Return the logistic regression of the training images, chosen as the task's options say.

    Raises:
        ValueError: if a weight decay or the share of held-out images is out of range.
    """
    weight_decays, held_out = request.options["weight_decays"], request.options["held_out"]
    asked = (_asked(request, backbone), tuple(weight_decays), held_out)
    if asked not in _PROBES:
        _PROBES.clear()
        classes = len(splits_of(request).classes)
        _PROBES[asked] = choose_logistic(
            *features_of(request, backbone, "train"),
            num_classes=classes,
            weight_decays=weight_decays,
            held_out=held_out,
        )
    return _PROBES[asked]


def _asked(request: EvaluationRequest, backbone: PretrainedBackbone) -> Asked:
    return backbone.fingerprint, request.asked_data, request.settings.view_size
