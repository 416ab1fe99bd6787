"""How it is timed: in turns, synchronised, as ratios to a baseline of the same round."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

Work = Callable[[], Any]


def seconds(work: Work, device: str) -> float:
    """Time one call.

    On a GPU wall-clock, synchronised before and after. On a CPU with one thread, seconds of this
    process on the processor: other programs on the machine then add noise, not time.
    """
    if device == "cuda":
        torch.cuda.synchronize()
    clock = time.process_time if single_threaded(device) else time.perf_counter
    start = clock()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return clock() - start


def single_threaded(device: str) -> bool:
    """Say whether times are processor seconds."""
    return device == "cpu" and torch.get_num_threads() == 1


def take_turns(
    works: Mapping[str, Work], device: str, *, rounds: int, warm_up: int, until: float
) -> dict[str, list[float]]:
    """Time every work once per round, each round beginning with another.

    Args:
        works: name -> what to time.
        device: "cpu" or "cuda".
        rounds: at most.
        warm_up: calls of each before.
        until: ``time.monotonic()`` after which no further round begins; one is always taken.

    Returns:
        name -> one time per round.
    """
    for _ in range(warm_up):
        for work in works.values():
            seconds(work, device)
    names = list(works)
    times: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        if number and time.monotonic() > until:
            break
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            times[name].append(seconds(works[name], device))
    return times


def ratios(times: Mapping[str, list[float]], name: str, base: str) -> dict[str, float]:
    """Median, lowest and highest of a work's time over the base's, round by round."""
    found = [own / other for own, other in zip(times[name], times[base], strict=True)]
    return {"median": median(found), "low": min(found), "high": max(found)}


def peak_memory(work: Work, device: str) -> int:
    """Bytes that one call allocates on top of what is there, at its highest point."""
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        return torch.cuda.max_memory_allocated() - before
    with LiveBytes() as live:
        work()
    return live.highest


class LiveBytes(TorchDispatchMode):
    """Count the bytes of tensors made inside and still alive, at their highest.

    What a library allocates inside an operation is not seen.

    Attributes:
        highest: bytes.
    """

    def __init__(self) -> None:
        super().__init__()
        self._made: dict[int, tuple[StorageWeakRef, int]] = {}
        self._given: set[int] = set()
        self.highest = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        self._given |= set(_storages((args, kwargs))) - self._made.keys()
        result = func(*args, **(kwargs or {}))
        for key, storage in _storages(result).items():
            if key not in self._given:
                self._made[key] = StorageWeakRef(storage), storage.nbytes()
        self._made = {key: kept for key, kept in self._made.items() if not kept[0].expired()}
        self.highest = max(self.highest, sum(size for _, size in self._made.values()))
        return result


def _storages(values: Any) -> dict[int, Any]:
    tensors = (leaf for leaf in tree_leaves(values) if isinstance(leaf, torch.Tensor))
    return {storage._cdata: storage for storage in (t.untyped_storage() for t in tensors)}
