"""What departs from the paper is said: whatever a method's file or its views' class sets."""

from dataclasses import replace

import pytest
import yaml

from salmask_plugin.lab.settings.compose import CONFIGS, compose_settings
from salmask_plugin.lab.settings.departures import departures_from_paper

METHODS = sorted(path.stem for path in (CONFIGS / "method").glob("*.yaml"))
AS_THE_PAPER = [name for name in METHODS if not name.endswith(("_quick", "_tuned"))]
GIVEN = ["data=generated", "masking=none"]


def of_the_method(chosen):
    said = departures_from_paper(compose_settings([*GIVEN, *chosen]))
    return [text for text in said if text.startswith(("method.", "views."))]


def another(value):
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return {"lars": "sgd", "sgd": "lars"}[value]
    return 8 if value is None else value * 2 + (value == 0)


def changes():
    for method in ("mocov2", "simclr", "supervised"):
        node = yaml.safe_load((CONFIGS / "method" / f"{method}.yaml").read_text())["method"]
        for key, value in node.items():
            if key not in ("_target_", "warm_up", "negative_encoding"):  # the last two are nodes
                yield method, key, value


@pytest.mark.parametrize("method", AS_THE_PAPER)
def test_the_papers_own_methods_depart_in_nothing(method):
    assert not of_the_method([f"method={method}"])


@pytest.mark.parametrize(("method", "key", "value"), list(changes()))
def test_no_setting_of_a_method_departs_in_silence(method, key, value):
    (text,) = of_the_method([f"method={method}", f"method.{key}={another(value)}"])
    assert text.startswith(f"method.{key} is ")


@pytest.mark.parametrize(("method", "default"), [("mocov2", "0.2"), ("simclr", "0.08")])
def test_views_are_held_against_their_class(method, default):
    chosen = [f"method={method}", "views.min_scale=0.5"]
    assert of_the_method(chosen) == [f"views.min_scale is 0.5; the paper's is {default}"]


def test_a_name_that_leads_elsewhere_is_no_path(tmp_path):
    (tmp_path / "other.yaml").write_text("method: {momentum: 7}")
    settings = compose_settings([*GIVEN, "method.momentum=0.5"])
    for name in (str(tmp_path / "other"), "../backbone/small", "of my own"):
        changed = replace(settings, choices=settings.choices | {"method": name})
        said = departures_from_paper(changed)
        assert "method.momentum is 0.5; the paper's is 0.999" in said


def test_a_quick_method_is_held_against_the_papers():
    said = of_the_method(["method=mocov2_quick"])
    assert "method.queue_size is 2048; the paper's is 65536" in said
    assert len(said) == 4  # as many as its file sets of the method


PAPERS = [
    *("data=imagenet100", "data.root=x", "data.classes_file=x"),
    *("backbone=resnet50", "masking=mean", "trainer.devices=1"),
]


@pytest.mark.parametrize(
    "chosen",
    [
        *([f"masking={name}"] for name in ("none", "mean", "blur", "highpass", "random")),
        ["trainer.devices=4", "loader.batch_size=32"],
        ["trainer.precision=32"],
        ["trainer.limit_train_batches=1.0"],
        ["method=simclr", "loader.batch_size=256", "trainer.sync_batchnorm=true"],
        ["method=supervised", "masking=none"],
        ["method=adios_mocov2", "masking=none"],
    ],
)
def test_the_papers_setting_departs_in_nothing(chosen):
    assert departures_from_paper(compose_settings([*PAPERS, *chosen])) == []


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ("localizer_size=96", "masking.localizer.input_size is 96; the paper's is 224"),
        ("trainer.devices=4", "a step has 512 images"),
        ("trainer.accumulate_grad_batches=4", "a step has 512 images"),
        ("loader.batch_size=64", "loader.batch_size is 64; the paper's is 128"),
        ("trainer.limit_train_batches=1", "trainer.limit_train_batches is 1; the paper's is 1.0"),
        ("trainer.max_steps=100", "trainer.max_steps is 100; the paper's is -1"),
        ("trainer.precision=bf16-mixed", "trainer.precision is bf16-mixed"),
        ("trainer.sync_batchnorm=true", "trainer.sync_batchnorm is True; the paper's is false"),
        ("data.limit_train=100", "data.limit_train is 100; the paper's is none"),
        ("backbone.stem=cifar", "backbone.stem is cifar; the paper's is standard"),
        ("masking=sparse", "masking is sparse; the paper's are mean, blur and highpass"),
        ("masking.negative=null", "masking.negative is none; masking=mean has Masking(sampler="),
        (
            "sampler@masking.negative.sampler=top",
            "masking.negative.sampler is TopMask(ratio=[0.4, 0.7]); masking=mean has GridMask(",
        ),
        (
            "fill@masking.query.fill=other_image",
            "masking.query.fill is OtherImageFill(); masking=mean has MeanFill()",
        ),
        (
            "masking.query.sampler.tolerance=0.3",
            "masking.query.sampler.tolerance is 0.3; masking=mean has 0.6",
        ),
    ],
)
def test_nothing_else_departs_in_silence(chosen, said):
    found = departures_from_paper(compose_settings([*PAPERS, chosen]))
    assert any(text.startswith(said) for text in found), found
    assert len(found) <= 2


def test_a_part_of_a_mixture_is_held_against_its_recipe():
    settings = compose_settings([*PAPERS, "masking=highpass", "masking.view_filter.sigma=2"])
    masking = settings.values["masking"]
    masking["query"]["sampler"]["samplers"][1]["tolerance"] = 0.1
    (mixed, filtered) = sorted(departures_from_paper(settings))
    assert mixed.startswith("masking.query.sampler.samplers[1].tolerance is 0.1; masking=highpass")
    assert filtered.startswith("masking.view_filter.sigma is 2; masking=highpass has 5")
