"""Functions that keep places apart, and where the places then are; all others are refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from salmask_plugin.sparse.axes import after_dropping, tensors, through_a_view
from salmask_plugin.sparse.layers import OF_ONE_PLACE, refuse, spread
from salmask_plugin.sparse.places import VisiblePlaces

Arguments = tuple[Any, ...]
Named = dict[str, Any]
Rule = Callable[[VisiblePlaces, Any, Arguments, Named, Any], Any]
"""Notes where the places are in the last argument, a result; or refuses."""


def call(places: VisiblePlaces, function: Any, args: Arguments, named: Named) -> Any:
    """Call a function that needs no visible form, since it keeps places apart.

    Raises:
        ValueError: if it mixes the places of a map, or is not known not to.
    """
    given = list(tensors((*args, *named.values())))
    found = function(*args, **named)
    made = next(tensors([found]), None) is not None or function is torch.Tensor.__setitem__
    if made and any(places.axes(value) is not None for value in given):
        rule = RULES.get(function)
        if rule is None:
            refuse(places, function)
        elif not args:
            first = next(name for name in ("input", "tensors", *named) if name in named)
            rest = {name: value for name, value in named.items() if name != first}
            rule(places, function, (named[first],), rest, found)
        else:
            rule(places, function, args, named, found)
    return found


def _of_one_place(
    places: VisiblePlaces, function: Any, args: Arguments, named: Named, found: Any
) -> None:
    spread(places, function, (*args, *named.values()), found)


def _as_the_first(
    places: VisiblePlaces, function: Any, args: Arguments, named: Named, found: Any
) -> None:
    spread(places, function, args[:1], found)


def _new(places: VisiblePlaces, function: Any, args: Arguments, named: Named, found: Any) -> None:
    """Nothing of the map is in it."""


def _view(places: VisiblePlaces, function: Any, args: Arguments, named: Named, found: Any) -> None:
    axes = places.axes(args[0])
    if axes is None:  # the map gives a shape
        return
    known = through_a_view(function, args[0], axes, *args[1:], **named)
    if known is None:
        refuse(places, function)
        return
    for part, its in zip(tensors([found]), known, strict=True):
        places.note(part, its)


def _along(index: int, default: int | None = None) -> Rule:
    """A function of whole axes, which must not be those of places.

    Args:
        index: of its argument ``dim``.
        default: of that.
    """

    def rule(
        places: VisiblePlaces, function: Any, args: Arguments, named: Named, found: Any
    ) -> None:
        given = args[index] if len(args) > index else named.get("dim", default)
        if isinstance(given, Tensor) or "other" in named:  # max and min of two
            spread(places, function, (*args, *named.values()), found)
            return
        axes, rank = places.axes(args[0]), args[0].ndim
        taken = {given} if isinstance(given, int) else set(given or range(rank))
        taken = {axis % rank for axis in taken}
        if axes is None or taken & set(axes):
            refuse(places, function)
            return
        for part in tensors([found]):
            places.note(part, after_dropping(axes, taken, part, rank))

    return rule


def _over_the_last(
    places: VisiblePlaces, function: Any, args: Arguments, named: Named, found: Any
) -> None:
    """A linear layer or a normalisation of one place's channels, which are the last axes."""
    linear = function is functional.linear
    shape = args[1] if len(args) > 1 else named.get("normalized_shape", ())
    taken = 1 if linear or isinstance(shape, int) else len(shape)
    axes = places.axes(args[0])
    if axes is None or max(axes) >= args[0].ndim - taken:
        refuse(places, function)
        return
    places.note(found, axes)


def _times_a_matrix(
    places: VisiblePlaces, function: Any, args: Arguments, named: Named, found: Any
) -> None:
    other = args[1] if len(args) > 1 else named.get("other")
    matrix = isinstance(other, Tensor) and other.ndim == 2 and places.axes(other) is None
    axes = places.axes(args[0])
    if axes is None or not matrix or max(axes) == args[0].ndim - 1:
        refuse(places, function)
        return
    places.note(found, axes)


def _joined(
    places: VisiblePlaces, function: Any, args: Arguments, named: Named, found: Any
) -> None:
    rank, new = args[0][0].ndim, found.ndim - args[0][0].ndim
    axis = (args[1] if len(args) > 1 else named.get("dim", 0)) % (rank + new)
    known = {axes for part in args[0] if (axes := places.axes(part)) is not None}
    axes = known.pop()
    if known or (not new and axis in axes):
        refuse(places, function)
        return
    row, column = (old + (new if old >= axis else 0) for old in axes)
    places.note(found, (row, column))


def _called(names: str) -> Iterator[Any]:
    """Yield torch's functions of these names: functions, methods, in place, and operators."""
    for name in names.split():
        for form in (name, f"{name}_", f"__{name}__", f"__i{name}__", f"__r{name}__"):
            for owner in (torch, torch.Tensor, functional):
                if callable(found := getattr(owner, form, None)):
                    yield found


def _table() -> dict[Any, Rule]:
    groups: tuple[tuple[Rule, str], ...] = (
        (
            _of_one_place,
            "add sub rsub mul multiply div divide truediv true_divide floordiv floor_divide mod "
            "remainder pow float_power neg negative pos positive abs absolute sign square sqrt "
            "rsqrt reciprocal exp exp2 expm1 log log2 log1p sin cos tanh erf sigmoid clamp clip "
            "clamp_min clamp_max minimum maximum floor ceil round trunc lerp addcmul addcdiv where "
            "masked_fill nan_to_num copy eq ne lt le gt ge and or xor not invert logical_and "
            "logical_or logical_not isnan isinf isfinite atan logit softplus softsign softshrink "
            "hardshrink tanhshrink threshold hardtanh hardsigmoid selu celu prelu rrelu logsigmoid "
            "dropout2d feature_dropout alpha_dropout local_response_norm channel_shuffle",
        ),
        (
            _as_the_first,
            "to type type_as float double half bfloat16 cpu cuda contiguous clone detach "
            "deepcopy requires_grad zeros_like ones_like full_like empty_like rand_like randn_like "
            "bernoulli uniform normal fill zero",
        ),
        (_new, "new_empty new_zeros new_ones new_full new_tensor"),
        (
            _view,
            "view view_as reshape reshape_as flatten unflatten permute transpose swapaxes swapdims "
            "movedim moveaxis unsqueeze squeeze expand expand_as chunk split split_with_sizes "
            "tensor_split unbind narrow select getitem",
        ),
        (
            _along(1),
            "sum mean amax amin max min argmax argmin prod std var std_mean var_mean logsumexp "
            "cumsum cumprod softmax log_softmax softmin",
        ),
        (_along(1, -1), "glu"),
        (_along(2, 1), "normalize"),
        (_over_the_last, "linear layer_norm rms_norm"),
        (_times_a_matrix, "matmul"),
        (_joined, "cat concat concatenate stack"),
    )
    table = {function: rule for rule, names in groups for function in _called(names)}
    for function in ("squeeze_", "unsqueeze_", "transpose_", "swapaxes_", "swapdims_"):
        del table[getattr(torch.Tensor, function)]  # the noted axes would be those of before
    del table[torch.Tensor.__rmatmul__]  # the map is on the right
    table |= dict.fromkeys(OF_ONE_PLACE, _of_one_place)
    for name, rule in (("data", _as_the_first), ("mT", _view), ("T", _view)):
        table[getattr(torch.Tensor, name).__get__] = rule
    return table


RULES = _table()
"""Function of torch -> what it leaves of a map's axes."""
