"""The node ``salmask:`` of the ADIOS methods: strict keys, and what is refused before training."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
import torch
import yaml
from omegaconf import OmegaConf

import salmask_plugin
from salmask_plugin.adapters.solo_learn.adios_settings import (
    ADIOS_RECIPES,
    RELEASED,
    OcclusionSettings,
)
from salmask_plugin.adapters.solo_learn.config_check import check_pretraining

CONFIGS = Path(salmask_plugin.__file__).parent / "configs"
GROUP = CONFIGS / "solo_learn" / "salmask"
SIMCLR, MOCO = "salmask_adios_simclr", "salmask_adios_mocov2plus"


def node(name="adios_s", **changes):
    return {**yaml.safe_load((GROUP / f"{name}.yaml").read_text()), **changes}


def config(method=SIMCLR, name="adios_s", crop=224, trainer=None, backbone="resnet18", **changes):
    return OmegaConf.create(
        {
            "name": "run",
            "method": method,
            "backbone": {"name": backbone},
            "seed": 7,
            "data": {"num_large_crops": 2, "num_small_crops": 0},
            "augmentations": [{"crop_size": crop, "num_crops": 2}],
            "checkpoint": {"dir": "trained_models"},
            **({} if name is None else {"salmask": node(name, **changes)}),
            **(trainer or {}),
        }
    )


def check(cfg):
    check_pretraining(cfg, (SIMCLR, MOCO, "salmask_simclr"))
    return cfg


@pytest.mark.parametrize("name", ADIOS_RECIPES)
def test_every_recipe_gives_every_key(name):
    assert set(node(name)) == {field.name for field in fields(OcclusionSettings)}
    assert node(name)["recipe"] == name
    left_open = {key for key, value in node(name).items() if value is None}
    for released in RELEASED.values():
        assert set(released) == left_open
    defaults = {
        field.name: field.default
        for field in fields(OcclusionSettings)
        if field.name not in left_open
    }
    del defaults["recipe"]
    stated = {key: value for key, value in node(name).items() if key in defaults}
    if name == "adios":
        assert stated.pop("masks_per_step") == "all"
        del defaults["masks_per_step"]
    assert stated == defaults


@pytest.mark.parametrize(("method", "leaf"), [(SIMCLR, "adios_s_simclr"), (MOCO, "adios_s_mocov2")])
def test_the_occluders_setting_is_that_of_lightlys_host(method, leaf):
    lightly = yaml.safe_load((CONFIGS / "method" / f"{leaf}.yaml").read_text())["method"]
    lightly |= {
        "mask_weight_decay": lightly.get("mask_weight_decay", lightly["weight_decay"]),
        "mask_warmup_epochs": lightly["warmup_epochs"],
        "mask_warmup_start": lightly["warmup_start"],
    }
    own = OcclusionSettings.from_node(node(), method).plain()
    del own["recipe"]
    assert own == {key: lightly[key] for key in own}


def test_the_configuration_says_what_null_became():
    cfg = check(check(config(MOCO, "adios")))
    assert cfg.salmask.num_masks == 6
    assert cfg.salmask.mask_learning_rate == 0.12952
    assert cfg.name == "run-adios-s7"
    assert cfg.checkpoint.dir == "trained_models/adios-s7"
    assert check(config(SIMCLR, num_masks=5)).salmask.num_masks == 5


def test_checking_draws_nothing():
    state = torch.get_rng_state()
    check(config())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        (config(name=None), "`.salmask=<recipe>` with one of adios, adios_s"),
        (config(name="mean"), "places them by saliency: use salmask=adios or salmask=adios_s"),
        (config("salmask_simclr"), f"learns its masks, .* use method={SIMCLR}"),
        (config(num_mask=4), "Did you mean 'num_masks'"),
        (config(masks_per_step="all"), "recipe=adios_s has masks_per_step=all, which is adios"),
        (config(recipe="mine", masks_per_step="two"), "masks_per_step='two' must be one of"),
        (config(norm="batch"), "norm='batch' must be one of"),
        (config(mask_optimizer="adam"), "mask_optimizer='adam' must be one of"),
        (config(sparsity=-1.0), "sparsity=-1.0 must be at least 0 and finite"),
        (config(entropy=float("inf")), "entropy=inf must be finite"),
        (config(mask_learning_rate=0.0), "mask_learning_rate=0.0 must be above 0 and finite"),
        (config(mask_warmup_start=0.9), "mask_warmup_start=0.9 must be at most"),
        (config(num_masks=1), "num_masks=1 must be at least 2"),
        (config(width=12), "width=12 must with norm='group' be a multiple of 8"),
        (config(crop=100), "crop_size: image_size=.* must be divisible by"),
        (config(backbone="resnet18_highpass"), "Use backbone.name=resnet18[.]"),
        (config(trainer={"accumulate_grad_batches": 2}), "Remove accumulate_grad_batches"),
        (config(trainer={"gradient_clip_val": 0.5}), "Remove gradient_clip_val"),
        (config(trainer={"max_steps": 100}), "Use max_epochs"),
        (config(trainer={"data": {"num_large_crops": 3}}), "two large crops"),
        (
            config(trainer={"data": {"num_large_crops": 2, "num_small_crops": 6}}),
            "two large crops alone",
        ),
    ],
)
def test_refused_before_training(cfg, message):
    with pytest.raises(ValueError, match=message):
        check(cfg)


@pytest.mark.parametrize("change", [{"num_masks": 4.0}, {"sparsity": "high"}, {"width": True}])
def test_wrong_types(change):
    with pytest.raises(TypeError, match=f"salmask.{next(iter(change))}="):
        check(config(**change))
