"""Checkpoint files of runs: whether they are whole, the newest that is, and what it holds."""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

from salmask_plugin.localizers.weights import check_stored

SUFFIX = ".ckpt"


def newest_checkpoint(folder: Path) -> Path | None:
    """Return the newest ``epoch-*.ckpt`` that is whole, or None.

    A damaged one is named in a warning and passed over for the one before it.
    """
    candidates = sorted(folder.glob(f"epoch-*{SUFFIX}"), reverse=True) if folder.is_dir() else []
    for path in candidates:
        trouble = damage(path)
        if trouble is None:
            return path
        warnings.warn(f"{path} is damaged ({trouble}); trying the one before it.", stacklevel=2)
    return None


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
        return str(error) or type(error).__name__
    return None
