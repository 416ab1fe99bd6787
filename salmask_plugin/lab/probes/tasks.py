"""What is evaluated: tasks by name, with their settings and their data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from salmask_plugin.encoders import PretrainedBackbone
from salmask_plugin.lab.downstream import task as downstream
from salmask_plugin.lab.downstream.depth.training import DEPTH
from salmask_plugin.lab.downstream.detection.training import DETECTION
from salmask_plugin.lab.downstream.kind import Downstream
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.probes import classification, classification_check, occlusion
from salmask_plugin.lab.results import Evaluation, RunRecord
from salmask_plugin.lab.results.store import shortened
from salmask_plugin.lab.runs.folder import NO_TASKS
from salmask_plugin.lab.settings.evaluation_request import EvaluationRequest
from salmask_plugin.lab.settings.settings import Settings

DEFAULT = ("knn", "linear")
"""What runs did before the setting existed."""


@dataclass(frozen=True)
class Task:
    """One kind of evaluation.

    Attributes:
        run: evaluates the backbone, which is in eval mode on its device and must come back
            unchanged.
        check: raises ValueError for settings or data that cannot work; before any training.
    """

    run: Callable[[EvaluationRequest, PretrainedBackbone], Evaluation]
    check: Callable[[EvaluationRequest], None]


def _downstream(kind: Downstream[Any]) -> Task:
    return Task(partial(downstream.run, kind), partial(downstream.check, kind))


TASKS = {
    "knn": Task(classification.knn, classification_check.check),
    "linear": Task(classification.linear, classification_check.check),
    "logistic": Task(classification.logistic, classification_check.check),
    "occlusion": Task(occlusion.occlusion, occlusion.check),
    "finetune": Task(classification.finetune, classification_check.check),
    DETECTION.name: _downstream(DETECTION),
    DEPTH.name: _downstream(DEPTH),
}
"""A new kind: one line here, and a node of its name in ``configs/evaluation/shared.yaml``."""


def requested_tasks(settings: Settings) -> list[EvaluationRequest]:
    """Return the tasks that ``evaluation.tasks`` names.

    Raises:
        UserError: for a name without settings, an unknown kind or an unknown data set.
    """
    node = settings.evaluation
    names = list(node.get("tasks", DEFAULT))
    if len(set(names)) < len(names):
        raise UserError(f"evaluation.tasks={names} names a task twice.")
    return [_wanted(name, node, settings) for name in names]


def check_tasks(settings: Settings) -> None:
    """Refuse what cannot work before anything is trained.

    Raises:
        UserError: as :func:`requested_tasks`, and naming the task for whatever its check refuses.
    """
    for task in requested_tasks(settings):
        try:
            TASKS[task.kind].check(task)
        except (ValueError, FileNotFoundError) as error:
            raise UserError(f"evaluation task {task.name}: {error}") from error


def is_done(record: RunRecord, task: EvaluationRequest) -> bool:
    """Whether the record holds the task's result under the same settings."""
    found, asked = record.evaluations.get(task.name), shortened(task.asked)
    kept = {} if found is None else shortened(dict(found.settings))
    return {key: kept.get(key) for key in asked} == asked


def _wanted(name: str, node: dict[str, Any], settings: Settings) -> EvaluationRequest:
    place, _, protocol = str(name).rpartition("/")
    tasks = sorted(key for key, value in node.items() if key not in NO_TASKS and value)
    if protocol not in tasks:
        raise UserError(
            f"evaluation.tasks: {name!r} has no settings evaluation.{protocol}; there are "
            f"{', '.join(tasks)}."
        )
    own = dict(node[protocol])
    kind = own.pop("task", protocol)
    if not isinstance(kind, str) or kind not in TASKS:
        raise UserError(
            f"evaluation.{protocol}.task={kind!r} must be one of {', '.join(sorted(TASKS))}."
        )
    sets = node.get("data") or {}
    if place and place not in sets:
        raise UserError(
            f"evaluation.tasks: {name!r} needs a data set evaluation.data.{place}; there are "
            f"{', '.join(sorted(sets)) or 'none'}. Add one: +data@evaluation.data.{place}=CHOICE."
        )
    options = {**(node.get(kind) or {}), **own}
    data = sets[place] if place else settings.data
    return EvaluationRequest(str(name), kind, options, data, bool(place), settings)
