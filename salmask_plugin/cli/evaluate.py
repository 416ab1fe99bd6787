"""``salmask evaluate``: kNN and linear evaluation of a pretrained run, and its gallery."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn

from salmask_plugin.adapters.lightly import SupervisedClassifier
from salmask_plugin.adapters.lightly.evaluation import (
    extract_features,
    knn_evaluation,
    linear_evaluation,
    reestimate_batch_norm,
)
from salmask_plugin.cli.build import build, build_masking, build_module, build_splits
from salmask_plugin.cli.cached_data import without_cache
from salmask_plugin.cli.checkpoints import newest_checkpoint
from salmask_plugin.cli.config import Settings, apply_overrides
from salmask_plugin.cli.errors import UserError
from salmask_plugin.cli.examples import can_be_shown, write_gallery
from salmask_plugin.cli.protocol import with_results
from salmask_plugin.cli.runs import CHECKPOINTS, read_settings
from salmask_plugin.data import ImageSplits, evaluation_loaders, linear_train_transform
from salmask_plugin.masking import SaliencyMasking
from salmask_plugin.results import Evaluation, RunRecord, read_record, write_record
from salmask_plugin.results.record import is_share
from salmask_plugin.results.store import RECORD_NAME

GALLERY = "gallery.png"
SHOWN = 6


def run(options: argparse.Namespace) -> None:
    """Evaluate a run folder; overrides may change the evaluation and the loader's workers."""
    folder = Path(options.folder)
    settings = apply_overrides(read_settings(folder), options.overrides, trust=options.trust)
    evaluate(settings, folder)


def evaluate(settings: Settings, folder: Path) -> RunRecord:
    """Evaluate the newest checkpoint of a finished run and add the results to its record.

    Each result is written as soon as it is there.

    Raises:
        UserError: if the run is not pretrained yet, or its checkpoint is gone.
    """
    if not (folder / RECORD_NAME).is_file():
        raise UserError(f"{folder} is not pretrained yet: run `salmask pretrain` to its end first.")
    checkpoint = newest_checkpoint(folder / CHECKPOINTS)
    if checkpoint is None:
        raise UserError(f"{folder / CHECKPOINTS} has no readable checkpoint to evaluate.")
    splits = build_splits(settings)
    plain = without_cache(settings)
    masking = build_masking(plain)
    module = load_module(settings, splits, masking, checkpoint)
    record = read_record(folder)
    shared = _reestimated(settings, splits, module)
    evaluations = {"knn": _knn, "linear": _linear}
    if isinstance(module, SupervisedClassifier):
        evaluations["supervised"] = _supervised
    for name, evaluation in evaluations.items():
        started = time.perf_counter()
        metrics, curves, protocol = evaluation(settings, splits, module)
        result = Evaluation(metrics, {**protocol, **shared}, curves, time.perf_counter() - started)
        record = with_results(record, {name: result})
        write_record(folder, record)
        print(f"{name}: " + "  ".join(_said(key, value) for key, value in metrics.items()))
    if masking is not None and can_be_shown(masking) and plain is settings:
        images = [splits.val[index * len(splits.val) // SHOWN] for index in range(SHOWN)]
        write_gallery(
            folder / GALLERY,
            masking,
            [image for image, _ in images],
            [splits.classes[label] for _, label in images],
            view_size=settings["view_size"],
            seed=settings["seed"],
            title=f"{record.recipe}, saliency from {record.localizer}",
        )
    return record


def load_module(
    settings: Settings,
    splits: ImageSplits,
    masking: SaliencyMasking | None,
    checkpoint: Path,
) -> pl.LightningModule:
    """Return the run's module with the checkpoint's weights, in eval mode on its device.

    Raises:
        UserError: if a weight is missing or left over.
    """
    module = build_module(settings, splits, masking)
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise UserError(f"{checkpoint} does not fit the run's settings: {error}") from error
    cuda = torch.cuda.is_available() and settings["trainer"]["accelerator"] != "cpu"
    return module.to("cuda" if cuda else "cpu").eval()


def _said(metric: str, value: float) -> str:
    return f"{metric} {value:.2%}" if is_share(metric) else f"{metric} {value:g}"


Result = tuple[dict[str, float], dict[str, tuple[float, ...]], dict[str, Any]]


def _reestimated(
    settings: Settings, splits: ImageSplits, module: pl.LightningModule
) -> dict[str, Any]:
    """Re-estimate BatchNorm's statistics if asked to; return what that adds to the protocol."""
    # Run folders written before the setting existed lack the key.
    if not settings["evaluation"].get("reestimate_batch_norm", False):
        return {}
    train, _ = evaluation_loaders(
        splits,
        view_size=settings["view_size"],
        batch_size=settings["loader"]["batch_size"],
        workers=settings["loader"]["workers"],
        train_transform=linear_train_transform(settings["view_size"]),
        seed=settings["seed"],
    )
    batches = reestimate_batch_norm(module, train)
    size = settings["loader"]["batch_size"]
    return {"batch_norm": f"re-estimated on {batches} batches of {size} clean views"}


def _knn(settings: Settings, splits: ImageSplits, module: pl.LightningModule) -> Result:
    train, val = evaluation_loaders(
        splits, view_size=settings["view_size"], workers=settings["loader"]["workers"]
    )
    result = knn_evaluation(
        module, train, val, num_classes=len(splits.classes), **settings["evaluation"]["knn"]
    )
    metrics = {"top1": result.top1}
    return metrics, {}, {**result.protocol, "view_size": settings["view_size"]}


def _linear(settings: Settings, splits: ImageSplits, module: pl.LightningModule) -> Result:
    protocol = settings["evaluation"]["linear"]
    train, val = evaluation_loaders(
        splits,
        view_size=settings["view_size"],
        batch_size=protocol["batch_size"],
        workers=settings["loader"]["workers"],
        train_transform=(
            linear_train_transform(settings["view_size"]) if protocol["augment"] else None
        ),
        seed=settings["seed"],
    )
    _, feature_dim = build(settings["backbone"])
    result = linear_evaluation(
        module,
        train,
        val,
        num_classes=len(splits.classes),
        feature_dim=feature_dim,
        **protocol,
    )
    metrics = {"top1_last": result.top1, "top1_best": result.top1_best}
    if protocol.get("learning_rates"):
        metrics["learning_rate"] = result.learning_rate
    # The seed is the head's; runs of several seeds of one setting share a protocol.
    known = {key: value for key, value in result.protocol.items() if key != "seed"}
    return metrics, {"top1": result.curve}, {**known, "view_size": settings["view_size"]}


def _supervised(settings: Settings, splits: ImageSplits, module: pl.LightningModule) -> Result:
    """The top-1 of the run's own classifier, trained with its encoder."""
    assert isinstance(module, SupervisedClassifier)
    _, val = evaluation_loaders(
        splits, view_size=settings["view_size"], workers=settings["loader"]["workers"]
    )
    logits, labels = extract_features(nn.Sequential(module, module.classifier), val)
    top1 = (logits.argmax(1) == labels).float().mean().item()
    return {"top1": top1}, {}, {"epoch": "last", "view_size": settings["view_size"]}
