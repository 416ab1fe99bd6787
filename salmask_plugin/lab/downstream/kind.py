"""What a kind of training around a backbone is to the commands and to comparisons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from salmask_plugin.encoders import PretrainedBackbone
from salmask_plugin.lab.downstream.training import Plan
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.results import Evaluation
from salmask_plugin.lab.results.late_pictures import LatePictures
from salmask_plugin.lab.settings.settings import Settings

P = TypeVar("P", bound=Plan)


@dataclass(frozen=True)
class Downstream(Generic[P]):
    """Detection or depth.

    Attributes:
        name: of the configuration's group, the record's task and the folder.
        root: the file of ``configs/`` that its command composes.
        network: what is trained, as messages call it: "a detector".
        part: what the backbone is in it, as messages call it.
        keys: of a choice of ``configs/NAME``.
        read: node, and what :class:`Plan` names -> plan; raises ValueError for what cannot work.
        build: plan and backbone -> the network, on a copy of the backbone's.
        train_and_test: plan, backbone, folder and pictures -> result; goes on where the folder
            stands, and leaves its picture to be drawn.
        digits: of printed numbers.
    """

    name: str
    root: str
    network: str
    part: str
    keys: frozenset[str]
    read: Callable[..., P]
    build: Callable[[P, PretrainedBackbone], Any]
    train_and_test: Callable[[P, PretrainedBackbone, Path, LatePictures], Evaluation]
    digits: int

    def plan(self, node: dict[str, Any], trainer: dict[str, Any], settings: Settings) -> P:
        """Read the data and check what can be checked.

        Args:
            node: a choice of ``configs/NAME``.
            trainer: the node of Lightning's trainer.
            settings: of the command, for its seed and its loaders' workers.

        Raises:
            UserError: if the data have no folder, or settings and data do not fit each other.
            ValueError: whatever the data refuse.
        """
        if node["data"].get("root", "") is None:
            raise UserError(
                f"the data of {self.network} have no folder yet: give its data.root=FOLDER."
            )
        return self.read(
            node,
            trainer=trainer,
            seed=settings.seed,
            workers=settings.workers,
        )
