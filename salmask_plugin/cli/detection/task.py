"""Detection as a task of ``salmask evaluate`` and ``salmask compare``, on one device."""

from __future__ import annotations

from salmask_plugin.cli.detection.training import Plan, plan_of, train_and_test
from salmask_plugin.cli.downstream import on_one_device, task_folder
from salmask_plugin.cli.wanted import Wanted
from salmask_plugin.evaluation import PretrainedBackbone
from salmask_plugin.results import Evaluation

FOLDER = "detection"
KEYS = {"data", "model", "schedule"}


def check(wanted: Wanted) -> None:
    """Read the data set's annotations and hold the settings against them.

    Raises:
        ValueError: for settings or data that cannot work.
    """
    if set(wanted.options) != KEYS or wanted.is_transfer:
        raise ValueError(
            "a detector has a data set of its own: choose one with "
            f"detection@evaluation.NAME=CHOICE and name the task NAME, not {wanted.name!r}."
        )
    _plan(wanted)


def run(wanted: Wanted, backbone: PretrainedBackbone) -> Evaluation:
    """Train and test a detector below the run's folder; one that was interrupted goes on.

    Raises:
        UserError: if the folder holds a detector with other settings or on another encoder.
    """
    plan = _plan(wanted)
    folder = task_folder(wanted, FOLDER, backbone, plan.trainer)
    return train_and_test(plan, backbone, folder)


def _plan(wanted: Wanted) -> Plan:
    settings = wanted.settings
    return plan_of(
        wanted.options,
        trainer=on_one_device(settings["trainer"]),
        seed=settings["seed"],
        workers=settings["loader"]["workers"],
    )
