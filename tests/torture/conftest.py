"""Counts of the faults that were tried and survived, as a table at the end of `make torture`."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Callable, Generator
from datetime import UTC, datetime
from typing import Any

import pytest
import torch

TRIED: Counter[str] = Counter()
SURVIVED: Counter[str] = Counter()
_CLAIMS = pytest.StashKey[list[tuple[str, int]]]()


@pytest.fixture
def tried(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Say which fault a test has tried, and how often; it counts as survived if the test passes."""
    claims = request.node.stash.setdefault(_CLAIMS, [])

    def claim(fault: str, times: int = 1) -> None:
        claims.append((fault, times))

    return claim


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Generator[None, Any, Any]:
    report = yield
    if report.when == "call":
        claims = item.stash.get(_CLAIMS, [])
        if not claims and report.failed and "tried" in getattr(item, "fixturenames", ()):
            claims = [(item.name, 1)]
        for fault, times in claims:
            TRIED[fault] += times
            SURVIVED[fault] += times if report.passed else 0
    return report


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if not TRIED or "not torture" in config.option.markexpr:
        return
    write = terminalreporter.write_line
    write("")
    write("| fault | tried | survived |")
    write("|---|---|---|")
    for fault in sorted(TRIED):
        write(f"| {fault} | {TRIED[fault]} | {SURVIVED[fault]} |")
    write(f"| all | {sum(TRIED.values())} | {sum(SURVIVED.values())} |")
    when = datetime.now(UTC).date().isoformat()
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    write(f"\n{when}, {versions}, {platform.system()}.")
