"""The same work on several gloo processes."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import distributed
from torch import multiprocessing as mp


def free_port() -> int:
    """Return a port of this machine that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def on_processes(work: Callable[[int], Any], folder: Path, world: int = 2) -> list[Any]:
    """Return what ``work``, a function of a module, returns on each rank: tensors, plain values."""
    mp.spawn(_one, args=(work, world, free_port(), str(folder)), nprocs=world)
    return [torch.load(f"{folder}/{rank}.pt", weights_only=True) for rank in range(world)]


def _one(rank: int, work: Callable[[int], Any], world: int, port: int, folder: str) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=world
    )
    try:
        torch.save(work(rank), f"{folder}/{rank}.pt")
    finally:
        distributed.destroy_process_group()
