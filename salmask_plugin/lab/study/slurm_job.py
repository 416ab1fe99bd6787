"""One run inside a job of SLURM's: what submitit starts there, and starts again after a requeue."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from salmask_plugin.lab.errors import RunStopped
from salmask_plugin.lab.runs.launcher import alone
from salmask_plugin.lab.study.side_by_side import Job, run_jobs

LOG_NAME = "job.log"
"""In the run's folder: what its commands say, of every start."""


@dataclass(frozen=True)
class RowJob:
    """A run as submitit calls it.

    The commands run in processes of their own, as those of a comparison on one machine do, so that
    their end is in order whatever ends the job. Nothing is handed over from one start to the next:
    the run goes on from its newest checkpoint.

    Attributes:
        job: its commands, and the run's folder.
    """

    job: Job

    def __call__(self) -> None:
        """Run the commands.

        Raises:
            SystemExit: if one fails, or the job is ended from outside. submitit then keeps no
                result, and SLURM knows the job as failed.
        """
        with _written_to(self.job.folder / LOG_NAME), alone():
            try:
                failed = run_jobs([self.job], again=goes_on_after_a_kill(self.job.folder))
            except RunStopped as stopped:
                print(f"salmask: {stopped}", file=sys.stderr, flush=True)
                sys.exit(stopped.code)
        if failed:
            sys.exit(1)

    def checkpoint(self) -> Any:
        """Return what runs after a requeue: the same; submitit asks when the job's time is up."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def goes_on_after_a_kill(folder: Path) -> Callable[[Job, int], bool]:
    """Return whether a command that has failed is repeated: if the system killed it.

    That is, for want of memory for example, and if the run has a newer checkpoint than at the last
    kill: what dies at the same place every time ends.

    Args:
        folder: of the run.
    """

    def names() -> set[str]:
        return {path.name for path in folder.glob("*/*.ckpt")}  # without torch, which knows more

    reached = names()

    def again(job: Job, code: int) -> bool:
        nonlocal reached
        before, reached = reached, names()
        further = code < 0 and reached != before
        if further:
            print(f"{job.name} was killed (signal {-code}); it goes on.", flush=True)
        return further

    return again


@contextmanager
def _written_to(log: Path) -> Iterator[None]:
    """Append what this process and its children say to a file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    streams = (sys.stdout, sys.stderr)
    kept = [os.dup(stream.fileno()) for stream in streams]
    with log.open("ab") as file:
        for stream in streams:
            stream.flush()
            os.dup2(file.fileno(), stream.fileno())
    job = os.environ.get("SLURM_JOB_ID", "none")
    now = datetime.now(UTC).isoformat(timespec="seconds")
    print(f"=== {now}: job {job} on {platform.node()}", flush=True)
    try:
        yield
    finally:
        for stream, descriptor in zip(streams, kept, strict=True):
            stream.flush()
            os.dup2(descriptor, stream.fileno())
            os.close(descriptor)
