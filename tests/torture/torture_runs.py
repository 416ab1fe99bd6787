"""A tiny run of the command in a process of its own, watched and ended from outside."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from oracles.working import communicated

from salmask_plugin.lab.results import read_record
from salmask_plugin.lab.runs.checkpoints import read_checkpoint

TINY = (
    "experiment=plumbing",
    "localizer=uniform",
    "masking=mean",
    "data.train_images=40",
    "data.val_images=12",
    "data.classes=4",
    "view_size=32",
    "loader.batch_size=8",
    "loader.workers=0",
    "method.queue_size=16",
    "method.split_batch_size=4",
    "trainer.log_every_n_steps=1",
    "trainer.deterministic=true",
    "trainer.max_epochs=4",
)
TWO = (
    "trainer.devices=2",
    "trainer.strategy=ddp",
    "loader.batch_size=4",
    "trainer.max_epochs=2",
)
"""The same images per step on two processes; shorter, for where they have no core each."""
KILLED = 600
"""Seconds in which a killed process is gone."""


def environment(**more: str) -> dict[str, str]:
    """One thread per process: sums of floats then have one order, whatever the machine."""
    quiet = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", "PYTHONUNBUFFERED": "1"}
    return {**os.environ, **quiet, **more}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "salmask_plugin.cli", *arguments]


def salmask(*arguments: str, script: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command, or a script that ends in it, to its end; a run that hangs is a failure."""
    line = command(*arguments) if script is None else [sys.executable, str(script), *arguments]
    process = popen(*arguments, line=line, errors=subprocess.PIPE)
    try:
        out, err = communicated(process)
    finally:
        kill_session(process)
    return subprocess.CompletedProcess(line, process.returncode, out, err)


def faulty(folder: Path, code: str) -> Path:
    """Write a script that breaks something and then is the command, for every process of a run."""
    path = folder / "faulty.py"
    path.write_text(
        f"{code}\nimport sys\nfrom salmask_plugin.cli.main import main\nsys.exit(main())\n"
    )
    return path


def line_of(out: Path, *more: str) -> list[str]:
    """The settings of the tiny run; a method that has no masks gets no localizer."""
    mine = [text for text in TINY if "masking=none" not in more or "localizer=" not in text]
    return [*mine, f"out={out}", "name=run", *more]


def pretrain(out: Path, *more: str, script: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Pretrain the tiny run ``out/run``."""
    return salmask("pretrain", *line_of(out, *more), script=script)


def processes_left(group: int) -> bool:
    """Whether a process of a session is still there."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def popen(
    *arguments: str, line: list[str] | None = None, errors: int = subprocess.STDOUT
) -> subprocess.Popen[str]:
    """Start the command in a session of its own, both outputs in one pipe unless asked."""
    return subprocess.Popen(
        command(*arguments) if line is None else line,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        start_new_session=True,
    )


@contextmanager
def started(out: Path, *more: str) -> Iterator[subprocess.Popen[str]]:
    """Start the tiny run; on leaving, all its processes are killed."""
    process = popen("pretrain", *line_of(out, *more))
    try:
        yield process
    finally:
        kill_session(process)


def kill_session(process: subprocess.Popen[Any]) -> None:
    """Kill -9 the process with every child it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, 9)
    process.wait(KILLED)
    for stream in filter(None, (process.stdout, process.stderr)):
        stream.close()


def until(process: subprocess.Popen[str], seen: Callable[[str], bool]) -> bool:
    """Read the run's output up to a line; False if it ended before."""
    assert process.stdout is not None
    return any(seen(line) for line in process.stdout)


def fingerprint(folder: Path) -> dict[str, str]:
    """What two equal runs have in common to the last bit, as one digest per part.

    Weights and buffers (the queue and its pointer among them), the optimizer's state, the schedule,
    the step that masks are drawn for, the metrics' file and the record's curves.
    """
    state = read_checkpoint(max((folder / "checkpoints").glob("epoch-*.ckpt")))
    record = read_record(folder)
    parts = {name: state[name] for name in ("state_dict", "optimizer_states", "lr_schedulers")}
    parts["step"] = [state["salmask_batches_seen"], state["epoch"], state["global_step"]]
    parts["history"] = {name: list(values) for name, values in record.history.items()}
    digests = {name: digest(part) for name, part in parts.items()}
    digests["metrics"] = hashlib.sha256((folder / "metrics/metrics.csv").read_bytes()).hexdigest()
    return digests


def digest(value: Any) -> str:
    """SHA-256 of nested containers of tensors and plain values."""
    seen = hashlib.sha256()

    def add(item: Any) -> None:
        if isinstance(item, torch.Tensor):
            seen.update(f"{item.dtype}{tuple(item.shape)}".encode())
            seen.update(item.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        elif isinstance(item, dict):
            for key in item:
                seen.update(repr(key).encode())
                add(item[key])
        elif isinstance(item, (list, tuple)):
            for entry in item:
                add(entry)
        else:
            seen.update(json.dumps(item, default=repr).encode())

    add(value)
    return seen.hexdigest()
