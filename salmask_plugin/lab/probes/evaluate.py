"""``salmask evaluate``: the evaluations of a pretrained run, and its gallery."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from salmask_plugin.adapters.lightly import SupervisedClassifier
from salmask_plugin.adapters.lightly.evaluation import extract_features, reestimate_batch_norm
from salmask_plugin.adapters.lightly.evaluation.features import unchanged
from salmask_plugin.encoders import PretrainedBackbone, fingerprint, load_backbone
from salmask_plugin.encoders.checkpoint_files import final_checkpoint
from salmask_plugin.lab.data import ImageSplits, evaluation_loaders
from salmask_plugin.lab.data.augment import random_crop
from salmask_plugin.lab.downstream.depth.training import DEPTH
from salmask_plugin.lab.downstream.detection.training import DETECTION
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.probes.classification import keep_data_of
from salmask_plugin.lab.probes.pictures import checked_data
from salmask_plugin.lab.probes.tasks import TASKS, check_tasks, is_done, requested_tasks
from salmask_plugin.lab.results import Evaluation, RunRecord, read_record
from salmask_plugin.lab.results.late_pictures import is_drawn
from salmask_plugin.lab.results.record import is_share
from salmask_plugin.lab.results.store import RECORD_NAME, shortened
from salmask_plugin.lab.results.terminal import filled
from salmask_plugin.lab.runs.build import build_backbone, build_masking, memory_format
from salmask_plugin.lab.runs.cached_data import without_cache
from salmask_plugin.lab.runs.data_of_run import keep_data
from salmask_plugin.lab.runs.example_views import can_be_shown, write_gallery
from salmask_plugin.lab.runs.folder import check_run, read_settings
from salmask_plugin.lab.runs.folder_lock import alone_in
from salmask_plugin.lab.runs.node import check_takes_views
from salmask_plugin.lab.runs.recording import change_record, with_results
from salmask_plugin.lab.runs.trained import device_for, load_module
from salmask_plugin.lab.settings.allowed_targets import Trust
from salmask_plugin.lab.settings.compose import apply_overrides
from salmask_plugin.lab.settings.evaluation_request import EvaluationRequest
from salmask_plugin.lab.settings.paper_values import GALLERY
from salmask_plugin.lab.settings.settings import Settings

SHOWN = 6
MAY_CHANGE = ("compare", "evaluation")
"""Parts of a run's configuration that a later comparison may ask otherwise."""


def evaluate_run(
    folder: Path,
    overrides: Sequence[str] = (),
    *,
    only_missing: bool = False,
    trust: Trust = False,
) -> RunRecord:
    """Evaluate a run's folder; overrides may change the evaluation and the loader's workers.

    Args:
        folder: of a pretrained run.
        overrides: settings.
        only_missing: leave out results that are there already under the same settings.
        trust: what may be built besides what our configurations name.

    Raises:
        UserError: if the folder holds no pretrained run, or a setting cannot work.
    """
    settings = apply_overrides(read_settings(folder, trust=trust), overrides, trust=trust)
    check_run(settings, "the settings of the run, with those given,")
    _refuse_idle(settings)
    with alone_in(folder):
        return evaluate(settings, folder, only_missing=only_missing)


def evaluate(settings: Settings, folder: Path, *, only_missing: bool = False) -> RunRecord:
    """Evaluate the last checkpoint of a finished run and add the results to its record.

    Each result is written as soon as it is there, and its picture drawn after that.

    Args:
        settings: of the run, and of the evaluation.
        folder: the run's.
        only_missing: leave out what the record holds under the same settings.

    Raises:
        UserError: if the run is not pretrained yet, a task cannot work, or data are not those that
            the folder's results are of.
        ValueError: if the checkpoint is damaged, or not the one that the record is about.
        FileNotFoundError: if it is gone.
    """
    if not (folder / RECORD_NAME).is_file():
        raise UserError(f"{folder} is not pretrained yet: run `salmask pretrain` to its end first.")
    record = read_record(folder)
    wanted = [replace(task, folder=folder) for task in requested_tasks(settings)]
    if only_missing:
        wanted = [task for task in wanted if not is_done(record, task)]
    if wanted:
        check_tasks(settings)
        keep_data_of(folder, wanted)
        backbone, shared = _prepared(settings, folder)
        # First, for a run counts as finished when its tasks are done.
        own = _own_classifier(settings, folder)
        if own is not None:
            record = keep_result(folder, record, "supervised", own)
        for task in wanted:
            record = keep_result(folder, record, task.name, evaluated(task, backbone, shared))
            task.pictures.draw()
    newest = {key: settings.values[key] for key in MAY_CHANGE if key in settings.values}
    if "compare" in newest:
        # A plan is what was fixed before the run: one of later is none.
        newest["compare"] = {**newest["compare"], "plan": record.study.get("plan") or {}}
    record = change_record(folder, lambda there: replace(there, config={**there.config, **newest}))
    if not (only_missing and (folder / GALLERY).is_file()):
        is_drawn(folder / GALLERY, lambda: _show(settings, folder, record))
    return record


def evaluated(
    task: EvaluationRequest, backbone: PretrainedBackbone, shared: dict[str, Any] | None = None
) -> Evaluation:
    """Run one task; the backbone is proven to be as before.

    Args:
        task: what to do.
        backbone: the encoder, on its device.
        shared: what is added to the protocol.

    Raises:
        UserError: if its training diverged; results that are written stay.
        RuntimeError: if a parameter or a buffer of the backbone has changed.
    """
    started = time.perf_counter()
    try:
        with unchanged(backbone.network):
            found = TASKS[task.kind].run(task, backbone)
    except FloatingPointError as error:
        raise UserError(f"evaluation.{task.name} has no result: {error}") from error
    seconds = time.perf_counter() - started
    return replace(
        found,
        protocol={**found.protocol, **(shared or {})},
        seconds=seconds,
        settings=shortened(task.kept),
    )


def keep_result(folder: Path, record: RunRecord, name: str, found: Evaluation) -> RunRecord:
    """Write a result into the folder's record, then print it: what is said is safe.

    Args:
        folder: of the record.
        record: written where there is none; else the one that is there now counts.
        name: of the result.
        found: the result.
    """
    record = change_record(folder, lambda there: with_results(there, {name: found}), record)
    metrics = (_said(key, value) for key, value in found.metrics.items())
    print(filled(f"{name}: " + "  ".join(metrics), "  "))
    return record


def _prepared(settings: Settings, folder: Path) -> tuple[PretrainedBackbone, dict[str, Any]]:
    """The run's backbone on its device, and what its preparation adds to the protocol."""
    backbone = load_backbone(final_checkpoint(folder), network=build_backbone(settings))
    backbone.network.to(memory_format=memory_format(settings)).to(device_for(settings))
    check_takes_views(backbone.filtered(), settings.view_size)
    shared = _reestimated(settings, folder, backbone)
    if shared:
        backbone = replace(backbone, fingerprint=fingerprint(backbone.filtered()))
    print(filled(f"Encoder: {backbone}", "  "))
    return backbone, shared


def _refuse_idle(settings: Settings) -> None:
    """Refuse what was typed of a trainer that none of the tasks has."""
    trained = {DETECTION.name, DEPTH.name} & {task.kind for task in requested_tasks(settings)}
    for text in settings.overrides:
        if not trained and text.startswith("trainer.") and "accelerator=" not in text:
            raise UserError(
                f"{text} acts on nothing: detection and depth alone train with it, and "
                "evaluation.tasks names neither. trainer.accelerator says where the others run."
            )


def _show(settings: Settings, folder: Path, record: RunRecord) -> None:
    """Draw what the encoder saw, where the recipe can be shown."""
    if without_cache(settings) is not settings:
        return  # cached maps belong to training images
    masking = build_masking(settings)
    if masking is None or not can_be_shown(masking):
        return
    splits = checked_data(settings.data, labelled=False)
    shown = splits.train if splits.unlabelled else splits.val
    images = [shown[index * len(shown) // SHOWN] for index in range(SHOWN)]
    write_gallery(
        folder / GALLERY,
        masking,
        [image for image, _ in images],
        [splits.classes[label] for _, label in images],
        view_size=settings.view_size,
        seed=settings.seed,
        title=f"{record.recipe}, saliency from {record.localizer}",
        channels=splits.channels,
    )


def _own_data(settings: Settings, folder: Path, *, labelled: bool = True) -> ImageSplits:
    """The run's own data, proven to be those it began on."""
    splits = checked_data(settings.data, labelled=labelled)
    keep_data(folder, splits)
    return splits


def _said(metric: str, value: float) -> str:
    return f"{metric} {value:.2%}" if is_share(metric) else f"{metric} {value:g}"


def _reestimated(settings: Settings, folder: Path, backbone: PretrainedBackbone) -> dict[str, Any]:
    """Re-estimate BatchNorm's statistics if asked to; return what that adds to the protocol."""
    # Run folders written before the setting existed lack the key.
    if not settings.evaluation.get("reestimate_batch_norm", False):
        return {}
    splits = _own_data(settings, folder, labelled=False)
    train, _ = evaluation_loaders(
        splits,
        view_size=settings.view_size,
        batch_size=settings.loader.batch_size,
        workers=settings.workers,
        train_transform=random_crop(settings.view_size, splits.channels),
        seed=settings.seed,
    )
    batches = reestimate_batch_norm(backbone.filtered(), train)
    size = settings.loader.batch_size
    return {"batch_norm": f"re-estimated on {batches} batches of {size} clean views"}


def _own_classifier(settings: Settings, folder: Path) -> Evaluation | None:
    """The top-1 of a supervised run's own classifier, trained with its encoder; else None."""
    if not settings.is_supervised:
        return None
    started = time.perf_counter()
    splits = _own_data(settings, folder)
    module = load_module(settings, splits, None, final_checkpoint(folder))
    assert isinstance(module, SupervisedClassifier)
    _, val = evaluation_loaders(splits, view_size=settings.view_size, workers=settings.workers)
    logits, labels = extract_features(nn.Sequential(module, module.classifier), val)
    top1 = (logits.argmax(1) == labels).float().mean().item()
    protocol: dict[str, str | int] = {"epoch": "last", "view_size": settings.view_size}
    return Evaluation({"top1": top1}, protocol, seconds=time.perf_counter() - started)
