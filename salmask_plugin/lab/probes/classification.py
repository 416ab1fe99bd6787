"""kNN, linear and fine-tuned classification as tasks."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from typing import Any

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
    linear_train_transform,
)
from salmask_plugin.lab.results import Evaluation
from salmask_plugin.lab.runs.build import build, checked_splits
from salmask_plugin.lab.settings.evaluation_request import Wanted

SHARE = "label_share"
LOCALIZER = "localizer"
"""Settings of a task that its function does not take itself."""
Features = tuple[Tensor, Tensor]
_FEATURES: dict[tuple[str, str, int], tuple[Features, Features]] = {}
"""Of the newest encoder and set alone: those of a large set fill gigabytes."""
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "knn": knn_evaluation,
    "linear": linear_evaluation,
    "logistic": logistic_evaluation,
    "occlusion": occlusion_evaluation,
    "finetune": finetune_evaluation,
}


def splits_of(wanted: Wanted) -> ImageSplits:
    """Return the data of a task, with the share of labels that it may use.

    Raises:
        ValueError: for a split without images, a label without a class, or a share out of range.
    """
    return labelled_share(checked_data(wanted.data), wanted.options.get(SHARE, 1.0))


def checked_data(node: dict[str, Any]) -> ImageSplits:
    """Return the data set of a configuration node; the newest few are kept.

    Raises:
        ValueError: for a split without images, or a label without a class.
    """
    return _built(json.dumps(node))


@lru_cache(maxsize=4)
def _built(node: str) -> ImageSplits:
    splits = checked_splits(build(json.loads(node)))
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


def whole_pictures(wanted: Wanted, splits: ImageSplits) -> tuple[Any, Any]:
    """Return loaders of training and validation images, not augmented, in order."""
    return evaluation_loaders(
        splits,
        view_size=wanted.settings.view_size,
        workers=wanted.settings.workers,
    )


def features_of(wanted: Wanted, backbone: PretrainedBackbone) -> tuple[Features, Features]:
    """Return (features, labels) of training and validation images, not augmented.

    Tasks that follow each other on one encoder and one set share them.
    """
    asked = (backbone.fingerprint, wanted.asked_data, wanted.settings.view_size)
    if asked not in _FEATURES:
        _FEATURES.clear()
        train, val = whole_pictures(wanted, splits_of(wanted))
        model = backbone.filtered()
        _FEATURES[asked] = (extract_features(model, train), extract_features(model, val))
    return _FEATURES[asked]


def knn(wanted: Wanted, backbone: PretrainedBackbone) -> Evaluation:
    """Classify by the nearest training images."""
    splits = splits_of(wanted)
    train, val = (in_memory(*found) for found in features_of(wanted, backbone))
    result = knn_evaluation(
        nn.Identity(), train, val, num_classes=len(splits.classes), **_options(wanted)
    )
    metrics = {"top1": result.top1, "mean_per_class": result.mean_per_class}
    return Evaluation(metrics, protocol_of(wanted, splits, result.protocol))


def linear(wanted: Wanted, backbone: PretrainedBackbone) -> Evaluation:
    """Train a linear classifier on the frozen features."""
    splits = splits_of(wanted)
    train, val = _loaders(wanted, splits, augment=wanted.options["augment"])
    result = linear_evaluation(
        backbone.filtered(),
        train,
        val,
        num_classes=len(splits.classes),
        feature_dim=backbone.feature_dim,
        **_options(wanted),
    )
    metrics = {
        "top1_last": result.top1,
        "top1_best": result.top1_best,
        "mean_per_class": result.mean_per_class,
    }
    if wanted.options.get("learning_rates"):
        metrics["learning_rate"] = result.learning_rate
    return Evaluation(metrics, protocol_of(wanted, splits, result.protocol), {"top1": result.curve})


def logistic(wanted: Wanted, backbone: PretrainedBackbone) -> Evaluation:
    """Fit a logistic regression on the frozen features."""
    splits = splits_of(wanted)
    train, val = (in_memory(*found) for found in features_of(wanted, backbone))
    result = logistic_evaluation(
        nn.Identity(), train, val, num_classes=len(splits.classes), **_options(wanted)
    )
    metrics = {
        "top1": result.top1,
        "mean_per_class": result.mean_per_class,
        "weight_decay": result.weight_decay,
    }
    return Evaluation(metrics, protocol_of(wanted, splits, result.protocol))


def finetune(wanted: Wanted, backbone: PretrainedBackbone) -> Evaluation:
    """Train a copy of the network and a linear classifier."""
    splits = splits_of(wanted)
    train, val = _loaders(wanted, splits, augment=True)
    result = finetune_evaluation(
        backbone.filtered(),
        train,
        val,
        num_classes=len(splits.classes),
        feature_dim=backbone.feature_dim,
        seed=wanted.settings.seed,
        **_options(wanted),
    )
    metrics = {
        "top1_last": result.top1,
        "top1_best": result.top1_best,
        "mean_per_class": result.mean_per_class,
    }
    return Evaluation(metrics, protocol_of(wanted, splits, result.protocol), {"top1": result.curve})


def _options(wanted: Wanted) -> dict[str, Any]:
    return {key: value for key, value in wanted.options.items() if key != SHARE}


def _loaders(wanted: Wanted, splits: ImageSplits, *, augment: bool) -> tuple[Any, Any]:
    view_size = wanted.settings.view_size
    return evaluation_loaders(
        splits,
        view_size=view_size,
        batch_size=wanted.options["batch_size"],
        workers=wanted.settings.workers,
        train_transform=linear_train_transform(view_size) if augment else None,
        seed=wanted.settings.seed,
    )


def protocol_of(wanted: Wanted, splits: ImageSplits, known: dict[str, Any]) -> dict[str, Any]:
    """Add what the evaluation cannot know. Seeds of one setting share a protocol."""
    protocol = {key: value for key, value in known.items() if key != "seed"}
    protocol["view_size"] = wanted.settings.view_size
    share = wanted.options.get(SHARE, 1.0)
    if share < 1:
        protocol["labels"] = f"{share:g} of the training images, {len(splits.train)}"
    if wanted.is_transfer:
        protocol["data"] = splits.name
        protocol["train_images"] = len(splits.train)
        protocol["val_images"] = len(splits.val)
    return protocol
