"""kNN, linear and fine-tuned classification as tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from salmask_plugin.adapters.lightly.evaluation import (
    finetune_evaluation,
    knn_evaluation,
    linear_evaluation,
    logistic_evaluation,
    occlusion_evaluation,
)
from salmask_plugin.adapters.lightly.evaluation.trainer import in_memory
from salmask_plugin.encoders import PretrainedBackbone
from salmask_plugin.lab.data import ImageSplits, evaluation_loaders
from salmask_plugin.lab.data.augment import random_crop
from salmask_plugin.lab.probes.features import SPLITS, features_of, probe_of
from salmask_plugin.lab.probes.pictures import SHARE, checked_data, splits_of
from salmask_plugin.lab.results import Evaluation
from salmask_plugin.lab.runs.data_of_run import DATA_NAME, keep_data, name_of_other
from salmask_plugin.lab.settings.evaluation_request import EvaluationRequest

LOCALIZER = "localizer"
"""A setting of a task that its function does not take itself, as the share of labels."""
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "knn": knn_evaluation,
    "linear": linear_evaluation,
    "logistic": logistic_evaluation,
    "occlusion": occlusion_evaluation,
    "finetune": finetune_evaluation,
}


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
        seed=request.settings.seed,
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
        nn.Identity(),
        train,
        val,
        num_classes=len(splits.classes),
        probe=probe_of(request, backbone),
        **_options(request),
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
