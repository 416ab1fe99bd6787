"""What every masked method shares: masked views for its branches, on solo-learn's own steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from salmask_plugin.adapters.solo_learn.backbone import already_filtered, filtered, is_highpass
from salmask_plugin.adapters.solo_learn.config_check import view_size
from salmask_plugin.adapters.solo_learn.localizer import (
    IMAGENET,
    NORMALISED_BY,
    Statistics,
    build_localizer,
    trained_on,
)
from salmask_plugin.adapters.solo_learn.masking_in_words import describe
from salmask_plugin.adapters.solo_learn.parts_by_name import build_masking
from salmask_plugin.adapters.solo_learn.resume import batches_seen, remember
from salmask_plugin.adapters.solo_learn.settings import MaskingSettings
from salmask_plugin.masking import SaliencyMasking, foreground_tolerance
from salmask_plugin.masks import foreground
from salmask_plugin.seeding import NEGATIVES_STREAM, global_draws_from, step_generator
from salmask_plugin.sparse import visible_only
from salmask_plugin.types import MaskedViews
from salmask_plugin.warm_up import training_batches


@dataclass(frozen=True)
class StepViews:
    """What the encoders see in one step, behind the filter, in the order of solo-learn's views.

    Attributes:
        online: one batch per forward of the online encoder.
        momentum: one batch per forward of the momentum encoder; empty without one.
        directions: the masked views of each loss direction.
        unseen: what the online encoder must not see of each of its batches, or None.
    """

    online: tuple[Tensor, ...]
    momentum: tuple[Tensor, ...]
    directions: tuple[MaskedViews, ...]
    unseen: tuple[Tensor | None, ...]


class SaliencyMaskingMixin:
    """Mask the views of any two-view method of solo-learn; put before the method's class.

    Both overridden steps are hooks that solo-learn offers per view: ``base_training_step`` feeds
    the online encoder, ``_shared_step_momentum`` the momentum encoder. In momentum methods the
    online encoder sees both views masked and the momentum encoder both clean; in others view 0 is
    masked and view 1 is clean. ``branch`` moves the masks to the other side or to both.
    """

    salmask: MaskingSettings

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg)  # type: ignore[call-arg]
        self.salmask = MaskingSettings.from_node(cfg.salmask)
        self._masking: SaliencyMasking | None = None
        self._total_batches: int | None = None
        self._batches_seen = 0
        self._pending: dict[str, Iterator[tuple[Tensor, Tensor | None]]] = {}
        self._step: StepViews | None = None

    @property
    def masking(self) -> SaliencyMasking:
        """The masking object, built at its first use so that k-NN needs no localizer."""
        if self._masking is None:
            cfg: Any = self.cfg  # type: ignore[attr-defined]
            localizer = build_localizer(
                self.salmask,
                normalised_by=_normalised_by(cfg),
                key_encoder=getattr(self, "momentum_backbone", None),
            )
            self._masking = build_masking(self.salmask, localizer, view_size(cfg))
        return self._masking

    def setup(self, stage: str) -> None:
        """Load the localizer before training starts, where a failure costs nothing."""
        super().setup(stage)  # type: ignore[misc]
        if stage == "fit":
            assert self.masking is not None

    def on_fit_start(self) -> None:
        """Say that masking is active, and how."""
        super().on_fit_start()  # type: ignore[misc]
        cfg: Any = self.cfg  # type: ignore[attr-defined]
        line = describe(
            self.salmask,
            self.masking.localizer,
            method=cfg.method,
            highpass=is_highpass(cfg.backbone.name),
            seed=cfg.seed,
        )
        if self.trainer.is_global_zero:  # type: ignore[attr-defined]
            # Not self.print: Lightning's progress bar swallows it before the first batch.
            print(line, flush=True)

    def on_train_start(self) -> None:
        """Take a warm-up's length from the trainer, and try what it puts off."""
        super().on_train_start()  # type: ignore[misc]
        if self.salmask.warm_up is not None:
            self._total_batches = training_batches(self.trainer)  # type: ignore[attr-defined]
            side = view_size(self.cfg)  # type: ignore[attr-defined]
            device = next(self.parameters()).device  # type: ignore[attr-defined]
            self.masking.localize(*torch.zeros((2, 1, 3, side, side), device=device))

    def step_settings(self) -> tuple[MaskingSettings, SaliencyMasking]:
        """The settings and the masking of the next step: a warm-up's until it is over."""
        warm_up = self.salmask.saliency_warm_up
        if warm_up is None:
            return self.salmask, self.masking
        if self._total_batches is None:
            raise RuntimeError("salmask.warm_up: on_train_start must come before the first batch.")
        done = self._batches_seen / self._total_batches
        settings = replace(self.salmask, rho=warm_up.rho(self.salmask.rho, done))
        return settings, warm_up.masking(self.masking, done)

    def training_step(self, batch: Sequence[Any], batch_idx: int) -> Any:
        """Make the masked views, then run the method's own step on them."""
        try:
            if self.salmask.masks:
                self._step = self.make_views(batch[1])
                self._pending = {
                    "backbone": iter(zip(self._step.online, self._step.unseen, strict=True)),
                    "momentum_backbone": iter((images, None) for images in self._step.momentum),
                }
                self._log_masks(self._step.directions)
            return self.masked_training_step(batch, batch_idx)
        finally:
            self._pending, self._step = {}, None
            self._batches_seen += 1

    def masked_training_step(self, batch: Sequence[Any], batch_idx: int) -> Any:
        """The method's own step; overridden where hard negatives join the loss."""
        return super().training_step(batch, batch_idx)  # type: ignore[misc]

    def base_training_step(self, X: Tensor, targets: Tensor) -> Any:  # noqa: N803
        """Feed the online encoder with the masked form of this view."""
        with self._next_view("backbone", X) as images:
            return super().base_training_step(images, targets)  # type: ignore[misc]

    def _shared_step_momentum(self, X: Tensor, targets: Tensor) -> Any:  # noqa: N803
        with self._next_view("momentum_backbone", X) as images:
            return super()._shared_step_momentum(images, targets)  # type: ignore[misc]

    @torch.no_grad()
    def make_views(self, views: Sequence[Tensor]) -> StepViews:
        """Localise once, then mask; only the first two views, the large crops."""
        first, second = views[0], views[1]
        generator = self._generator(first.device)
        _, masking = self.step_settings()
        encoding = self.salmask.encoding
        if encoding.every > 1:
            trainer: Any = self.trainer  # type: ignore[attr-defined]
            if not encoding.falls_on(trainer.global_step):
                masking = replace(masking, negative=None)
        maps = masking.localize(first, second)
        encoder = self.backbone  # type: ignore[attr-defined]
        first, second = filtered(encoder, first), filtered(encoder, second)
        forward = masking(first, second, generator, saliency=maps)
        if not self.both_directions:
            if hasattr(self, "momentum_backbone"):
                return StepViews(
                    (forward.query,), (forward.key,), (forward,), (forward.query_unseen,)
                )
            return StepViews(
                (forward.query, forward.key), (), (forward,), (forward.query_unseen, None)
            )
        swapped = None if maps is None else (maps[1], maps[0])
        backward = masking(second, first, generator, saliency=swapped)
        return StepViews(
            (forward.query, backward.query),
            (backward.key, forward.key),
            (forward, backward),
            (forward.query_unseen, backward.query_unseen),
        )

    @property
    def both_directions(self) -> bool:
        """Whether each view is a query once: in momentum methods."""
        return hasattr(self, "momentum_backbone")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what an exact and honest resume needs."""
        super().on_save_checkpoint(checkpoint)  # type: ignore[misc]
        source = trained_on(self.masking.localizer)
        remember(checkpoint, self.salmask.plain(), self._batches_seen, source)

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Go on counting batches where the checkpoint stopped.

        Raises:
            ValueError: if the checkpoint was trained with other masking, or with none.
        """
        super().on_load_checkpoint(checkpoint)  # type: ignore[misc]
        self._batches_seen = batches_seen(checkpoint, self.salmask.plain())

    @contextmanager
    def _next_view(self, encoder: str, clean: Tensor) -> Iterator[Tensor]:
        """Give the next prepared view and pass it by the encoder's filter; else the clean one."""
        if encoder not in self._pending:
            yield clean
            return
        network = getattr(self, encoder)
        images, unseen = next(self._pending[encoder])
        with already_filtered(network), visible_only(network, unseen):
            yield images

    def draws_of_negatives(self, device: torch.device) -> AbstractContextManager[None]:
        """What encodes hard negatives draws apart: the data order stays the baseline's."""
        return global_draws_from(self._generator(device, NEGATIVES_STREAM))

    def _generator(self, device: torch.device, stream: int = 0) -> torch.Generator:
        cfg, rank = self.cfg, int(self.global_rank)  # type: ignore[attr-defined]
        return step_generator(int(cfg.seed), stream + rank, self._batches_seen, device)

    def _log_masks(self, directions: Sequence[MaskedViews]) -> None:
        values: dict[str, list[Tensor]] = {"mask_ratio": [], "foreground_share": []}
        # A warm-up's constant map is no saliency: its foreground is everything.
        told = self.step_settings()[1] is self.masking
        for views in directions:
            for mask in (views.query_mask, views.key_mask):
                if mask is not None:
                    values["mask_ratio"].append(mask.float().mean())
            if told and views.saliency is not None:
                objects = foreground(views.saliency[0], foreground_tolerance(self.masking))
                values["foreground_share"].append(objects.float().mean())
        self.log_means(values)

    def log_means(self, values: Mapping[str, Sequence[Tensor]]) -> None:
        """Log the mean of each list, averaged over the epoch and over the processes."""
        means = {key: torch.stack(list(parts)).mean() for key, parts in values.items() if parts}
        self.log_dict(means, on_step=False, on_epoch=True, sync_dist=True)  # type: ignore[attr-defined]


def _normalised_by(cfg: Any) -> Statistics:
    """(mean, std) of the views, as solo-learn's transforms choose them."""
    if cfg.data.dataset in NORMALISED_BY:
        return NORMALISED_BY[cfg.data.dataset]
    if cfg.data.dataset != "custom":
        return IMAGENET
    given = cfg.augmentations[0]
    return tuple(given.get("mean", IMAGENET[0])), tuple(given.get("std", IMAGENET[1]))
