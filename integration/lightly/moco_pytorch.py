"""lightly's examples/pytorch/moco.py with saliency-guided masking. What is new is marked (1)-(3).

python integration/lightly/moco_pytorch.py --images path/to/folder
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
import torchvision
from lightly.models.modules import MoCoProjectionHead
from lightly.models.utils import deactivate_requires_grad, update_momentum
from lightly.transforms.moco_transform import MoCoV2Transform
from lightly.utils.scheduler import cosine_schedule
from setting import load, localize, setting
from torch import Tensor, nn

from salmask_plugin import GridMask, Masking, MeanFill, SaliencyMasking, step_generator
from salmask_plugin.adapters.lightly import HardNegativeNTXentLoss, frozen_running_statistics


class MoCo(nn.Module):
    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.projection_head = MoCoProjectionHead(512, 512, 128)
        self.backbone_momentum = copy.deepcopy(self.backbone)
        self.projection_head_momentum = copy.deepcopy(self.projection_head)
        deactivate_requires_grad(self.backbone_momentum)
        deactivate_requires_grad(self.projection_head_momentum)

    def forward(self, x: Tensor) -> Tensor:
        return self.projection_head(self.backbone(x).flatten(start_dim=1))

    def forward_momentum(self, x: Tensor) -> Tensor:
        key = self.backbone_momentum(x).flatten(start_dim=1)
        return self.projection_head_momentum(key).detach()


def main(arguments: Sequence[str] | None = None) -> float:
    chosen = setting(arguments)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    resnet = torchvision.models.resnet18()
    model = MoCo(nn.Sequential(*list(resnet.children())[:-1])).to(device)
    dataloader = load(chosen, MoCoV2Transform(input_size=chosen.size))

    # (1) What is masked, and the loss that takes hard negatives instead of NTXentLoss.
    masking = SaliencyMasking(
        localize(chosen),
        query=Masking(GridMask(ratio=(0.05, 0.25)), MeanFill()),
        negative=Masking(GridMask(ratio=(0.4, 0.7), background=False), MeanFill()),
    )
    criterion = HardNegativeNTXentLoss(temperature=0.2, memory_bank_size=(4096, 128)).to(device)

    optimizer = torch.optim.SGD(model.parameters(), lr=0.06)
    step, loss = 0, torch.zeros(())
    for epoch in range(chosen.epochs):
        momentum = cosine_schedule(epoch, chosen.epochs, 0.996, 1)
        for batch in dataloader:
            x_query, x_key = (x.to(device) for x in batch[0])
            # (2) Masked query, clean key, and the key without its object.
            views = masking(x_query, x_key, step_generator(0, 0, step, device))
            update_momentum(model.backbone, model.backbone_momentum, m=momentum)
            update_momentum(model.projection_head, model.projection_head_momentum, m=momentum)
            query = model(views.query)
            key = model.forward_momentum(views.key)
            # (3) Hard negatives pass the key encoder in a forward that leaves no statistics.
            with frozen_running_statistics(model):
                hard_negatives = model.forward_momentum(views.negatives[:, 0])
            loss = criterion(query, key, hard_negatives)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            step += 1
        share = criterion.statistics.hard_negative_share
        print(f"epoch: {epoch:>02}, loss: {loss:.5f}, hard negative share: {share:.3f}")
    return loss.item()


if __name__ == "__main__":
    main()
