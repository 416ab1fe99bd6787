"""ADIOS and ADIOS-s on MoCo v2: this project's port, for which there is no reference."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from functools import partial
from typing import Any, cast

import torch
from lightly.models.modules import MoCoProjectionHead
from lightly.models.utils import (
    batch_shuffle,
    batch_unshuffle,
    deactivate_requires_grad,
    update_momentum,
)
from torch import Tensor, nn

from salmask_plugin.adapters.lightly.adios_module import OcclusionModule
from salmask_plugin.adapters.lightly.batch_norm import leave_whole, split_batch_norm
from salmask_plugin.adapters.lightly.batch_norm_notice import GroupsNotice
from salmask_plugin.adapters.lightly.online import online_classifier
from salmask_plugin.adapters.lightly.queue import KeyQueue
from salmask_plugin.adapters.lightly.refusals import check_backbone, check_momentum_moves
from salmask_plugin.adapters.lightly.views import draws_of_step, views_of
from salmask_plugin.adios import OcclusionModel, moco_occluder_term, moco_term
from salmask_plugin.adios.game import MasksPerStep, OcclusionGame
from salmask_plugin.adios.occlusion import Norm
from salmask_plugin.adios.players import OptimizerName, Players
from salmask_plugin.checks import number, whole_number
from salmask_plugin.masking import SaliencyMasking
from salmask_plugin.precision import in_float


class ADIOSMoCoV2(OcclusionModule):
    """MoCo v2 against a model that learns what to occlude.

    There is no reference implementation of ADIOS on MoCo; this port mirrors ADIOS on BYOL. Both
    views pass both encoders, one of them occluded: see :func:`~salmask_plugin.adios.moco_term`,
    averaged over the masks played. Both players see the same queue; f_k(x1) is enqueued once, after
    both turns. The key encoder is updated once, before the keys. The turns, memory, step counting,
    strategies and running statistics are those of :class:`ADIOSSimCLR`.

    Args:
        backbone: images -> (B, feature_dim) features, or a map of that many values. It is trained
            in place, and its BatchNorm layers are replaced (see ``split_batch_size``).
        feature_dim: features of the backbone; also the width of the projection head.
        image_size: side of the views, or (height, width); see :class:`OcclusionModel`.
        masking: must be None, for ADIOS learns its masks; here so that all methods take it.
        seed: of the drawn masks.
        num_classes: adds lightly's online linear classifier. None: none.
        masks_per_step: "one" random mask per image (ADIOS-s), or "all" N of them (ADIOS).
        num_masks: N. The paper's cost section says 6 slots.
        width, norm, in_channels, sparsity, entropy: as in :class:`ADIOSSimCLR`.
        projection_dim: D.
        queue_size, momentum, temperature: as in :class:`MaskedMoCoV2`.
        learning_rate: of the encoder, for the whole batch, not scaled by it.
        weight_decay: of the encoder.
        optimizer: of the encoder: "sgd" as in MoCo, or "lars" (clipped) as in ADIOS.
        mask_learning_rate, mask_weight_decay, mask_optimizer: of the occluder.
        trust_coefficient, warmup_epochs, warmup_start: as in :class:`ADIOSSimCLR`.
        split_batch_size: as in :class:`MaskedMoCoV2`.
        occluder_updates_statistics: as in :class:`ADIOSSimCLR`.

    References:
        Shi et al., ICML 2022, https://arxiv.org/abs/2201.13100; Chin et al., WACV 2024, sections
        A.2 and A.5. The encoder's defaults are MoCo v2's, the occluder's those of the released
        ADIOS-s setting for BYOL,
        https://github.com/YugeTen/adios/blob/21c6f23/bash_files/training/imagenet100/resnet18/byol_adios_s.sh.
    """

    def __init__(
        self,
        backbone: nn.Module,
        *,
        feature_dim: int,
        image_size: int | tuple[int, int],
        masking: SaliencyMasking | None = None,
        seed: int = 0,
        num_classes: int | None = None,
        masks_per_step: MasksPerStep = "one",
        num_masks: int = 6,
        width: int = 32,
        norm: Norm = "group",
        in_channels: int = 3,
        sparsity: float = 1.0,
        entropy: float = 0.0,
        projection_dim: int = 128,
        queue_size: int = 65536,
        momentum: float = 0.999,
        temperature: float = 0.2,
        learning_rate: float = 0.015,
        mask_learning_rate: float = 0.12952,
        weight_decay: float = 1e-4,
        mask_weight_decay: float = 1e-5,
        optimizer: OptimizerName = "sgd",
        mask_optimizer: OptimizerName = "lars",
        trust_coefficient: float = 0.02,
        warmup_epochs: int = 10,
        warmup_start: float = 0.003,
        split_batch_size: int | None = 32,
        occluder_updates_statistics: bool = False,
    ) -> None:
        check_backbone(backbone)
        number(temperature, "temperature", above=0)
        momentum = number(momentum, "momentum", at_least=0, at_most=1)
        queue_size = whole_number(queue_size, "queue_size")
        super().__init__(
            masking,
            seed=seed,
            players=Players(
                optimizer=optimizer,
                mask_optimizer=mask_optimizer,
                learning_rate=learning_rate,
                mask_learning_rate=mask_learning_rate,
                weight_decay=weight_decay,
                mask_weight_decay=mask_weight_decay,
                trust_coefficient=trust_coefficient,
                warmup_epochs=warmup_epochs,
                warmup_start=warmup_start,
            ),
            game=OcclusionGame(
                masks_per_step=masks_per_step,
                mean_over_masks=True,
                sparsity=sparsity,
                entropy=entropy,
            ),
            occluder_updates_statistics=occluder_updates_statistics,
        )
        self.momentum = momentum
        self.temperature = temperature
        self.split_batch_size = split_batch_size
        self._groups_notice = GroupsNotice(split_batch_size)
        if split_batch_size is not None:
            split_batch_norm(backbone, split_batch_size)
        self.backbone = backbone
        self.projection_head = MoCoProjectionHead(feature_dim, feature_dim, projection_dim)
        self.key_backbone = deepcopy(self.backbone)
        self.key_projection_head = deepcopy(self.projection_head)
        deactivate_requires_grad(self.key_backbone)
        deactivate_requires_grad(self.key_projection_head)
        self.queue = KeyQueue((queue_size, projection_dim), gather_distributed=True)
        self.online_classifier = online_classifier(feature_dim, num_classes)
        form = {"num_masks": num_masks, "width": width, "in_channels": in_channels}
        self.occluder = OcclusionModel(image_size, norm=norm, **form)

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """The key encoder also stands still on the occluder's turn."""
        return (*super().networks, self.key_backbone, self.key_projection_head)

    def setup(self, stage: str) -> None:
        """Refuse what cannot be; leave BatchNorm whole on several devices."""
        super().setup(stage)
        check_momentum_moves(self, self.momentum)
        if self.trainer.world_size > 1:
            leave_whole(self)

    def on_train_batch_start(self, batch: Sequence[Any], batch_idx: int) -> None:
        """Say once how BatchNorm sees the batch."""
        self._groups_notice(len(views_of(batch)[0]), self.backbone, devices=self.trainer.world_size)

    def training_step(self, batch: Sequence[Any], batch_idx: int) -> None:
        """Take the encoder's and the occluder's step on one batch."""
        clean, other = views_of(batch)
        generator = self.generator(clean.device)
        with draws_of_step(self.steps, clean.device):
            query, online = self._encode_query(clean), self.online_loss(batch, batch_idx)
            update_momentum(self.backbone, self.key_backbone, m=self.momentum)
            update_momentum(self.projection_head, self.key_projection_head, m=self.momentum)
            key = self._encode_key(clean)
            term = partial(self._encoder_term, key)
            played = self.encoder_turn(other, query, term, online, generator)
        with self.networks_still():
            term = partial(self._occluder_term, key)
            occluder_loss = self.occluder_turn(other, term, generator)
        # Only now: in the queue, this batch's keys would be negatives of their own images.
        self.queue.enqueue(nn.functional.normalize(key, dim=1))
        self.end_batch(played, occluder_loss)

    def _encode_query(self, images: Tensor) -> Tensor:
        return cast(Tensor, self.projection_head(self.backbone(images).flatten(1)))

    @torch.no_grad()
    def _encode_key(self, images: Tensor) -> Tensor:
        """Projections (B, D) by the key encoder, its BatchNorm groups drawn anew."""
        distributed = self.trainer.world_size > 1
        images, order = batch_shuffle(images, distributed=distributed)
        projections = self.key_projection_head(self.key_backbone(images).flatten(1))
        return in_float(batch_unshuffle(projections, order, distributed=distributed))

    def _encoder_term(self, clean_key: Tensor, clean_query: Tensor, occluded: Tensor) -> Tensor:
        query, key = self._encode_query(occluded), self._encode_key(occluded)
        bank, tau = self.queue.bank, self.temperature
        return moco_term(clean_query, clean_key, query, key, bank, temperature=tau)

    def _occluder_term(self, clean_key: Tensor, occluded: Tensor) -> Tensor:
        query = self._encode_query(occluded)
        return moco_occluder_term(query, clean_key, self.queue.bank, temperature=self.temperature)
