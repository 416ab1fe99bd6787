"""SimCLR of solo-learn with hard negatives for the masked view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from solo.methods.simclr import SimCLR
from solo.utils.misc import gather, get_rank
from torch import Tensor

from salmask_plugin.adapters.solo_learn.backbone import already_filtered
from salmask_plugin.adapters.solo_learn.losses import nt_xent_rows, with_hard_negatives
from salmask_plugin.adapters.solo_learn.mixin import SaliencyMaskingMixin
from salmask_plugin.running_statistics import frozen_running_statistics


class SalmaskSimCLR(SaliencyMaskingMixin, SimCLR):
    """solo-learn's SimCLR: view 0 masked, view 1 clean.

    All negatives of NT-Xent stay, and the rows of view 1 are unchanged; each row of view 0 gains
    its own image's hard negatives, embedded by the shared encoder without gradient. Hard negatives
    are never gathered from other processes. Without masks the step is solo-learn's own, bit for
    bit.

    References:
        Chin et al., WACV 2024. The paper says nothing about hard negatives in SimCLR; the choice is
        in docs/paper_vs_code.md.
    """

    def masked_training_step(self, batch: Sequence[Any], batch_idx: int) -> Any:
        """NT-Xent, with the hard negatives in the rows of view 0."""
        if self._step is None:
            return super().masked_training_step(batch, batch_idx)
        out = super(SimCLR, self).training_step(batch, batch_idx)
        z = torch.cat(out["z"])
        indexes = batch[0].repeat(self.num_large_crops + self.num_small_crops)
        rows = nt_xent_rows(
            z,
            indexes,
            gather(z),
            gather(indexes),
            first=len(z) * get_rank(),
            temperature=self.temperature,
            positive_in_denominator=self.salmask.positive_in_denominator,
        )
        losses, statistics = rows.losses, rows.statistics()
        images = self._step.directions[0].negatives
        if images is not None:
            count = len(images)
            joined = with_hard_negatives(
                rows.head(count),
                z[:count],
                self.embed_negatives(images),
                self.salmask.encoding.owners(count, images.device),
                temperature=self.temperature,
                settings=self.step_settings()[0],
            )
            losses = torch.cat((joined.losses, losses[count:]))
            statistics = joined.statistics()
        nce_loss = losses.mean()
        self.log("train_nce_loss", nce_loss, on_epoch=True, sync_dist=True)
        self.log_means(statistics)
        return nce_loss + out["loss"]

    @torch.no_grad()
    def embed_negatives(self, images: Tensor) -> Tensor:
        """Embed (B, M, C, H, W) by the shared encoder, in a forward of their own.

        Returns:
            (N, M, D): those of the images that have their own, see ``salmask.negative_encoding``.
        """
        chosen = self.salmask.encoding.chosen(images)
        flat = chosen.flatten(0, 1)
        if not self.no_channel_last:
            flat = flat.to(memory_format=torch.channels_last)
        networks = (self.backbone, self.projector)
        with (
            self.draws_of_negatives(images.device),
            frozen_running_statistics(*networks),
            already_filtered(self.backbone),
        ):
            z = self.projector(self.backbone(flat))
        return z.view(*chosen.shape[:2], -1)
