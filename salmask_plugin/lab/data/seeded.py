"""Random draws of one sample that depend on (seed, epoch, index) and on nothing else."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def seeded_draws(seed: int, epoch: int, index: int) -> Iterator[None]:
    """Seed the global generators for one sample, and put their states back afterwards.

    Transforms draw from the global generators of torch (crops, flips, colour), NumPy (lightly's
    blur) and the standard library, so all three are covered. On leaving they are as they were: what
    the host draws does not depend on how many samples were made, and samples depend neither on the
    number of workers nor on what ran before a resume. CUDA's generators are not touched.

    Args:
        seed: the run's seed, >= 0.
        epoch: epochs finished before this one, >= 0.
        index: of the sample in its data set, >= 0.
    """
    words = np.random.SeedSequence((seed, epoch, index)).generate_state(6)
    python_state, torch_state = random.getstate(), torch.default_generator.get_state()
    numpy_state = np.random.get_state()  # noqa: NPY002 - the generator that transforms draw from
    try:
        random.seed(words[:2].tobytes())
        np.random.seed(words[2:4])  # noqa: NPY002
        torch.default_generator.manual_seed(int(words[4]) << 31 | int(words[5]) >> 1)
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002
        torch.default_generator.set_state(torch_state)
