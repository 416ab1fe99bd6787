"""MoCo v2 from lightly's parts, with masked views and hard negatives."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from lightly.models.modules import MoCoProjectionHead
from lightly.models.utils import (
    batch_shuffle,
    batch_unshuffle,
    deactivate_requires_grad,
    update_momentum,
)
from torch import Tensor, nn

from salmask_plugin.adapters.lightly.accumulation import MicroBatches
from salmask_plugin.adapters.lightly.batch_norm import leave_whole, split_batch_norm
from salmask_plugin.adapters.lightly.batch_norm_notice import GroupsNotice
from salmask_plugin.adapters.lightly.hard_negatives import HardNegativeEncoder
from salmask_plugin.adapters.lightly.logs import StepLog
from salmask_plugin.adapters.lightly.loss import HardNegativeNTXentLoss
from salmask_plugin.adapters.lightly.masked_module import MaskedModule
from salmask_plugin.adapters.lightly.online import online_classifier
from salmask_plugin.adapters.lightly.optimizers import cosine_per_epoch
from salmask_plugin.adapters.lightly.refusals import (
    check_backbone,
    check_module,
    check_momentum_moves,
)
from salmask_plugin.adapters.lightly.views import (
    StepMasking,
    bind_encoder,
    draws_of_step,
    views_of,
)
from salmask_plugin.checks import check_flag, number, whole_number
from salmask_plugin.masking import SaliencyMasking
from salmask_plugin.negatives import NegativeEncoding
from salmask_plugin.sparse import visible_only
from salmask_plugin.warm_up import SaliencyWarmUp


class MaskedMoCoV2(MaskedModule):
    """MoCo v2 whose query is masked and whose loss takes hard negatives.

    ``masking=None`` is lightly's MoCo v2: the same code path, the same initialisation and data
    order on the same seed, since masks are drawn from a generator of their own. Order of a step:
    query, momentum update, key, hard negatives; one direction, as in the paper. Hard negatives pass
    the key encoder without gradient in a forward of their own that updates no running statistics.

    A batch is ``([view, view], targets, ...)`` as lightly's transforms give it; with GivenLocalizer
    ``batch[2]`` is the list of the views' pixel masks.

    Args:
        backbone: images -> (B, feature_dim) features, or a map of that many values. It is trained
            in place, and its BatchNorm layers are replaced (see ``split_batch_size``).
        feature_dim: features of the backbone; also the width of the projection head.
        masking: None is the baseline. Its localizer may be ``partial(MomentumLocalizer, ...)``,
            which is then given this module's key encoder.
        seed: of the masks.
        warm_up: masks without saliency and without hard negatives at first; None: none.
        negative_encoding: what is encoded of the hard negatives; None: all, as in the paper.
        query_index: which of lightly's two views is the query; the other is the key.
        num_classes: adds lightly's online linear classifier, trained on clean query views in a
            forward of its own, so that its curve compares with the baseline's. None: none.
        projection_dim: D.
        projection_batch_norm: BatchNorm behind both layers of the projection head, as in MoCo v3.
            False is MoCo v2, and the paper.
        queue_size: K keys in the queue. A multiple of the global batch.
        momentum: of the key encoder.
        temperature: tau.
        rho: factor on the hard negatives' similarity.
        hard_negative_bias: added to their logits; see :class:`HardNegativeNTXentLoss`.
        positive_in_denominator: False is Eq. 2 of the paper as printed.
        learning_rate: for the whole batch, not scaled by it (the paper: 0.015 at 128).
        weight_decay: on all parameters, as in MoCo.
        warmup_epochs: 0 in the released code; the paper's text says 10.
        split_batch_size: on one device, BatchNorm groups of that many images with shuffled keys
            (the paper's 4 x 32); a batch that is no multiple is normalised whole, which is logged.
            On several devices each normalises its own batch, and keys are shuffled among them;
            ``Trainer(sync_batchnorm=True)`` normalises all together, which is not MoCo's.
            None keeps plain BatchNorm.

    References:
        MoCo v2, https://arxiv.org/abs/2003.04297; Chin et al., WACV 2024, sections 3 and A.4.
    """

    def __init__(
        self,
        backbone: nn.Module,
        *,
        feature_dim: int,
        masking: SaliencyMasking | None = None,
        seed: int = 0,
        warm_up: SaliencyWarmUp | None = None,
        negative_encoding: NegativeEncoding | None = None,
        query_index: int = 0,
        num_classes: int | None = None,
        projection_dim: int = 128,
        projection_batch_norm: bool = False,
        queue_size: int = 65536,
        momentum: float = 0.999,
        temperature: float = 0.2,
        rho: float = 2.0,
        hard_negative_bias: float = 0.0,
        positive_in_denominator: bool = True,
        learning_rate: float = 0.015,
        weight_decay: float = 1e-4,
        warmup_epochs: int = 0,
        split_batch_size: int | None = 32,
    ) -> None:
        super().__init__()
        check_backbone(backbone)
        check_flag(projection_batch_norm, "projection_batch_norm")
        feature_dim = whole_number(feature_dim, "feature_dim")
        projection_dim = whole_number(projection_dim, "projection_dim")
        self.momentum = number(momentum, "momentum", at_least=0, at_most=1)
        self.queue_size = queue_size = whole_number(queue_size, "queue_size")
        self.learning_rate = number(learning_rate, "learning_rate", at_least=0)
        self.weight_decay = number(weight_decay, "weight_decay", at_least=0)
        self.rho = rho
        self.warmup_epochs = whole_number(warmup_epochs, "warmup_epochs", at_least=0)
        self.split_batch_size = split_batch_size
        self._groups_notice = GroupsNotice(split_batch_size)
        self._micro_batches = MicroBatches()

        if split_batch_size is not None:
            split_batch_norm(backbone, split_batch_size)
        self.backbone = backbone
        self.projection_head = MoCoProjectionHead(
            feature_dim, feature_dim, projection_dim, batch_norm=projection_batch_norm
        )
        self.key_backbone = deepcopy(self.backbone)
        self.key_projection_head = deepcopy(self.projection_head)
        deactivate_requires_grad(self.key_backbone)
        deactivate_requires_grad(self.key_projection_head)
        self.criterion = HardNegativeNTXentLoss(
            temperature=temperature,
            memory_bank_size=(queue_size, projection_dim),
            gather_distributed=True,
            rho=rho,
            hard_negative_bias=hard_negative_bias,
            positive_in_denominator=positive_in_denominator,
        )
        self.online_classifier = online_classifier(feature_dim, num_classes)
        self.step_masking = StepMasking(
            bind_encoder(masking, self.key_backbone),
            query_index=query_index,
            seed=seed,
            warm_up=warm_up,
        )
        self.hard_negatives = HardNegativeEncoder(negative_encoding, masking)
        self.step_log = StepLog(self.step_masking.masking)

    def setup(self, stage: str) -> None:
        """Refuse what cannot be; leave BatchNorm whole where devices split the batch."""
        check_module(self)
        check_momentum_moves(self, self.momentum)
        if self.trainer.world_size > 1:
            leave_whole(self)

    def on_train_batch_start(self, batch: Sequence[Any], batch_idx: int) -> None:
        """Say once how BatchNorm sees the batch."""
        self._groups_notice(len(views_of(batch)[0]), self.backbone, devices=self.trainer.world_size)

    def on_train_start(self) -> None:
        """Tell the masking how long training is."""
        self.step_masking.start(self.trainer)

    def training_step(self, batch: Sequence[Any], batch_idx: int) -> Tensor:
        """Return the loss of one batch."""
        due = self.hard_negatives.due(self.global_step)
        views = self.step_masking(batch, rank=self.global_rank, negatives=due)
        with visible_only(self.backbone, views.query_unseen):
            query = self.projection_head(self.backbone(views.query).flatten(1))
        if self._micro_batches.begins(self.trainer):
            update_momentum(self.backbone, self.key_backbone, m=self.momentum)
            update_momentum(self.projection_head, self.key_projection_head, m=self.momentum)
        with draws_of_step(self.step_masking, query.device):
            key = self._encode_key(views.key)
            networks = (self.key_backbone, self.key_projection_head)
            hard = self.hard_negatives(views.negatives, networks, self._encode_key)
        self.criterion.rho = self.step_masking.rho(self.rho)
        self.criterion.memory_bank.hold = self._micro_batches.accumulates(self.trainer)
        loss: Tensor = self.criterion(query, key, *hard)
        return self.end_step(loss, views, batch, batch_idx, negatives=self.queue_size)

    def optimizer_step(self, *arguments: Any, **named: Any) -> None:
        """Step; then the queue takes the keys of all batches of the step."""
        super().optimizer_step(*arguments, **named)
        self.criterion.memory_bank.release()
        self._micro_batches.end()

    def configure_optimizers(self) -> Any:
        """SGD with momentum 0.9; cosine per epoch over ``trainer.max_epochs``."""
        trained = [*self.backbone.parameters(), *self.projection_head.parameters()]
        groups: list[dict[str, Any]] = [{"params": trained}]
        if self.online_classifier is not None:
            groups.append({"params": self.online_classifier.parameters(), "weight_decay": 0.0})
        optimizer = torch.optim.SGD(
            groups, lr=self.learning_rate, momentum=0.9, weight_decay=self.weight_decay
        )
        schedule = cosine_per_epoch(
            optimizer,
            warmup_epochs=self.warmup_epochs,
            max_epochs=self.trainer.max_epochs or -1,
        )
        return [optimizer], [{"scheduler": schedule, "interval": "epoch"}]

    @torch.no_grad()
    def _encode_key(self, images: Tensor) -> Tensor:
        """Projections (B, D) by the key encoder, its BatchNorm groups drawn anew."""
        distributed = self.trainer.world_size > 1
        images, order = batch_shuffle(images, distributed=distributed)
        projections = self.key_projection_head(self.key_backbone(images).flatten(1))
        return batch_unshuffle(projections, order, distributed=distributed)
