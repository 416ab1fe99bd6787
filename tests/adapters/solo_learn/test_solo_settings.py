"""The node ``salmask:``: strict keys, types and ranges, and the recipes we ship."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

import salmask_plugin
from salmask_plugin import (
    BlurFill,
    FocalMask,
    GridMask,
    MaskMixture,
    MeanFill,
    NoiseFill,
    UniformLocalizer,
)
from salmask_plugin.adapters.solo_learn.adios_settings import ADIOS_RECIPES
from salmask_plugin.adapters.solo_learn.parts_by_name import build_masking
from salmask_plugin.adapters.solo_learn.settings import RECIPES, MaskingSettings

CONFIGS = Path(salmask_plugin.__file__).parent / "configs"
GROUP = CONFIGS / "solo_learn" / "salmask"


def node(name="mean", **changes):
    return {**yaml.safe_load((GROUP / f"{name}.yaml").read_text()), **changes}


def build(name="mean", view_size=224, **changes):
    settings = MaskingSettings.from_node(node(name, **changes))
    return build_masking(settings, UniformLocalizer(), view_size)


def test_the_group_holds_the_recipes_and_nothing_else():
    assert {path.stem for path in GROUP.glob("*.yaml")} == {*RECIPES, *ADIOS_RECIPES}


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_gives_every_key_and_builds(name):
    keys = set(node(name))
    assert keys == {field.name for field in fields(MaskingSettings)}
    assert node(name)["recipe"] == name
    masking = build(name)
    assert masking.view_filter is None  # the backbone filters; twice would be wrong
    assert (masking.query is None) == (name == "none")
    without = ("none", "random", "mscn", "sparse", "label_free", "label_free_warmup")
    assert (masking.negative is None) == (name in without)
    assert MaskingSettings.from_node(OmegaConf.create(node(name))).plain() == node(name)


def test_the_papers_values():
    mean = build("mean")
    assert mean.query.sampler == GridMask(ratio=(0.05, 0.25), background=True)
    assert mean.negative.sampler == GridMask(ratio=(0.4, 0.7), background=False)
    assert mean.query.fill == MeanFill()
    assert build("blur").negative.fill == BlurFill(kernel_size=31, sigma=10.0)
    highpass = build("highpass")
    assert (highpass.query.fill, highpass.negative.fill) == (NoiseFill(std=0.18), NoiseFill(0.14))
    assert highpass.query.sampler == MaskMixture(
        samplers=[
            FocalMask(size=200 / 224),
            GridMask(),
            GridMask(per_channel=True),
        ],
        weights=[0.2, 0.24, 0.56],
    )
    negative = highpass.negative.sampler
    assert negative.samplers[0] == FocalMask(size=130 / 224, inside=True)
    assert negative.samplers[2] == GridMask(ratio=(0.4, 0.7), background=False, per_channel=True)
    assert build("mscn").branch == "both"


@pytest.mark.parametrize("name", ["query", "negative", "query_mixture", "negative_mixture"])
def test_samplers_are_those_of_the_main_configuration(name):
    main = yaml.safe_load((CONFIGS / "sampler" / f"{name}.yaml").read_text())
    recipe = "highpass" if name.endswith("mixture") else "mean"
    assert node(recipe)[name.removesuffix("_mixture")]["sampler"] == main


def test_blur_scales_with_the_crop_unless_told_not_to():
    assert build("blur", view_size=112).query.fill == BlurFill(kernel_size=15, sigma=5.0)
    assert build("blur", 112, scale_kernels=False).query.fill == BlurFill(31, 10.0)
    with pytest.raises(ValueError, match="too large for a crop of 15 px"):
        build("blur", 15, scale_kernels=False)


@pytest.mark.parametrize("wrong", ["mean", None, ["mean"], 3])
def test_a_node_that_is_no_mapping(wrong):
    with pytest.raises(ValueError, match=r"must be a mapping.*search path"):
        MaskingSettings.from_node(wrong)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"localiser": "uniform"}, ValueError, "Did you mean 'localizer'"),
        ({"localizer": "resnet"}, ValueError, "must be one of"),
        ({"branch": "keys"}, ValueError, "must be one of"),
        ({"view_filter": "none"}, ValueError, "must be one of"),
        ({"rho": "2"}, TypeError, "salmask.rho='2' must be float"),
        ({"rho": float("nan")}, ValueError, "must be finite"),
        ({"rho": True}, TypeError, "salmask.rho=True"),
        ({"num_negatives": 1.5}, TypeError, "must be int"),
        ({"recipe": "a/b"}, ValueError, "folder's name"),
        ({"grid": [7]}, ValueError, "whole numbers, both at least 1"),
        ({"grid": [0, 7]}, ValueError, "whole numbers, both at least 1"),
        ({"localizer_input_size": 16}, ValueError, "at least 32"),
        (
            {"localizer": "uniform", "localizer_weights": "x.pth"},
            ValueError,
            "belongs to localizer resnet50 or coco",
        ),
    ],
)
def test_wrong_values(changes, error, message):
    with pytest.raises(error, match=message):
        MaskingSettings.from_node(node(**changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"query": {"sampler": {"_target_": "os.system"}, "fill": {}}}, "must be one of"),
        ({"query": {"sampler": "GridMask", "fill": {}}}, "must be one of"),
        ({"query": {"fill": {}}}, "salmask.query.sampler is missing"),
        ({"query": {"sampler": {}, "fill": {}, "mask": 1}}, "salmask.query.mask is not"),
        ({"num_negatives": 0}, "num_negatives=0"),
        ({"probability": 1.5}, "probability=1.5"),
    ],
)
def test_wrong_components(changes, message):
    with pytest.raises(ValueError, match=message):
        build(**changes)


def test_a_wrong_argument_is_named_with_its_place():
    wrong = node()["query"]
    wrong["sampler"]["ratios"] = [0.1, 0.2]
    with pytest.raises(ValueError, match=r"salmask\.query\.sampler\.ratios.*'ratio'"):
        build(query=wrong)
    wrong = node()["query"]
    wrong["sampler"]["ratio"] = [0.5, 0.2]
    with pytest.raises(ValueError, match=r"salmask\.query\.sampler: ratio="):
        build(query=wrong)
    mixture = node("highpass")["query"]
    mixture["sampler"]["samplers"][1]["ratio"] = [0.1, 2]
    with pytest.raises(ValueError, match=r"sampler\.samplers\[1\]: ratio="):
        build(query=mixture)


def test_a_missing_recipe_name():
    with pytest.raises(ValueError, match=r"salmask\.recipe is missing"):
        MaskingSettings.from_node({"localizer": "uniform"})
