"""ADIOS and ADIOS-s on SimCLR: the encoder against a model that learns what to occlude."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from lightly.models.modules import SimCLRProjectionHead
from torch import Tensor, nn

from salmask_plugin.adapters.lightly.adios_module import OcclusionModule
from salmask_plugin.adapters.lightly.loss import HardNegativeNTXentLoss
from salmask_plugin.adapters.lightly.online import online_classifier
from salmask_plugin.adapters.lightly.refusals import check_backbone, refuse_last_of_one
from salmask_plugin.adapters.lightly.views import views_of
from salmask_plugin.adios import OcclusionModel
from salmask_plugin.adios.game import MasksPerStep, OcclusionGame
from salmask_plugin.adios.occlusion import Norm
from salmask_plugin.adios.players import OptimizerName, Players
from salmask_plugin.masking import SaliencyMasking
from salmask_plugin.precision import autocast_off, in_float


class ADIOSSimCLR(OcclusionModule):
    """SimCLR whose second view is occluded by a model that learns to make the task hard.

    Per batch, first the encoder takes a step that lowers sum_n L(z1, z2 occluded by mask n), then
    the occluder takes one that raises it less the sparsity penalty. Each player's parameters are
    frozen on the other's turn. Terms are back-propagated one mask at a time, so memory stays that
    of one clean and one occluded view; the clean view is encoded once per turn.

    A step trains both players, so Lightning's ``global_step`` (and ``max_steps``) advances by two
    per batch; the schedules count batches. Runs on one device or under DDP, plain ``ddp`` included.

    Differs from the released code: the clean view is not encoded anew for every mask; the
    occluder's turn updates no running statistics (see ``occluder_updates_statistics``); running
    statistics see one occluded forward per batch instead of N; the schedule moves per batch.

    Args:
        backbone: images -> (B, feature_dim) features, or a map of that many values.
        feature_dim: features of the backbone.
        image_size: side of the views, or (height, width); see :class:`OcclusionModel`.
        masking: must be None, for ADIOS learns its masks; here so that all methods take it.
        seed: of the drawn masks.
        num_classes: adds lightly's online linear classifier. None: none.
        masks_per_step: "one" random mask per image (ADIOS-s), or "all" N of them (ADIOS), for
            the cost of docs/adios.md.
        num_masks: N.
        width: of the occlusion model.
        norm: of the occlusion model.
        in_channels: of the views.
        sparsity: lambda, weight of the penalty.
        entropy: alpha_e; see :func:`~salmask_plugin.adios.area_entropy`.
        projection_hidden_dim: of the projection head.
        projection_dim: D.
        temperature: tau.
        learning_rate: of the encoder, for the whole batch, not scaled by it (released: B = 128).
        mask_learning_rate: of the occluder.
        weight_decay: of both.
        optimizer: of the encoder: "lars" (clipped) or "sgd".
        mask_optimizer: of the occluder.
        trust_coefficient: of LARS.
        warmup_epochs: linear, for both players.
        warmup_start: the first learning rate of both.
        occluder_updates_statistics: True is the released behaviour, in which the encoder's running
            statistics also see the images of the occluder's turn.

    References:
        Shi et al., ICML 2022, https://arxiv.org/abs/2201.13100. Defaults: the released ADIOS-s
        setting for SimCLR, ResNet-18 and ImageNet-100,
        https://github.com/YugeTen/adios/blob/21c6f23/bash_files/training/imagenet100/resnet18/simclr_adios_s.sh.
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
        num_masks: int = 4,
        width: int = 8,
        norm: Norm = "group",
        in_channels: int = 3,
        sparsity: float = 0.75,
        entropy: float = 0.0,
        projection_hidden_dim: int = 2048,
        projection_dim: int = 128,
        temperature: float = 0.2,
        learning_rate: float = 0.18956,
        mask_learning_rate: float = 0.49876,
        weight_decay: float = 1e-4,
        optimizer: OptimizerName = "lars",
        mask_optimizer: OptimizerName = "lars",
        trust_coefficient: float = 0.02,
        warmup_epochs: int = 10,
        warmup_start: float = 0.003,
        occluder_updates_statistics: bool = False,
    ) -> None:
        check_backbone(backbone)
        super().__init__(
            masking,
            seed=seed,
            players=Players(
                optimizer=optimizer,
                mask_optimizer=mask_optimizer,
                learning_rate=learning_rate,
                mask_learning_rate=mask_learning_rate,
                weight_decay=weight_decay,
                mask_weight_decay=weight_decay,
                trust_coefficient=trust_coefficient,
                warmup_epochs=warmup_epochs,
                warmup_start=warmup_start,
            ),
            game=OcclusionGame(
                masks_per_step=masks_per_step,
                mean_over_masks=False,
                sparsity=sparsity,
                entropy=entropy,
            ),
            occluder_updates_statistics=occluder_updates_statistics,
        )
        self.backbone = backbone
        self.projection_head = SimCLRProjectionHead(
            feature_dim, projection_hidden_dim, projection_dim, batch_norm=False
        )
        self.criterion = HardNegativeNTXentLoss(temperature=temperature, gather_distributed=True)
        self.online_classifier = online_classifier(feature_dim, num_classes)
        self.occluder = OcclusionModel(
            image_size, num_masks=num_masks, width=width, norm=norm, in_channels=in_channels
        )

    def on_train_start(self) -> None:
        """Refuse a last batch of one."""
        refuse_last_of_one(self.trainer)

    def training_step(self, batch: Sequence[Any], batch_idx: int) -> None:
        """Take the encoder's and the occluder's step on one batch.

        Raises:
            ValueError: if the batch is a single image, which has no negatives.
        """
        clean, other = views_of(batch)
        if len(clean) * self.trainer.world_size == 1:
            raise ValueError("a batch of 1 has no negatives: use more images, or drop_last=True.")
        generator = self.generator(clean.device)
        projections, online = self._project(clean), self.online_loss(batch, batch_idx)
        played = self.encoder_turn(other, projections, self._term, online, generator)
        with self.networks_still():
            term = partial(self._term, in_float(self._project(clean)))
            occluder_loss = self.occluder_turn(other, term, generator)
        self.end_batch(played, occluder_loss)

    def _project(self, images: Tensor) -> Tensor:
        projections: Tensor = self.projection_head(self.backbone(images).flatten(1))
        return projections

    def _term(self, clean: Tensor, occluded: Tensor) -> Tensor:
        """L(z1, z2): both players' term, of the clean projections and one occluded view."""
        projections = self._project(occluded)
        with autocast_off(occluded.device):
            loss: Tensor = self.criterion(in_float(clean), in_float(projections))
        return loss
