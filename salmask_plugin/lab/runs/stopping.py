"""What ends a training run early, in words: why, and where the same command goes on."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.exceptions import SIGTERMException

from salmask_plugin.lab.errors import RunStopped
from salmask_plugin.lab.runs.checkpoints import newest_checkpoint

IN_WORKER = "in DataLoader worker process"
"""torch hands a worker's error over as its traceback, whose last line is the message."""
LATE = 0.5
"""Seconds between the signals that one sender gives to the processes of a group, at most."""


@contextmanager
def stops_in_words(checkpoints: Path, trainer: pl.Trainer | None = None) -> Iterator[None]:
    """Turn what the trainer raises into one sentence and the place where the run can go on.

    Args:
        checkpoints: the run's folder of checkpoints.
        trainer: that trains, and notes a SIGTERM; None where nothing does.

    Raises:
        RunStopped: for a loss or weights that are not finite, a disk that refuses, a dead worker
            process, another process of the run that has failed, and SIGTERM.
        KeyboardInterrupt: for Ctrl-C, which Lightning turns into an exit.
        ValueError: for data that cannot be used, also when a worker process has found it.
    """
    try:
        yield
    except SIGTERMException as error:
        raise _by_sigterm(checkpoints) from error
    except SystemExit as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        raise
    except Exception as error:
        if _terminated(error, trainer):
            raise _by_sigterm(checkpoints) from error
        if isinstance(error, FloatingPointError | OSError):
            raise RunStopped(f"{_sentence(error)} {_left(checkpoints)}") from error
        if isinstance(error, ValueError) and IN_WORKER in str(error):
            raise ValueError(_message(error)) from error
        if isinstance(error, RuntimeError) and "DataLoader" in str(error):
            raise RunStopped(f"{_sentence(error)} {_left(checkpoints)}") from error
        several = torch.distributed.is_available() and torch.distributed.is_initialized()
        if isinstance(error, RuntimeError) and several:
            raise RunStopped(
                "another process of this run has ended, or did not answer in time; its own error "
                f"stands above ({_sentence(error)}) {_left(checkpoints)}"
            ) from error
        raise


def _by_sigterm(checkpoints: Path) -> RunStopped:
    return RunStopped(f"ended by SIGTERM. {_left(checkpoints)}", 128 + signal.SIGTERM)


def _terminated(error: Exception, trainer: pl.Trainer | None) -> bool:
    """Whether SIGTERM has come to this process too, and the error is that of another it came to.

    Schedulers send it to all processes of a job: a loader's worker, or another rank, then ends
    before the step at hand does.
    """
    if trainer is None:
        return False
    if "signal: Terminated" in _message(error) and not trainer.received_sigterm:
        # The worker's may be delivered first; by now the system's own answer ends this process.
        time.sleep(LATE)
    return bool(trainer.received_sigterm)


def _sentence(error: Exception) -> str:
    message = _message(error).rstrip(".")
    if "shared memory" in message or ("torch_" in message and "No space left" in message):
        message += ". /dev/shm is too small for the batches: enlarge it, or set loader.workers=0"
    return f"{message}."


def _message(error: BaseException) -> str:
    """Return the line that says why, behind torch's words about its processes."""
    text = str(error).strip() or type(error).__name__
    if IN_WORKER in text:
        return text.splitlines()[-1].split(": ", 1)[-1]
    cause = error.__cause__
    if "exited unexpectedly" in text and cause is not None and "DataLoader" in str(cause):
        return _message(cause)
    return text.splitlines()[0]


def _left(checkpoints: Path) -> str:
    newest = newest_checkpoint(checkpoints)
    if newest is None:
        return "There is no checkpoint yet: the same command starts again."
    return f"The newest good checkpoint is {newest}; the same command goes on from there."
