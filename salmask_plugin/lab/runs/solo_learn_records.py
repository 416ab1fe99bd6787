"""From solo-learn's run folders to the record that ``salmask compare`` reads.

``python -m salmask_plugin.cli.solo_learn_record --pretrain RUN --linear RUN --to results/x``
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from salmask_plugin.adapters.solo_learn.arguments import (
    AUGMENTED,
    HARD,
    LINEAR,
    MASKED,
    PRETRAIN,
    read_arguments,
)
from salmask_plugin.encoders.sources import solo_learn_architecture
from salmask_plugin.json_files import check_shape
from salmask_plugin.lab.results import Evaluation, RunRecord, Timing, environment
from salmask_plugin.lab.runs.solo_learn_curves import first_epoch, log_folder, read_curves
from salmask_plugin.lab.runs.solo_learn_data import EVALUATED, data_name, data_of
from salmask_plugin.localizers.weights import read_content, read_weights

HISTORY = {
    "train_nce_loss_epoch": "loss",
    "mask_ratio": "mask_ratio",
    "adios_penalty": "adios_penalty",
    "foreground_share": "foreground_share",
    "similarity_positive": "similarity_positive",
    "similarity_hard": "similarity_hard",
    "hard_negative_share": "hard_negative_share",
}
"""Our name of each curve that a pretraining logs."""


def record_run(pretrain: Path, linear: Path | None = None) -> RunRecord:
    """Read a pretraining, masked or not, and its linear evaluation.

    The environment is that of the reading process: make the record where the run took place.

    Args:
        pretrain: solo-learn's folder of the run, with ``args.json`` and the checkpoint.
        linear: the folder of ``main_linear.py``'s run on that checkpoint.

    Raises:
        FileNotFoundError: if a folder lacks its arguments, checkpoint or curves.
        ValueError: if the linear evaluation was made on another run's checkpoint or on other
            images, did not reach its end, or was a fine-tuning.
    """
    arguments, checkpoint = read_arguments(pretrain, PRETRAIN), _checkpoint(pretrain)
    settings: Mapping[str, Any] = arguments.get("salmask") or {}
    curves = read_curves(log_folder(pretrain, arguments))
    began = first_epoch(curves)
    epochs = int(arguments["max_epochs"])
    finished = f"-ep={epochs - 1}." in checkpoint.name
    method_settings = arguments["method_kwargs"]
    masked = settings.get("query") is not None
    hard = settings.get("negative") is not None
    for form in ((MASKED,) if masked else ()) + ((HARD,) if hard else ()):
        check_shape(settings, form, str(pretrain / "args.json"), "salmask")
    gpus = tuple(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
    record = RunRecord(
        name=str(arguments["name"]),
        host="solo-learn",
        method=str(arguments["method"]).removeprefix("salmask_").removeprefix("adios_"),
        recipe=str(settings.get("recipe", "none")),
        seed=int(arguments["seed"]),
        data=data_of(arguments),
        backbone=solo_learn_architecture(arguments),
        epochs=epochs,
        batch_size=_batch_size(arguments),
        localizer=str(settings["localizer"]) if masked or hard else "none",
        localizer_trained_on=_trained_on(checkpoint) if masked or hard else "none",
        branch=settings["branch"] if masked else None,
        rho=float(settings["rho"]) if hard else None,
        temperature=method_settings.get("temperature"),
        queue_size=method_settings.get("queue_size"),
        masking={
            key: value
            for key, value in settings.items()
            if isinstance(value, bool | int | float | str)
            and key not in ("recipe", "branch", "rho")
        },
        optimizer=_plain(arguments["optimizer"]) | _plain(arguments["scheduler"], "schedule_"),
        history={
            ours: tuple(curves[theirs].values())[:epochs]
            for theirs, ours in HISTORY.items()
            if theirs in curves and not began
        },
        timing=Timing(pretrain_seconds=None if began else _seconds(pretrain, checkpoint)),
        environment=environment(gpus),
        config=arguments,
        status="finished" if finished else "failed",
        notes=(f"Resumed at epoch {began}: curves and wall-clock before are elsewhere.",)
        if began
        else (),
        warnings=()
        if finished
        else (f"The checkpoint {checkpoint.name} is not the last epoch's.",),
        finished_at=datetime.fromtimestamp(checkpoint.stat().st_mtime, UTC).isoformat(),
    )
    if linear is None:
        return record
    record = record.with_evaluation("linear", _linear(linear, checkpoint, arguments))
    seconds = record.evaluations["linear"].seconds
    return replace(record, timing=replace(record.timing, evaluation_seconds=seconds))


def _linear(run: Path, pretrained: Path, pretraining: Mapping[str, Any]) -> Evaluation:
    arguments, checkpoint = read_arguments(run, LINEAR), _checkpoint(run)
    _check_linear(run, arguments, pretraining)
    if not _same_encoder(checkpoint, pretrained):
        source = arguments["pretrained_feature_extractor"]
        raise ValueError(f"{run} evaluated {source}, whose encoder is not that of {pretrained}.")
    curves = read_curves(log_folder(run, arguments))
    missing = [name for name in ("val_acc1", "val_acc5") if not curves.get(name)]
    if missing:
        raise ValueError(f"The curves of {run} have no {' and no '.join(missing)}.")
    epochs = int(arguments["max_epochs"])
    reached = max(curves["val_acc1"]) + 1
    if reached < epochs and f"-ep={epochs - 1}." not in checkpoint.name:
        raise ValueError(f"{run} was evaluated after {reached} of its {epochs} epochs: no result.")
    top1 = tuple(value / 100 for value in curves["val_acc1"].values())
    top5 = tuple(value / 100 for value in curves["val_acc5"].values())
    protocol: dict[str, bool | int | float | str] = {
        "program": "solo-learn main_linear.py",
        "epochs": epochs,
        "batch_size": _batch_size(arguments),
        "view_size": EVALUATED.get(arguments["data"]["dataset"], 224),
        **{name: arguments[name] for name in AUGMENTED if arguments.get(name)},
        **_plain(arguments["optimizer"], leave=("batch_size",)),
        **_plain(arguments["scheduler"], "schedule_"),
    }
    if arguments["data"].get("format") == "dali" and (arguments["data"].get("fraction") or -1) > 0:
        protocol["fraction"] = arguments["data"]["fraction"]  # of folders all is read
    metrics = {"top1": top1[-1], "top1_last": top1[-1], "top5": top5[-1]}
    if first_epoch(curves):  # resumed: the best epoch may be elsewhere
        return Evaluation(metrics=metrics, protocol=protocol)
    return Evaluation(
        metrics={**metrics, "top1_best": max(top1)},
        protocol=protocol,
        curves={"top1": top1, "top5": top5},
        seconds=_seconds(run, checkpoint),
    )


def _check_linear(run: Path, arguments: Mapping[str, Any], pretraining: Mapping[str, Any]) -> None:
    if arguments.get("finetune"):
        raise ValueError(f"{run} trained the encoder (finetune=true): no linear evaluation.")
    paths = [each["data"].get("train_path") for each in (arguments, pretraining)]
    same = None not in paths and len({Path(path).resolve() for path in paths}) == 1
    names = [data_name(each) for each in (arguments, pretraining)]
    if not same and names[0] != names[1]:
        raise ValueError(f"{run} evaluated on {names[0]}, but the run was trained on {names[1]}.")


def _checkpoint(run: Path) -> Path:
    files = sorted(run.glob("*.ckpt"), key=lambda file: file.stat().st_mtime)
    if not files:
        raise FileNotFoundError(f"{run} holds no checkpoint.")
    return files[-1]


def _same_encoder(evaluated: Path, pretrained: Path) -> bool:
    """Whether an evaluation's frozen encoder is the pretraining's.

    Names do not tell: solo-learn numbers the runs of a folder, and another seed's has the same one.
    """
    found, wanted = (_encoder(file) for file in (evaluated, pretrained))
    shared = found.keys() & wanted.keys()
    return bool(shared) and all(
        torch.equal(found[name], wanted[name].to(found[name].dtype)) for name in shared
    )


def _encoder(checkpoint: Path) -> dict[str, torch.Tensor]:
    tensors = read_weights(checkpoint)
    return {name: value for name, value in tensors.items() if name.startswith("backbone.")}


def _trained_on(checkpoint: Path) -> str:
    state = read_content(checkpoint)
    kept = state.get("salmask") if isinstance(state, Mapping) else None
    if not isinstance(kept, Mapping) or "localizer_trained_on" not in kept:
        raise ValueError(f"{checkpoint} does not say what its localizer was trained on.")
    return str(kept["localizer_trained_on"])


def _batch_size(arguments: Mapping[str, Any]) -> int:
    processes = _devices(arguments["devices"]) * int(arguments.get("num_nodes") or 1)
    batches = int(arguments.get("accumulate_grad_batches") or 1)
    return int(arguments["optimizer"]["batch_size"]) * processes * batches


def _devices(said: str | list[Any]) -> int:
    """Their number as Lightning reads it; solo-learn's learning rate is scaled by the length."""
    if isinstance(said, str) and said.isdecimal():
        return int(said)
    if isinstance(said, str) and "," in said:
        return len([part for part in said.split(",") if part.strip()])
    return len(said)


def _seconds(run: Path, checkpoint: Path) -> float:
    """Wall-clock from the start of training, when args.json is written, to the last checkpoint."""
    return checkpoint.stat().st_mtime - (run / "args.json").stat().st_mtime


def _plain(
    node: Mapping[str, Any], prefix: str = "", leave: tuple[str, ...] = ()
) -> dict[str, bool | int | float | str]:
    flat = {**{k: v for k, v in node.items() if k != "kwargs"}, **(node.get("kwargs") or {})}
    return {
        prefix + key: value if isinstance(value, bool | int | float | str) else str(value)
        for key, value in flat.items()
        if value is not None and key not in leave
    }
