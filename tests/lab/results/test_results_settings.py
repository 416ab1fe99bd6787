"""What two runs share: everything that acts on the result, whatever name stands above it."""

import pytest

from salmask_plugin.lab.results import compare, to_markdown
from salmask_plugin.lab.results.arms import arms_of

CONFIG = {
    "seed": 0,
    "name": "a",
    "out": "runs",
    "localizer_size": 96,
    "compare": {"row": None, "seeds": [0]},
    "choices": {"masking": "mean"},
    "data": {"root": ".../cifar10", "subset_seed": 0, "on_unreadable": "raise"},
    "backbone": {"name": "resnet18", "stem": "standard"},
    "masking": {
        "num_negatives": 1,
        "query": {"sampler": {"_target_": "GridMask", "ratio": [0.05, 0.25]}, "fill": {"k": 3}},
        "localizer": {"folder": ".../maps", "grid": [4, 4]},
    },
    "method": {"_target_": "MaskedMoCoV2", "projection_dim": 128, "warm_up": None},
    "views": {"input_size": 32, "min_scale": 0.2},
    "loader": {"batch_size": 64, "workers": 8, "input": "host", "keep": True},
    "trainer": {"precision": "32-true", "devices": 1, "accelerator": "auto", "max_epochs": 3},
}
ACTING = {
    "masking.query.sampler.ratio": [0.5, 0.6],
    "masking.query.sampler._target_": "TopMask",
    "masking.query.fill.k": 5,
    "masking.num_negatives": 2,
    "masking.localizer.grid": [7, 7],
    "localizer_size": 224,
    "backbone.stem": "cifar",
    "data.subset_seed": 1,
    "views.min_scale": 0.08,
    "method.projection_dim": 64,
    "method.positive_in_denominator": False,
    "loader.input": "device",
    "trainer.precision": "bf16-mixed",
    "trainer.devices": 2,
    "trainer.limit_train_batches": 1,
    "trainer.anything_new": 3,
}
IRRELEVANT = {
    "out": "elsewhere",
    "name": "b",
    "data.root": ".../other",
    "masking.localizer.folder": ".../copy",
    "loader.workers": 1,
    "loader.keep": False,
    "trainer.accelerator": "gpu",
    "trainer.log_every_n_steps": 1,
    "trainer.devices": [3],
    "trainer.limit_train_batches": None,
    "choices.masking": "mine",
    "compare.seeds": [0, 1],
}


def changed(name, value, config=CONFIG):
    head, _, rest = name.partition(".")
    new = changed(rest, value, config.get(head, {})) if rest else value
    return {**config, head: new}


def labels(records):
    return [row.label for table in compare(records).tables for row in table.rows]


@pytest.mark.parametrize(("name", "value"), ACTING.items())
def test_what_acts_makes_another_row_and_is_said(make_record, name, value):
    records = [
        make_record(config=CONFIG),
        make_record(name="other", seed=0, config=changed(name, value)),
        make_record(seed=1, config=CONFIG),
    ]
    (table,) = compare(records).tables
    assert sorted(len(row.runs) for row in table.rows) == [1, 2]
    assert len({row.label for row in table.rows}) == 2
    assert all(row.label.startswith("mean") for row in table.rows)
    (lone,) = [row for row in table.rows if len(row.runs) == 1]
    assert name in lone.label
    assert not any("same setting" in note for note in compare(records).notes)
    assert name in to_markdown(compare(records)).replace("\\", "")


@pytest.mark.parametrize(("name", "value"), IRRELEVANT.items())
def test_what_does_not_act_makes_none(make_record, name, value):
    records = [make_record(config=CONFIG), make_record(seed=1, config=changed(name, value))]
    assert labels(records) == ["mean"]


def test_runs_from_before_there_was_a_choice_are_the_hosts(make_record):
    old = {**CONFIG, "loader": {"batch_size": 64, "workers": 8}}
    assert labels([make_record(config=CONFIG), make_record(seed=1, config=old)]) == ["mean"]


def test_a_localizers_size_does_not_act_without_one(make_record):
    records = [
        make_record("none", config=CONFIG),
        make_record("none", 1, config=changed("localizer_size", 224)),
    ]
    assert labels(records) == ["none"]


@pytest.mark.parametrize(
    "name",
    [
        "trainer.limit_train_batches",
        "views.min_scale",
        "backbone.x",
        "method.positive_in_denominator",
    ],
)
def test_a_baseline_that_was_trained_otherwise_is_none(make_record, name):
    base = make_record("none", config=CONFIG)
    same = make_record(config=changed("masking.query.sampler.ratio", [0.5, 0.6]))
    other = make_record(config=changed(name, 7))
    (table,) = compare([base, same]).tables
    assert table.rows[1].differences
    (table,) = compare([base, other]).tables
    assert not table.rows[1].differences
    assert any(f"trained unlike its baseline in {name} (7" in note for note in table.notes)


def test_an_occluders_own_settings_need_no_counterpart_in_the_baseline(make_record):
    own = changed("method", {"_target_": "ADIOSMoCoV2", "num_masks": 6, "projection_dim": 128})
    (table,) = compare(
        [make_record("none", config=CONFIG), make_record("adios", config=own)]
    ).tables
    assert all(row.differences for row in table.rows if not row.is_baseline)


def test_rows_of_different_names_are_not_told_apart_by_settings(make_record):
    records = [make_record(config=CONFIG), make_record("blur", config=changed("masking.x", 1))]
    assert sorted(labels(records)) == ["blur", "mean"]
    assert "Setting" not in to_markdown(compare(records))


def test_the_key_encoders_momentum_is_not_called_the_optimizers(make_record):
    old = make_record("none", optimizer={"momentum": 0.99})
    new = make_record("none", 1, optimizer={"key_encoder_momentum": 0.99})
    assert labels([old, new]) == ["none"]
    (table,) = compare([old, make_record(optimizer={"momentum": 0.999})]).tables
    assert any("in key encoder momentum (0.999, baseline 0.99)" in note for note in table.notes)
    solo = make_record("none", host="solo-learn", optimizer={"momentum": 0.9})
    (table,) = compare([solo]).tables
    assert dict(table.rows[0].setting.optimizer) == {"momentum": 0.9}


def test_a_row_of_a_study_holds_one_setting(make_record):
    study = changed("compare", {"row": "mean", "rows": {}})
    records = [
        make_record("none", config={}),
        make_record(config=study),
        make_record(seed=1, config=changed("masking.num_negatives", 2, study)),
    ]
    with pytest.raises(ValueError, match=r"row 'mean' differ in masking\.num_negatives"):
        arms_of(records, "none")
    # Kept records of old have no loader: nothing is known of it, and nothing is claimed.
    slim = {key: value for key, value in study.items() if key != "loader"}
    assert len(arms_of([*records[:2], make_record(seed=1, config=slim)], "none")) == 2


def test_solo_learns_runs_are_told_apart_likewise(make_record):
    own = {"host": "solo-learn", "method": "salmask_mocov2plus"}
    base = {"seed": 1, "name": "x", "method_kwargs": {"proj_hidden_dim": 64}, "devices": "01"}
    # What solo-learn writes beside another run of the same settings from the same folder.
    again = {"devices": "23", "checkpoint": {"dir": "x"}, "wandb_run_id": "1"}
    records = [
        make_record(config={**base, "wandb_run_id": "0"}, **own),
        make_record(seed=1, config={**base, **again}, **own),
        make_record(seed=2, config=changed("method_kwargs.proj_hidden_dim", 32, base), **own),
    ]
    (table,) = compare(records).tables
    assert sorted(len(row.runs) for row in table.rows) == [1, 2]


def test_solo_learns_filter_is_the_recipes_and_no_other_encoder(make_record):
    """The baseline's backbone has another name there, and no kernel."""
    own = {"host": "solo-learn", "method": "simclr"}
    kernel = {"highpass_kernel_size": 11, "highpass_sigma": 5.0}
    filtered = {"backbone": {"name": "resnet18_highpass", "kwargs": kernel}}
    row = make_record("highpass", knn=0.3, config=filtered, **own)
    plain = make_record(
        "none", knn=0.1, config={"backbone": {"name": "resnet18", "kwargs": {}}}, **own
    )
    (table,) = compare([plain, row]).tables
    (difference,) = table.rows[1].differences.values()
    assert difference.mean == pytest.approx(0.2)
    other = make_record("none", config={"backbone": {"name": "resnet18_cifar"}}, **own)
    (table,) = compare([other, row]).tables
    assert not table.rows[1].differences
