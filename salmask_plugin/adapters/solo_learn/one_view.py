"""solo-learn's own step on one of the two views."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def one_view(method: Any) -> Iterator[None]:
    """Inside, ``BaseMethod.training_step`` takes one view, its metrics and k-NN bank included."""
    counts = method.num_large_crops, method.num_crops, method.multicrop
    method.num_large_crops, method.num_crops, method.multicrop = 1, 1, False
    try:
        yield
    finally:
        method.num_large_crops, method.num_crops, method.multicrop = counts
