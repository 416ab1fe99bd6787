"""The paper's settings, and what a configuration departs from them in."""

from __future__ import annotations

import inspect
from collections.abc import Container, Iterator
from functools import cache
from typing import Any, cast

from omegaconf import OmegaConf

from salmask_plugin.lab.settings.choice_names import (
    backbone_name,
    crops_in_words,
    localizer_name,
    placed_by_chance,
)
from salmask_plugin.lab.settings.compose import CONFIGS, compose_settings
from salmask_plugin.lab.settings.input_path import made_on_the_device
from salmask_plugin.lab.settings.nodes import built_by, target_of
from salmask_plugin.lab.settings.processes import asked_processes
from salmask_plugin.lab.settings.settings import Settings

PAPER: dict[str, Any] = {
    "view_size": 224,
    "trainer.max_epochs": 200,
    "data.limit_train": None,
    "masking.localizer.input_size": 224,
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
SUPERVISED = {"trainer.max_epochs": 100}
IMAGES_PER_STEP = {"simclr": 256, "supervised": 256}
"""By method, where it is not MoCo v2's 128."""
TRAINER = {
    "precision": ("32-true", "32"),
    "sync_batchnorm": ("False",),
    "accumulate_grad_batches": ("1", "None"),
    "gradient_clip_val": ("None", "0", "0.0"),
    "max_steps": ("-1",),
    "max_time": ("None",),
    "limit_train_batches": ("1.0", "None"),
    "overfit_batches": ("0.0", "0", "None"),
}
"""What a trainer can be told that acts on a result: as the paper trains, in all its spellings."""
PAPER_LOCALIZER = "resnet50"
PAPER_BACKBONE = {"backbone.name": "resnet50", "backbone.stem": "standard"}
PAPER_RECIPES = ("none", "mean", "blur", "highpass", "random", "mscn")
"""The last two are what it compares with."""


def departures_from_paper(settings: Settings) -> list[str]:
    """Return one sentence per setting that differs from the paper's."""
    family = settings.choices["method"].split("_")[0]
    paper = PAPER | (SUPERVISED if family == "supervised" else {})
    paper |= PAPER_BACKBONE if settings.choices["backbone"] == "resnet50" else {}
    paper |= dict(_of_the_method(settings))
    found = list(_of_a_step(settings, IMAGES_PER_STEP.get(family, 128)))
    for key, expected in paper.items():
        value = _lookup(settings.values, key)
        if value is not _ABSENT and value != expected:
            found.append(f"{key} is {_written(value)}; the paper's is {_written(expected)}")
    found += [*_of_the_trainer(settings), *_of_the_recipe(settings, said=paper)]
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


def _of_a_step(settings: Settings, expected: int) -> Iterator[str]:
    """Say how many images share a step of the optimizer, unless it is as in the paper."""
    batch = settings.loader.batch_size
    processes = asked_processes(settings.trainer) or 1
    batches = settings.trainer.get("accumulate_grad_batches") or 1
    images = batch * processes * batches
    if images == expected:
        return
    if images == batch:
        yield f"loader.batch_size is {batch}; the paper's is {expected}"
    else:
        yield (
            f"a step has {images} images (loader.batch_size={batch}, {processes} processes, "
            f"{batches} batches each); the paper's has {expected}"
        )


def _of_the_trainer(settings: Settings) -> Iterator[str]:
    for key, papers in TRAINER.items():
        if key == "sync_batchnorm" and "momentum" not in settings.method:
            continue  # the paper says it of MoCo alone
        value = settings.trainer.get(key, papers[0])
        if str(value) not in papers:
            yield f"trainer.{key} is {_written(value)}; the paper's is {papers[0].lower()}"


def _of_the_recipe(settings: Settings, said: Container[str]) -> Iterator[str]:
    """Say what the masking is not as its recipe's file has it, and whose recipe that is."""
    name = settings.choices["masking"]
    if name not in PAPER_RECIPES:
        yield f"masking is {name}; the paper's are mean, blur and highpass"
    own = _recipe(name, settings.view_size)
    if own is None:
        return
    for key, value, expected in _unlike(settings.masking, own, "masking"):
        if key not in said:
            yield f"{key} is {_written(value)}; masking={name} has {_written(expected)}"


@cache
def _recipe(name: str, view_size: int) -> dict[str, Any] | None:
    """The masking of a recipe's own file, None for a user's own."""
    if name not in {path.stem for path in (CONFIGS / "masking").glob("*.yaml")}:
        return None
    given = [f"masking={name}", f"view_size={view_size}", "localizer=uniform"]
    return compose_settings(given).masking


def _unlike(value: Any, own: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield where a masking is not as its recipe; of the localizer its choice tells."""
    if value == own or path == "masking.localizer":
        return
    both = value, own
    if all(isinstance(part, dict) for part in both) and built_by(value) == built_by(own):
        for key in {**value, **own}:
            yield from _unlike(value.get(key), own.get(key), f"{path}.{key}")
    elif all(isinstance(part, list) for part in both) and len(value) == len(own):
        for place, pair in enumerate(zip(*both, strict=True)):
            yield from _unlike(*pair, f"{path}[{place}]")
    else:
        yield path, value, own


def _of_the_method(settings: Settings) -> Iterator[tuple[str, Any]]:
    """Yield the keys of the method and its views, and what they are by default."""
    leaf = _paper_file(settings.choices["method"])
    for part in ("method", "views"):
        for key, value in leaf[part].items():
            if not (isinstance(value, str) and "${" in value):
                yield f"{part}.{key}", value
    if "warm_up" in settings.method:  # of its own group, or of a recipe
        yield "method.warm_up", None
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
    if isinstance(value, list):
        return f"[{', '.join(map(_written, value))}]"
    if isinstance(value, dict) and "_target_" in value:
        parts = (f"{key}={_written(part)}" for key, part in value.items() if key[0] != "_")
        return f"{built_by(value)}({', '.join(parts)})"
    return str(value)


_ABSENT = object()


def _lookup(values: Any, key: str) -> Any:
    for part in key.split("."):
        if not isinstance(values, dict) or part not in values:
            return _ABSENT
        values = values[part]
    return values
