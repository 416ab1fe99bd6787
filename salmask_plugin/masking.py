"""Where masks meet pixels: one masked image, and the masked views of one training step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from salmask_plugin.checks import check_choice, number, whole_number
from salmask_plugin.fills.special import check_special, is_unseen
from salmask_plugin.localizers.needs import check_sees_filtered
from salmask_plugin.masks.cells import uniform
from salmask_plugin.masks.channels import for_channels
from salmask_plugin.masks.fitting import check_generator, check_mask, check_masking, check_one_each
from salmask_plugin.masks.pixels import to_pixels
from salmask_plugin.mixtures import kinds_of
from salmask_plugin.types import (
    Fill,
    Images,
    Localizer,
    MaskedViews,
    MaskSampler,
    PixelMask,
    Saliency,
    ViewFilter,
    check_images,
    check_part,
)

Branch = Literal["query", "key", "both"]
Source = Literal["key", "query"]

PAPER_TOLERANCE = 0.6


@dataclass(frozen=True)
class Masking:
    """Hide part of each image: a sampler says where, a fill says what is seen instead.

    Args:
        sampler: saliency -> mask.
        fill: images -> replacement content.
    """

    sampler: MaskSampler
    fill: Fill

    def __post_init__(self) -> None:
        check_part(self.sampler, "sampler")
        check_part(self.fill, "fill")

    def __call__(
        self, images: Images, saliency: Saliency, generator: torch.Generator | None = None
    ) -> tuple[Images, PixelMask]:
        """Return the masked images (B, C, H, W) and the pixel mask (B, 1|C, H, W), True = masked.

        The input is not modified; unmasked pixels come back bit for bit.
        """
        check_images(images)
        check_generator(generator, images)
        check_one_each(saliency, images, "saliency")
        return self.apply(images, draw_mask(self.sampler, saliency, images, generator), generator)

    def apply(
        self, images: Images, mask: PixelMask, generator: torch.Generator | None = None
    ) -> tuple[Images, PixelMask]:
        """Fill a given pixel mask: the deterministic half of the call (but for a noise fill).

        Raises:
            ValueError: if the mask is not (B, 1|C, H, W) for images (B, C, H, W).
        """
        check_mask(mask, images)
        return torch.where(mask, self.fill(images, generator), images), mask


@dataclass(frozen=True)
class SaliencyMasking:
    """Make the views of one contrastive step: masked query, clean key, hard negatives.

    Stateless and parameter-free: safe to share between ranks, invisible to checkpoints, SyncBN
    conversion and EMA. Every part is optional: ``query=None`` leaves the query whole,
    ``negative=None`` makes no hard negatives, and with neither only the filter is applied.

    Args:
        localizer: images -> saliency; called once per step on both unfiltered views together.
        query: how the views that ``branch`` names are masked.
        negative: how hard negatives are masked: the object hidden, the background left.
        negative_source: which view the hard negatives are made from.
        num_negatives: hard negatives per image, drawn independently.
        view_filter: applied to whole views before masking (high-pass), after saliency. A
            ``MomentumLocalizer`` must have it too: its encoder is trained on filtered views.
        branch: which view is masked: "query" (the paper), "key" or "both" (its Table 6), each view
            with its own draw.
        probability: chance that a view is masked at all, per image. Negatives are always made.

    References:
        Chin et al., WACV 2024, sections 3.1 to 3.3.
    """

    localizer: Localizer
    query: Masking | None = None
    negative: Masking | None = None
    negative_source: Source = "key"
    num_negatives: int = 1
    view_filter: ViewFilter | None = None
    branch: Branch = "query"
    probability: float = 1.0

    def __post_init__(self) -> None:
        check_part(self.localizer, "localizer")
        if self.view_filter is not None:
            check_part(self.view_filter, "view_filter")
            check_sees_filtered(self.localizer)
        for name in ("query", "negative"):
            check_masking(name, getattr(self, name))
        for name, allowed in (("negative_source", Source), ("branch", Branch)):
            check_choice(getattr(self, name), name, allowed)
        if self.num_negatives == 0:
            raise ValueError(
                "num_negatives=0 must be at least 1; for no hard negatives leave negative=None."
            )
        object.__setattr__(self, "num_negatives", whole_number(self.num_negatives, "num_negatives"))
        check_special(self.query, self.negative, self.branch, self.num_negatives)
        object.__setattr__(
            self, "probability", number(self.probability, "probability", at_least=0, at_most=1)
        )

    @torch.no_grad()
    def __call__(
        self,
        query: Images,
        key: Images,
        generator: torch.Generator | None = None,
        saliency: tuple[Saliency, Saliency] | None = None,
    ) -> MaskedViews:
        """Mask one batch of view pairs.

        Draws are made in the order query, key, negatives.

        Args:
            query: (B, C, H, W) normalised views of the online branch.
            key: (B, C, H, W) normalised views of the other branch.
            generator: on the views' device; see :func:`~salmask_plugin.step_generator`.
            saliency: the maps of (query, key), where a symmetric loss calls twice with the views
                exchanged and should localise once: :meth:`localize` makes them.

        Raises:
            ValueError: if the views are not floating point (B, C, H, W), query and key differ in
                shape, there is not one map per view, or the generator is on another device.
        """
        check_images(query, "query")
        check_images(key, "key")
        check_generator(generator, query)
        if query.shape != key.shape:
            raise ValueError(
                f"query {tuple(query.shape)} and key {tuple(key.shape)} must have the same shape."
            )
        maps = saliency if saliency is not None else self.localize(query, key)
        if maps is not None:
            if not isinstance(maps, tuple | list) or len(maps) != 2:
                raise ValueError(f"saliency must be the maps of (query, key), not {maps!r:.80}.")
            check_one_each(maps[0], query, "saliency of the query")
            check_one_each(maps[1], key, "saliency of the key")
        if self.view_filter is not None:
            query, key = self.view_filter(query), self.view_filter(key)
        source = 0 if self.negative_source == "query" else 1
        clean = (query, key)

        query_mask = key_mask = negatives = negative_masks = None
        if self.branch in ("query", "both"):
            query, query_mask = self._mask_view(query, maps, 0, generator)
        if self.branch in ("key", "both"):
            key, key_mask = self._mask_view(key, maps, 1, generator)
        if self.negative is not None:
            assert maps is not None
            negatives, negative_masks = self._hide_object(clean[source], maps[source], generator)
        unseen = query_mask if is_unseen(self.query) else None
        masks = (query_mask, key_mask, negative_masks)
        return MaskedViews(query, key, negatives, *masks, maps, unseen)

    @torch.no_grad()
    def localize(self, query: Images, key: Images) -> tuple[Saliency, Saliency] | None:
        """Return the maps of (query, key) from one forward of the localizer, or None if unused."""
        if self.query is None and self.negative is None:
            return None
        views = torch.cat((query, key))
        maps = self.localizer(views)
        check_one_each(maps, views, "what the localizer returned")
        return maps[: len(query)], maps[len(query) :]

    def _mask_view(
        self,
        view: Images,
        maps: tuple[Saliency, Saliency] | None,
        index: int,
        generator: torch.Generator | None,
    ) -> tuple[Images, PixelMask | None]:
        if self.query is None or maps is None:
            return view, None
        mask = draw_mask(self.query.sampler, maps[index], view, generator)
        if self.probability < 1:
            shape = (len(view), 1, 1, 1)
            draw = uniform(shape, view.device, generator)
            mask = mask & (draw < self.probability)
        if self.probability == 0:
            return view, mask  # no cell is shown, so no fill is made
        return self.query.apply(view, mask, generator)

    def _hide_object(
        self, view: Images, saliency: Saliency, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """(B, M, C, H, W) negatives and (B, M, 1|C, H, W) masks, drawn M times per image."""
        assert self.negative is not None
        copies = (len(view), self.num_negatives)
        # Expanded, not repeated: one negative per image, the usual case, costs no copy.
        images, mask = self.negative(
            view[:, None].expand(*copies, *view.shape[1:]).flatten(0, 1),
            saliency[:, None].expand(*copies, *saliency.shape[1:]).flatten(0, 1),
            generator,
        )
        return images.view(*copies, *images.shape[1:]), mask.view(*copies, *mask.shape[1:])


def draw_mask(
    sampler: MaskSampler,
    saliency: Saliency,
    images: Images,
    generator: torch.Generator | None = None,
) -> PixelMask:
    """Draw the mask of each view, (B, 1, H, W) or (B, C, H, W) where channels are drawn apart."""
    return to_pixels(for_channels(sampler, images.shape[1])(saliency, generator), images)


def foreground_tolerance(masking: SaliencyMasking | None) -> float:
    """Return the tolerance of Eq. 1 that the recipe's samplers use, negatives first.

    Hard negatives lose foreground alone, so theirs is the recipe's where both have one. 0.6, the
    paper's, where no sampler has a foreground (such as TopMask), or nothing is masked.
    """
    parts = () if masking is None else (masking.negative, masking.query)
    for sampler in (part.sampler for part in parts if part is not None):
        for kind in kinds_of(sampler):
            if hasattr(kind, "tolerance"):
                return float(kind.tolerance)
    return PAPER_TOLERANCE
