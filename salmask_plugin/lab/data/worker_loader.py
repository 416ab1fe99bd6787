"""How every loader of the package is made."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

Loader = DataLoader[Any]
Collate = Callable[[list[Any]], Any]
HANGING = 1800.0
"""Seconds after which a batch that does not come is an error: a folder on a dead server, say."""


def worker_loader(
    dataset: Dataset[Any],
    order: Iterable[Any] | None,
    *,
    batch_size: int,
    workers: int,
    seed: int = 0,
    drop_last: bool = False,
    collate: Collate | None = None,
) -> Loader:
    """Return batches in this order; drawing them touches no global generator.

    Every loader of the package is made here or by :func:`batches_loader`, so that none waits for
    ever.

    Args:
        dataset: what is read.
        order: its keys, such as a sampler; None: 0, 1, 2, ...
        batch_size: samples per batch.
        workers: worker processes, which live on from epoch to epoch.
        seed: of the workers' generators.
        drop_last: leave out an incomplete last batch.
        collate: samples -> batch; None: torch's.

    Raises:
        ValueError: if a number is out of range.
    """
    check_counts(batch_size, workers)
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=order,
        drop_last=drop_last,
        collate_fn=collate,
        persistent_workers=workers > 0,
        **_common(workers, seed),
    )


def batches_loader(
    dataset: Dataset[Any],
    batches: Iterable[list[Any]],
    *,
    workers: int,
    seed: int = 0,
) -> Loader:
    """Return these batches, for one pass; drawing them touches no global generator.

    Args:
        dataset: what is read.
        batches: its keys, batch by batch.
        workers: worker processes, which end with the pass.
        seed: of the workers' generators.

    Raises:
        ValueError: if workers is negative.
    """
    check_counts(1, workers)
    return DataLoader(dataset, batch_sampler=batches, **_common(workers, seed))


def _common(workers: int, seed: int) -> dict[str, Any]:
    return {
        "num_workers": workers,
        "timeout": HANGING if workers else 0,
        "pin_memory": torch.cuda.is_available(),
        # Without its own generator a loader draws its workers' seed from the global one.
        "generator": torch.Generator().manual_seed(seed),
    }


def check_counts(batch_size: int, workers: int) -> None:
    """Refuse numbers that no loader can have.

    Raises:
        ValueError: naming the number.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size} must be at least 1.")
    if workers < 0:
        raise ValueError(f"workers={workers} must be at least 0.")
