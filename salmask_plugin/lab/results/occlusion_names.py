"""What metrics under occlusion are called in records, and by people."""

from __future__ import annotations

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
    classifier, *condition = name.removeprefix("top1_").replace(" ", "_").split("_")
    words = _CLASSIFIERS.get(classifier, classifier)
    if len(condition) != 2:
        return f"{words}, nothing hidden"
    place, fill = condition
    return f"{words}, hidden{_PLACES.get(place, f' ({place})')} by {_FILLS.get(fill, fill)}"
