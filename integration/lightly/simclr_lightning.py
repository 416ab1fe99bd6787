"""SimCLR with the mean recipe on a pytorch_lightning Trainer, then a linear classifier.

python integration/lightly/simclr_lightning.py --images path/to/folder
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytorch_lightning as pl
from lightly.transforms.simclr_transform import SimCLRTransform
from lightly.transforms.utils import IMAGENET_NORMALIZE
from setting import load, localize, setting
from torchvision.transforms import v2

from salmask_plugin import GridMask, Masking, MeanFill, SaliencyMasking
from salmask_plugin.adapters.lightly import MaskedSimCLR, linear_evaluation, resnet


def main(arguments: Sequence[str] | None = None) -> float:
    chosen = setting(arguments)
    masking = SaliencyMasking(
        localize(chosen),
        query=Masking(GridMask(ratio=(0.05, 0.25)), MeanFill()),
        negative=Masking(GridMask(ratio=(0.4, 0.7), background=False), MeanFill()),
    )
    backbone, feature_dim = resnet("resnet18", stem="cifar" if chosen.size < 64 else "standard")
    model = MaskedSimCLR(
        backbone,
        feature_dim=feature_dim,
        masking=masking,  # None is the baseline
        # A batch has far fewer negatives than the paper's queue; without this the hard one rules.
        hard_negative_bias=math.log((2 * chosen.batch_size - 2) / 65536),
        warmup_epochs=min(10, chosen.epochs // 10),
    )
    trainer = pl.Trainer(
        max_epochs=chosen.epochs,
        accelerator="auto",
        devices=1,
        logger=False,
        enable_checkpointing=False,
    )
    trainer.fit(model, load(chosen, SimCLRTransform(input_size=chosen.size)))

    clean = v2.Compose(
        [
            v2.Resize((chosen.size, chosen.size)),
            v2.PILToTensor(),
            v2.ConvertImageDtype(),
            v2.Normalize(**IMAGENET_NORMALIZE),
        ]
    )
    images = load(chosen, clean)
    result = linear_evaluation(
        model,
        images,
        images,
        num_classes=3,
        feature_dim=feature_dim,
        epochs=2,
        augment=False,
    )
    print(
        f"linear top-1 on the training images: last {result.top1:.3f}, "
        f"best {result.top1_best:.3f}; {result.protocol}"
    )
    return result.top1


if __name__ == "__main__":
    main()
