"""Depth as a task of ``salmask evaluate`` and ``salmask compare``, on one device."""

from __future__ import annotations

from salmask_plugin.cli.depth.training import Plan, plan_of, train_and_test
from salmask_plugin.cli.downstream import on_one_device, task_folder
from salmask_plugin.cli.wanted import Wanted
from salmask_plugin.evaluation import PretrainedBackbone
from salmask_plugin.results import Evaluation

FOLDER = "depth"
KEYS = {"data", "model", "schedule", "test"}


def check(wanted: Wanted) -> None:
    """Look for every file that the data set names and hold the settings against it.

    Raises:
        ValueError: for settings or data that cannot work.
    """
    if set(wanted.options) != KEYS or wanted.is_transfer:
        raise ValueError(
            "depth has a data set of its own: choose one with depth@evaluation.NAME=CHOICE and "
            f"name the task NAME, not {wanted.name!r}."
        )
    _plan(wanted)


def run(wanted: Wanted, backbone: PretrainedBackbone) -> Evaluation:
    """Train and test depth below the run's folder; one that was interrupted goes on.

    Raises:
        UserError: if the folder holds work with other settings or on another encoder.
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
