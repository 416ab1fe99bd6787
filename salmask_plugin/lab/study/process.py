"""What a process of a row is given: cores, a GPU, and signals that are not its own held back."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from salmask_plugin.lab.results.environment import usable_cores
from salmask_plugin.lab.runs.launcher import WITH_PARENT


def environment_of(
    slot: int, parallel: int, *, gpus: Sequence[str], environment: Mapping[str, str]
) -> dict[str, str]:
    """Return the environment of a process.

    Args:
        slot: which of the ``parallel`` places it has.
        parallel: processes at a time.
        gpus: names of the GPUs as CUDA_VISIBLE_DEVICES takes them.
        environment: of this process.
    """
    # Waiting threads that spin take the cores from others; it must be said before torch is there.
    own = {"OMP_WAIT_POLICY": "passive", **environment, WITH_PARENT: "1"}
    if parallel > 1:
        own.setdefault("OMP_NUM_THREADS", str(max(1, usable_cores() // parallel)))
        if len(gpus) > 1:
            own["CUDA_VISIBLE_DEVICES"] = gpus[slot % len(gpus)]
    return own


def visible_gpus() -> list[str]:
    """Return the GPUs that this process may use, by the names that CUDA_VISIBLE_DEVICES takes."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name for name in given.split(",") if name.strip()]
    import torch

    return [str(index) for index in range(torch.cuda.device_count())]


@contextmanager
def scheduler_signal_held() -> Iterator[None]:
    """Start processes that SIGUSR2 does not end.

    A scheduler gives it to every process of a job whose time is up, loader workers included, and
    this one alone answers. A signal's mask is inherited; one that comes here meanwhile waits.
    """
    if not hasattr(signal, "SIGUSR2"):
        yield
        return
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)
