"""MoCo v2+ of solo-learn and the one-directional MoCo v2 of the paper, with hard negatives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from solo.methods.base import BaseMethod
from solo.methods.mocov2plus import MoCoV2Plus
from solo.utils.misc import gather
from torch import Tensor

from salmask_plugin.adapters.solo_learn.backbone import already_filtered
from salmask_plugin.adapters.solo_learn.held_keys import HeldKeys
from salmask_plugin.adapters.solo_learn.losses import Rows, moco_rows, with_hard_negatives
from salmask_plugin.adapters.solo_learn.mixin import SaliencyMaskingMixin
from salmask_plugin.adapters.solo_learn.one_view import one_view
from salmask_plugin.running_statistics import frozen_running_statistics


class SalmaskMoCoV2Plus(SaliencyMaskingMixin, HeldKeys, MoCoV2Plus):
    """solo-learn's MoCo v2+ on masked queries.

    Each direction of the symmetric loss has its own masked query and its own hard negative, made
    from its own key view; saliency is computed once for both. The queue is read by both directions
    before the keys enter it, and by all batches of an optimizer step before theirs do. Without
    masks the step is solo-learn's own, bit for bit.

    References:
        Chin et al., WACV 2024, sections 3.1 to 3.3. Differs: that paper's loss has one direction
        (:class:`SalmaskMoCoV2`).
    """

    def masked_training_step(self, batch: Sequence[Any], batch_idx: int) -> Any:
        """The symmetric loss, hard negatives included."""
        if self._step is None:
            return super().masked_training_step(batch, batch_idx)
        out = super(MoCoV2Plus, self).training_step(batch, batch_idx)
        (q1, q2), (k1, k2) = out["z"], out["momentum_z"]
        queue = self.queue.clone()
        forward = self.direction(q1, k2, queue[1], 0)
        backward = self.direction(q2, k1, queue[0], 1)
        nce_loss = (forward.losses.mean() + backward.losses.mean()) / 2
        self._dequeue_and_enqueue(torch.stack((gather(k1), gather(k2))))
        self.log("train_nce_loss", nce_loss, on_epoch=True, sync_dist=True)
        one, other = forward.statistics(), backward.statistics()
        self.log_means({key: one[key] + other[key] for key in one})
        return nce_loss + out["loss"]

    def direction(self, query: Tensor, key: Tensor, queue: Tensor, index: int) -> Rows:
        """Return the rows of one loss direction, its hard negatives joined where it has them."""
        rows = moco_rows(
            query,
            key,
            queue,
            temperature=self.temperature,
            positive_in_denominator=self.salmask.positive_in_denominator,
        )
        images = None if self._step is None else self._step.directions[index].negatives
        if images is None:
            return rows
        return with_hard_negatives(
            rows,
            query,
            self.embed_negatives(images),
            self.salmask.encoding.owners(len(images), images.device),
            temperature=self.temperature,
            settings=self.step_settings()[0],
        )

    @torch.no_grad()
    def embed_negatives(self, images: Tensor) -> Tensor:
        """Embed (B, M, C, H, W) by the momentum encoder, in a forward of their own.

        Returns:
            (N, M, D): those of the images that have their own, see ``salmask.negative_encoding``.
        """
        chosen = self.salmask.encoding.chosen(images)
        networks = (self.momentum_backbone, self.momentum_projector)
        with (
            self.draws_of_negatives(images.device),
            frozen_running_statistics(*networks),
            already_filtered(self.momentum_backbone),
        ):
            z = self.momentum_forward(chosen.flatten(0, 1))["z"]
        return z.view(*chosen.shape[:2], -1)


class SalmaskMoCoV2(SalmaskMoCoV2Plus):
    """The paper's MoCo v2: view 0 is the query, view 1 the key, one queue, one direction.

    solo-learn has no such method, so ``+salmask=none`` is its baseline. No batch is shuffled:
    like solo-learn's own MoCo, use ``sync_batchnorm: True`` on several devices.

    References:
        https://arxiv.org/abs/2003.04297; settings of Chin et al. in
        ``configs/solo_learn/salmask_mocov2_imagenet100.yaml``.
    """

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg)
        self.register_buffer("queue", self.queue[:1].clone())

    @property
    def both_directions(self) -> bool:
        """No: only view 0 is a query."""
        return False

    def masked_training_step(self, batch: Sequence[Any], batch_idx: int) -> Tensor:
        """The one-directional loss, hard negatives included."""
        indexes, views, targets = batch
        with one_view(self):
            out = BaseMethod.training_step(self, [indexes, [views[0]], targets], batch_idx)
        keys = self._shared_step_momentum(views[1], targets)
        query, key = out["z"][0], keys["z"]
        rows = self.direction(query, key, self.queue[0].clone(), 0)
        nce_loss = rows.losses.mean()
        self._dequeue_and_enqueue(gather(key)[None])
        self.log("train_nce_loss", nce_loss, on_epoch=True, sync_dist=True)
        self.log_means(rows.statistics())
        class_loss = out["loss"]
        if "loss" in keys:  # solo-learn's momentum classifier, where it is on
            class_loss = class_loss + keys["loss"]
        return nce_loss + class_loss
