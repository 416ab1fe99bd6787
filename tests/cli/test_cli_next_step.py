"""The last line of a command, and what a comparison says once."""

import shlex

import numpy as np
import pytest
from PIL import Image

from salmask_plugin.cli.main import build_parser, main
from salmask_plugin.cli.next_step import say_next
from salmask_plugin.lab.runs.launcher import WITH_PARENT
from salmask_plugin.lab.settings.compose import compose_settings
from salmask_plugin.lab.settings.departures import departures_from_paper
from salmask_plugin.lab.settings.explain import explain, in_sentences
from salmask_plugin.lab.settings.shorthand import in_full
from salmask_plugin.lab.settings.unused import refuse_unused_by_all
from salmask_plugin.lab.study.compare import _departures, plan_rows


def test_the_next_command_can_be_pasted(capsys, monkeypatch):
    say_next("evaluate", "runs/my run", why="accuracy")
    assert capsys.readouterr().out == "\nNext: salmask evaluate 'runs/my run'    # accuracy\n"
    say_next("evaluate", "runs/a_run_with_a_name_that_is_rather_long", why="how accurate it is")
    said = capsys.readouterr().out.splitlines()
    assert said[1] == "# how accurate it is:"
    assert said[2] == "Next: salmask evaluate runs/a_run_with_a_name_that_is_rather_long"
    monkeypatch.setenv(WITH_PARENT, "1")
    say_next("evaluate", "runs/mine")
    assert capsys.readouterr().out == ""


@pytest.fixture
def rows(tmp_path):
    given = ["data=cifar10", "data.root=x", f"out={tmp_path}", "compare.seeds=[0,1]"]
    given += ["compare.only=[none,mean]", "localizer=uniform"]
    return plan_rows(compose_settings(given), given)


def test_departures_are_said_once(rows):
    lines = _departures(rows)
    assert lines[0] == "Departures from the paper's setting, of all rows:"
    assert lines.count("  - data is cifar10; the paper's is ImageNet-100") == 1
    alone = [line for line in lines if " as well: " in line]
    assert len(alone) == 1
    assert alone[0].startswith("mean as well: localizer is uniform")
    said = "\n".join(lines)
    for row in rows:
        assert all(line in said for line in departures_from_paper(row.settings))


def test_a_run_says_what_it_does_with_and_without_its_departures(rows):
    settings = rows[0].settings
    whole = explain(settings)
    assert whole[: len(in_sentences(settings))] == in_sentences(settings)
    assert not any("paper" in line for line in in_sentences(settings))
    assert "momentum of the key encoder 0.999" in in_sentences(settings)[-1]


@pytest.mark.parametrize(
    ("typed", "gallery", "words"),
    [
        ("localizer=center", "mean-center", "masking=mean localizer=center"),
        ("masking=blur localizer=center", "blur-center", "masking=blur localizer=center"),
        ("masking=random", "random-uniform", "masking=random"),
        (
            "masking=random --allow=b.b --allow=a.a",
            "random-uniform",
            "masking=random --allow=a.a --allow=b.b",
        ),
        ("localizer=center --trust", "mean-center", "masking=mean localizer=center --trust"),
    ],
)
def test_what_trains_after_a_preview_is_what_was_shown(typed, gallery, words, tmp_path, capsys):
    drawn = np.random.default_rng(0).integers(0, 256, (20, 28, 3), dtype=np.uint8)
    Image.fromarray(drawn).save(tmp_path / "one.png")
    rest = ["view_size=48", f"out={tmp_path}"]
    assert main(["preview", str(tmp_path), *typed.split(), *rest]) == 0
    assert (tmp_path / "preview" / f"{gallery}.png").is_file()
    said = capsys.readouterr().out.splitlines()[-1].removeprefix("Next: salmask ")
    assert set(said.split()) == {"pretrain", str(tmp_path), *words.split(), *rest}
    given = build_parser().parse_args(shlex.split(said)).overrides
    refuse_unused_by_all([compose_settings(in_full(given, "run"))], in_full(given, "run"))
