"""SLURM's programs: which jobs of this user are in the queue, and how jobs get there."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.settings.groups import Slurm
from salmask_plugin.lab.study.side_by_side import Job
from salmask_plugin.lab.study.slurm_job import RowJob

PROGRAMS = ("sbatch", "srun", "squeue")
LONGEST = 60.0
"""Seconds that squeue has to answer."""
LOWEST = {"minutes": 1, "requeues": 0, "gpus": 0, "cpus": 1, "memory_gb": 1, "at_once": 1}
SETTINGS_OF = {
    "partition": "partition",
    "account": "account",
    "qos": "qos",
    "time": "minutes",
    "cpus-per-task": "cpus",
    "mem": "memory_gb",
    "gpus-per-node": "gpus",
    "requeue": "requeues",
}
"""Option of sbatch -> our setting for it."""
FIXED = (
    *("array", "error", "job-name", "nodes", "ntasks-per-node", "open-mode", "output", "signal"),
    *("chdir", "no-requeue", "ntasks", "parsable", "test-only", "wait", "wrap"),
)
"""Options that every job needs as they are, and those that would undo them."""
_WORD = re.compile(r"[\w.,:;=+@*/()\[\]&|!^%-]+", re.ASCII)
_OPTION = re.compile(r"[a-z][a-z0-9-]*", re.ASCII)


def check_slurm(wanted: Slurm, folder: Path) -> None:
    """Refuse what no job can be made of, before anything is submitted.

    Options end up as lines of a shell script, so a text is one word.

    Args:
        wanted: what each job asks for.
        folder: of the jobs' own files.

    Raises:
        UserError: naming the setting, its value and what is allowed; or the missing program.
    """
    for name, lowest in LOWEST.items():
        value = getattr(wanted, name)
        if value is not None and value < lowest:
            raise UserError(f"compare.slurm.{name}={value} must be at least {lowest}.")
    texts = {name: getattr(wanted, name) for name in ("partition", "account", "qos")}
    for option, value in wanted.extra.items():
        if option in SETTINGS_OF or option in FIXED or not _OPTION.fullmatch(option):
            instead = SETTINGS_OF.get(option)
            hint = f"it is compare.slurm.{instead}" if instead else "every job has its own"
            hint = hint if _OPTION.fullmatch(option) else "options are named as in --constraint"
            raise UserError(f"compare.slurm.extra.{option!s:.60}={value!r:.60}: {hint}.")
        if isinstance(value, str):
            texts[f"extra.{option}"] = value
    for name, value in texts.items():
        if value is not None and not _WORD.fullmatch(value):
            raise UserError(
                f"compare.slurm.{name}={value!r:.100} must be one word of letters, digits and "
                "signs, as sbatch takes it."
            )
    place = str(folder.absolute())
    if "%" in place or not place.isprintable():
        raise UserError(
            f"{place!r}: SLURM takes a % in the names of its logs for a pattern, and no line "
            "break; choose another out=... or name=... ."
        )
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        raise UserError(
            f"compare.launcher=slurm needs {', '.join(missing)} on the PATH: run it on a machine "
            "of the cluster, or leave it out and use compare.parallel."
        )
    import submitit  # noqa: F401 - whether it is there, before anything is submitted


def submit(jobs: Sequence[Job], wanted: Slurm, folder: Path, name: str) -> list[str]:
    """Put the jobs into the queue, as one array; return their numbers, "17_0".

    Args:
        jobs: one task each, at least one.
        wanted: what each asks for.
        folder: for submitit's files and what srun itself says.
        name: of the jobs in the queue.

    Raises:
        UserError: with sbatch's own words, if it refuses.
    """
    from submitit import SlurmExecutor
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    executor = SlurmExecutor(folder, max_num_timeout=wanted.requeues)
    asked = {
        "partition": wanted.partition,
        "account": wanted.account,
        "qos": wanted.qos,
        "gpus_per_node": wanted.gpus or None,
        "mem": None if wanted.memory_gb is None else f"{wanted.memory_gb}GB",
    }
    executor.update_parameters(
        job_name=name,
        time=wanted.minutes,
        nodes=1,
        ntasks_per_node=1,
        cpus_per_task=wanted.cpus,
        array_parallelism=wanted.at_once,
        stderr_to_stdout=True,
        wckey=None,
        # Since version 22.05 srun no longer takes this over from sbatch.
        srun_args=[f"--cpus-per-task={wanted.cpus}"],
        # False options are left out: sbatch has flags, and no way to say that one is not there.
        additional_parameters={
            "requeue": True,
            **{key: value for key, value in wanted.extra.items() if value is not False},
        },
        **{key: value for key, value in asked.items() if value is not None},
    )
    try:
        submitted = executor.submit_array([RowJob(job) for job in jobs])
    except (FailedJobError, FailedSubmissionError) as error:
        raise UserError(f"sbatch refuses the jobs: {' '.join(str(error).split())}") from error
    return [job.job_id for job in submitted]


def in_queue() -> set[str] | None:
    """Return the numbers of this user's jobs that wait or run; None where SLURM does not answer."""
    command = ["squeue", "--me", "--array", "--noheader", "--format=%i"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        print(f"squeue does not answer ({error}).", flush=True)
        return None
    return set(found.stdout.split())
