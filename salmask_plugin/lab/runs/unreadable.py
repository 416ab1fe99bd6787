"""Which files a run could not read, whichever of its processes met them, resumes included."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
import torch

from salmask_plugin.lab.data import ImageSplits, unreadable_files
from salmask_plugin.lab.data.reading import CANNOT_READ
from salmask_plugin.lab.data.text_files import shown
from salmask_plugin.lab.errors import UserError

REMEDY = "data.on_unreadable=skip leaves such files out, =replace takes another picture instead"


@contextmanager
def remedy_named(data: Mapping[str, Any]) -> Iterator[None]:
    """Say how to go on where a file ends the run, if the data set has a setting for it.

    Args:
        data: its node.

    Raises:
        ValueError: for a file that cannot be read, in words.
    """
    try:
        yield
    except ValueError as error:
        if "on_unreadable" in data and str(error).startswith(CANNOT_READ):
            raise UserError(f"{error} {REMEDY}.") from error
        raise


class UnreadableFiles(pl.Callback):
    """Collect the unreadable files at every epoch's end and keep them in checkpoints.

    Each process reads a part of the files and knows of its own; a resumed one reads what is left.

    Args:
        splits: the data set.

    Attributes:
        names: ``folder/file`` of each so far; complete once every file was asked for.
    """

    def __init__(self, splits: ImageSplits) -> None:
        self._splits = splits
        self.names: set[str] = set()
        self._collect(1)

    @property
    def state_key(self) -> str:
        """Its name in checkpoints: older ones have what the class was called then."""
        return "PassedOver"

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Bring the processes' findings together."""
        self._collect(trainer.world_size)

    def state_dict(self) -> dict[str, Any]:
        """Return what a resume needs."""
        return {"names": sorted(self.names)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue after a resume."""
        self.names |= set(state_dict["names"])

    def _collect(self, processes: int) -> None:
        own = {
            shown(f"{path.parent.name}/{path.name}")
            for split in (self._splits.train, self._splits.val)
            for path in unreadable_files(split)
        }
        found: list[set[str] | None] = [own]
        if processes > 1:
            found = [None] * processes
            torch.distributed.all_gather_object(found, own)
        self.names |= {name for part in found if part for name in part}
