"""Documents that can be wrong are run: examples, and the tests that the tables name."""

import importlib
import inspect
import re

import pytest
import torch
from documents import ROOT, run_block, run_page, snippets

import salmask_plugin

NAMED_TESTS = re.findall(
    r"`((?:tests|integration)/[\w/]+\.py)::(\w+)`", (ROOT / "docs/paper_vs_code.md").read_text()
)


@pytest.fixture(autouse=True)
def _global_randomness():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def test_concepts_example_runs():
    names = run_page("docs/concepts.md")
    query, key = (torch.as_tensor(names[name]) for name in ("query", "key"))
    assert query.shape == key.shape
    assert query.isfinite().all()
    assert not torch.equal(query, key)


def test_a_loop_without_lightly_runs():
    assert "lightly" not in snippets("docs/lightly.md")[1]
    names = run_block("docs/lightly.md", 1)
    assert torch.as_tensor(names["loss"]).isfinite()


def test_extending_example_runs():
    names = run_page("docs/extending.md")
    assert {"CheckerboardFill", "WeightedMask", "ContrastLocalizer"} <= set(names)
    (leaf,) = snippets("docs/extending.md", "yaml")
    keys = re.findall(r"^(\w+):", leaf, re.MULTILINE)
    assert keys == ["_target_", *inspect.signature(names["CheckerboardFill"]).parameters]


@pytest.mark.parametrize(("file", "test"), sorted(set(NAMED_TESTS)))
def test_every_departure_is_pinned_by_a_test_that_exists(file, test):
    assert f"def {test}(" in (ROOT / file).read_text()


def test_departures_name_their_tests():
    assert len(NAMED_TESTS) > 30


def test_concepts_mention_every_public_name_of_the_four_questions():
    page = (ROOT / "docs/concepts.md").read_text()
    roles = ("Localizer", "Mask", "Fill", "Filter", "Mixture")
    for name in salmask_plugin.__all__:
        if name.endswith(roles):
            assert f"`{name}`" in page


def test_architecture_example_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = run_page("docs/architecture.md")["found"]
    assert {row.views for row in found.rows} == {"random crops", "whole images"}
    assert all(path.is_file() for path in found.files.values())


def test_every_page_is_in_the_site():
    listed = set((ROOT / "docs/site.md").read_text().split())
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")} - {"index", "site"}
    assert pages <= listed, pages - listed


def test_every_function_that_stands_for_a_command_exists():
    table = (ROOT / "docs/architecture.md").read_text().split("## From Python")[1]
    names = re.findall(r"`(salmask_plugin\.[\w.]+)`", table)
    assert len(names) >= 13
    for name in names:
        module, _, function = name.rpartition(".")
        assert callable(getattr(importlib.import_module(module), function)), name
