"""docs/results.md is what the kept studies say."""

from pathlib import Path

from salmask_plugin.lab.results.evidence import evidence_page

DOCS = Path(__file__).parents[3] / "docs"


def test_the_page_is_made_of_the_kept_studies():
    page = evidence_page(DOCS / "results")
    assert (DOCS / "results.md").read_text() == page.markdown, "run: salmask results docs/results"
    for path in page.figures:
        assert (DOCS / "results" / path).is_file(), f"{path}: run salmask results docs/results"


def test_kept_records_say_nothing_of_the_machines_folders():
    for path in (DOCS / "results").rglob("*.json"):
        text = path.read_text()
        assert not any(place in text for place in ('"/', "/home/", "/tmp/", "/root/")), path
