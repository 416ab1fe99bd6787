"""From lightly's batch to the views of one step: which is the query, and what masks it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from pytorch_lightning import Trainer
from torch import Tensor, nn

from salmask_plugin.adapters.lightly.cached_maps import cached_localizer, maps_of_batch
from salmask_plugin.adapters.recipe import check_draws, check_masking, recorded_kernel
from salmask_plugin.localizers.needs import innermost, needs_of, with_innermost
from salmask_plugin.masking import SaliencyMasking
from salmask_plugin.seeding import global_draws_from, step_generator
from salmask_plugin.types import Localizer, MaskedViews, Saliency, check_images
from salmask_plugin.warm_up import SaliencyWarmUp, training_batches

SHUFFLE_STREAM = 2**20
"""Stands for a rank that no process has, so that shuffles are unrelated to any rank's masks."""


class StepMasking:
    """Mask the views of a training batch, from draws that depend on (seed, rank, step) alone.

    Not a module, so that nothing of the localizer enters a host's parameters or checkpoints.

    Args:
        masking: what to do; None hands the views on as they are, and draws nothing.
        query_index: which of the two views is the query, 0 or 1.
        seed: of the masks.
        warm_up: what the masking is until saliency can be trusted; None uses it from the start.

    Attributes:
        batches_seen: training batches so far; the step that masks are drawn for. Whoever owns this
            object advances it, and saves it in checkpoints.

    Raises:
        ValueError: if query_index is not 0 or 1, the seed is negative, or there is nothing to warm
            up.
    """

    def __init__(
        self,
        masking: SaliencyMasking | None,
        *,
        query_index: int,
        seed: int,
        warm_up: SaliencyWarmUp | None = None,
    ) -> None:
        seed = check_draws(query_index=query_index, seed=seed, warm_up=warm_up)
        if warm_up is not None and masking is None:
            raise ValueError("warm_up needs a masking to lead to; masking is None.")
        self.masking = masking
        self.warm_up = warm_up
        self._total_batches: int | None = None
        self._tried = False
        self.query_index = query_index
        self.seed = seed
        self.batches_seen = 0

    def __call__(self, batch: Sequence[Any], *, rank: int, negatives: bool = True) -> MaskedViews:
        """Return the views of a batch (views, targets, ...) as the encoders see them.

        Without ``negatives`` no hard negatives are made; the masks of the views are the same.

        Raises:
            TypeError: if ``batch[0]`` is not a list, as lightly's transforms give.
            ValueError: if it does not hold two views.
        """
        views = views_of(batch)
        query, key = views[self.query_index], views[1 - self.query_index]
        if self.masking is None:
            return MaskedViews(query, key)
        generator = step_generator(self.seed, rank, self.batches_seen, query.device)
        if self.warm_up is None or not self.warm_up.is_uniform(self._done()):
            masking = self.masking if negatives else replace(self.masking, negative=None)
            return masking(query, key, generator, self._given_saliency(batch))
        if not self._tried:
            # What the localizer refuses, it must not refuse only after the warm-up.
            if self._given_saliency(batch) is None:
                self.masking.localize(query, key)
            self._tried = True
        found = self.warm_up.masking(self.masking, self._done())(query, key, generator)
        # A constant map is no saliency: its foreground is everything, and not to be judged.
        return replace(found, saliency=None)

    def start(self, trainer: Trainer) -> None:
        """Take a warm-up's length from the trainer, at the beginning of training or of a resume."""
        if self.warm_up is not None:
            self._total_batches = training_batches(trainer)

    def rho(self, rho: float) -> float:
        """Return this step's rho, whose value without or after a warm-up is ``rho``."""
        return rho if self.warm_up is None else self.warm_up.rho(rho, self._done())

    def _done(self) -> float:
        """The share of training that is done."""
        if self._total_batches is None:
            raise RuntimeError("warm_up: start(trainer) must come before the first batch.")
        return self.batches_seen / self._total_batches

    def filtered(self, images: Tensor) -> Tensor:
        """Apply the view filter alone, as evaluation needs it."""
        if self.masking is None or self.masking.view_filter is None:
            return images
        return self.masking.view_filter(images)

    @property
    def kernel(self) -> list[float] | str | None:
        """The view filter for checkpoints, see :func:`recorded_kernel`."""
        return recorded_kernel(self.masking)

    def _given_saliency(self, batch: Sequence[Any]) -> tuple[Saliency, Saliency] | None:
        """Maps that come with the batch: cached ones, or the localizer's of its pixel masks."""
        assert self.masking is not None
        localizer = self.masking.localizer
        if cached_localizer(localizer) is not None:
            maps = maps_of_batch(localizer, batch)
            return maps[self.query_index], maps[1 - self.query_index]
        if not takes_pixel_masks(localizer):
            return None
        masks = batch[2] if len(batch) > 2 else None
        if not isinstance(masks, list | tuple) or len(masks) != 2:
            raise TypeError(
                "GivenLocalizer needs the pixel masks of both views as batch[2], a list of two "
                f"tensors (B, 1, H, W); the batch has {len(batch)} elements"
                + ("." if masks is None else f" and batch[2] is a {type(masks).__name__}.")
            )
        return localizer(masks[self.query_index]), localizer(masks[1 - self.query_index])


@contextmanager
def draws_of_step(masking: StepMasking, device: torch.device) -> Iterator[None]:
    """Let what is drawn from the global generator inside depend on (seed, step) alone.

    lightly's key shuffles, which decide what images share a BatchNorm group, so that an exact
    resume needs them; and dropout of hard negatives, which must not shift what the host draws next.
    Rank 0 draws the shuffles for all processes.
    """
    generator = step_generator(masking.seed, SHUFFLE_STREAM, masking.batches_seen, device)
    with global_draws_from(generator):
        yield


def views_of(batch: Sequence[Any]) -> list[Tensor]:
    """Return the list of the two views, the one the batch holds: writing to it changes the batch.

    Raises:
        TypeError: if the batch is no sequence, or its first entry no list.
        ValueError: if that does not hold two views, floating point (B, C, H, W).
    """
    if not isinstance(batch, list | tuple) or not batch:
        keys = f" with the keys {', '.join(map(str, batch))}" if isinstance(batch, Mapping) else ""
        raise TypeError(
            f"the batch is a {type(batch).__name__}{keys}; ([view, view], targets) is needed: let "
            "the data set return ([view, view], target), or the loader's collate_fn make it."
        )
    views = batch[0]
    if not isinstance(views, list):
        raise TypeError(
            f"batch[0] is a {type(views).__name__}; a list of two views is needed, as the default "
            "collate function and lightly's MultiViewCollate make it."
        )
    if len(views) != 2:
        raise ValueError(f"batch[0] holds {len(views)} views; masking needs two.")
    for index, view in enumerate(views):
        check_images(view, f"batch[0][{index}]")
    return views


def takes_pixel_masks(localizer: Localizer) -> bool:
    """Say whether the localizer wants the views' pixel masks instead of the views."""
    return needs_of(localizer) == "object masks"


def bind_encoder(masking: SaliencyMasking | None, encoder: nn.Module) -> SaliencyMasking | None:
    """Complete a localizer that waits for the host's encoder.

    ``functools.partial(MomentumLocalizer, layer=...)`` is called with ``encoder`` and the masking's
    view filter, unless the partial names one; anything else is returned as it is.
    """
    if masking is None:
        return None
    check_masking(masking)
    waiting = innermost(masking.localizer)
    if not isinstance(waiting, partial):
        return masking
    given = {} if "view_filter" in waiting.keywords else {"view_filter": masking.view_filter}
    bound = waiting(encoder=encoder, **given)
    return replace(masking, localizer=with_innermost(masking.localizer, lambda _: bound))
