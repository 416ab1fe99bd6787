"""Shared fixtures. pytest puts this folder on ``sys.path``, so tests can import ``oracles``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version
from typing import Any

import pytest
import torch
from torch import Tensor

# Warnings of Lightning that no test of the hosts on it can avoid.
IGNORED = (
    "ignore:.*LeafSpec.* is deprecated:FutureWarning",
    "ignore:.*does not have many workers",
    "ignore:.*smaller than the logging interval",
    "ignore:GPU available but not used",
)
ADAPTERS = Path(__file__).parent / "adapters"
ON_LIGHTNING = {ADAPTERS / "lightly", ADAPTERS / "stable_pretraining"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if ON_LIGHTNING & set(item.path.parents):
            for line in IGNORED:
                item.add_marker(pytest.mark.filterwarnings(line))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    parts = ("torch", "torchvision", "kornia", "lightly", "pytorch-lightning", "hydra-core", "timm")
    versions = ", ".join(map(_installed, parts))
    terminalreporter.write_line(f"On Python {python_version()}, {versions}.")


def _installed(part: str) -> str:
    try:
        return f"{part} {version(part)}"
    except PackageNotFoundError:  # the parts of the suite that need fewer extras run without it
        return f"no {part}"


@pytest.fixture
def generator() -> torch.Generator:
    """A seeded generator, so that nothing depends on the global one."""
    return torch.Generator().manual_seed(20240)


@pytest.fixture
def in_float64() -> Callable[[], AbstractContextManager[None]]:
    """A context in which torch makes float64 by default."""

    @contextmanager
    def default() -> Iterator[None]:
        torch.set_default_dtype(torch.float64)
        try:
            yield
        finally:
            torch.set_default_dtype(torch.float32)

    return default


@pytest.fixture
def make_images(generator: torch.Generator) -> Callable[..., Tensor]:
    """Asymmetric images: noise on a gradient that differs between rows, columns and channels."""

    def make(batch: int = 5, height: int = 42, width: int = 35, channels: int = 3) -> Tensor:
        rows = torch.linspace(-1, 1, height)[:, None]
        columns = torch.linspace(0, 2, width)[None, :]
        tint = torch.arange(1, channels + 1)[:, None, None] / channels
        noise = torch.randn((batch, channels, height, width), generator=generator)
        return tint * (rows + columns**2) + 0.3 * noise

    return make


@pytest.fixture
def make_saliency(generator: torch.Generator) -> Callable[..., Tensor]:
    """Maps with one off-centre peak each, no two cells equal."""

    def make(batch: int = 5, rows: int = 7, columns: int = 7) -> Tensor:
        noise = torch.rand((batch, rows, columns), generator=generator)
        down = torch.arange(rows)[:, None] - rows / 4
        right = torch.arange(columns)[None, :] - columns / 1.7
        return torch.exp(-(down**2 + right**2) / 8) + 0.2 * noise

    return make
