"""Warnings of Lightning that no test of ours can avoid."""

from __future__ import annotations

from pathlib import Path

import pytest

IGNORED = (
    "ignore:.*LeafSpec.* is deprecated:FutureWarning",
    "ignore:.*does not have many workers",
    "ignore:.*smaller than the logging interval",
    "ignore:GPU available but not used",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            for line in IGNORED:
                item.add_marker(pytest.mark.filterwarnings(line))
