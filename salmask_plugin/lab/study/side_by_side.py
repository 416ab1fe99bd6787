"""Commands of this package in processes of their own, one after the other or side by side."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from salmask_plugin.lab.durations import in_words
from salmask_plugin.lab.errors import RunStopped
from salmask_plugin.lab.runs.launcher import of_a_comparison
from salmask_plugin.lab.study.process import (
    environment_of,
    scheduler_signal_held,
    visible_gpus,
)

COMMAND = [sys.executable, "-m", "salmask_plugin.cli"]
PATIENCE = 30.0
"""Seconds that an interrupted process has to write what it holds, before it is killed."""


@dataclass(frozen=True)
class Job:
    """Commands that follow each other; one that fails ends the job.

    Attributes:
        name: for people.
        commands: arguments of ``salmask``.
        folder: that they write to.
    """

    name: str
    commands: Sequence[Sequence[str]]
    folder: Path = Path()


@dataclass
class _Running:
    job: Job
    place: int
    slot: int
    process: subprocess.Popen[str]


def run_jobs(
    jobs: Sequence[Job],
    *,
    parallel: int = 1,
    again: Callable[[Job, int], bool] = lambda job, code: False,
) -> list[str]:
    """Run all jobs, at most ``parallel`` at a time; return the names of those that failed.

    One that fails ends no other. Side by side, each line of output says whose it is, each process
    gets its share of the cores (unless OMP_NUM_THREADS is set) and, where there are several GPUs,
    one of its own. An interrupt or SIGTERM is handed to all; if this process is killed, they end.

    Args:
        jobs: in the order in which they start.
        parallel: processes at a time, at least 1.
        again: asked with a job whose command has failed, and its exit code: whether it is repeated.

    Raises:
        KeyboardInterrupt: on Ctrl-C, here or in a process, once all have ended.
        RunStopped: on SIGTERM, likewise; its code is a shell's for that signal.
    """
    waiting = deque(jobs)
    free = list(range(parallel))
    ended: queue.Queue[_Running] = queue.Queue()
    running: list[_Running] = []
    failed = []
    started, done = time.perf_counter(), 0
    with _sigterm_raises() as whole:

        def start(job: Job, place: int, slot: int) -> None:
            with whole():
                running.append(_start(job, place, slot, parallel, ended))

        try:
            while waiting or running:
                while waiting and free:
                    job = waiting.popleft()
                    number = len(jobs) - len(waiting)
                    left = _left(started, done, len(jobs))
                    print(f"\n=== {job.name} ({number} of {len(jobs)}){left}", flush=True)
                    start(job, 0, free.pop(0))
                found = _next(ended)
                running.remove(found)
                code = found.process.returncode
                if code in (130, -signal.SIGINT):
                    raise KeyboardInterrupt
                if code == 0 and found.place + 1 < len(found.job.commands):
                    start(found.job, found.place + 1, found.slot)
                    continue
                if code != 0 and again(found.job, code):
                    start(found.job, found.place, found.slot)
                    continue
                if code != 0:
                    failed.append(found.job.name)
                    print(
                        f"salmask: {found.job.name} failed with exit code {code}", file=sys.stderr
                    )
                done += 1
                free.append(found.slot)
        except BaseException:
            _end([entry.process for entry in running])
            raise
    return failed


def end_with_parent() -> None:
    """End this process when the one that started it is gone, if that asked for it."""
    if not of_a_comparison():
        return

    def watch() -> None:
        while os.read(0, 4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(PATIENCE)
        os._exit(128 + signal.SIGTERM)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()


def _start(
    job: Job, place: int, slot: int, parallel: int, ended: queue.Queue[_Running]
) -> _Running:
    apart = parallel > 1
    gpus = visible_gpus() if apart else []
    with scheduler_signal_held():
        process = subprocess.Popen(
            [*COMMAND, *job.commands[place]],
            env=environment_of(slot, parallel, gpus=gpus, environment=os.environ),
            stdin=subprocess.PIPE,  # stays open until this process ends
            stdout=subprocess.PIPE if apart else None,
            stderr=subprocess.PIPE if apart else None,
            text=True,
            errors="backslashreplace",
        )
    running = _Running(job, place, slot, process)
    streams = ((process.stdout, sys.stdout), (process.stderr, sys.stderr))
    copying = [
        threading.Thread(target=_copy, args=(source, target, f"[{job.name}] "), daemon=True)
        for source, target in streams
        if source is not None
    ]

    def wait() -> None:
        for thread in copying:
            thread.join()
        with process:  # closes its streams
            process.wait()
        ended.put(running)

    for thread in [*copying, threading.Thread(target=wait, daemon=True)]:
        thread.start()
    return running


def _copy(source: IO[str], target: IO[str], prefix: str) -> None:
    for line in source:
        target.write(prefix + line.rstrip("\n") + "\n")
        target.flush()


def _next(ended: queue.Queue[_Running]) -> _Running:
    while True:
        try:
            return ended.get(timeout=0.5)  # a wait without end would hold back signals
        except queue.Empty:
            continue


def _end(processes: Sequence[subprocess.Popen[str]]) -> None:
    for process in processes:
        if process.poll() is None:
            process.terminate()
    until = time.monotonic() + PATIENCE
    for process in processes:
        try:
            process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def _sigterm_raises() -> Iterator[Callable[[], AbstractContextManager[None]]]:
    """Turn SIGTERM, a scheduler's way to end a job, into an exception.

    Yields:
        Makes a context that the exception does not interrupt: it comes at its end. A process that
        is being started is known to nobody who could end it.
    """
    held, came = False, 0

    def stop(number: int, frame: object) -> None:
        nonlocal came
        came = number
        if not held:
            raise RunStopped("interrupted; what was finished is kept.", 128 + number)

    @contextmanager
    def whole() -> Iterator[None]:
        nonlocal held
        held = True
        try:
            yield
        finally:
            held = False
        if came:
            stop(came, None)

    previous = signal.signal(signal.SIGTERM, stop)
    try:
        yield whole
    finally:
        signal.signal(signal.SIGTERM, previous)


def _left(started: float, done: int, total: int) -> str:
    if done == 0:
        return ""
    seconds = (time.perf_counter() - started) / done * (total - done)
    return f", about {in_words(seconds)} left"
