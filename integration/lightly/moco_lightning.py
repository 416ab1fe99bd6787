"""MoCo v2 with the high-pass recipe on a pytorch_lightning Trainer, then kNN.

python integration/lightly/moco_lightning.py --images path/to/folder
"""

from __future__ import annotations

from collections.abc import Sequence

import pytorch_lightning as pl
from lightly.transforms.moco_transform import MoCoV2Transform
from lightly.transforms.utils import IMAGENET_NORMALIZE
from setting import load, localize, setting
from torchvision.transforms import v2

from salmask_plugin import GridMask, HighPassFilter, Masking, NoiseFill, SaliencyMasking
from salmask_plugin.adapters.lightly import MaskedMoCoV2, knn_evaluation, resnet
from salmask_plugin.filters import kernel_for_view


def main(arguments: Sequence[str] | None = None) -> float:
    chosen = setting(arguments)
    kernel_size, sigma = kernel_for_view(11, 5.0, chosen.size)
    masking = SaliencyMasking(
        localize(chosen),
        query=Masking(GridMask(ratio=(0.05, 0.25)), NoiseFill(0.18)),
        negative=Masking(GridMask(ratio=(0.4, 0.7), background=False), NoiseFill(0.14)),
        view_filter=HighPassFilter(kernel_size, sigma),
    )
    backbone, feature_dim = resnet("resnet18", stem="cifar" if chosen.size < 64 else "standard")
    model = MaskedMoCoV2(
        backbone,
        feature_dim=feature_dim,
        masking=masking,  # None is the baseline
        queue_size=4096,
        hard_negative_bias=-2.77,  # log(4096 / 65536)
    )
    trainer = pl.Trainer(
        max_epochs=chosen.epochs,
        accelerator="auto",
        devices=1,
        logger=False,
        enable_checkpointing=False,
    )
    trainer.fit(model, load(chosen, MoCoV2Transform(input_size=chosen.size)))

    # The module filters by itself: nothing here knows that the images are high-passed.
    clean = v2.Compose(
        [
            v2.Resize((chosen.size, chosen.size)),
            v2.PILToTensor(),
            v2.ConvertImageDtype(),
            v2.Normalize(**IMAGENET_NORMALIZE),
        ]
    )
    images = load(chosen, clean)
    result = knn_evaluation(model, images, images, num_classes=3, k=5)
    print(f"kNN top-1 on the training images: {result.top1:.3f}; {result.protocol}")
    return result.top1


if __name__ == "__main__":
    main()
