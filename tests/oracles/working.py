"""Limits for processes that hold on a busy machine: their work counts, not the clock."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

MOST = 900.0
"""Seconds of work that no run of a test comes near."""
TICKS = os.sysconf("SC_CLK_TCK")


class Work:
    """The processor time of a session of processes; a session that hangs is an error.

    What hangs does nothing, or works for ever. So there are two limits: a stretch of the clock in
    which next to nothing is done, and the work in all. A process that waits for its turn among
    many others passes both.

    Args:
        session: its number, the leader's process id.
        idle: seconds of the clock in which ...
        least: ... so many seconds of processor time must be spent.
        most: seconds of processor time in all.
    """

    def __init__(
        self, session: int, *, idle: float = 180.0, least: float = 0.5, most: float = MOST
    ) -> None:
        self._session = session
        self._idle, self._least, self._most = idle, least, most
        self._done, self._since = seconds(session), time.monotonic()

    def check(self, what: str = "the processes") -> None:
        """Raise AssertionError if the session hangs."""
        done, now = seconds(self._session), time.monotonic()
        assert done < self._most, f"{what} have worked for {done:.0f} s and do not end"
        if abs(done - self._done) >= self._least:  # less where a process has ended
            self._done, self._since = done, now
        idle = now - self._since
        assert idle < self._idle, f"{what} have done nothing for {idle:.0f} s"


def seconds(session: int) -> float:
    """Return the processor time of a session's living processes and of their ended children."""
    total = 0
    for place in Path("/proc").glob("[0-9]*"):
        try:
            fields = (place / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # ended meanwhile
            continue
        if int(fields[3]) == session:
            total += sum(map(int, fields[11:15]))
    return total / TICKS


def wait_until(
    condition: Callable[[], bool], process: subprocess.Popen[Any], what: str = "the processes"
) -> None:
    """Return once something is so, while the process and its session work."""
    work = Work(process.pid)
    while not condition():
        process.poll()
        work.check(what)
        time.sleep(0.05)


def ended(process: subprocess.Popen[Any]) -> int:
    """Return the exit code of a process that leads a session."""
    work = Work(process.pid)
    while True:
        try:
            return process.wait(1)
        except subprocess.TimeoutExpired:
            work.check()


def communicated(process: subprocess.Popen[str], most: float = MOST) -> tuple[str, str]:
    """Return (output, errors) of a process that leads a session, once it has ended."""
    work = Work(process.pid, most=most)
    while True:
        try:
            return process.communicate(timeout=1)
        except subprocess.TimeoutExpired:
            work.check()


def run(line: list[str], *, most: float = MOST, **options: Any) -> subprocess.CompletedProcess[str]:
    """As ``subprocess.run`` with both outputs as text, in a session of its own."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
    with subprocess.Popen(line, start_new_session=True, **options) as process:
        try:
            out, err = communicated(process, most)
        except BaseException:
            os.killpg(process.pid, 9)
            raise
    return subprocess.CompletedProcess(line, process.returncode, out, err)
