"""Runs as jobs of SLURM's: each is submitted once, waited for if asked to, and counted."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from salmask_plugin.file_names import safe_name
from salmask_plugin.json_files import TEXT, read_object
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.results.store import write_atomically
from salmask_plugin.lab.runs.folder_lock import alone_in, in_use
from salmask_plugin.lab.settings.groups import Compare, Slurm
from salmask_plugin.lab.settings.processes import asked_processes
from salmask_plugin.lab.study.process import visible_gpus
from salmask_plugin.lab.study.side_by_side import Job
from salmask_plugin.lab.study.slurm_job import LOG_NAME
from salmask_plugin.lab.study.slurm_queue import check_slurm, in_queue, submit

JOBS = "jobs"
"""Folder below the study's, for submitit's own files."""
JOB_NAME = "job.json"
"""In the run's folder: the number of its job."""
PAUSE = 30.0
"""Seconds between two looks at the queue."""
_NUMBER = re.compile(r"\d+(_\d+)?", re.ASCII)


@dataclass(frozen=True)
class Launched:
    """How the runs of a study stand.

    Attributes:
        failed: names of those that have ended without a result.
        going: names of those that wait in the queue or run.
    """

    failed: list[str]
    going: list[str]


def check_launcher(wanted: Compare, trainers: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse settings of the launcher that act on nothing, and rows that its jobs cannot train.

    Args:
        wanted: the study's settings.
        trainers: row -> the node of its trainer.

    Raises:
        UserError: naming the setting, and what takes its place.
    """
    if wanted.parallel < 1:
        raise UserError(f"compare.parallel={wanted.parallel} must be a whole number, at least 1.")
    if wanted.launcher == "here":
        if wanted.slurm != Slurm() or not wanted.wait:
            name = "wait=false" if wanted.slurm == Slurm() else "slurm"
            raise UserError(
                f"compare.{name} needs compare.launcher=slurm: rows that run here end with the "
                "command, and are so many at a time as compare.parallel says."
            )
        _check_side_by_side(wanted.parallel, trainers)
        return
    if wanted.parallel != 1:
        raise UserError(
            f"compare.parallel={wanted.parallel} belongs to compare.launcher=here; "
            "compare.slurm.at_once says how many jobs run at a time."
        )
    for row, trainer in trainers.items():
        devices, nodes = trainer["devices"], trainer["num_nodes"]
        if nodes != 1:
            raise UserError(
                f"row {row}: trainer.num_nodes={nodes}, but each job has one node. A run on "
                "several is started by srun or torchrun, see docs/several_machines.md."
            )
        count = asked_processes(trainer) or 0  # where the machine decides, it takes what it has
        if trainer["accelerator"] != "cpu" and count > max(1, wanted.slurm.gpus):
            raise UserError(
                f"row {row}: trainer.devices={devices} needs more than "
                f"compare.slurm.gpus={wanted.slurm.gpus} of its job."
            )


def _check_side_by_side(parallel: int, trainers: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse rows of several GPUs where each row is given one of them."""
    if parallel == 1 or len(visible_gpus()) < 2:
        return
    for row, trainer in trainers.items():
        if trainer["accelerator"] != "cpu" and (asked_processes(trainer) or 1) > 1:
            raise UserError(
                f"row {row}: trainer.devices={trainer['devices']} needs several GPUs, but "
                f"compare.parallel={parallel} gives each row one. Use compare.parallel=1."
            )


def run_on_slurm(
    jobs: Sequence[Job],
    wanted: Slurm,
    study: Path,
    *,
    wait: bool,
    finished: Callable[[Job], bool],
    settle: Callable[[Job, bool], None],
) -> Launched:
    """Submit what is neither in the queue nor running, and wait for all if asked to.

    Args:
        jobs: of the runs that are not finished.
        wanted: what each job asks for.
        study: folder of the study.
        wait: until all have ended.
        finished: whether a run's results are there.
        settle: called with each run before anything is submitted, and whether it has begun, if only
            in the queue: then it refuses other settings than those, else it keeps its own.

    Raises:
        UserError: if SLURM is not there, does not answer or refuses, or a run that is in the queue
            or runs has other settings.
        KeyboardInterrupt: on Ctrl-C while waiting; the jobs stay.
    """
    if not jobs:
        return Launched([], [])
    folder = study / JOBS
    check_slurm(wanted, folder)
    jobs = [replace(job, folder=job.folder.absolute()) for job in jobs]
    with alone_in(study):
        queued = in_queue()
        if queued is None:
            raise UserError(
                "nothing was submitted: without squeue's answer a run might be submitted twice."
            )
        there = {job.name for job in jobs if _is_going(job, queued)}
        # After the look at the queue: a job may have ended since the study was planned.
        done = {job.name for job in jobs if job.name not in there and finished(job)}
        for job in jobs:
            settle(job, job.name in there | done)
        jobs = [job for job in jobs if job.name not in done]
        fresh = [job for job in jobs if job.name not in there]
        numbers = submit(fresh, wanted, folder, safe_name(study.name)) if fresh else []
        for job, number in zip(fresh, numbers, strict=True):
            content = json.dumps({"job": number}, indent=2) + "\n"
            write_atomically(job.folder / JOB_NAME, content.encode())
    if not jobs:
        return Launched([], [])
    _say(jobs, there, wanted)
    if not wait:
        return Launched([], [job.name for job in jobs])
    return Launched(_wait(jobs, finished), [])


def _say(jobs: Sequence[Job], there: set[str], wanted: Slurm) -> None:
    print(f"\nJobs, at most {wanted.at_once} at a time:")
    for job in jobs:
        number = _number(job) or "-"
        state = "is there" if job.name in there else "submitted"
        print(f"  {number:>12}  {state}  {job.name}: {job.folder / LOG_NAME}")
    print(
        "`squeue --me` lists them, `tail -f` follows a log, `scancel NUMBER` ends one.", flush=True
    )


def _wait(jobs: Sequence[Job], finished: Callable[[Job], bool]) -> list[str]:
    """Return the names of those that have ended without a result, once all have ended."""
    print("Waiting for all of them; Ctrl-C ends the waiting, not the jobs.", flush=True)
    left, missed, failed = list(jobs), set[str](), []
    while left:
        time.sleep(PAUSE)
        queued = in_queue()
        if queued is None:
            continue
        for job in list(left):
            if _is_going(job, queued):
                missed.discard(job.name)
            elif finished(job):
                left.remove(job)
                print(f"{job.name} is finished ({len(left)} left).", flush=True)
            elif job.name not in missed:
                missed.add(job.name)  # a second look: its last files may take a while to be seen
            else:
                left.remove(job)
                failed.append(job.name)
                print(
                    f"salmask: {job.name} has ended without a result; see {job.folder / LOG_NAME}",
                    file=sys.stderr,
                )
    return failed


def _is_going(job: Job, queued: set[str]) -> bool:
    """Whether a run is in the queue, or another command holds its folder."""
    return _number(job) in queued or in_use(job.folder)


def _number(job: Job) -> str | None:
    """Return the number of the job that a run was last submitted as."""
    path = job.folder / JOB_NAME
    if not path.is_file():
        return None
    try:
        number: str = read_object(path, {"job": TEXT})["job"]
    except ValueError as error:
        raise UserError(f"{error} Delete it if no job of that run is in the queue.") from error
    if not _NUMBER.fullmatch(number):
        raise UserError(f"{path}: job={number!r:.60} is no number of a job.")
    return number
