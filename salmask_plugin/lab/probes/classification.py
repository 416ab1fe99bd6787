"""kNN, linear and fine-tuned classification as tasks."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

from torch import Tensor, nn

from salmask_plugin.adapters.lightly.evaluation import (
    extract_features,
    finetune_evaluation,
    knn_evaluation,
    linear_evaluation,
    logistic_evaluation,
    occlusion_evaluation,
)
from salmask_plugin.adapters.lightly.evaluation.trainer import in_memory
from salmask_plugin.encoders import PretrainedBackbone
from salmask_plugin.lab.data import (
    ImageSplits,
    evaluation_loaders,
    labelled_share,
)
from salmask_plugin.lab.data.augment import random_crop
from salmask_plugin.lab.results import Evaluation
from salmask_plugin.lab.runs.build import build, checked_splits
from salmask_plugin.lab.runs.data_of_run import DATA_NAME, keep_data, name_of_other
from salmask_plugin.lab.settings.evaluation_request import EvaluationRequest

SHARE = "label_share"
LOCALIZER = "localizer"
"""Settings of a task that its function does not take itself."""
Features = tuple[Tensor, Tensor]
Split = Literal["train", "val"]
SPLITS: tuple[Split, ...] = get_args(Split)
_FEATURES: dict[tuple[str, str, int], dict[str, Features]] = {}
"""Of the newest encoder and set alone: those of a large set fill gigabytes."""
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "knn": knn_evaluation,
    "linear": linear_evaluation,
    "logistic": logistic_evaluation,
    "occlusion": occlusion_evaluation,
    "finetune": finetune_evaluation,
}


def splits_of(request: EvaluationRequest) -> ImageSplits:
    """Return the data of a task, with the share of labels that it may use.

    Raises:
        ValueError: for a split without images, a label without a class, or a share out of range.
    """
    return labelled_share(checked_data(request.data), request.options.get(SHARE, 1.0))


def checked_data(node: dict[str, Any], *, labelled: bool = True) -> ImageSplits:
    """Return the data set of a configuration node; the newest few are kept.

    Args:
        node: of the data set.
        labelled: whether labels are needed.

    Raises:
        ValueError: for a split without images, a label without a class, or no labels at all where
            they are needed.
    """
    splits = _built(json.dumps(node))
    return splits if splits.unlabelled and not labelled else checked_splits(splits)


@lru_cache(maxsize=4)
def _built(node: str) -> ImageSplits:
    splits: ImageSplits = build(json.loads(node))
    if splits.unlabelled:
        return splits
    for name, images in (("training", splits.train), ("validation", splits.val)):
        if not len(images):
            raise ValueError(f"{splits.name} has no {name} images.")
        strange = sorted(set(Counter(images.labels)) - set(range(len(splits.classes))))
        if strange:
            raise ValueError(
                f"{splits.name} has {name} images of class {strange[0]}; its {len(splits.classes)} "
                "classes count from 0."
            )
    return splits


def keep_data_of(folder: Path, tasks: Sequence[EvaluationRequest]) -> None:
    """Hold the data of classifications against those that the folder's results are of.

    Args:
        folder: of the record.
        tasks: other kinds have data of their own.

    Raises:
        UserError: if a set is not what it was, before anything is computed.
    """
    sets = {}
    for task in tasks:
        if task.kind in FUNCTIONS:
            name = task.name.rpartition("/")[0]
            sets[name_of_other(name, task.data) if task.is_transfer else DATA_NAME] = task.data
    for file_name, node in sets.items():
        keep_data(folder, checked_data(node), file_name)


def whole_pictures(request: EvaluationRequest, splits: ImageSplits) -> tuple[Any, Any]:
    """Return loaders of training and validation images, not augmented, in order."""
    return evaluation_loaders(
        splits,
        view_size=request.settings.view_size,
        workers=request.settings.workers,
    )


def features_of(request: EvaluationRequest, backbone: PretrainedBackbone, split: Split) -> Features:
    """Return (features, labels) of training or validation images, not augmented.

    Tasks that follow each other on one encoder and one set share them.
    """
    asked = (backbone.fingerprint, request.asked_data, request.settings.view_size)
    if asked not in _FEATURES:
        _FEATURES.clear()
    known = _FEATURES.setdefault(asked, {})
    if split not in known:
        loaders = dict(zip(SPLITS, whole_pictures(request, splits_of(request)), strict=True))
        known[split] = extract_features(backbone.filtered(), loaders[split])
    return known[split]


def knn(request: EvaluationRequest, backbone: PretrainedBackbone) -> Evaluation:
    """Classify by the nearest training images."""
    splits = splits_of(request)
    train, val = (in_memory(*features_of(request, backbone, split)) for split in SPLITS)
    result = knn_evaluation(
        nn.Identity(), train, val, num_classes=len(splits.classes), **_options(request)
    )
    metrics = {"top1": result.top1, "mean_per_class": result.mean_per_class}
    return Evaluation(metrics, protocol_of(request, splits, result.protocol))


def linear(request: EvaluationRequest, backbone: PretrainedBackbone) -> Evaluation:
    """Train a linear classifier on the frozen features."""
    splits = splits_of(request)
    train, val = _loaders(request, splits, augment=request.options["augment"])
    result = linear_evaluation(
        backbone.filtered(),
        train,
        val,
        num_classes=len(splits.classes),
        feature_dim=backbone.feature_dim,
        **_options(request),
    )
    metrics = {
        "top1_last": result.top1,
        "top1_best": result.top1_best,
        "mean_per_class": result.mean_per_class,
    }
    if request.options.get("learning_rates"):
        metrics["learning_rate"] = result.learning_rate
    return Evaluation(
        metrics, protocol_of(request, splits, result.protocol), {"top1": result.curve}
    )


def logistic(request: EvaluationRequest, backbone: PretrainedBackbone) -> Evaluation:
    """Fit a logistic regression on the frozen features."""
    splits = splits_of(request)
    train, val = (in_memory(*features_of(request, backbone, split)) for split in SPLITS)
    result = logistic_evaluation(
        nn.Identity(), train, val, num_classes=len(splits.classes), **_options(request)
    )
    metrics = {
        "top1": result.top1,
        "mean_per_class": result.mean_per_class,
        "weight_decay": result.weight_decay,
    }
    return Evaluation(metrics, protocol_of(request, splits, result.protocol))


def finetune(request: EvaluationRequest, backbone: PretrainedBackbone) -> Evaluation:
    """Train a copy of the network and a linear classifier."""
    splits = splits_of(request)
    train, val = _loaders(request, splits, augment=True)
    result = finetune_evaluation(
        backbone.filtered(),
        train,
        val,
        num_classes=len(splits.classes),
        feature_dim=backbone.feature_dim,
        seed=request.settings.seed,
        **_options(request),
    )
    metrics = {
        "top1_last": result.top1,
        "top1_best": result.top1_best,
        "mean_per_class": result.mean_per_class,
    }
    return Evaluation(
        metrics, protocol_of(request, splits, result.protocol), {"top1": result.curve}
    )


def _options(request: EvaluationRequest) -> dict[str, Any]:
    return {key: value for key, value in request.options.items() if key != SHARE}


def _loaders(request: EvaluationRequest, splits: ImageSplits, *, augment: bool) -> tuple[Any, Any]:
    view_size = request.settings.view_size
    return evaluation_loaders(
        splits,
        view_size=view_size,
        batch_size=request.options["batch_size"],
        workers=request.settings.workers,
        train_transform=random_crop(view_size, splits.channels) if augment else None,
        seed=request.settings.seed,
    )


def protocol_of(
    request: EvaluationRequest, splits: ImageSplits, known: dict[str, Any]
) -> dict[str, Any]:
    """Add what the evaluation cannot know. Seeds of one setting share a protocol."""
    protocol = {key: value for key, value in known.items() if key != "seed"}
    protocol["view_size"] = request.settings.view_size
    share = request.options.get(SHARE, 1.0)
    if share < 1:
        protocol["labels"] = f"{share:g} of the training images, {len(splits.train)}"
    if request.is_transfer:
        protocol["data"] = splits.name
        protocol["train_images"] = len(splits.train)
        protocol["val_images"] = len(splits.val)
    return protocol
