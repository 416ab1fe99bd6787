"""``salmask transfer``: evaluate any checkpoint on any data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import torch

from salmask_plugin.encoders import PretrainedBackbone, load_backbone
from salmask_plugin.encoders.checkpoint_files import is_final
from salmask_plugin.encoders.convnets import image_channels
from salmask_plugin.file_names import safe_name
from salmask_plugin.filters import HighPassFilter
from salmask_plugin.json_files import COUNT, FILTER
from salmask_plugin.lab.data.channels import RGB
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.probes.classification import keep_data_of
from salmask_plugin.lab.probes.evaluate import evaluated, keep_result
from salmask_plugin.lab.probes.pictures import checked_data
from salmask_plugin.lab.probes.tasks import check_tasks, is_done, requested_tasks
from salmask_plugin.lab.results import DataSet, RunRecord, environment, read_record
from salmask_plugin.lab.results.store import RECORD_NAME
from salmask_plugin.lab.results.terminal import filled
from salmask_plugin.lab.runs.folder import SETTINGS_NAME, below_out, some_settings
from salmask_plugin.lab.runs.folder_lock import alone_in
from salmask_plugin.lab.runs.node import check_takes_views
from salmask_plugin.lab.runs.recording import entry_name
from salmask_plugin.lab.runs.trained import device_for
from salmask_plugin.lab.settings.allowed_targets import Trust
from salmask_plugin.lab.settings.compose import compose_settings
from salmask_plugin.lab.settings.settings import Settings

VIEW_SIZE = 224
FINGERPRINT = "fingerprint"
"""Key of a foreign record's configuration: results of another encoder never mix with it."""


def transfer(
    path: Path,
    overrides: Sequence[str] = (),
    *,
    only_missing: bool = False,
    config_dir: str | None = None,
    trust: Trust = False,
) -> Path:
    """Evaluate a checkpoint; results of a run of ours go into its record, whose path is returned.

    Raises:
        UserError: before anything is computed, if checkpoint, data or a task cannot work.
    """
    settings = compose_settings(overrides, root="transfer", config_dir=config_dir, trust=trust)
    accelerator = settings.trainer["accelerator"]
    if accelerator in ("gpu", "cuda") and not torch.cuda.is_available():
        raise UserError(f"trainer.accelerator={accelerator}: there is no GPU here.")
    own = run_of(path)
    settings = completed(settings, own)
    check_tasks(settings)
    backbone = load_backbone(
        path,
        architecture=settings["architecture"],
        part=settings["part"],
        view_filter=asked_filter(settings["filter"]),
    )
    print(filled(f"Encoder: {backbone}", "  "))
    folder = own or below_out(settings, settings.name or _name(path, settings))
    with alone_in(folder):
        record = read_record(folder) if own else _record(folder, path, settings, backbone)
        backbone.network.to(device_for(settings))
        _check_channels(backbone, settings)
        check_takes_views(backbone.filtered(), settings.view_size)
        wanted = requested_tasks(settings)
        if own:
            named = [entry_name(record, task.name, task.kind, settings.seed) for task in wanted]
            wanted = [replace(task, name=name) for task, name in zip(wanted, named, strict=True)]
        if only_missing:
            wanted = [task for task in wanted if not is_done(record, task)]
        keep_data_of(folder, wanted)
        for task in wanted:
            found = evaluated(replace(task, folder=folder), backbone)
            record = keep_result(folder, record, task.name, found)
            task.pictures.draw()
    return folder / RECORD_NAME


def _check_channels(backbone: PretrainedBackbone, settings: Settings) -> None:
    given = settings.data.get("channels", RGB.count)
    if given != image_channels(backbone.network):
        raise UserError(
            f"the encoder takes {image_channels(backbone.network)} channels, and data="
            f"{settings.choices['data']} gives pictures of {given}; in_channels=... says how many."
        )


def run_of(path: Path) -> Path | None:
    """Return the finished run of ours that a path is, or is the last checkpoint of.

    An earlier checkpoint holds another encoder than the one that the run's record is about.
    """
    for folder in (path, path.parent.parent):
        if (folder / SETTINGS_NAME).is_file() and (folder / RECORD_NAME).is_file():
            return folder if folder == path or is_final(path, folder) else None
    return None


def view_size_of(own: Path) -> int:
    """Return the side of a run's views. Read, not built: any ``_target_`` may stand there."""
    size: int = some_settings(own, {"view_size": COUNT})["view_size"]
    return size


def side_of_views(backbone: PretrainedBackbone, asked: int | None, own: Path | None) -> int:
    """Return the side of views in pixels, tried on the encoder.

    Args:
        backbone: that gets the views.
        asked: what the user says; None: the run's, or 224.
        own: the run of ours, or None.

    Raises:
        UserError: if the encoder cannot take such views.
    """
    side = asked
    if side is None:
        side = VIEW_SIZE if own is None else view_size_of(own)
    if side < 1:
        raise UserError(f"view_size={side} must be at least 1.")
    check_takes_views(backbone.filtered(), side)
    return side


def completed(settings: Settings, own: Path | None) -> Settings:
    """Fill in the view size; tasks on a run of ours carry the data set in their name.

    Raises:
        UserError: for settings that a transfer cannot have.
    """
    values = dict(settings.values)
    evaluation = dict(values["evaluation"])
    if evaluation["reestimate_batch_norm"]:
        raise UserError(
            "evaluation.reestimate_batch_norm needs the images the encoder was trained on: it is a "
            "setting of `salmask evaluate`."
        )
    if values["view_size"] is None:
        values["view_size"] = VIEW_SIZE if own is None else view_size_of(own)
    if own is not None:
        name = settings.choices["data"]
        evaluation["data"] = {**evaluation["data"], name: values["data"]}
        evaluation["tasks"] = [
            task if "/" in task else f"{name}/{task}" for task in evaluation["tasks"]
        ]
    return replace(settings, values={**values, "evaluation": evaluation})


def asked_filter(value: Any) -> HighPassFilter | Literal["auto"] | None:
    """Return the filter of the setting ``filter``.

    Raises:
        UserError: if it is none of auto, null and [taps, sigma].
    """
    if value in ("auto", None):
        return "auto" if value else None
    if not isinstance(value, list) or len(value) != 2:
        raise UserError(f"filter={value!r} must be auto, null or [taps, sigma].")
    for (name, kind), entry in zip(FILTER.items(), value, strict=True):
        if not kind.fits(entry):
            raise UserError(f"filter={value!r}: {name}={entry!r} must be {kind.words}.")
    return HighPassFilter(value[0], float(value[1]))


def _name(path: Path, settings: Settings) -> str:
    return safe_name(f"{path.stem}-{settings.choices['data']}")


def _record(
    folder: Path, path: Path, settings: Settings, backbone: PretrainedBackbone
) -> RunRecord:
    """The record of a checkpoint of others: the one there already, or a new one."""
    if (folder / RECORD_NAME).is_file():
        there = read_record(folder)
        if there.config.get(FINGERPRINT) != backbone.fingerprint:
            raise UserError(
                f"{folder} holds the results of another encoder (its fingerprint differs). Choose "
                "another name=... or out=..., or delete that folder."
            )
        if there.seed != settings.seed:
            raise UserError(
                f"{folder} holds the results of seed {there.seed}. Choose another name=... for "
                f"those of seed {settings.seed}, such as name={folder.name}-seed{settings.seed}."
            )
        return there
    splits = checked_data(settings.data)
    on_gpu = device_for(settings).type == "cuda"
    return RunRecord(
        name=folder.name,
        host="other",
        method=str(settings.method or backbone.source.partition(":")[0]),
        recipe=str(settings.recipe or path.stem),
        seed=settings.seed,
        data=DataSet(
            name=splits.name,
            train_images=len(splits.train),
            val_images=len(splits.val),
            classes=len(splits.classes),
            view_size=settings.view_size,
        ),
        backbone=backbone.architecture,
        epochs=0,
        batch_size=0,
        environment=environment(
            tuple(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
            if on_gpu
            else ()
        ),
        config={
            **settings.values,
            "choices": settings.choices,
            FINGERPRINT: backbone.fingerprint,
        },
        notes=(f"Encoder: {backbone}.",),
        finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
