"""lightly's examples/pytorch_lightning/moco.py, its module unmodified: masking by a callback.

The only new lines are the masking and `callbacks=[...]`. There are no hard negatives, since the
module has no place for them.

python integration/lightly/callback_lightning.py --images path/to/folder
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import pytorch_lightning as pl
import torch
import torchvision
from lightly.loss import NTXentLoss
from lightly.models.modules import MoCoProjectionHead
from lightly.models.utils import deactivate_requires_grad, update_momentum
from lightly.transforms.moco_transform import MoCoV2Transform
from lightly.utils.scheduler import cosine_schedule
from setting import load, localize, setting
from torch import nn

from salmask_plugin import GridMask, Masking, MeanFill, SaliencyMasking
from salmask_plugin.adapters.lightly import SaliencyMaskingCallback


class MoCo(pl.LightningModule):
    def __init__(self):
        super().__init__()
        resnet = torchvision.models.resnet18()
        self.backbone = nn.Sequential(*list(resnet.children())[:-1])
        self.projection_head = MoCoProjectionHead(512, 512, 128)
        self.backbone_momentum = copy.deepcopy(self.backbone)
        self.projection_head_momentum = copy.deepcopy(self.projection_head)
        deactivate_requires_grad(self.backbone_momentum)
        deactivate_requires_grad(self.projection_head_momentum)
        self.criterion = NTXentLoss(memory_bank_size=(4096, 128))

    def forward(self, x):
        query = self.backbone(x).flatten(start_dim=1)
        return self.projection_head(query)

    def forward_momentum(self, x):
        key = self.backbone_momentum(x).flatten(start_dim=1)
        return self.projection_head_momentum(key).detach()

    def training_step(self, batch, batch_idx):
        momentum = cosine_schedule(self.current_epoch, 10, 0.996, 1)
        update_momentum(self.backbone, self.backbone_momentum, m=momentum)
        update_momentum(self.projection_head, self.projection_head_momentum, m=momentum)
        x_query, x_key = batch[0]
        query = self.forward(x_query)
        key = self.forward_momentum(x_key)
        return self.criterion(query, key)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.06)


def main(arguments: Sequence[str] | None = None) -> float:
    chosen = setting(arguments)
    masking = SaliencyMasking(localize(chosen), query=Masking(GridMask(), MeanFill()))
    trainer = pl.Trainer(
        max_epochs=chosen.epochs,
        accelerator="auto",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        callbacks=[SaliencyMaskingCallback(masking, query_index=0)],
    )
    trainer.fit(MoCo(), load(chosen, MoCoV2Transform(input_size=chosen.size)))
    ratio = float(trainer.callback_metrics["mask_ratio"])
    print(f"share of the query's pixels masked in the last step: {ratio:.3f}")
    return ratio


if __name__ == "__main__":
    main()
