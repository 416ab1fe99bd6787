"""MoCo v2 with the mean recipe in the form of lightly's benchmarks/imagenet/resnet50/main.py.

In a checkout of lightly, beside main.py:

    import main
    import benchmark_method
    main.METHODS["salmask_mocov2"] = benchmark_method.METHOD
"""

from __future__ import annotations

from typing import Any

from lightly.transforms import MoCoV2Transform
from torch import Tensor

from salmask_plugin import GridMask, Masking, MeanFill, SaliencyMasking, SCDALocalizer
from salmask_plugin.adapters.lightly import MaskedMoCoV2, resnet
from salmask_plugin.localizers.pretrained import efficientnet_lite0
from salmask_plugin.types import Localizer


class SaliencyMaskedMoCoV2(MaskedMoCoV2):
    """Constructor, forward, online_classifier and validation_step as main.py wants them."""

    def __init__(
        self,
        batch_size_per_device: int,
        num_classes: int,
        *,
        backbone: str = "resnet50",
        localizer: Localizer | None = None,
        **settings: Any,
    ) -> None:
        network, feature_dim = resnet(backbone)
        masking = SaliencyMasking(
            localizer or SCDALocalizer(efficientnet_lite0()),
            query=Masking(GridMask(ratio=(0.05, 0.25)), MeanFill()),
            negative=Masking(GridMask(ratio=(0.4, 0.7), background=False), MeanFill()),
        )
        super().__init__(
            network,
            feature_dim=feature_dim,
            num_classes=num_classes,
            masking=masking,
            **settings,
        )
        self.batch_size_per_device = batch_size_per_device

    def configure_optimizers(self) -> Any:
        """The benchmark's rule: 0.03 for a batch of 256."""
        self.learning_rate = 0.03 * self.batch_size_per_device * self.trainer.world_size / 256
        return super().configure_optimizers()

    def validation_step(self, batch: Any, batch_idx: int) -> Tensor:
        inputs = (self(batch[0]), batch[1])
        loss, metrics = self.online_classifier.validation_step(inputs, batch_idx)
        self.log_dict(metrics, prog_bar=True, sync_dist=True, batch_size=len(batch[1]))
        return loss


METHOD = {"model": SaliencyMaskedMoCoV2, "transform": MoCoV2Transform()}
