"""The method files of ADIOS: the constructors, key for key, with their defaults."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from omegaconf import OmegaConf

import salmask_plugin
from salmask_plugin.adapters.lightly.adios_moco import ADIOSMoCoV2
from salmask_plugin.adapters.lightly.adios_simclr import ADIOSSimCLR

METHODS = Path(salmask_plugin.__file__).parent / "configs" / "method"
GIVEN = {"self", "backbone", "feature_dim", "masking", "seed", "num_classes"}


@pytest.mark.parametrize(
    ("name", "target", "masks_per_step"),
    [
        ("adios_simclr", ADIOSSimCLR, "all"),
        ("adios_s_simclr", ADIOSSimCLR, "one"),
        ("adios_mocov2", ADIOSMoCoV2, "all"),
        ("adios_s_mocov2", ADIOSMoCoV2, "one"),
    ],
)
def test_method_files_are_the_constructors(name: str, target: type, masks_per_step: str) -> None:
    node = OmegaConf.load(METHODS / f"{name}.yaml")["method"]
    values = OmegaConf.to_container(node, resolve=False)
    assert isinstance(values, dict)
    assert values.pop("_target_").rsplit(".", 1)[1] == target.__name__
    assert values.pop("image_size") == "${view_size}"
    assert values.pop("in_channels") == "${oc.select:backbone.in_channels,3}"
    signature = inspect.signature(target).parameters
    expected = {
        key: parameter.default
        for key, parameter in signature.items()
        if key not in GIVEN | {"image_size", "in_channels"}
    }
    assert values == expected | {"masks_per_step": masks_per_step}
