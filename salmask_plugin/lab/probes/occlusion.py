"""Accuracy under occlusion as a task."""

from __future__ import annotations

from functools import partial
from typing import Any

from salmask_plugin.adapters.lightly.evaluation import occlusion_evaluation
from salmask_plugin.adapters.lightly.evaluation.hidden_cells import ForegroundOf
from salmask_plugin.adapters.lightly.evaluation.occlusion_conditions import check_conditions
from salmask_plugin.encoders import PretrainedBackbone
from salmask_plugin.lab.data import evaluation_transform
from salmask_plugin.lab.data.mask_checks import check_mask_files
from salmask_plugin.lab.data.masked_pictures import masked_loader
from salmask_plugin.lab.probes import classification_check
from salmask_plugin.lab.probes.classification import LOCALIZER, protocol_of
from salmask_plugin.lab.probes.features import features_of, probe_of
from salmask_plugin.lab.probes.guesses import write_guesses
from salmask_plugin.lab.probes.pictures import SHARE, splits_of, whole_pictures
from salmask_plugin.lab.results import Evaluation
from salmask_plugin.lab.runs.node import build
from salmask_plugin.lab.settings.evaluation_request import EvaluationRequest
from salmask_plugin.lab.settings.nodes import built_by
from salmask_plugin.lab.settings.paper_values import HIDDEN
from salmask_plugin.localizers.needs import Needs, needs_of
from salmask_plugin.masks import foreground

GIVEN = "GivenLocalizer"


def check(request: EvaluationRequest) -> None:
    """Hold settings and data against what the task needs.

    Raises:
        ValueError: for a setting that is unknown or cannot work.
    """
    classification_check.check(request)
    options = request.options
    grid, most = options["grid"], request.settings.view_size
    if len(grid) != 2 or not all(type(n) is int and 0 < n <= most for n in grid):
        raise ValueError(
            f"grid={grid!r:.80} must be two numbers of cells, from 1 to the views' {most} pixels."
        )
    check_conditions(
        options["shares"],
        options["fills"],
        options["places"],
        options["classifiers"],
        located=options.get(LOCALIZER) is not None,
    )
    node = options.get(LOCALIZER)
    if built_by(node) == GIVEN:
        if not (splits := splits_of(request)).has_masks:
            raise ValueError(f"localizer=given needs object masks; {splits.name} has none.")
        check_mask_files(splits.val)
    elif node is not None and (needs := _needs_of(node)) != "views":
        raise ValueError(
            f"evaluation.{request.name}.localizer needs {needs}, and here are views alone: take "
            "one that looks at views, or localizer=given for object masks of the data."
        )


def _needs_of(node: dict[str, Any]) -> Needs:
    return "an encoder in training" if node.get("_partial_") else needs_of(build(node))


def occlusion(request: EvaluationRequest, backbone: PretrainedBackbone) -> Evaluation:
    """Fit classifiers on whole pictures and read them on partly hidden ones.

    The metrics are those of the middle share; the curves run over all shares, from none on. The
    picture waits for the result to be written.
    """
    splits = splits_of(request)
    train = features_of(request, backbone, "train")
    options = {
        key: value for key, value in request.options.items() if key not in (SHARE, LOCALIZER)
    }
    node = request.options.get(LOCALIZER)
    foreground_of = _foreground_of(node)
    if foreground_of == "masks":
        val: Any = masked_loader(
            splits.val,
            evaluation_transform(request.settings.view_size, splits.channels),
            workers=request.settings.workers,
        )
    else:
        _, val = whole_pictures(request, splits)
    result = occlusion_evaluation(
        backbone.filtered(),
        train,
        val,
        num_classes=len(splits.classes),
        black=splits.channels.black,
        foreground_of=foreground_of,
        probe=probe_of(request, backbone),
        **{**options, "grid": tuple(options["grid"])},
    )
    if request.folder is not None:
        draw = partial(write_guesses, request, backbone, val, splits, result, foreground_of)
        request.pictures.add(request.folder / HIDDEN, draw)
    shares = sorted(options["shares"])
    middle = shares[len(shares) // 2]
    metrics, curves = {}, {}
    for classifier, clean in result.clean.items():
        metrics[f"top1_{classifier}"] = clean
        hidden = result.hidden[classifier]
        for place in options["places"]:
            for fill in options["fills"]:
                accuracies = [hidden[place, fill, share] for share in shares]
                curves[f"{classifier} {place} {fill}"] = (clean, *accuracies)
                metrics[f"top1_{classifier}_{place}_{fill}"] = hidden[place, fill, middle]
    protocol = protocol_of(request, splits, result.protocol)
    protocol["metrics_at"] = middle
    protocol["shares"] = ", ".join(f"{share:g}" for share in shares)
    for (place, share), hidden_share in result.hidden_share.items():
        protocol[f"hidden {place} {share:g}"] = round(hidden_share, 3)
    return Evaluation(metrics, protocol, curves)


def _foreground_of(node: dict[str, Any] | None) -> ForegroundOf:
    if node is None:
        return None
    if built_by(node) == GIVEN:
        return "masks"
    localizer = build(node)
    return lambda images: foreground(localizer(images))
