"""Curves of a finished run, as Lightning's CSV or TensorBoard logger left them."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Curves = dict[str, dict[int, float]]
"""name -> epoch -> its value, in the order of the epochs."""


def log_folder(run: Path, arguments: Mapping[str, Any]) -> Path:
    """Return the logger's folder of a run that solo-learn stored in ``run``.

    solo-learn names a run's folder after the logger's version: ``N`` beside
    ``<default_root_dir>/lightning_logs/version_N``.

    Raises:
        FileNotFoundError: if there is none; the message says what to set.
    """
    root = Path(arguments.get("default_root_dir") or ".")
    folder = root / "lightning_logs" / f"version_{run.name}"
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder} is no folder, so there are no curves for {run}. Run from the same working "
            "directory, or give each run +default_root_dir=...; runs with wandb.enabled=True keep "
            "their curves there."
        )
    return folder


def read_curves(folder: Path) -> Curves:
    """Return the epoch curves of a logger's folder.

    Raises:
        FileNotFoundError: if the folder holds neither a metrics.csv nor TensorBoard events.
        ImportError: if there are events, but tensorboard is not installed.
    """
    table = folder / "metrics.csv"
    if table.is_file():
        return _from_csv(table)
    if any(folder.glob("events.out.tfevents.*")):
        return _from_events(folder)
    raise FileNotFoundError(f"{folder} holds neither metrics.csv nor TensorBoard events.")


def first_epoch(curves: Curves) -> int:
    """Return the epoch at which a logger began: not 0 where the run was resumed.

    A resumed run has a folder of its own, of its checkpoints as of its curves.
    """
    return min((epoch for values in curves.values() for epoch in values), default=0)


def _from_csv(table: Path) -> Curves:
    values: Curves = {}
    with table.open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            for name, text in row.items():
                if text and row.get("epoch") and name not in ("epoch", "step"):
                    # The last value of an epoch is its epoch mean, or its last step.
                    values.setdefault(name, {})[int(float(row["epoch"]))] = float(text)
    return {name: dict(sorted(by_epoch.items())) for name, by_epoch in values.items()}


def _from_events(folder: Path) -> Curves:
    try:
        from tensorboard.backend.event_processing import event_accumulator
    except ImportError as error:
        raise ImportError(f"{folder} holds TensorBoard events: pip install tensorboard.") from error
    events = event_accumulator.EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    names = events.Tags()["scalars"]
    # Lightning logs the epoch beside whatever it logs.
    epochs = {event.step: int(event.value) for event in events.Scalars("epoch")}
    return {
        name: {epochs[event.step]: event.value for event in events.Scalars(name)}
        for name in names
        if not name.endswith("_step") and name not in ("epoch", "hp_metric")
    }
