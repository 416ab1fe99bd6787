"""No silent baseline: what is refused before a model is built, and what is filled in."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

import salmask_plugin
from salmask_plugin.adapters.solo_learn.config_check import check_evaluation, check_pretraining

GROUP = Path(salmask_plugin.__file__).parent / "configs" / "solo_learn" / "salmask"
METHODS = ("mocov2plus", "salmask_mocov2plus", "salmask_byol", "salmask_simclr")


def config(method="salmask_mocov2plus", recipe="mean", backbone="resnet18", crop=112, **changes):
    node = None if recipe is None else yaml.safe_load((GROUP / f"{recipe}.yaml").read_text())
    if node is not None:
        node.update(changes)
    return OmegaConf.create(
        {
            "name": "run",
            "method": method,
            "backbone": {"name": backbone},
            "seed": 7,
            "data": {"num_large_crops": 2},
            "augmentations": [{"crop_size": crop, "num_crops": 2}],
            "checkpoint": {"dir": "trained_models"},
            **({} if node is None else {"salmask": node}),
        }
    )


def check(cfg):
    check_pretraining(cfg, METHODS)
    return cfg


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        (config("mocov2plus"), "would be the baseline. Use method=salmask_mocov2plus"),
        (config(recipe=None), "needs a salmask node"),
        (config(recipe="highpass"), "backbone.name=resnet18_highpass"),
        (config(recipe="mscn"), "backbone.name=resnet18_highpass"),
        (config(backbone="resnet18_highpass"), "filters its input, but salmask.recipe=mean"),
        (config(recipe="none", backbone="resnet18_highpass"), "filters its input"),
        (config("salmask_byol"), "add salmask.negative=null"),
        (config("salmask_simclr", localizer="momentum"), "needs a momentum encoder"),
        (config(recipe="none", positive_in_denominator=False), "would change nothing"),
        (
            config("salmask_byol", recipe="random", positive_in_denominator=False),
            "method=salmask_byol with salmask.recipe=random computes solo-learn's own loss",
        ),
        (config(localiser="uniform"), "Did you mean 'localizer'"),
    ],
)
def test_refused_before_training(cfg, message):
    with pytest.raises(ValueError, match=message):
        check(cfg)


@pytest.mark.parametrize(
    ("method", "recipe"), [("salmask_mocov2", "none"), ("salmask_simclr", "random")]
)
def test_eq2_as_printed_where_the_loss_is_ours(method, recipe):
    cfg = check(config(method, recipe, positive_in_denominator=False))
    assert cfg.salmask.positive_in_denominator is False


def test_a_node_that_became_a_string():
    cfg = config()
    cfg.salmask = "mean"
    with pytest.raises(ValueError, match="must be a mapping"):
        check(cfg)


def test_more_than_two_large_crops():
    cfg = config()
    cfg.data.num_large_crops = 4
    with pytest.raises(ValueError, match="two large crops"):
        check(cfg)


def test_recipe_and_seed_enter_name_and_folder_once():
    cfg = check(check(config()))
    assert cfg.name == "run-mean-s7"
    assert cfg.checkpoint.dir == "trained_models/mean-s7"
    assert cfg.salmask.probability == 1.0


def test_defaults_of_the_node_are_filled_in():
    cfg = config(recipe=None)
    cfg.salmask = {"recipe": "mine"}
    assert check(cfg).salmask.rho == 2.0


def test_the_filters_kernel_follows_the_crop():
    assert check(config(recipe="highpass", backbone="resnet18_highpass")).backbone.kwargs == {
        "highpass_kernel_size": 5,
        "highpass_sigma": 2.5,
    }
    cfg = check(config(recipe="highpass", backbone="resnet18_highpass", scale_kernels=False))
    assert cfg.backbone.kwargs.highpass_kernel_size == 11
    baseline = check(config("mocov2plus", recipe=None, backbone="resnet18_highpass", crop=224))
    assert baseline.backbone.kwargs == {"highpass_kernel_size": 11, "highpass_sigma": 5.0}
    given = config(recipe="highpass", backbone="resnet18_highpass")
    given.backbone.kwargs = {"highpass_sigma": 2.0}
    with pytest.raises(ValueError, match="given alone"):
        check(given)


def test_baselines_are_left_as_they_are():
    cfg = config("mocov2plus", recipe=None)
    before = OmegaConf.to_container(cfg)
    assert OmegaConf.to_container(check(cfg)) == before


def test_no_masking_in_an_evaluation():
    check_evaluation(OmegaConf.create({"backbone": {"name": "resnet18"}}))
    with pytest.raises(ValueError, match="belongs to pretraining"):
        check_evaluation(config())
