"""The paper's settings, and what a configuration departs from them in."""

from __future__ import annotations

from typing import Any

from salmask_plugin.lab.settings.choice_names import (
    backbone_name,
    crops_in_words,
    localizer_name,
    placed_by_chance,
)
from salmask_plugin.lab.settings.input_path import made_on_the_device
from salmask_plugin.lab.settings.nodes import built_by
from salmask_plugin.lab.settings.settings import Settings

PAPER: dict[str, Any] = {
    "view_size": 224,
    "loader.batch_size": 128,
    "trainer.max_epochs": 200,
    "masking.query.sampler.ratio": [0.05, 0.25],
    "masking.negative.sampler.ratio": [0.4, 0.7],
    "masking.num_negatives": 1,
    "masking.negative_source": "key",
    "masking.branch": "query",
    "masking.probability": 1.0,
    "method.rho": 2.0,
    "method.temperature": 0.2,
    "method.hard_negative_bias": 0.0,
    "method.queue_size": 65536,
    "method.momentum": 0.999,
    "method.learning_rate": 0.015,
    "method.weight_decay": 1e-4,
    "method.warm_up": None,
    "method.negative_encoding": None,
}
"""The paper's MoCo v2 settings by key; keys that a configuration lacks are not compared."""
SIMCLR = {"loader.batch_size": 256, "method.learning_rate": 0.3}
SUPERVISED = {
    "loader.batch_size": 256,
    "method.learning_rate": 0.1,
    "method.decay_every": 30,
    "trainer.max_epochs": 100,
}
PAPER_LOCALIZER = "resnet50"


def departures_from_paper(settings: Settings) -> list[str]:
    """Return one sentence per setting that differs from the paper's."""
    own = {"simclr": SIMCLR, "supervised": SUPERVISED}
    paper = PAPER | own.get(settings.choices["method"].split("_")[0], {})
    found = []
    for key, expected in paper.items():
        value = _lookup(settings.values, key)
        if value is not _ABSENT and value != expected:
            found.append(f"{key} is {_written(value)}; the paper's is {_written(expected)}")
    localizer = localizer_name(settings)
    if localizer not in ("none", PAPER_LOCALIZER) and not placed_by_chance(settings):
        found.append(
            f"localizer is {localizer}; the paper's is torchvision's ResNet-50 (IMAGENET1K_V2)"
        )
    if settings.choices["backbone"] != "resnet50":
        found.append(f"backbone is {backbone_name(settings)}; the paper's is resnet50")
    if settings.crops:
        found.append(f"crops are chosen: {crops_in_words(settings)}; the paper's fall anywhere")
    if settings.loader.input == "device":
        found.append(f"{made_on_the_device(settings)}; the paper's come from the loader's workers")
    if settings.choices["data"] != "imagenet100":
        found.append(f"data is {settings.choices['data']}; the paper's is ImageNet-100")
    return found


def _written(value: Any) -> str:
    """A value as a person reads it; what is built as a call of its class."""
    if value is None:
        return "none"
    if isinstance(value, dict) and "_target_" in value:
        parts = ", ".join(f"{key}={part}" for key, part in value.items() if key[0] != "_")
        return f"{built_by(value)}({parts})"
    return str(value)


_ABSENT = object()


def _lookup(values: Any, key: str) -> Any:
    for part in key.split("."):
        if not isinstance(values, dict) or part not in values:
            return _ABSENT
        values = values[part]
    return values
