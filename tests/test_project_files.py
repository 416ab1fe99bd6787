"""The files beside the code that others read: citation, workflows, templates."""

import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def test_the_citation_has_the_package_s_name_version_and_licence():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (citation["title"].replace("_", "-"), citation["version"], citation["license"]) == (
        PROJECT["name"],
        PROJECT["version"],
        PROJECT["license"],
    )


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_names_commands_folders_and_extras_that_exist(path):
    jobs = yaml.safe_load(path.read_text())["jobs"]
    lines = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    assert lines
    makefile = (ROOT / "Makefile").read_text()
    for line in lines:
        for word in line.split():
            if word.startswith(("tests/", "integration/")):
                assert (ROOT / word).is_dir(), word
            if "[" in word:
                for extra in word.strip("'").partition("[")[2].rstrip("]").split(","):
                    assert extra in PROJECT["optional-dependencies"], word
        if line.startswith("make "):
            assert f"\n{line.split()[1]}:" in makefile, line


def test_the_tested_pythons_are_those_that_are_supported():
    matrix = yaml.safe_load((ROOT / ".github" / "workflows" / "tests.yml").read_text())
    tested = set(matrix["jobs"]["fast"]["strategy"]["matrix"]["python"])
    named = {text.rpartition(" :: ")[2] for text in PROJECT["classifiers"]}
    assert tested == {version for version in named if version.startswith("3.")}


def test_issue_templates_are_forms():
    for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"):
        form = yaml.safe_load(path.read_text())
        assert {"name", "description", "body"} <= form.keys()
        assert all({"type", "attributes"} <= field.keys() for field in form["body"])
