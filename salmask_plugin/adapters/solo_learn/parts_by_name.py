"""From the settings to the core's objects: samplers and fills by name, from a closed list."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from salmask_plugin import fills, masks
from salmask_plugin.adapters.solo_learn.settings import MaskingSettings, refuse_unknown
from salmask_plugin.fills import BlurFill
from salmask_plugin.filters import kernel_for_view
from salmask_plugin.masking import Masking, SaliencyMasking
from salmask_plugin.types import Fill, Localizer, MaskSampler

PACKAGE = "salmask_plugin."


def _classes(module: Any) -> dict[str, type]:
    exported = {name: getattr(module, name) for name in module.__all__}
    return {PACKAGE + name: item for name, item in exported.items() if inspect.isclass(item)}


SAMPLERS = _classes(masks)
FILLS = _classes(fills)


def build_masking(
    settings: MaskingSettings, localizer: Localizer, view_size: int
) -> SaliencyMasking:
    """Return the masking object. The filter is the backbone's, so it has none of its own.

    Args:
        settings: the validated node.
        localizer: images -> saliency.
        view_size: side of the pretraining crop in pixels; kernels are scaled to it.

    Raises:
        ValueError: if a sampler or fill is not known, or an argument is out of its range.
    """
    return SaliencyMasking(
        localizer=localizer,
        query=_masking(settings.query, "query", settings, view_size),
        negative=_masking(settings.negative, "negative", settings, view_size),
        negative_source=settings.negative_source,
        num_negatives=settings.num_negatives,
        view_filter=None,
        branch=settings.branch,
        probability=settings.probability,
    )


def _masking(
    node: Mapping[str, Any] | None, name: str, settings: MaskingSettings, view_size: int
) -> Masking | None:
    if node is None:
        return None
    path = f"salmask.{name}"
    refuse_unknown(node, ["sampler", "fill"], path)
    for part in ("sampler", "fill"):
        if part not in node:
            raise ValueError(f"{path}.{part} is missing; for no masks at all write {path}: null.")
    sampler = build(node["sampler"], SAMPLERS, f"{path}.sampler")
    fill = build(node["fill"], FILLS, f"{path}.fill")
    if isinstance(fill, BlurFill):
        fill = _fit(fill, settings.scale_kernels, view_size, f"{path}.fill")
    return Masking(sampler=cast("MaskSampler", sampler), fill=cast("Fill", fill))


def build(node: Any, allowed: Mapping[str, type], path: str) -> object:
    """Build ``{_target_: name, argument: value, ...}``, and such nodes among its arguments.

    Raises:
        ValueError: if the name is not in ``allowed`` or the class does not take the arguments.
    """
    if not isinstance(node, Mapping) or node.get("_target_") not in allowed:
        target = node.get("_target_") if isinstance(node, Mapping) else node
        raise ValueError(f"{path}._target_={target!r} must be one of {', '.join(sorted(allowed))}.")
    arguments = {key: value for key, value in node.items() if key != "_target_"}
    target = allowed[node["_target_"]]
    refuse_unknown(arguments, list(inspect.signature(target).parameters), path)
    for key, value in arguments.items():
        if isinstance(value, list) and value and isinstance(value[0], Mapping):
            arguments[key] = [
                build(item, allowed, f"{path}.{key}[{index}]") for index, item in enumerate(value)
            ]
    try:
        return cast("object", target(**arguments))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error


def _fit(fill: BlurFill, scale: bool, view_size: int, path: str) -> BlurFill:
    if scale:
        kernel_size, sigma = kernel_for_view(fill.kernel_size, fill.sigma, view_size)
        fill = replace(fill, kernel_size=kernel_size, sigma=sigma)
    if fill.kernel_size // 2 >= view_size:
        raise ValueError(
            f"{path}.kernel_size={fill.kernel_size} is too large for a crop of {view_size} px."
        )
    return fill
