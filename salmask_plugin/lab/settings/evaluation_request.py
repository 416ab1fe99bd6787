"""One evaluation that is asked for."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from salmask_plugin.lab.results.late_pictures import LatePictures
from salmask_plugin.lab.settings.settings import Settings


@dataclass(frozen=True)
class EvaluationRequest:
    """A task, its settings and its data.

    Attributes:
        name: "linear", or "caltech101/linear" on a set of ``evaluation.data``.
        kind: of the task.
        options: the node ``evaluation.NAME``, completed by its kind's.
        data: the node of the data set.
        is_transfer: whether the data are not the run's own.
        settings: of the whole run, for its views, loader, seed and device.
        folder: where results and a task's own checkpoints go; None before it is known.
        pictures: of the result; whoever writes the result draws them afterwards.
    """

    name: str
    kind: str
    options: dict[str, Any]
    data: dict[str, Any]
    is_transfer: bool
    settings: Settings
    folder: Path | None = None
    pictures: LatePictures = field(default_factory=LatePictures, compare=False, repr=False)

    @property
    def asked_data(self) -> str:
        """The data set and the share of its labels, as a key."""
        return json.dumps([self.data, self.options.get("label_share", 1.0)], sort_keys=True)

    @property
    def asked(self) -> dict[str, Any]:
        """Everything a result depends on but the encoder, to see whether it is there already."""
        return {
            "options": self.options,
            "data": self.data if self.is_transfer else "the run's own",
            "view_size": self.settings.view_size,
            "reestimate_batch_norm": self.settings.evaluation.get("reestimate_batch_norm", False),
        }

    @property
    def kept(self) -> dict[str, Any]:
        """What a record keeps beside the result: what was asked, by which kind of task and seed."""
        return {**self.asked, "kind": self.kind, "seed": self.settings.seed}
