"""What was typed acts, or is refused: a localizer beside a recipe's own, and its relatives."""

import pytest

from salmask_plugin.cli.main import main
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.measures.recipes import recipe_rows
from salmask_plugin.lab.probes.evaluate import evaluate_run
from salmask_plugin.lab.runs.folder import keep_settings
from salmask_plugin.lab.settings.compose import compose_settings
from salmask_plugin.lab.settings.explain import in_sentences
from salmask_plugin.lab.settings.unused import refuse_unused
from salmask_plugin.lab.study.compare import plan_rows

NEGATIVES = "sampler@masking.negative.sampler=top"


@pytest.mark.parametrize(
    ("typed", "unused"),
    [
        (["masking=label_free", "localizer=center"], ["localizer=center"]),
        (["masking=random", "localizer=center", "lr=1"], ["localizer=center"]),
        (["masking=none", "localizer_size=96"], ["localizer_size=96"]),
        (["method=adios_simclr", "localizer=center"], ["localizer=center"]),
        (["masking=mean", "localizer=center", "localizer_size=96"], ["localizer_size=96"]),
        (["masking=random", "localizer.input_size=9"], ["localizer.input_size=9"]),
        (["masking=mean", NEGATIVES, "masking.negative=null"], [NEGATIVES]),
        (
            ["masking=mean", "masking.negative.sampler.tolerance=0", "masking.negative=null"],
            ["masking.negative.sampler.tolerance=0"],
        ),
        (
            ["warm_up@method.warm_up=saliency", "method.warm_up=null"],
            ["warm_up@method.warm_up=saliency"],
        ),
        (["masking=none", "method.rho=4"], ["method.rho=4"]),
        (["masking=random", "method.hard_negative_bias=1"], ["method.hard_negative_bias=1"]),
        (["masking=mean", "masking.negative=null", "method.rho=4"], ["method.rho=4"]),
        (["masking=sparse", "masking.num_negatives=2"], ["masking.num_negatives=2"]),
        (
            ["masking=random", "warm_up@method.warm_up=saliency", "method.warm_up.ramp=0.2"],
            ["method.warm_up.ramp=0.2"],
        ),
        (
            ["masking=mean", "warm_up@method.warm_up=saliency", "method.warm_up.ramp=0.2"],
            [],
        ),
        (
            ["masking=mean", "method=simclr", "method.optimizer=sgd", "method.trust_coefficient=1"],
            ["method.trust_coefficient=1"],
        ),
        (["masking=mean", "method=simclr", "method.trust_coefficient=1", "method.rho=4"], []),
        (["masking=none", "method.positive_in_denominator=false"], []),
        # These act: by name, through another localizer, or where they go.
        (["masking=mean", "localizer=center", "localizer.size=0.5"], []),
        (["masking=mean_permuted", "localizer=efficientnet_lite0", "localizer_size=64"], []),
        (["masking=label_free", "masking.localizer.layer=layer3"], []),
        (["masking=mean", "masking.negative=null", "seed=3", "evaluation.tasks=[knn]"], []),
        (["masking=none", "+localizer@evaluation.occlusion.localizer=center"], []),
        # Without it the command would ask for it: the study's localizer has no folder yet.
        (["experiment=small_block_simclr", "data.root=x", "localizer.folder=x"], []),
    ],
)
def test_what_acts_on_nothing_is_found(typed, unused):
    given = typed if typed[0].startswith("experiment=") else ["data=generated", *typed]
    settings = compose_settings(given)
    assert list(settings.unused) == unused
    for text, sentence in settings.unused.items():
        assert sentence.startswith(f"{text} acts on nothing: ")
    if unused:
        with pytest.raises(UserError, match="acts on nothing"):
            refuse_unused(settings)
    else:
        refuse_unused(settings)


@pytest.mark.parametrize("command", ["pretrain", "plan"])
def test_the_sentence_says_what_the_recipe_has_instead(command, tmp_path, capsys):
    typed = ["data=generated", "masking=random", "localizer=center", f"out={tmp_path}"]
    assert main([command, *typed]) == 2
    said = capsys.readouterr().err
    assert said == (
        "salmask: localizer=center acts on nothing: masking=random has a localizer of its own, "
        "masking.localizer.\n"
    )
    assert not list(tmp_path.iterdir())


def test_explain_says_it_too(capsys):
    assert main(["explain", "masking=none", "localizer=center"]) == 0
    assert "localizer=center acts on nothing: masking=none has no masks." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("masking", "negatives"), [("none", False), ("label_free", False), ("mean", True)]
)
def test_what_hard_negatives_alone_have_is_explained_where_there_are_some(masking, negatives):
    """The loss of a baseline was said to have a rho, and a warm-up to raise it."""
    settings = compose_settings([f"masking={masking}", "warm_up@method.warm_up=saliency"])
    said = {line.partition(":")[0]: line for line in in_sentences(settings)}
    assert "temperature 0.2" in said["Loss"]
    for words in ("rho 2", "hard_negative_bias"):
        assert (words in said["Loss"]) is negatives
    for words in ("hard negatives", "rho"):
        assert (words in said["Warm-up"]) is negatives


def test_noise_of_no_strength_is_explained_as_what_it_is():
    said = " ".join(in_sentences(compose_settings(["masking=erasing"])))
    assert "shown instead: zeros." in said
    assert "noise" not in said


def test_a_preview_shows_no_localizer_that_the_recipe_does_not_ask():
    """Its title would name it."""
    typed = ["masking=random", "localizer=center"]
    with pytest.raises(UserError, match="localizer=center acts on nothing"):
        recipe_rows({}, typed, typed=typed)
    (row,) = recipe_rows({}, [typed[0], "localizer=center"], typed=typed[:1])
    assert row.localizer == "uniform"


def test_a_study_s_settings_are_no_run_s(capsys, tmp_path):
    typed = ["data=generated", "compare.seeds=[0,1]", f"out={tmp_path}"]
    assert main(["pretrain", *typed]) == 2
    assert "`salmask compare` alone reads it" in capsys.readouterr().err


def test_a_localizer_for_all_rows_must_act_in_one():
    def rows(*typed):
        more = "+compare.rows.random=['masking=random']"
        given = ["data=generated", "localizer=center", more, *typed]
        return plan_rows(compose_settings(given), given)

    assert len(rows("compare.only=[none,mean,random]")) == 3
    for only in ("none", "none,random"):
        with pytest.raises(UserError, match="localizer=center acts on nothing"):
            rows(f"compare.only=[{only}]")
    # Each of these is a run of a study: what was typed for all rows is no mistake in one.
    (row,) = rows("compare.only=[mean]")
    refuse_unused(compose_settings([*row.arguments, "masking=none"]))


@pytest.mark.parametrize(
    ("typed", "nearest"),
    [("epohcs=3", "epochs"), ("batchsize=4", "batch_size"), ("wokers=2", "workers")],
)
def test_short_names_are_among_the_nearest(typed, nearest):
    with pytest.raises(UserError, match=rf"Nearest: {nearest}[.,]"):
        compose_settings(["data=generated", typed])


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["trainer.precision=bf16-mixed"], "acts on nothing"),
        (["trainer.devices=2"], "not a setting of this run that can still change"),
        (["trainer.max_steps=2"], "not a setting of this run that can still change"),
        (["trainer.accelerator=cpu"], "not pretrained yet"),
    ],
)
def test_an_evaluation_refuses_what_none_of_its_tasks_has(typed, said, tmp_path):
    keep_settings(tmp_path, compose_settings(["data=generated", "masking=none"]))
    with pytest.raises(UserError, match=said):
        evaluate_run(tmp_path, typed)
