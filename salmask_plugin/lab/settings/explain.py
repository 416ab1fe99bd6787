"""``salmask explain``: the resolved recipe in plain words, and every departure from the paper."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from salmask_plugin.lab.settings.allowed_targets import Trust
from salmask_plugin.lab.settings.choice_names import (
    ANYWHERE,
    backbone_name,
    crops_in_words,
    localizer_name,
)
from salmask_plugin.lab.settings.compose import compose_settings
from salmask_plugin.lab.settings.departures import departures_from_paper
from salmask_plugin.lab.settings.groups import Compare
from salmask_plugin.lab.settings.nodes import built_by
from salmask_plugin.lab.settings.paper_values import written
from salmask_plugin.lab.settings.settings import Settings
from salmask_plugin.lab.settings.unused import OF_NEGATIVES
from salmask_plugin.negatives import NegativeEncoding

LOSS = {
    "temperature": "temperature",
    "rho": "rho",
    "hard_negative_bias": "hard_negative_bias",
    "queue_size": "queue_size",
    "momentum": "momentum of the key encoder",
}
BRANCHES = {"query": "the query loses", "key": "the key loses", "both": "both views lose"}
FILLS = {
    "MeanFill": "the view's mean colour",
    "BlurFill": "the view's blurred content",
    "NoiseFill": "Gaussian noise",
    "OtherImageFill": "the same place of another image of the batch",
    "UnseenFill": "nothing, the encoder does not see it",
    "TileFill": "small tiles of the view at random places",
}


def explain_settings(
    overrides: Sequence[str] = (),
    *,
    everything: bool = False,
    config_dir: str | None = None,
    trust: Trust = False,
) -> list[str]:
    """Return the explanation of composed settings, the departures, and what its study says.

    Args:
        overrides: settings, ``key=value``.
        everything: whether all resolved settings follow, as JSON.
        config_dir: a folder whose configuration groups come before ours.
        trust: what may be built besides what our configurations name.
    """
    settings = compose_settings(overrides, config_dir=config_dir, trust=trust)
    lines = [*explain(settings), *settings.unused.values(), *_study(settings)]
    if everything:
        lines += ["", "All settings:", json.dumps(settings.values, indent=2)]
    return lines


def explain(settings: Settings) -> list[str]:
    """Return the recipe in sentences, then the departures from the paper's settings."""
    departures = departures_from_paper(settings)
    title = "Departures from the paper's setting:" if departures else "The paper's setting."
    return [*in_sentences(settings), "", title, *(f"  - {line}" for line in departures)]


def in_sentences(settings: Settings) -> list[str]:
    """Return what a run does, a sentence a line."""
    choices = settings.choices
    lines = _row(settings.compare, choices)
    lines += [
        f"Method: {choices['method']} on {backbone_name(settings)}, {settings.view_size} px views "
        f"of {choices['data']}, {settings.trainer['max_epochs']} epochs, batch "
        f"{settings.loader.batch_size} per process, seed {settings.seed}."
    ]
    method = settings.method
    if settings.is_adios:
        lines.append(
            f"Masking: learned. An occlusion model makes {method['num_masks']} soft masks and is "
            f"trained against the encoder (ADIOS, masks per step: {method['masks_per_step']})."
        )
    elif settings.is_supervised:
        lines.append(
            "Masking: none. The encoder and a classifier are trained on labels, one view per image."
        )
    else:
        lines += _masking(settings)
    negatives = bool((settings.masking or {}).get("negative"))
    if method.get("warm_up"):
        lines.append(_warm_up(method["warm_up"], negatives=negatives))
    if settings.crops:
        lines.append(
            f"Crops: {crops_in_words(settings)}; all candidates have the size that is drawn."
        )
    if method.get("negative_encoding"):
        numbers = {k: v for k, v in method["negative_encoding"].items() if k != "_target_"}
        lines.append(f"Hard negatives are encoded {NegativeEncoding(**numbers).in_words()}.")
    acting = [
        key
        for key in LOSS
        if key in method and (negatives or f"method.{key}" not in OF_NEGATIVES["method"])
    ]
    values = ", ".join(f"{LOSS[key]} {method[key]:g}" for key in acting)
    lines.append(f"Loss: {values or 'cross-entropy'}")
    return lines


def _warm_up(node: dict[str, Any], *, negatives: bool) -> str:
    share = f"for the first {node['uniform']:.0%} of training"
    if not negatives:
        return f"Warm-up: masks fall anywhere {share}."
    return (
        f"Warm-up: masks fall anywhere and there are no hard negatives {share}; then rho rises "
        f"from 0 over {node['ramp']:.0%}."
    )


def _row(study: Compare, choices: dict[str, str]) -> list[str]:
    """Return which row of a study this is, with the paper's values."""
    if study.row is None:
        return []
    targets = study.targets.get(study.row, {})
    values = "".join(f" {title}: {written(value)}." for title, value in targets.items())
    experiment = choices.get("experiment", "None")
    of = "" if experiment in ("None", "null") else f" of {experiment}"
    return [f"Row {study.row}{of}.{values}"]


def _study(settings: Settings) -> list[str]:
    """Return what the paper leaves open about the study, and where its rows are."""
    study, experiment = settings.compare, settings.choices.get("experiment")
    lines = [f"  - {point}" for point in study.open]
    if lines:
        lines = ["", "Left open by the paper:", *lines]
    if experiment not in ("None", "null") and study.row is None:
        rows = ", ".join(name for name in study.rows if name not in study.left_out)
        lines += ["", f"Rows, each an experiment={experiment}/ROW of its own: {rows}."]
    return lines


def _masking(settings: Settings) -> list[str]:
    masking, localizer = settings.masking or {}, localizer_name(settings)
    if localizer == "none":
        return ["Masking: none. This is the host's baseline."]
    lines = [f"Saliency: {localizer}, computed on the augmented, unfiltered views."]
    node = inner = masking.get("localizer") or {}
    while isinstance(inner.get("localizer"), dict):
        inner = inner["localizer"]
    asked = built_by(node)
    if built_by(inner) == "open_cache":
        lines = ["Saliency: of whole images, cached, carried through each view's crop and flip."]
    if built_by(inner) == "GivenLocalizer":
        lines = ["Saliency: none; the data set's object masks, carried through crop and flip."]
    if localizer == ANYWHERE:
        lines = ["Saliency: none; masks fall anywhere."]
    if asked == "MomentumLocalizer":
        where = f" at {layer}" if (layer := node.get("layer")) else ""
        lines = [f"Saliency: of the run's own encoder{where}, on the augmented, unfiltered views."]
    if asked == "PermutedLocalizer":
        lines.append("Control: each view is masked by the map of another image.")
    if asked == "RowSortedLocalizer":
        lines.append("Released code: the rows of the saliency map are sorted (defect B1).")
    view_filter, query, negative = (
        masking.get(part) for part in ("view_filter", "query", "negative")
    )
    if view_filter:
        taps, sigma = view_filter["kernel_size"], view_filter["sigma"]
        lines.append(
            f"Filter: whole views are high-passed first ({taps} taps, sigma {sigma:.3g} px); "
            "every evaluation does so too."
        )
    if query:
        which = BRANCHES.get(masking["branch"], f"{masking['branch']} loses")
        chance = masking["probability"]
        lines.append(
            f"Mask: {which} {_sampler(query['sampler'])}"
            + ("" if chance == 1 else f" with probability {chance}")
            + f"; shown instead: {_fill(query['fill'])}."
        )
    if negative:
        count, source = masking["num_negatives"], masking["negative_source"]
        lines.append(
            f"Hard negatives: {count} per image, the {source} view without "
            f"{_sampler(negative['sampler'])}; shown instead: {_fill(negative['fill'])}."
        )
        if built_by(negative) == "FirstNegative":
            lines.append("Released code: the first image's negative serves the batch (defect B2).")
    else:
        lines.append("Hard negatives: none.")
    return lines


def _sampler(node: dict[str, Any]) -> str:
    name = built_by(node)
    if name == "MaskMixture":
        return _one_of(node["weights"], map(_sampler, node["samplers"]))
    if name == "FocalMask":
        place = "the inside" if node["inside"] else "everything outside"
        return f"{place} of a random window of {node['size']:.0%} of the side"
    low, high = node.get("ratio", (0, 0))
    share = (f"{low:.0%}" if low == high else f"{low:.0%} to {high:.0%}") + " of the"
    if name == "GridMask":
        channels = ", drawn per channel" if node["per_channel"] else ""
        pool = "cells, object and background alike" if node["background"] else "object's cells"
        return f"{share} {pool}{channels}"
    if name == "MatchedMask":
        pool = "all cells" if node["pool"] == "anywhere" else "the background's"
        return f"as many cells as {low:.0%} to {high:.0%} of the object's, drawn from {pool}"
    if name == "BlockMask":
        count = "one block" if node["blocks"] == 1 else f"{node['blocks']} blocks"
        return f"{share} cells in {count}, wherever the saliency is"
    kinds = {
        "BackgroundMask": "background's cells",
        "TopMask": "most salient cells",
        "SystematicMask": "cells, evenly along the saliency",
    }
    return f"{share} {kinds.get(name, 'cells (' + name + ')')}"


def _fill(node: dict[str, Any]) -> str:
    name = built_by(node)
    if name == "FillMixture":
        return _one_of(node["weights"], map(_fill, node["fills"]))
    if name == "NoiseFill" and node["std"] == 0:
        return "zeros"
    return FILLS.get(name, name)


def _one_of(weights: Sequence[float], kinds: Iterable[str]) -> str:
    parts = [f"{weight:.0%}: {kind}" for weight, kind in zip(weights, kinds, strict=True)]
    return "one of (" + "; ".join(parts) + ")"
