"""The paper's settings, and what a configuration departs from them in."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from functools import cache
from typing import Any, cast

from omegaconf import OmegaConf

from salmask_plugin.lab.settings.choice_names import (
    backbone_name,
    crops_in_words,
    localizer_name,
    placed_by_chance,
)
from salmask_plugin.lab.settings.compose import CONFIGS
from salmask_plugin.lab.settings.input_path import made_on_the_device
from salmask_plugin.lab.settings.nodes import built_by, target_of
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
}
"""The paper's MoCo v2 settings by key; keys that a configuration lacks are not compared.

Those of ``method`` and ``views`` are in the method's own file.
"""
BATCH_OF_256 = {"loader.batch_size": 256}
SUPERVISED = {**BATCH_OF_256, "trainer.max_epochs": 100}
PAPER_LOCALIZER = "resnet50"


def departures_from_paper(settings: Settings) -> list[str]:
    """Return one sentence per setting that differs from the paper's."""
    own = {"simclr": BATCH_OF_256, "supervised": SUPERVISED}
    paper = PAPER | own.get(settings.choices["method"].split("_")[0], {})
    paper |= dict(_of_the_method(settings))
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


def _of_the_method(settings: Settings) -> Iterator[tuple[str, Any]]:
    """Yield the keys of the method and its views, and what they are by default."""
    leaf = _paper_file(settings.choices["method"])
    for part in ("method", "views"):
        for key, value in leaf[part].items():
            if not (isinstance(value, str) and "${" in value):
                yield f"{part}.{key}", value
    views = settings.values.get("views") or {}
    if views.get("_target_") == leaf["views"]["_target_"]:
        parameters = inspect.signature(target_of(views)).parameters
        for key in sorted(views.keys() - leaf["views"].keys() & parameters.keys()):
            yield f"views.{key}", parameters[key].default


@cache
def _paper_file(method: str) -> dict[str, Any]:
    """The file of a method as the paper has it, MoCo v2's for a user's own method."""
    files = {path.stem: path for path in (CONFIGS / "method").glob("*.yaml")}
    name = method.removesuffix("_quick").removesuffix("_tuned")
    found = OmegaConf.load(files.get(name, files["mocov2"]))  # a name of a foreign run is no path
    return cast(dict[str, Any], OmegaConf.to_container(found, resolve=False))


def _written(value: Any) -> str:
    """A value as a person reads it; what is built as a call of its class."""
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:.6g}"
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
