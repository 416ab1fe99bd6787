"""Randomness that survives a resume: one generator per (seed, rank, step)."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

NEGATIVES_STREAM = 2**21
"""Added to the rank of what encodes hard negatives: its draws are unrelated to the rank's masks."""


def step_generator(
    seed: int, rank: int, step: int, device: torch.device | str = "cpu"
) -> torch.Generator:
    """Return the generator for one training step on one process.

    Masks drawn from it depend on nothing else: they are the same after a resume, differ between
    ranks (``seed_everything`` gives every rank the same stream), and do not shift what the host
    draws. (seed, rank, step) is hashed, not summed: (1, 0, 2) and (1, 1, 1) are unrelated.

    Args:
        seed: the run's seed, from 0 to 2**64 - 1, as rank and step.
        rank: the process' global rank, >= 0.
        step: training batches seen so far, >= 0. Not the optimizer's step counter.
        device: where the draws are made, that of the views; draws on different devices differ.

    Raises:
        ValueError: if seed, rank or step is no whole number, negative, or 2**64 or more.
    """
    place = {"seed": seed, "rank": rank, "step": step}
    for name, value in place.items():
        try:
            place[name] = operator.index(value)  # of a counter that is a tensor or NumPy's, too
        except TypeError:
            raise ValueError(f"{name}={value!r} must be a whole number.") from None
    for name, value in place.items():
        if value < 0:
            raise ValueError(f"{name}={value} must be at least 0.")
        if value >= 2**64:
            raise ValueError(f"{name}={value} must be below 2**64.")
    # Words of 32 bits each: a number that takes two would read as a number and its neighbour.
    low, high = zip(*((value % 2**32, value >> 32) for value in place.values()), strict=True)
    hashed = np.random.SeedSequence(low, spawn_key=high if any(high) else ())
    state = hashed.generate_state(1, np.uint64)
    return torch.Generator(device=device).manual_seed(int(state[0] >> np.uint64(1)))


@contextmanager
def global_draws_from(generator: torch.Generator) -> Iterator[None]:
    """Let what draws from torch's global generators inside, as dropout does, draw by this seed.

    On leaving the global generators are as they were: what is done besides a host's own training
    must not shift what the host draws next, such as the order of its data.

    Args:
        generator: whose first seed and device are taken; it is not drawn from.
    """
    device, seed = generator.device, generator.initial_seed()
    on_gpu = device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if on_gpu else []):
        if on_gpu:
            torch.cuda.manual_seed(seed)
        else:
            torch.default_generator.manual_seed(seed)
        yield
