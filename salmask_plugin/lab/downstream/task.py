"""Detection and depth as tasks of ``salmask evaluate`` and ``salmask compare``, on one device."""

from __future__ import annotations

from typing import Any

from salmask_plugin.encoders import PretrainedBackbone
from salmask_plugin.lab.downstream.folders import on_one_device, task_folder
from salmask_plugin.lab.downstream.kind import Downstream
from salmask_plugin.lab.results import Evaluation
from salmask_plugin.lab.runs.folder_lock import alone_in
from salmask_plugin.lab.settings.evaluation_request import EvaluationRequest


def check(kind: Downstream[Any], request: EvaluationRequest) -> None:
    """Look for every file that the data set names and hold the settings against it.

    Raises:
        ValueError: for settings or data that cannot work.
    """
    if set(request.options) != kind.keys or request.is_transfer:
        raise ValueError(
            f"{kind.network} has a data set of its own: choose one with "
            f"{kind.name}@evaluation.NAME=CHOICE and name the task NAME, not {request.name!r}."
        )
    _plan(kind, request)


def run(
    kind: Downstream[Any], request: EvaluationRequest, backbone: PretrainedBackbone
) -> Evaluation:
    """Train and test below the run's folder; what was interrupted goes on.

    Raises:
        UserError: if the folder holds work with other settings or on another encoder.
    """
    plan = _plan(kind, request)
    folder = task_folder(request, kind.name, backbone, plan.trainer)
    with alone_in(folder):
        return kind.train_and_test(plan, backbone, folder, request.pictures)


def _plan(kind: Downstream[Any], request: EvaluationRequest) -> Any:
    trainer = on_one_device(request.settings.trainer)
    return kind.plan(request.options, trainer, request.settings)
