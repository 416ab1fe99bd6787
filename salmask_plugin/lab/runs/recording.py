"""What a run's record says: the settings that matter, in the record's words."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from salmask_plugin.adapters.lightly.cached_maps import cached_localizer
from salmask_plugin.adapters.lightly.foreground_bins import BIN_NAMES
from salmask_plugin.crops import GuidedCrops
from salmask_plugin.lab.data import ImageSplits
from salmask_plugin.lab.results import (
    DataSet,
    Evaluation,
    RunRecord,
    Timing,
    environment,
    read_record,
    write_record,
)
from salmask_plugin.lab.results.grouping import KEY_MOMENTUM
from salmask_plugin.lab.results.store import RECORD_NAME
from salmask_plugin.lab.runs.folder_lock import changing_record
from salmask_plugin.lab.runs.history import History
from salmask_plugin.lab.runs.progress import Progress
from salmask_plugin.lab.settings.choice_names import (
    backbone_name,
    crops_in_words,
    crops_localizer,
    localizer_name,
    recipe_name,
)
from salmask_plugin.lab.settings.departures import departures_from_paper
from salmask_plugin.lab.settings.nodes import built_by
from salmask_plugin.lab.settings.settings import Settings
from salmask_plugin.masking import SaliencyMasking

OPTIMIZER = (
    "learning_rate",
    "weight_decay",
    "warmup_epochs",
    "momentum",
    "trust_coefficient",
    "decay_every",
)
METHODS = {
    "ADIOSMoCoV2": "mocov2",
    "ADIOSSimCLR": "simclr",
    "MaskedMoCoV2": "mocov2",
    "MaskedSimCLR": "simclr",
    "SupervisedClassifier": "supervised",
}
"""Names of methods in records, by class: a quick preset is the same method."""
MASKING = ("hard_negative_bias", "positive_in_denominator")


def record_of(
    settings: Settings,
    splits: ImageSplits,
    masking: SaliencyMasking | None,
    history: History,
    *,
    ran: Progress,
    crops: GuidedCrops | None = None,
    unreadable: Collection[str] = (),
) -> RunRecord:
    """Return the record of a run that has just been pretrained; evaluations are added later.

    Args:
        settings: of the run.
        splits: its data set.
        masking: its recipe, or None.
        history: its curves and seconds.
        ran: what has run of it.
        crops: how the views' boxes were chosen, or None.
        unreadable: names of the files that were passed over.
    """
    method = settings.method
    negatives = masking is not None and masking.negative is not None
    trainer = settings.trainer
    localizer = crops if masking is None else masking
    gpus = tuple(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
    return RunRecord(
        name=str(settings.name or recipe_name(settings)),
        host="lightly",
        method=method_name(settings),
        recipe=recipe_name(settings),
        seed=settings.seed,
        data=DataSet(
            name=splits.name,
            train_images=len(splits.train),
            val_images=len(splits.val),
            classes=len(splits.classes),
            view_size=settings.view_size,
        ),
        backbone=backbone_name(settings),
        epochs=ran.epochs,
        steps=ran.steps,
        batch_size=images_per_step(settings.loader.batch_size, ran.processes, trainer),
        localizer="none" if localizer is None else _localizer_name(localizer, settings),
        localizer_trained_on=(
            "none" if localizer is None else getattr(localizer.localizer, "trained_on", "unknown")
        ),
        branch=masking.branch if masking is not None and masking.query is not None else None,
        rho=method.get("rho") if negatives else None,
        temperature=method.get("temperature"),
        queue_size=method.get("queue_size"),
        masking={key: method[key] for key in MASKING if negatives and key in method}
        | _warm_up(method.get("warm_up"))
        | _encoding(method.get("negative_encoding"))
        | _crops(crops, settings),
        optimizer={
            KEY_MOMENTUM if key == "momentum" else key: method[key]
            for key in OPTIMIZER
            if key in method
        },
        history=history.curves,
        timing=Timing(
            pretrain_seconds=history.seconds,
            images_per_second=ran.images / history.seconds if history.seconds else None,
        ),
        environment=environment(gpus if trainer["accelerator"] != "cpu" else ()),
        config={**settings.values, "choices": settings.choices},
        notes=tuple(departures_from_paper(settings)),
        status=ran.status,
        warnings=(
            *ran.said,
            *(f"unreadable and passed over: {name}" for name in sorted(unreadable)),
            *degenerate_saliency(history.values),
        ),
        finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def images_per_step(batch_size: int, processes: int, trainer: Mapping[str, Any]) -> int:
    """Return the images of one optimizer step over all processes and accumulated batches.

    Args:
        batch_size: images per process and batch.
        processes: that trained, on all nodes: what the settings ask for may be "all there are".
        trainer: its node in the configuration.
    """
    batches = trainer.get("accumulate_grad_batches") or 1
    return int(batch_size * processes * batches)


def degenerate_saliency(history: Mapping[str, Sequence[float]]) -> list[str]:
    """Return a sentence where saliency decides nothing in most images of the last epoch."""
    extremes = ((BIN_NAMES[0], "nearly nothing"), (BIN_NAMES[-1], "nearly everything"))
    return [
        f"the localizer marks {what} in {history[name][-1]:.0%} of the images of the last epoch"
        for name, what in extremes
        if history.get(name) and history[name][-1] > 0.5
    ]


def with_results(record: RunRecord, results: dict[str, Evaluation]) -> RunRecord:
    """Return the record with its evaluations and their time."""
    for name, evaluation in results.items():
        record = record.with_evaluation(name, evaluation)
    seconds = sum(found.seconds or 0.0 for found in record.evaluations.values())
    return replace(record, timing=replace(record.timing, evaluation_seconds=seconds))


def entry_name(record: RunRecord, name: str, kind: str, seed: int) -> str:
    """Name a result in a record: one of another kind or seed that is called so stays beside it.

    Args:
        record: that holds results.
        name: of the task.
        kind: of the task.
        seed: of its training.
    """

    def is_free(name: str, key: str, value: str | int) -> bool:
        there = record.evaluations.get(name)
        return there is None or there.settings.get(key, value) == value

    name = name if is_free(name, "kind", kind) else f"{kind}_{name}"
    return name if is_free(name, "seed", seed) else f"{name}_seed{seed}"


def change_record(
    folder: Path, change: Callable[[RunRecord], RunRecord], first: RunRecord | None = None
) -> RunRecord:
    """Read a folder's record, change it and write it back, while no other command does.

    Args:
        folder: of the record.
        change: of whatever stands there now, results of other commands included.
        first: what is changed where there is no record yet.

    Returns:
        The record as it was written.

    Raises:
        RecordError: if there is none and ``first`` is None, or it cannot be read.
    """
    with changing_record(folder):
        missing = first is not None and not (folder / RECORD_NAME).is_file()
        record = change(first if missing and first is not None else read_record(folder))
        write_record(folder, record)
    return record


def method_name(settings: Settings) -> str:
    """Return the method's name in records."""
    return METHODS.get(built_by(settings.method), settings.choices["method"])


def _warm_up(node: dict[str, Any] | None) -> dict[str, str]:
    if node is None:
        return {}
    return {"warm_up": f"uniform {node['uniform']:g}, ramp {node['ramp']:g} of training"}


def _crops(crops: GuidedCrops | None, settings: Settings) -> dict[str, str]:
    if crops is None:
        return {}
    return {"crops": f"{crops_in_words(settings)} (trained on: {crops.localizer.trained_on})"}


def _encoding(node: dict[str, Any] | None) -> dict[str, str]:
    if node is None:
        return {}
    side, every, share = node["side"], node["every"], node["share"]
    return {"negative_encoding": f"side {side:g}, every {every}, share {share:g}"}


def _localizer_name(masking: SaliencyMasking | GuidedCrops, settings: Settings) -> str:
    cached = cached_localizer(masking.localizer)
    if cached is not None:
        return f"cached:{cached.manifest.name}"
    if isinstance(masking, GuidedCrops):
        return "none" if masking.is_anywhere else crops_localizer(settings)
    return localizer_name(settings)
