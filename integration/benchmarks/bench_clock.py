"""How it is timed: in turns, synchronised, as ratios to a baseline of the same round."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

import torch

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
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        work()
    assert profile.profiler is not None and profile.profiler.kineto_results is not None
    changes = [
        (event.start_ns(), event.nbytes())
        for event in profile.profiler.kineto_results.events()
        if event.name() == "[memory]"
    ]
    now = highest = 0
    for _, change in sorted(changes, key=lambda item: item[0]):
        now += change
        highest = max(highest, now)
    return highest
