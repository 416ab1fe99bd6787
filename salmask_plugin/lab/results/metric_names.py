"""What evaluations and metrics are called in records, and by people."""

from __future__ import annotations

from salmask_plugin.lab.results.acting_settings import Items
from salmask_plugin.lab.results.record import is_share

OCCLUSION = "occlusion"
"""Name of the evaluation in records."""
_CLASSIFIERS = {"linear": "linear", "knn": "kNN"}
_PLACES = {"anywhere": "", "object": " on the object", "background": " on the background"}
_FILLS = {
    "mean": "mean colour",
    "black": "black",
    "noise": "noise",
    "picture": "another picture",
}


def is_occlusion(evaluation: str) -> bool:
    """Whether a result is one of occlusion, on any data set."""
    return evaluation.rpartition("/")[2] == OCCLUSION


def occlusion_title(name: str) -> str:
    """Return a metric's or curve's name in words: "linear, hidden by another picture".

    Args:
        name: "top1_linear_anywhere_picture", or "linear anywhere picture".
    """
    words = _CLASSIFIERS.get(classifier := classifier_of(name), classifier)
    return f"{words}, {hidden_by(name) or 'nothing hidden'}"


def classifier_of(name: str) -> str:
    """Return the classifier of an occlusion's metric or curve: "linear"."""
    return _parts(name)[0]


def hidden_by(name: str) -> str:
    """Return what an occlusion's metric or curve hides in words, "" where it hides nothing.

    Such as "hidden by another picture".
    """
    _, *condition = _parts(name)
    if len(condition) != 2:
        return ""
    place, fill = condition
    return f"hidden{_PLACES.get(place, f' ({place})')} by {_FILLS.get(fill, fill)}"


def _parts(name: str) -> list[str]:
    return name.removeprefix("top1_").replace(" ", "_").split("_")


_EVALUATIONS = {
    "knn": "kNN",
    "linear": "Linear",
    "logistic": "Logistic",
    "linear_1percent": "Linear, 1 % labels,",
    "linear_10percent": "Linear, 10 % labels,",
    "finetune": "Fine-tuned",
    "finetune_1percent": "Fine-tuned, 1 % labels,",
    "finetune_10percent": "Fine-tuned, 10 % labels,",
    "supervised": "Supervised",
}
_METRICS = {
    "top1": "top-1",
    "top5": "top-5",
    "top1_last": "top-1 last epoch",
    "top1_best": "top-1 best epoch",
    "mean_per_class": "mean per class",
    "abs_rel": "Abs Rel",
    "sq_rel": "Sq Rel",
    "rmse": "RMSE",
    "rmse_log": "RMSE log",
    "delta1": "delta < 1.25",
    "delta2": "delta < 1.25^2",
    "delta3": "delta < 1.25^3",
}


def metric_title(evaluation: str, metric: str, shown: Items = ()) -> str:
    """Name a metric for people, with its unit and the settings that tell it apart."""
    data, _, task = evaluation.rpartition("/")
    name = (f"{data}: " if data else "") + _EVALUATIONS.get(task, task)
    if is_occlusion(evaluation):
        name = name.removesuffix(task) + "Occlusion:"
        return f"{name} {occlusion_title(metric)}{brackets(metric, shown)}"
    return f"{name} {_METRICS.get(metric, metric)}{brackets(metric, shown)}"


def brackets(metric: str, settings: Items) -> str:
    """Return the unit and the settings that follow a metric's name."""
    parts = ["%"] if is_share(metric) else []
    parts += [f"{key}={value}" for key, value in settings]
    return f" ({', '.join(parts)})" if parts else ""
