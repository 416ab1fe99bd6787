"""Randomness that survives a resume: one generator per (seed, rank, step)."""

from __future__ import annotations

import numpy as np
import torch


def step_generator(
    seed: int, rank: int, step: int, device: torch.device | str = "cpu"
) -> torch.Generator:
    """Return the generator for one training step on one process.

    Masks drawn from it depend on nothing else: they are the same after a resume, differ between
    ranks (``seed_everything`` gives every rank the same stream), and do not shift what the host
    draws. (seed, rank, step) is hashed, not summed: (1, 0, 2) and (1, 1, 1) are unrelated.

    Args:
        seed: the run's seed, >= 0.
        rank: the process' global rank, >= 0.
        step: training batches seen so far, >= 0. Not the optimizer's step counter.
        device: where the draws are made, that of the views; draws on different devices differ.

    Raises:
        ValueError: if seed, rank or step is negative.
    """
    for name, value in (("seed", seed), ("rank", rank), ("step", step)):
        if value < 0:
            raise ValueError(f"{name}={value} must be at least 0.")
    state = np.random.SeedSequence((seed, rank, step)).generate_state(1, np.uint64)
    return torch.Generator(device=device).manual_seed(int(state[0] >> np.uint64(1)))
