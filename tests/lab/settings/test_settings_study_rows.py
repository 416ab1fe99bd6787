"""One row of a study, addressed as an experiment of its own."""

import pytest

from salmask_plugin.cli.main import main
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.runs.folder import run_folder
from salmask_plugin.lab.runs.identity import VOLATILE
from salmask_plugin.lab.settings.compose import compose_settings
from salmask_plugin.lab.settings.explain import in_sentences
from salmask_plugin.lab.study.compare import plan_rows

TABLE = "experiment=paper/table6"
SOMEWHERE = "data.root=somewhere"


@pytest.mark.parametrize("scale", ["paper", "quick"])
def test_a_row_alone_is_the_run_that_compare_makes_of_it(scale):
    given = [f"scale={scale}", SOMEWHERE, "compare.seeds=[3]", "compare.only=[none,blur_both]"]
    table = compose_settings([TABLE, *given])
    planned = plan_rows(table, [TABLE, *given])
    assert len(planned) == 2
    for run in planned:
        row, seed = run.name.split(", seed ")
        alone = compose_settings([f"{TABLE}/{row}", *given, f"seed={seed}"])
        assert run_folder(alone) == run.folder
        assert alone["recipe"] == run.settings["recipe"] == row
        for key, value in run.settings.values.items():
            if key not in VOLATILE:
                assert alone[key] == value, key


def test_settings_that_fit_the_row_alone_are_taken():
    settings = compose_settings([f"{TABLE}/mean_query", SOMEWHERE, "masking.probability=0.5"])
    assert settings["masking"]["probability"] == 0.5
    assert settings["masking"]["branch"] == "query"
    named = compose_settings([f"{TABLE}/mean_query", SOMEWHERE, "name=mine", "recipe=ours"])
    assert (named["name"], named["recipe"]) == ("mine", "ours")


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (
            [f"{TABLE}/mean_qury"],
            ["experiment=paper/table6/mean_qury", "highpass_key", "mean_query"],
        ),
        (
            [f"{TABLE}/mean_query", "masking.branch=key"],
            ["masking.branch=key contradicts", "which is masking.branch=query"],
        ),
        ([f"{TABLE}/mean_query", "masking.brnch=key"], ["masking.brnch", "Unknown keys"]),
        (["experiment=paper/table66/mean_query"], ["experiment=paper/table66/mean_query"]),
        (
            ["experiment=controls/given", "scale=quick"],
            ["row given is left out here", "CIFAR-10 has none", "~compare.left_out.given"],
        ),
    ],
)
def test_what_cannot_be_meant_is_named(overrides, words):
    with pytest.raises(UserError) as error:
        compose_settings([*overrides, SOMEWHERE])
    for word in words:
        assert word in str(error.value)


def test_a_row_that_there_is_not_can_be_made():
    given = ["data=generated", "compare.only=[sparse]", "trainer.max_epochs=1"]
    with pytest.raises(UserError, match=r"compare.only: 'sparse' is none of .*`\+compare.rows.spa"):
        plan_rows(compose_settings(given), given)
    given.append("+compare.rows.sparse=[masking=sparse]")
    (run,) = plan_rows(compose_settings(given), given)
    assert run.settings.choices["masking"] == "sparse"
    assert in_sentences(run.settings)[0] == "Row sparse."  # said "of None" without an experiment


def test_a_file_of_that_name_is_an_experiment_as_any_other(tmp_path):
    folder = tmp_path / "experiment" / "paper" / "table6"
    folder.mkdir(parents=True)
    (folder / "mean_query.yaml").write_text("# @package _global_\nview_size: 96\n")
    settings = compose_settings([f"{TABLE}/mean_query"], config_dir=str(tmp_path))
    assert settings["view_size"] == 96
    assert settings["compare"]["row"] is None
    (tmp_path / "experiment" / "mine.yaml").write_text(
        "# @package _global_\ncompare: {rows: {half: [masking=mean, masking.probability=0.5]}}\n"
    )
    mine = compose_settings(["experiment=mine/half"], config_dir=str(tmp_path))
    assert mine["masking"]["probability"] == 0.5
    assert mine["name"] == "mine/half/seed0"


def test_compare_wants_the_whole_study(capsys):
    assert main(["compare", f"{TABLE}/mean_query", SOMEWHERE]) == 2
    message = capsys.readouterr().err
    assert "row mean_query alone is no comparison" in message
    assert "`salmask compare experiment=paper/table6`" in message


def test_explain_says_the_row_its_target_and_what_is_open(capsys):
    assert main(["explain", f"{TABLE}/mean_query", SOMEWHERE]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "Row mean_query of paper/table6. Paper: linear top-1 (%): 58.34." in text
    assert " - View size: the released code runs at 224 px alone; here 224 px." in text
    assert main(["explain", TABLE, SOMEWHERE]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "experiment=paper/table6/ROW of its own: none, highpass_key" in text


def test_compare_leaves_out_what_cannot_run():
    given = ["data=generated", "+compare.left_out.blur=no reason"]
    rows = plan_rows(compose_settings(given), given)
    kept = ("none", "untrained", "mean", "highpass", "random")
    assert [row.name for row in rows] == [f"{name}, seed 0" for name in kept]
    only = compose_settings([*given, "compare.only=[blur]"])
    with pytest.raises(UserError, match=r"compare\.only: row blur is left out here: no reason"):
        plan_rows(only, given)


def test_a_row_that_is_added_to_a_study_in_minutes_is_run():
    for study in (["experiment=plumbing"], ["experiment=cifar10_quick", SOMEWHERE]):
        given = [*study, "+compare.rows.mine=[masking=sparse]"]
        names = [row.name for row in plan_rows(compose_settings(given), given)]
        assert "mine, seed 0" in names
        assert not any(name.startswith("untrained") for name in names)
