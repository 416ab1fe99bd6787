"""What becomes of the functions that mix places: none of them reads a hidden one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import resolve_name

from salmask_plugin.precision import in_float
from salmask_plugin.sparse.axes import MAPS, after_dropping, from_the_end, tensors
from salmask_plugin.sparse.batch_norm import visible_batch_norm
from salmask_plugin.sparse.places import VisiblePlaces

Function = Callable[..., Any]


def _of_maps(handler: Function) -> Function:
    """Let a function see maps (B, C, h, w) alone, and note the places of the one it makes."""

    @wraps(handler)
    def checked(
        places: VisiblePlaces, function: Function, maps: Tensor, *rest: Any, **named: Any
    ) -> Any:
        axes = places.axes(maps)
        groups = function is functional.batch_norm
        if axes is not None and (axes != MAPS or (len(maps) != places.batch and not groups)):
            return refuse(places, function)
        found = handler(places, function, maps, *rest, **named)
        return places.note(found, MAPS) if isinstance(found, Tensor) and found.ndim == 4 else found

    return checked


@_of_maps
def convolve(
    places: VisiblePlaces, function: Function, maps: Tensor, *rest: Any, **named: Any
) -> Any:
    """A convolution of the visible places; hidden places of its output are zero."""
    return places.hide(function(places.shown(maps), *rest, **named))


@_of_maps
def normalise(
    places: VisiblePlaces, function: Function, maps: Tensor, *rest: Any, **named: Any
) -> Any:
    """BatchNorm by the visible places."""
    return visible_batch_norm(places, maps, *rest, **named)


@_of_maps
def largest(
    places: VisiblePlaces, function: Function, maps: Tensor, *rest: Any, **named: Any
) -> Any:
    """The largest visible value; 0 where there is none."""
    # Sums and products: masked_fill makes a copy that is no longer channels_last, where is slow.
    floor = places.floor(places.visible(maps))
    found = function(places.shown(maps) + floor, *rest, **named)
    if not isinstance(found, Tensor):
        raise ValueError("a query that is not seen whole cannot be pooled with return_indices.")
    inside = places.floor(places.visible(maps) * places.inside(maps))
    reaches = (function(inside, *rest, **named) == 0).to(found.dtype)
    if found.ndim != 4:
        return found * reaches
    return places.mark(found * (reaches * places.visible(found)))


@_of_maps
def average(
    places: VisiblePlaces, function: Function, maps: Tensor, *rest: Any, **named: Any
) -> Any:
    """The mean of the visible values; 0 where there is none. Pads count as in the plain encoder."""
    inside = in_float(places.inside(maps))
    share = function(in_float(places.visible(maps)) * inside, *rest, **named)
    whole = function(inside, *rest, **named)
    found = function(places.shown(maps), *rest, **named)
    scale = torch.where(share > 0, whole / share.clamp(min=1e-12), 0)
    return (found * scale).to(found.dtype)


def mean(places: VisiblePlaces, function: Function, maps: Tensor, *rest: Any, **named: Any) -> Any:
    """The mean over both axes of the places is that of visible ones."""
    return _over_places(places, average, function, maps, *rest, **named)


def maximum(
    places: VisiblePlaces, function: Function, maps: Tensor, *rest: Any, **named: Any
) -> Any:
    """The maximum over both axes of the places is that of visible ones."""
    return _over_places(places, largest, function, maps, *rest, **named)


def keep(places: VisiblePlaces, function: Function, maps: Tensor, *rest: Any, **named: Any) -> Any:
    """A function of each place alone that leaves 0 at 0, or zeros around the map."""
    clean = places.is_clean(maps)  # asked first: it may be in place
    found = function(maps, *rest, **named)
    spread(places, function, (maps, *rest, *named.values()), found)
    return places.mark(found) if clean else found


def add(places: VisiblePlaces, function: Function, maps: Tensor, *rest: Any, **named: Any) -> Any:
    """A sum of two maps."""
    other = rest[0] if rest else named.get("other")
    clean = places.is_clean(maps) and isinstance(other, Tensor) and places.is_clean(other)
    found = function(maps, *rest, **named)
    spread(places, function, (maps, *rest, *named.values()), found)
    return places.mark(found) if clean else found


@_of_maps
def interpolate(
    places: VisiblePlaces, function: Function, maps: Tensor, *rest: Any, **named: Any
) -> Any:
    """Upsampling by means: of the visible values, 0 where there is none."""
    mode = rest[2] if len(rest) > 2 else named.get("mode", "nearest")
    if mode not in ("nearest", "nearest-exact", "bilinear", "area"):
        return refuse(places, function)
    return average(places, function, maps, *rest, **named)


@_of_maps
def pad(
    places: VisiblePlaces,
    function: Function,
    maps: Tensor,
    pad: Any,
    mode: str = "constant",
    value: float | None = None,
) -> Any:
    """Places around the map, which are seen as the plain encoder sees them."""
    found = function(places.shown(maps), pad, mode, value)
    constant = mode == "constant"
    seen = function(places.visible(maps), pad, mode, 1.0 if constant else None)
    inside = function(places.inside(maps), pad, mode, 0.0 if constant else None)
    return places.show(places.mark(found), seen, inside)


def spread(places: VisiblePlaces, function: Function, given: Iterable[Any], found: Any) -> None:
    """Note the places of what a function of one place makes of its arguments, broadcast.

    Raises:
        ValueError: if the arguments' places are not on the same axes, or are not the result's.
    """
    of_places = {}
    given = list(tensors(given))
    for value in given:
        axes = places.axes(value)
        if axes is not None:
            size = value.shape[axes[0]], value.shape[axes[1]]
            of_places[from_the_end(axes, value.ndim, 0)] = size
    if len(of_places) > 1:
        refuse(places, function)
    for ends, size in of_places.items():
        for part in tensors([found]):
            if -min(ends) > part.ndim or size != (part.shape[ends[0]], part.shape[ends[1]]):
                refuse(places, function)
            places.note(part, from_the_end(ends, 0, part.ndim))
    places.show_as(given, tensors([found]))


def refuse(places: VisiblePlaces, function: Function, *given: Any, **named: Any) -> Any:
    """A function that mixes places in a way that has no visible form here, or may."""
    raise ValueError(
        f"the encoder calls {resolve_name(function) or function} on a map that is not pooled, "
        "where it would mix hidden places with visible ones, or is not known to keep them apart: "
        "the fill 'not seen' needs convolutions, BatchNorm and pooling. Use another fill, such as "
        "the mean, for this encoder."
    )


def _over_places(
    places: VisiblePlaces,
    visible: Function,
    function: Function,
    maps: Tensor,
    *rest: Any,
    **named: Any,
) -> Any:
    given = rest[0] if rest else named.get("dim")
    taken = {axis % 4 for axis in ([given] if isinstance(given, int) else given or range(4))}
    axes = places.axes(maps)
    if not taken & set(axes or MAPS):
        found = function(maps, *rest, **named)
        return found if axes is None else places.note(found, after_dropping(axes, taken, found, 4))
    if taken == set(MAPS):
        return visible(places, function, maps, *rest, **named)
    return refuse(places, function)


POOLING = {
    functional.max_pool2d: largest,
    functional.adaptive_max_pool2d: largest,
    functional.avg_pool2d: average,
    functional.adaptive_avg_pool2d: average,
}
HANDLERS: dict[Any, Callable[..., Any]] = {
    torch.conv2d: convolve,
    functional.batch_norm: normalise,
    **POOLING,
    functional.interpolate: interpolate,
    functional.pad: pad,
    torch.mean: mean,
    Tensor.mean: mean,
    torch.amax: maximum,
    Tensor.amax: maximum,
}
OF_IMAGES = (torch.conv2d, *POOLING)
"""Functions whose maps are those of the batch; others may be of weights."""
KEEPING = (
    functional.relu,
    torch.relu,
    torch.relu_,
    torch.Tensor.relu,
    torch.Tensor.relu_,
    functional.relu6,
    functional.leaky_relu,
    functional.gelu,
    functional.silu,
    functional.hardswish,
    functional.elu,
    functional.mish,
    functional.dropout,
)
ADDING = (torch.add, Tensor.add, Tensor.add_, Tensor.__add__, Tensor.__iadd__)
OF_ONE_PLACE = (*KEEPING, *ADDING)
HANDLERS |= dict.fromkeys(KEEPING, keep) | dict.fromkeys(ADDING, add)
HANDLERS |= dict.fromkeys(
    (
        torch.conv_transpose2d,
        functional.group_norm,
        functional.instance_norm,
        functional.lp_pool2d,
        functional.max_pool2d_with_indices,
        functional.adaptive_max_pool2d_with_indices,
        functional.scaled_dot_product_attention,
        torch.norm,
        torch.Tensor.norm,
        torch.linalg.vector_norm,
    ),
    refuse,
)
"""Function of torch -> what is done in its place with a map of the batch."""
