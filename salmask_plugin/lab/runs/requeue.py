"""SLURM's signal before a job's end: the job is put back, and the same command goes on there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from salmask_plugin.lab.runs.launcher import rank


@contextmanager
def requeued_by_slurm() -> Iterator[None]:
    """Answer SIGUSR1 inside a SLURM job by ``scontrol requeue``; elsewhere do nothing.

    SLURM then ends the job by SIGTERM, and starts it again when its turn comes. The command goes on
    from its newest checkpoint, which stands at the end of an epoch. Lightning's own handler, which
    would save in the middle of one, steps back for one that is there.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or "SLURM_JOB_ID" not in os.environ or not hasattr(signal, "SIGUSR1"):
        yield
        return
    own = os.getpid()  # loader workers inherit the handler, and SLURM gives them the signal as well
    previous = signal.signal(signal.SIGUSR1, lambda *_: _requeue() if os.getpid() == own else None)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, previous)


def _requeue() -> None:
    if rank():
        return
    job = os.environ["SLURM_JOB_ID"]
    if "SLURM_ARRAY_JOB_ID" in os.environ and "SLURM_ARRAY_TASK_ID" in os.environ:
        job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    try:
        done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True)
        trouble = None if done.returncode == 0 else done.stderr.strip() or str(done.returncode)
    except OSError as error:
        trouble = str(error)
    said = "is put back into the queue" if trouble is None else f"cannot be put back ({trouble})"
    print(f"salmask: SIGUSR1: job {job} {said}.", file=sys.stderr, flush=True)
