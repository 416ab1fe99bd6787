"""Modules whose mode is changed for a while, each of whose parts gets its own back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def kept_modes(module: nn.Module) -> Iterator[None]:
    """On leaving, give every submodule the mode that it had: one may be frozen while others train.

    By the flag alone: ``train()`` and ``eval()`` may be overridden with effects of their own.
    """
    modes = [(part, part.training) for part in module.modules()]
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode
