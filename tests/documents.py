"""The snippets of the documents, for the tests that run them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def snippets(page: str, language: str = "python") -> list[str]:
    """The blocks in ``language`` of ``page``, a path below the root, in their order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def run_block(page: str, index: int, **names: Any) -> dict[str, Any]:
    """Execute one Python block where ``names`` stand for what a reader has already.

    Returns:
        All names after it.
    """
    found: dict[str, Any] = {"__name__": "example"} | names
    exec(compile(snippets(page)[index], page, "exec", dont_inherit=True), found)
    return found


def run_page(page: str) -> dict[str, Any]:
    """Execute a page's Python blocks one after the other, as one script."""
    source = "\n".join(
        block.replace("from __future__ import annotations\n", "") for block in snippets(page)
    )
    found: dict[str, Any] = {"__name__": "example"}
    exec(compile(source, page, "exec", dont_inherit=True), found)
    return found
