"""Another lightly than the supported one is named in a sentence, before anything is missed."""

from __future__ import annotations

import ast
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

import salmask_plugin
from salmask_plugin.adapters.lightly import supported


@pytest.mark.parametrize("found", ["1.5.23", "2.0.0", "2.1.0rc1", "unknown"])
def test_other_versions_are_refused(monkeypatch: pytest.MonkeyPatch, found: str) -> None:
    monkeypatch.setattr(supported, "version", lambda name: found)
    with pytest.raises(ImportError, match=rf"lightly {found} is installed; .*>=1.6,<2.*without"):
        supported.check_lightly()


@pytest.mark.parametrize("found", ["1.6.0", "1.10.2", "1.6"])
def test_supported_versions_pass(monkeypatch: pytest.MonkeyPatch, found: str) -> None:
    monkeypatch.setattr(supported, "version", lambda name: found)
    supported.check_lightly()


def test_no_lightly_at_all_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(supported, "version", missing)
    with pytest.raises(ImportError, match="not installed: pip install"):
        supported.check_lightly()


def inherited(path: Path) -> set[str]:
    """Classes of lightly's that a file's classes inherit from."""
    tree = ast.parse(path.read_text())
    names = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lightly")
        for alias in node.names
    }
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    return {
        base.id for node in classes for base in node.bases if isinstance(base, ast.Name)
    } & names


def test_every_class_that_inherits_from_lightlys_is_in_the_list() -> None:
    package = Path(salmask_plugin.__file__).parent
    page = package.parent / "docs" / "adr" / "0013-without-lightlys-layout.md"
    text = page.read_text(encoding="utf-8")
    found = {path: inherited(path) for path in package.rglob("*.py")}
    assert sum(map(len, found.values())) >= 6
    for path, bases in found.items():
        for base in bases:
            assert f"`{base}`" in text, path
            assert path.name in text, base
