"""Masking for stable-pretraining's modules, which stay as they are."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from salmask_plugin.adapters.recipe import (
    check_draws,
    check_encoding,
    check_masking,
    recorded_kernel,
)
from salmask_plugin.adapters.stable_pretraining.loss import HardNegativeNTXentLoss
from salmask_plugin.adapters.stable_pretraining.views import views_of
from salmask_plugin.fills.special import is_unseen
from salmask_plugin.filters import UNFILTERED_EVALUATION
from salmask_plugin.localizers.needs import innermost, needs_of
from salmask_plugin.masking import SaliencyMasking, foreground_tolerance
from salmask_plugin.masks import foreground
from salmask_plugin.negatives import NegativeEncoding
from salmask_plugin.running_statistics import frozen_running_statistics
from salmask_plugin.seeding import NEGATIVES_STREAM, global_draws_from, step_generator
from salmask_plugin.types import MaskedViews
from salmask_plugin.warm_up import SaliencyWarmUp, training_batches

ONE_ENCODER = ("simclr", "vicreg", "barlow_twins", "swav", "nnclr")
"""The host's forwards that call ``backbone`` for both views."""


class SaliencyMaskingCallback(Callback):
    """Mask the views of every training batch before the module's forward sees them.

    Works with every forward of two views: ``simclr``, ``byol``, ``vicreg``, ``barlow_twins``,
    ``nnclr`` and your own. The host's own take views as a list, not by names. Validation and
    testing are not touched. Hard negatives need the one forward that calls a loss object of two
    projections: ``Module(forward=simclr, simclr_loss=HardNegativeNTXentLoss())``. The module's
    ``backbone`` and ``projector`` encode them.

    ``mask_ratio`` and ``foreground_share`` are logged. The step is part of checkpoints, so a
    resumed run draws the masks it would have drawn.

    Args:
        masking: what to do. With a view filter both views are filtered, and evaluation must filter
            as well, which an unmodified module does not.
        query_index: which of the two views is the query, 0 or 1.
        seed: of the masks.
        warm_up: masks without saliency and without hard negatives at first; None: none.
        negative_encoding: what is encoded of the hard negatives; None: all, as in the paper. Its
            ``every`` counts batches here: modules of this host step their optimizers themselves.

    Raises:
        ValueError: if it is no SaliencyMasking, query_index is not 0 or 1, the seed is negative,
            the query is not to be seen, the localizer needs more than the views, or less is to be
            encoded of no negatives.
    """

    def __init__(
        self,
        masking: SaliencyMasking,
        query_index: int,
        seed: int = 0,
        warm_up: SaliencyWarmUp | None = None,
        negative_encoding: NegativeEncoding | None = None,
    ) -> None:
        super().__init__()
        check_masking(masking)
        self.seed = check_draws(query_index=query_index, seed=seed, warm_up=warm_up)
        if is_unseen(masking.query):
            raise ValueError(
                "query.fill must show something: an unmodified module encodes its query whole. Use "
                "visible_only(encoder, views.query_unseen) in a forward of your own."
            )
        if isinstance(innermost(masking.localizer), partial):
            raise ValueError(
                f"localizer={masking.localizer} waits for an encoder; give it your module's: "
                "MomentumLocalizer(module.backbone.teacher, layer=...)."
            )
        if needs_of(masking.localizer) in ("object masks", "cached maps"):
            raise ValueError(
                f"localizer={masking.localizer} needs {needs_of(masking.localizer)}, which "
                "stable-pretraining's batches do not carry. Use one that takes the views."
            )
        self.encoding = check_encoding(negative_encoding, masking)
        self.masking = masking
        self.query_index = query_index
        self.warm_up = warm_up
        self.batches_seen = 0
        self._total_batches: int | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse hard negatives that nobody would contrast; say what a view filter asks for.

        Raises:
            ValueError: if the masking makes hard negatives and the module has no place for them, or
                its forward encodes by a teacher that nothing trains.
        """
        self._total_batches = None
        self._check_encoder(pl_module)
        if self.masking.negative is not None:
            self._loss(pl_module)
            lacking = [part for part in ("backbone", "projector") if not hasattr(pl_module, part)]
            if lacking:
                raise ValueError(
                    f"hard negatives are encoded by the module's backbone and projector; it has "
                    f"no {' and no '.join(lacking)}."
                )
        if self.masking.view_filter is not None:
            rank_zero_warn(UNFILTERED_EVALUATION)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Replace the pixels in the batch's own views.

        Raises:
            TypeError: if the batch is no dict.
            ValueError: if it does not hold two views.
        """
        views = views_of(batch)
        query, key = views[self.query_index], views[1 - self.query_index]
        pixels = query["image"]
        if self.warm_up is not None and self._total_batches is None:
            # Now, since modules note their own frequency of steps after callbacks are started.
            self._total_batches = training_batches(
                trainer, per_step=_batches_of_a_step(trainer, pl_module), at_epoch_end=False
            )
            # What the localizer refuses, it must not refuse only after the warm-up.
            self.masking.localize(pixels, key["image"])
        done = self.batches_seen / (self._total_batches or 1)
        masking = self.masking if self.warm_up is None else self.warm_up.masking(self.masking, done)
        if not self.encoding.falls_on(self.batches_seen):
            masking = replace(masking, negative=None)
        draws = step_generator(self.seed, trainer.global_rank, self.batches_seen, pixels.device)
        masked = masking(pixels, key["image"], draws)
        query["image"], key["image"] = masked.query, masked.key
        if masked.negatives is not None:
            loss = self._loss(pl_module)
            rho = loss.rho if self.warm_up is None else self.warm_up.rho(loss.rho, done)
            apart = (self.seed, NEGATIVES_STREAM + trainer.global_rank, self.batches_seen)
            generator = step_generator(*apart, pixels.device)
            encode = partial(_encode, pl_module, masked.negatives, self.encoding, generator)
            loss.expect(encode, query_index=self.query_index, rho=rho)
        # A constant map is no saliency: its foreground is everything, and not to be told.
        told = self.warm_up is None or not self.warm_up.is_uniform(done)
        values = _statistics(masked, self.masking if told else None)
        pl_module.log_dict(
            values, on_step=False, on_epoch=True, sync_dist=True, batch_size=len(pixels)
        )

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Count the batch; Lightning saves checkpoints after this.

        Raises:
            ValueError: if hard negatives were made and the forward did not call the loss.
        """
        self.batches_seen += 1
        if self.masking.negative is not None and self._loss(pl_module).take_back():
            raise ValueError(
                "hard negatives were made, and the module's forward did not call its "
                "HardNegativeNTXentLoss: use stable_pretraining.forward.simclr."
            )

    def state_dict(self) -> dict[str, Any]:
        """Return the step, and the view filter for whoever loads the encoder."""
        kernel = recorded_kernel(self.masking)
        return {"batches_seen": self.batches_seen, "salmask_view_filter": kernel}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on at the saved step."""
        self.batches_seen = state_dict["batches_seen"]

    def _check_encoder(self, pl_module: LightningModule) -> None:
        """Refuse a teacher and its student where the host's forward calls the teacher alone."""
        forward = getattr(pl_module.forward, "__func__", pl_module.forward)
        name = getattr(forward, "__name__", "")
        of_host = getattr(forward, "__module__", "").startswith("stable_pretraining.")
        wrapped = hasattr(getattr(pl_module, "backbone", None), "forward_student")
        if of_host and name in ONE_ENCODER and wrapped:
            raise ValueError(
                f"backbone has a teacher and a student, and forward={name} calls the teacher, "
                "which takes no gradient: give it the network itself, or a forward of your own "
                "that calls forward_student."
            )

    def _loss(self, pl_module: LightningModule) -> HardNegativeNTXentLoss:
        """The one loss of the module that can contrast hard negatives."""
        found = [part for part in pl_module.modules() if isinstance(part, HardNegativeNTXentLoss)]
        if len(found) != 1:
            raise ValueError(
                f"negative must be None, or the module must have one HardNegativeNTXentLoss; it "
                f"has {len(found)}: Module(forward=simclr, simclr_loss=HardNegativeNTXentLoss())."
            )
        return found[0]


def _encode(
    module: Any, negatives: Tensor, encoding: NegativeEncoding, generator: torch.Generator
) -> tuple[Tensor, Tensor | None]:
    """Projections (N, M, D) of images (B, M, C, H, W), and their owners.

    Running statistics and torch's global generators stay as they are.
    """
    chosen = encoding.chosen(negatives)
    # Of a teacher and its student, the one that learns and gives the views their embeddings.
    backbone, projector = (
        part.student if hasattr(part, "forward_student") else part
        for part in (module.backbone, module.projector)
    )
    with global_draws_from(generator), frozen_running_statistics(backbone, projector):
        projections: Tensor = projector(backbone(chosen.flatten(0, 1)))
    owners = encoding.owners(len(negatives), projections.device)
    return projections.view(*chosen.shape[:2], -1), owners


def _batches_of_a_step(trainer: Trainer, module: Any) -> int:
    """How many batches the optimizer that counts the steps takes for one, as the host keeps it."""
    of_module = list(getattr(module, "_optimizer_frequencies", {}).values())
    return int(of_module[0] if of_module else trainer.accumulate_grad_batches)


@torch.no_grad()
def _statistics(views: MaskedViews, masking: SaliencyMasking | None) -> dict[str, Tensor]:
    """Share of masked pixels, and of foreground cells where a masking says what is foreground."""
    masks = [mask for mask in (views.query_mask, views.key_mask) if mask is not None]
    values = {}
    if masks:
        values["mask_ratio"] = torch.stack([mask.float().mean() for mask in masks]).mean()
    if views.saliency is not None and masking is not None:
        cells = foreground(views.saliency[0], foreground_tolerance(masking))
        values["foreground_share"] = cells.float().mean()
    return values
