"""What ends a training run early, in words: why, and where the same command goes on."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from pytorch_lightning.utilities.exceptions import SIGTERMException

from salmask_plugin.cli.checkpoints import newest_checkpoint
from salmask_plugin.cli.errors import RunStopped


@contextmanager
def stops_in_words(checkpoints: Path) -> Iterator[None]:
    """Turn what the trainer raises into one sentence and the place where the run can go on.

    Args:
        checkpoints: the run's folder of checkpoints.

    Raises:
        RunStopped: for a loss or weights that are not finite, a disk that refuses, a dead worker
            process, another process of the run that has failed, and SIGTERM.
        KeyboardInterrupt: for Ctrl-C, which Lightning turns into an exit.
        ValueError: for data that cannot be used, also when a worker process has found it.
    """
    try:
        yield
    except FloatingPointError as error:
        raise RunStopped(f"{error} {_left(checkpoints)}") from error
    except SIGTERMException as error:
        code = 128 + signal.SIGTERM
        raise RunStopped(f"ended by SIGTERM. {_left(checkpoints)}", code) from error
    except SystemExit as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        raise
    except ValueError as error:
        # torch hands a worker's error over as its traceback, whose last line is the message.
        if "in DataLoader worker process" in str(error):
            last = str(error).strip().splitlines()[-1]
            raise ValueError(last.split(": ", 1)[-1]) from error
        raise
    except OSError as error:
        raise RunStopped(f"{error}. {_left(checkpoints)}") from error
    except RuntimeError as error:
        if "DataLoader" in str(error):
            raise RunStopped(f"{_sentence(error)} {_left(checkpoints)}") from error
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            raise RunStopped(
                "another process of this run has ended, or did not answer in time; its own error "
                f"stands above ({_sentence(error)}) {_left(checkpoints)}"
            ) from error
        raise


def _sentence(error: Exception) -> str:
    first = str(error).strip().splitlines()[0].rstrip(".")
    return f"{first}."


def _left(checkpoints: Path) -> str:
    newest = newest_checkpoint(checkpoints)
    if newest is None:
        return "There is no checkpoint yet: the same command starts again."
    return f"The newest good checkpoint is {newest}; the same command goes on from there."
