"""SimCLR from lightly's parts, with a masked first view and hard negatives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from lightly.models.modules import SimCLRProjectionHead
from lightly.models.utils import get_weight_decay_parameters
from lightly.utils.lars import LARS
from torch import Tensor, nn

from salmask_plugin.adapters.lightly.hard_negatives import HardNegativeEncoder
from salmask_plugin.adapters.lightly.logs import StepLog
from salmask_plugin.adapters.lightly.loss import HardNegativeNTXentLoss
from salmask_plugin.adapters.lightly.masked_module import MaskedModule
from salmask_plugin.adapters.lightly.online import online_classifier
from salmask_plugin.adapters.lightly.optimizers import cosine_per_epoch
from salmask_plugin.adapters.lightly.refusals import (
    check_backbone,
    check_module,
    refuse_last_of_one,
)
from salmask_plugin.adapters.lightly.views import StepMasking, bind_encoder, draws_of_step
from salmask_plugin.checks import check_choice, number, whole_number
from salmask_plugin.masking import SaliencyMasking
from salmask_plugin.negatives import NegativeEncoding
from salmask_plugin.sparse import visible_only
from salmask_plugin.warm_up import SaliencyWarmUp

Optimizer = Literal["lars", "sgd"]


class MaskedSimCLR(MaskedModule):
    """SimCLR whose first view is masked, and whose rows of that view take hard negatives.

    ``masking=None`` is lightly's SimCLR on the same code path and seed. Each view has a forward of
    its own, for baseline and method alike, so that masked and clean images share no BatchNorm
    batch. Hard negatives pass the same encoder without gradient in a forward of their own that
    updates no running statistics; the rows of the clean view stay plain NT-Xent.

    Args:
        backbone: images -> (B, feature_dim) features, or a map of that many values.
        feature_dim: features of the backbone.
        masking: None is the baseline. Its localizer may be ``partial(MomentumLocalizer, ...)``,
            which is then given this module's backbone.
        seed: of the masks.
        warm_up: masks without saliency and without hard negatives at first; None: none.
        negative_encoding: what is encoded of the hard negatives; None: all, as in the paper.
        query_index: which of lightly's two views is masked.
        num_classes: adds lightly's online linear classifier; see :class:`MaskedMoCoV2`.
        projection_dim: D.
        projection_hidden_dim: width of the projection head; None: feature_dim.
        temperature: tau; the paper gives none.
        rho: factor on the hard negatives' similarity.
        hard_negative_bias: added to their logits. With the 2B - 2 negatives of a batch they hold
            most of the softmax at 0; see :class:`HardNegativeNTXentLoss`.
        positive_in_denominator: False is Eq. 2 of the paper as printed.
        optimizer: "lars", the paper's, or "sgd", enough for small batches; both with momentum 0.9.
        learning_rate: for the whole batch, not scaled by it (the paper: 0.3 at 256 under LARS).
        weight_decay: not on biases and norms, which LARS also leaves at the plain rate. Must be
            positive under LARS: lightly's does not scale layers without it.
        warmup_epochs: linear.
        trust_coefficient: of LARS; the paper gives none.

    Raises:
        ValueError: on another optimizer, or a weight decay that it cannot work with.

    References:
        SimCLR, https://arxiv.org/abs/2002.05709; Chin et al., WACV 2024, section A.4. Unnamed
        settings follow solo-learn's ImageNet-100 recipe,
        https://github.com/vturrisi/solo-learn/tree/9187ea3.
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
        projection_hidden_dim: int | None = None,
        temperature: float = 0.2,
        rho: float = 2.0,
        hard_negative_bias: float = 0.0,
        positive_in_denominator: bool = True,
        optimizer: Optimizer = "lars",
        learning_rate: float = 0.3,
        weight_decay: float = 1e-4,
        warmup_epochs: int = 10,
        trust_coefficient: float = 0.02,
    ) -> None:
        super().__init__()
        check_backbone(backbone)
        check_choice(optimizer, "optimizer", Optimizer)
        feature_dim = whole_number(feature_dim, "feature_dim")
        projection_dim = whole_number(projection_dim, "projection_dim")
        if projection_hidden_dim is None:
            projection_hidden_dim = feature_dim
        hidden_dim = whole_number(projection_hidden_dim, "projection_hidden_dim")
        self.learning_rate = number(learning_rate, "learning_rate", at_least=0)
        self.weight_decay = number(weight_decay, "weight_decay", at_least=0)
        if optimizer == "lars" and not weight_decay > 0:
            raise ValueError(
                f"weight_decay={weight_decay} must be positive: lightly's LARS does not scale "
                "layers without weight decay."
            )
        self.optimizer = optimizer
        self.rho = rho
        self.warmup_epochs = whole_number(warmup_epochs, "warmup_epochs", at_least=0)
        self.trust_coefficient = number(trust_coefficient, "trust_coefficient", above=0)

        self.backbone = backbone
        self.projection_head = SimCLRProjectionHead(feature_dim, hidden_dim, projection_dim)
        self.criterion = HardNegativeNTXentLoss(
            temperature=temperature,
            gather_distributed=True,
            rho=rho,
            hard_negative_bias=hard_negative_bias,
            positive_in_denominator=positive_in_denominator,
        )
        self.online_classifier = online_classifier(feature_dim, num_classes)
        self.step_masking = StepMasking(
            bind_encoder(masking, self.backbone),
            query_index=query_index,
            seed=seed,
            warm_up=warm_up,
        )
        self.hard_negatives = HardNegativeEncoder(negative_encoding, masking)
        self.step_log = StepLog(self.step_masking.masking)

    def setup(self, stage: str) -> None:
        """Refuse what cannot be."""
        check_module(self)

    def on_train_start(self) -> None:
        """Refuse a last batch of one; tell the masking how long training is."""
        refuse_last_of_one(self.trainer)
        self.step_masking.start(self.trainer)

    def training_step(self, batch: Sequence[Any], batch_idx: int) -> Tensor:
        """Return the loss of one batch.

        Raises:
            ValueError: if the batch is a single image, which has no negatives.
        """
        due = self.hard_negatives.due(self.global_step)
        views = self.step_masking(batch, rank=self.global_rank, negatives=due)
        negatives = 2 * len(views.query) * self.trainer.world_size - 2
        if negatives == 0:
            raise ValueError("a batch of 1 has no negatives: use more images, or drop_last=True.")
        query = self._project(views.query, views.query_unseen)
        key = self._project(views.key)
        networks = (self.backbone, self.projection_head)
        with draws_of_step(self.step_masking, query.device):
            hard = self.hard_negatives(views.negatives, networks, self._project)
        self.criterion.rho = self.step_masking.rho(self.rho)
        loss: Tensor = self.criterion(query, key, *hard)
        return self.end_step(loss, views, batch, batch_idx, negatives=negatives)

    def configure_optimizers(self) -> Any:
        """Return the optimizer, with warm-up and cosine per epoch over ``trainer.max_epochs``."""
        decayed, others = get_weight_decay_parameters([self.backbone, self.projection_head])
        if self.online_classifier is not None:
            others += self.online_classifier.parameters()
        groups = [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
        shared: dict[str, Any] = {
            "lr": self.learning_rate,
            "momentum": 0.9,
            "weight_decay": self.weight_decay,
        }
        optimizer = (
            LARS(groups, trust_coefficient=self.trust_coefficient, **shared)
            if self.optimizer == "lars"
            else torch.optim.SGD(groups, **shared)
        )
        schedule = cosine_per_epoch(
            optimizer,
            warmup_epochs=self.warmup_epochs,
            max_epochs=self.trainer.max_epochs or -1,
        )
        return [optimizer], [{"scheduler": schedule, "interval": "epoch"}]

    def _project(self, images: Tensor, unseen: Tensor | None = None) -> Tensor:
        with visible_only(self.backbone, unseen):
            features = self.backbone(images).flatten(1)
        projections: Tensor = self.projection_head(features)
        return projections
