"""What is looked at before a classification is evaluated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from salmask_plugin.adapters.lightly.evaluation.finetune import check_finetune
from salmask_plugin.adapters.lightly.evaluation.held_out import held_out_places
from salmask_plugin.adapters.lightly.evaluation.knn import check_knn
from salmask_plugin.adapters.lightly.evaluation.linear import check_linear
from salmask_plugin.adapters.lightly.evaluation.logistic_regression import check_weight_decays
from salmask_plugin.json_files import NULL, OBJECT, check_shape
from salmask_plugin.lab.probes.classification import LOCALIZER
from salmask_plugin.lab.probes.pictures import splits_of
from salmask_plugin.lab.settings.checks import judge_task
from salmask_plugin.lab.settings.evaluation_request import EvaluationRequest

NEEDED: dict[str, tuple[str, ...]] = {
    "knn": ("k",),
    "linear": ("batch_size", "augment"),
    "logistic": ("weight_decays", "held_out"),
    "occlusion": (
        *("shares", "fills", "places", "grid", "classifiers"),
        *("k", "temperature", "weight_decays", "held_out", "seed"),
    ),
    "finetune": ("batch_size",),
}
"""Settings that an older run's folder must hold; the others have the functions' defaults."""
LINEAR = (
    *("epochs", "learning_rate", "learning_rates", "batch_size", "milestones"),
    *("augment", "head_std"),
)
FINETUNE = ("epochs", "learning_rate", "batch_size")


def check(request: EvaluationRequest) -> None:
    """Hold the settings against what the task knows, then against the data set's lists.

    Raises:
        ValueError: for a setting that is missing, unknown, of another type or out of range, a split
            without images, a label without a class.
    """
    where, options = f"evaluation.{request.name}", request.options
    for key in NEEDED[request.kind]:
        if key not in options:
            raise ValueError(f"{where} has no {key}.")
    check_shape(options, {f"{LOCALIZER}?": OBJECT | NULL}, where)
    plain = {key: value for key, value in options.items() if key != LOCALIZER}
    for fault in judge_task(request.kind, plain, where):
        raise ValueError(fault.message)
    try:
        _check_ranges(request.kind, options)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    splits = splits_of(request)
    images = len(splits.train)
    if request.kind == "knn" or "knn" in options.get("classifiers", ()):
        check_knn(options["k"], options.get("temperature", 1.0), images=images)
    if request.kind == "finetune":
        check_finetune(batch_size=options["batch_size"], images=images)
    if len(options.get("weight_decays", ())) > 1 or options.get("learning_rates"):
        held_out_places(torch.tensor(splits.train.labels), options.get("held_out", 0.1))


def _check_ranges(kind: str, options: Mapping[str, Any]) -> None:
    """Check what needs no data, by the checks of the functions that will get the numbers."""
    if "weight_decays" in options:
        check_weight_decays(options["weight_decays"])
    if kind == "linear":
        check_linear(**{key: options[key] for key in LINEAR if key in options})
    if kind == "finetune":
        check_finetune(**{key: options[key] for key in FINETUNE if key in options})
