"""Which of a launcher's processes this is; read from its variables, before anything is imported."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.settings.processes import asked_processes

RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")
"""Lightning's, in its order."""
INTERACTIVE = ("bash", "interactive")
"""SLURM's jobs that start no processes of a run, by name."""
OWN = {"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "NODE_RANK", "GROUP_RANK"}
OWN |= {"GROUP_WORLD_SIZE", "ROLE_RANK", "ROLE_WORLD_SIZE", "ROLE_NAME", "MASTER_ADDR"}
OWN |= {"MASTER_PORT", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_STEP_NUM_TASKS"}
OWN |= {"JSM_NAMESPACE_RANK", "JSM_NAMESPACE_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE"}
"""A launcher's variables, beside those of torchrun that begin with TORCHELASTIC_."""


WITH_PARENT = "SALMASK_ENDS_WITH_PARENT"
"""Set for the runs of a comparison: they end when their standard input does, as it does then."""


def of_a_comparison() -> bool:
    """Whether this process runs a row for ``salmask compare``."""
    return os.environ.get(WITH_PARENT) == "1"


def rank() -> int:
    """Return the number of this process, 0 without a launcher."""
    return next((int(os.environ[name]) for name in RANKS if name in os.environ), 0)


def world_size() -> int | None:
    """Return how many processes a launcher has started for this command; None without one."""
    if "WORLD_SIZE" in os.environ and ("RANK" in os.environ or "LOCAL_RANK" in os.environ):
        return int(os.environ["WORLD_SIZE"])
    if "SLURM_STEP_NUM_TASKS" in os.environ:
        waiting = os.environ.get("SLURM_JOB_NAME") in INTERACTIVE
        return None if waiting else int(os.environ["SLURM_STEP_NUM_TASKS"])
    for name in ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "JSM_NAMESPACE_SIZE"):
        if name in os.environ:
            return int(os.environ[name])
    return None


def check_world(trainer: dict[str, Any]) -> None:
    """Refuse a launcher that has started another number of processes than the settings say.

    Args:
        trainer: the node of Lightning's trainer. Devices that only the machine can count are left
            to :func:`check_processes`.

    Raises:
        UserError: before anything starts: each process would train a run of its own, all into one
            folder, or wait for others that never come.
    """
    wanted = asked_processes(trainer)
    if wanted is not None:
        check_processes(wanted, trainer)


def check_processes(wanted: int, trainer: dict[str, Any]) -> None:
    """Refuse a launcher that has started another number of processes than ``wanted``.

    Args:
        wanted: of all nodes.
        trainer: the node of Lightning's trainer.

    Raises:
        UserError: as :func:`check_world`.
    """
    started = world_size()
    if started is not None and started != wanted:
        raise UserError(
            f"the launcher has started {started} processes, but trainer.devices="
            f"{trainer['devices']} and trainer.num_nodes={trainer['num_nodes']} make {wanted}: "
            "give both the same number, or start the command without the launcher."
        )


@contextmanager
def alone() -> Iterator[None]:
    """Hide the launcher's variables: what follows is this process's own, and its children's."""
    launched = world_size() is not None
    hidden = {
        name: value
        for name, value in os.environ.items()
        if launched and (name in OWN or name.startswith("TORCHELASTIC_"))
    }
    for name in hidden:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(hidden)
