"""The vocabulary of the package: arrays, the three roles, and what one masking step returns.

Axes: B images, C channels, H x W pixels, h x w cells of the saliency grid, M hard negatives.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor

Images: TypeAlias = Tensor
"""(B, C, H, W) floating point; as a host hands them over, i.e. ImageNet-normalised."""
Saliency: TypeAlias = Tensor
"""(B, h, w) floating point; larger means more salient. Cells are compared inside one map only."""
CellMask: TypeAlias = Tensor
"""(B, 1, h', w') or (B, C, h', w') bool on the grid or a finer lattice; True = masked."""
PixelMask: TypeAlias = Tensor
"""(B, 1, H, W) or (B, C, H, W) bool on the image; True = masked."""


def check_images(images: Tensor, argument: str = "images") -> None:
    """Raise ValueError unless they are floating point (B, C, H, W), as views are."""
    if isinstance(images, Tensor) and images.ndim == 4 and images.is_floating_point():
        return
    remedy = ""
    if not isinstance(images, Tensor):
        found = f"a {type(images).__name__}"
    else:
        found = f"{images.dtype} {tuple(images.shape)}"
        if not images.is_floating_point():
            remedy = ": v2.ToDtype(torch.float32, scale=True), then v2.Normalize, makes them"
        elif images.ndim == 3:
            remedy = f": {argument}[None] is a batch of one image"
    raise ValueError(
        f"{argument} are {found}; "
        f"normalised floating-point views (B, C, H, W) are expected{remedy}."
    )


_PARTS = {
    "localizer": ("images", "SCDALocalizer(efficientnet_lite0())"),
    "sampler": ("saliency", "GridMask()"),
    "fill": ("images", "MeanFill()"),
    "view_filter": ("images", "HighPassFilter()"),
}
"""Role -> what its call takes first, and an example."""


def check_part(part: Any, role: str, argument: str | None = None) -> None:
    """Raise ValueError where a part cannot play a role, such as a fill where a sampler belongs.

    Any callable may; one whose first parameter is called as that of another role may not.

    Args:
        part: what was given.
        role: "localizer", "sampler", "fill" or "view_filter".
        argument: its name, where that is not the role's.
    """
    takes, example = _PARTS[role]
    argument = argument or role
    if isinstance(part, type):
        raise ValueError(
            f"{argument}={part.__name__} is a class; write {argument}={part.__name__}(...)."
        )
    if not callable(part):
        raise ValueError(f"{argument}={part!r:.80} must be a {role}, such as {example}.")
    first = _first_parameter(part)
    if first != takes and first in ("images", "saliency"):
        raise ValueError(
            f"{argument}={type(part).__name__}(...) is called with {first}; a {role} is called "
            f"with {takes}, such as {example}."
        )


def _first_parameter(part: Any) -> str | None:
    try:
        return next(iter(inspect.signature(part).parameters), None)
    except (TypeError, ValueError):  # builtins need not tell
        return None


@runtime_checkable
class Localizer(Protocol):
    """Where is the object? Images in, saliency out, without gradient."""

    def __call__(self, images: Images) -> Saliency: ...


@runtime_checkable
class MaskSampler(Protocol):
    """Which cells go? Saliency in, boolean mask out."""

    def __call__(
        self, saliency: Saliency, generator: torch.Generator | None = None
    ) -> CellMask: ...


@runtime_checkable
class Fill(Protocol):
    """What is shown in masked places? Images in, content (broadcastable to them) out.

    A fill never sees the mask: it answers for the whole image.
    """

    def __call__(self, images: Images, generator: torch.Generator | None = None) -> Tensor: ...


@runtime_checkable
class ViewFilter(Protocol):
    """Is the whole view filtered first? Images in, images of the same shape out."""

    def __call__(self, images: Images) -> Images: ...


@dataclass(frozen=True, eq=False)
class MaskedViews:
    """What the encoders see in one step. Lives inside that step.

    Attributes:
        query: (B, C, H, W), masked where ``query_mask`` is True.
        key: (B, C, H, W), masked where ``key_mask`` is True.
        negatives: (B, M, C, H, W) images without their object, or None.
        query_mask: (B, 1|C, H, W) bool, or None where the query is not masked.
        key_mask: (B, 1|C, H, W) bool, or None where the key is not masked.
        negative_masks: (B, M, 1|C, H, W) bool, or None without negatives.
        saliency: the maps of (query, key), each (B, h, w), or None where nothing is masked.
        query_unseen: (B, 1, H, W) bool, the places of the query that its encoder must not see
            (:func:`~salmask_plugin.visible_only`), or None where a fill shows something.
    """

    query: Images
    key: Images
    negatives: Tensor | None = None
    query_mask: PixelMask | None = None
    key_mask: PixelMask | None = None
    negative_masks: Tensor | None = None
    saliency: tuple[Saliency, Saliency] | None = None
    query_unseen: PixelMask | None = None
