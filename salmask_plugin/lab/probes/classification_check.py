"""What is looked at before a classification is evaluated."""

from __future__ import annotations

import torch

from salmask_plugin.adapters.lightly.evaluation.held_out import held_out_places
from salmask_plugin.adapters.lightly.evaluation.logistic_regression import check_weight_decays
from salmask_plugin.json_files import (
    BOOL,
    COUNT,
    LIST,
    NULL,
    NUMBER,
    OBJECT,
    SEED,
    TEXTS,
    Shape,
    check_shape,
)
from salmask_plugin.lab.probes.classification import LOCALIZER
from salmask_plugin.lab.probes.pictures import SHARE, splits_of
from salmask_plugin.lab.settings.evaluation_request import EvaluationRequest
from salmask_plugin.lab.settings.known import KINDS

OPTIONS: dict[str, Shape] = {
    "knn": {"k": COUNT, "temperature?": NUMBER, f"{SHARE}?": NUMBER},
    "linear": {
        "batch_size": COUNT,
        "augment": BOOL,
        "epochs?": COUNT,
        "learning_rate?": NUMBER,
        "learning_rates?": LIST,
        "milestones?": LIST,
        f"{SHARE}?": NUMBER,
    },
    "logistic": {"weight_decays": LIST, "held_out": NUMBER, f"{SHARE}?": NUMBER},
    "occlusion": {
        "shares": LIST,
        "fills": TEXTS,
        "places": TEXTS,
        "grid": LIST,
        "classifiers": TEXTS,
        "k": COUNT,
        "temperature": NUMBER,
        "weight_decays": LIST,
        "held_out": NUMBER,
        "seed": SEED,
        f"{LOCALIZER}?": OBJECT | NULL,
        f"{SHARE}?": NUMBER,
    },
    "finetune": {
        "batch_size": COUNT,
        "epochs?": COUNT,
        "learning_rate?": NUMBER,
        f"{SHARE}?": NUMBER,
    },
}
"""What is looked at before an evaluation starts; it checks the values itself."""


def check(request: EvaluationRequest) -> None:
    """Read the data set's lists and hold the settings against them.

    Raises:
        ValueError: for a setting that the evaluation does not know or that cannot work, a split
            without images, a label without a class.
    """
    known = sorted(set(KINDS[request.kind].__annotations__) - {"task"})
    unknown = sorted(set(request.options) - set(known))
    if unknown:
        raise ValueError(f"{unknown[0]!r} is no setting of {request.kind}: {', '.join(known)}.")
    check_shape(request.options, OPTIONS[request.kind], f"evaluation.{request.name}")
    splits = splits_of(request)
    images = len(splits.train)
    if request.kind == "knn" and not 1 <= request.options["k"] <= images:
        raise ValueError(
            f"k={request.options['k']} must be in [1, {images}], the number of training images."
        )
    if request.kind == "finetune" and images % request.options["batch_size"] == 1:
        raise ValueError(
            f"batch_size={request.options['batch_size']} leaves a last batch of one of the "
            f"{images} images, which BatchNorm cannot normalise; choose another."
        )
    if "weight_decays" in request.options:
        check_weight_decays(request.options["weight_decays"])
        if len(request.options["weight_decays"]) > 1:
            held_out_places(torch.tensor(splits.train.labels), request.options["held_out"])
    if request.options.get("learning_rates") and request.options["augment"]:
        raise ValueError("learning_rates needs augment=false.")
