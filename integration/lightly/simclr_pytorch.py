"""lightly's examples/pytorch/simclr.py with saliency-guided masking. What is new is marked (1)-(3).

python integration/lightly/simclr_pytorch.py --images path/to/folder
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torchvision
from lightly.models.modules import SimCLRProjectionHead
from lightly.transforms.simclr_transform import SimCLRTransform
from setting import load, localize, setting
from torch import Tensor, nn

from salmask_plugin import GridMask, Masking, MeanFill, SaliencyMasking, step_generator
from salmask_plugin.adapters.lightly import HardNegativeNTXentLoss, frozen_running_statistics


class SimCLR(nn.Module):
    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.projection_head = SimCLRProjectionHead(512, 512, 128)

    def forward(self, x: Tensor) -> Tensor:
        return self.projection_head(self.backbone(x).flatten(start_dim=1))


def main(arguments: Sequence[str] | None = None) -> float:
    chosen = setting(arguments)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    resnet = torchvision.models.resnet18()
    model = SimCLR(nn.Sequential(*list(resnet.children())[:-1])).to(device)
    dataloader = load(chosen, SimCLRTransform(input_size=chosen.size, gaussian_blur=0.0))

    # (1) What is masked, and the loss that takes hard negatives instead of NTXentLoss.
    masking = SaliencyMasking(
        localize(chosen),
        query=Masking(GridMask(ratio=(0.05, 0.25)), MeanFill()),
        negative=Masking(GridMask(ratio=(0.4, 0.7), background=False), MeanFill()),
    )
    criterion = HardNegativeNTXentLoss(temperature=0.5)

    optimizer = torch.optim.SGD(model.parameters(), lr=0.06)
    step, loss = 0, torch.zeros(())
    for epoch in range(chosen.epochs):
        for batch in dataloader:
            x0, x1 = (x.to(device) for x in batch[0])
            # (2) The first view masked, the second clean, and the second without its object.
            views = masking(x0, x1, step_generator(0, 0, step, device))
            z0, z1 = model(views.query), model(views.key)
            # (3) Hard negatives without gradient, in a forward that leaves no statistics.
            with torch.no_grad(), frozen_running_statistics(model):
                hard_negatives = model(views.negatives[:, 0])
            loss = criterion(z0, z1, hard_negatives)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            step += 1
        share = criterion.statistics.hard_negative_share
        print(f"epoch: {epoch:>02}, loss: {loss:.5f}, hard negative share: {share:.3f}")
    return loss.item()


if __name__ == "__main__":
    main()
