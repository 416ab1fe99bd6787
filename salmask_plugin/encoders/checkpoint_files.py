"""Checkpoint files of runs: whether they are whole, which are the newest, and what they hold."""

from __future__ import annotations

import re
import warnings
import zipfile
from pathlib import Path
from typing import Any, TypeVar

import torch

from salmask_plugin.json_files import SIZE, read_object
from salmask_plugin.localizers.weights import check_stored

CHECKPOINTS, RECORD = "checkpoints", "record.json"
"""Names inside a run's folder."""
_NAME = re.compile(r"epoch-([0-9]+)(?:-v([0-9]+))?\.ckpt")
E = TypeVar("E", bound=BaseException)


def checkpoints_in(folder: Path) -> list[Path]:
    """Return a folder's ``epoch-*.ckpt``, damaged ones included, oldest first by their numbers."""
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted((path for path in found if _NAME.fullmatch(path.name)), key=_order)


def epochs_of(checkpoint: Path) -> int:
    """Return after how many epochs an ``epoch-*.ckpt`` was written, by its name."""
    return _order(checkpoint)[0] + 1


def newest_checkpoint(folder: Path) -> Path | None:
    """Return the newest ``epoch-*.ckpt`` that is whole, or None.

    A damaged one is named in a warning and passed over for the one before it.
    """
    for path in reversed(checkpoints_in(folder)):
        trouble = damage(path)
        if trouble is None:
            return path
        warnings.warn(f"{path} is damaged ({trouble}); trying the one before it.", stacklevel=2)
    return None


def final_checkpoint(run: Path) -> Path:
    """Return the checkpoint with the weights that a run's record is about.

    A run without a record has not ended: of it, this is the newest checkpoint that is whole.

    Args:
        run: its folder.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if the newest is damaged, or not of the last epoch that the record names.
    """
    folder, record = run / CHECKPOINTS, run / RECORD
    if not record.is_file():
        newest = newest_checkpoint(folder)
        if newest is None:
            raise FileNotFoundError(f"{folder} has no readable checkpoint.")
        return newest
    there = checkpoints_in(folder)
    if not there:
        raise FileNotFoundError(
            f"{folder} has no readable checkpoint. {_again(record)} from its beginning."
        )
    newest, recorded = there[-1], _recorded_epochs(record)
    if epochs_of(newest) != recorded:
        raise ValueError(
            f"{record} is about the weights after epoch {recorded}, but the newest checkpoint is "
            f"{newest}, after epoch {epochs_of(newest)}. Name that file itself to use it. "
            f"{_again(record)} the missing epochs."
        )
    trouble = damage(newest)
    if trouble is not None:
        others = "" if len(there) == 1 else f" The one before it is {there[-2]}."
        raise ValueError(
            f"{newest} is damaged ({trouble}); it holds the weights that {record} is about."
            f"{others} {_again(record)} the missing epochs."
        )
    return newest


def is_final(checkpoint: Path, run: Path) -> bool:
    """Whether a file is the checkpoint that the record of a finished run is about."""
    return (
        checkpoint.parent == run / CHECKPOINTS
        and _NAME.fullmatch(checkpoint.name) is not None
        and epochs_of(checkpoint) == _recorded_epochs(run / RECORD)
    )


def read_checkpoint(path: Path, map_location: Any = "cpu") -> dict[str, Any]:
    """Return a checkpoint whose checksums hold, without unpickling code.

    Raises:
        ValueError: if it is damaged, or holds anything but plain data.
    """
    trouble = damage(path)
    if trouble is not None:
        raise ValueError(f"{path} is damaged ({trouble}).")
    checkpoint: dict[str, Any] = torch.load(path, map_location=map_location, weights_only=True)
    return checkpoint


def damage(path: Path) -> str | None:
    """Return what is wrong with a checkpoint file, or None.

    Every byte of it is read: torch writes a checksum per tensor and does not look at it again.
    """
    try:
        check_stored(path)
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
        if broken is not None:
            return f"the checksum of {broken} does not hold"
        torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # readers of damaged bytes raise many kinds
        if behind(error, KeyboardInterrupt) is not None:
            raise KeyboardInterrupt from error
        return str(error) or type(error).__name__
    return None


def behind(error: BaseException, kind: type[E]) -> E | None:
    """Return the first exception of a kind in the chain that an exception ends, or None.

    torch's reader and writer of files put errors of their own in front of what stopped them.
    """
    link: BaseException | None = error
    while link is not None and not isinstance(link, kind):
        link = link.__cause__ or link.__context__
    return link


def _order(path: Path) -> tuple[int, int]:
    found = _NAME.fullmatch(path.name)
    if found is None:
        raise ValueError(f"{path} is not named epoch-NUMBER.ckpt.")
    return int(found[1]), int(found[2] or 0)


def _again(record: Path) -> str:
    return f"Without {record.name}, `salmask pretrain` with the run's settings trains"


def _recorded_epochs(record: Path) -> int:
    epochs: int = read_object(record, {"epochs": SIZE})["epochs"]
    return epochs
