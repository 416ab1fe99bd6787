"""The parts of a C4 detector that torchvision lacks: trunk, res5 head, proposals with L1 loss."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import ResNet
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.models.detection.transform import GeneralizedRCNNTransform

STRIDE = 16
FEATURES = "c4"
"""Name of the one map, as torchvision's parts want it."""


class C4Trunk(nn.Module):
    """Stem to third stage of a ResNet: images (B, 3, H, W) -> one map (B, C, H / 16, W / 16).

    Args:
        network: with the standard stem.

    Attributes:
        out_channels: C, 1024 for ResNet-50.
    """

    def __init__(self, network: ResNet) -> None:
        super().__init__()
        stem = [
            ("conv1", network.conv1),
            ("bn1", network.bn1),
            ("relu", network.relu),
            ("maxpool", network.maxpool),
        ]
        stages = [(f"layer{place}", getattr(network, f"layer{place}")) for place in (1, 2, 3)]
        self.layers = nn.Sequential(OrderedDict([*stem, *stages]))
        self.out_channels = int(network.layer4[0].conv1.in_channels)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return the map under its name."""
        return OrderedDict([(FEATURES, self.layers(images))])


class Res5(nn.Module):
    """Fourth stage of a ResNet and one more BatchNorm: (R, C, 14, 14) -> (R, C', 7, 7).

    Args:
        stage: of the pretrained network.
        channels: C'.

    References:
        He et al. 2020 (MoCo), appendix; ``Res5ROIHeadsExtraNorm`` in
        https://github.com/facebookresearch/moco/blob/34020351524e9869f76cbb81fadcdb77caa32f7b/detection/train_net.py
    """

    def __init__(self, stage: nn.Module, channels: int) -> None:
        super().__init__()
        self.stage = stage
        self.norm = nn.BatchNorm2d(channels)
        self.out_channels = channels

    def forward(self, regions: Tensor) -> Tensor:
        """Return the features of each region."""
        features: Tensor = self.norm(self.stage(regions))
        return features


class BoxPredictor(nn.Module):
    """Class scores and box changes from averaged features, initialised as detectron2 does.

    Args:
        channels: of the features.
        num_classes: background included.
    """

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.scores = nn.Linear(channels, num_classes)
        self.changes = nn.Linear(channels, 4 * num_classes)
        nn.init.normal_(self.scores.weight, std=0.01)
        nn.init.normal_(self.changes.weight, std=0.001)
        nn.init.zeros_(self.scores.bias)
        nn.init.zeros_(self.changes.bias)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return (R, classes) and (R, 4 * classes)."""
        return self.scores(features), self.changes(features)


class MaskHead(nn.Sequential):
    """Transposed convolution that doubles the res5 map: (R, C, 7, 7) -> (R, 256, 14, 14)."""

    def __init__(self, channels: int, width: int = 256) -> None:
        enlarge = nn.ConvTranspose2d(channels, width, 2, stride=2)
        nn.init.kaiming_normal_(enlarge.weight, mode="fan_out", nonlinearity="relu")
        assert enlarge.bias is not None
        nn.init.zeros_(enlarge.bias)
        super().__init__(enlarge, nn.ReLU())
        self.out_channels = width


class MaskPredictor(nn.Conv2d):
    """One mask per class: (R, 256, 14, 14) -> (R, classes, 14, 14), background included."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__(channels, num_classes, 1)
        nn.init.normal_(self.weight, std=0.001)
        assert self.bias is not None
        nn.init.zeros_(self.bias)


class ProposalNetwork(RegionProposalNetwork):
    """torchvision's proposals with detectron2's loss: L1 where torchvision has a smooth L1."""

    def compute_loss(
        self,
        objectness: Tensor,
        pred_bbox_deltas: Tensor,
        labels: list[Tensor],
        regression_targets: list[Tensor],
    ) -> tuple[Tensor, Tensor]:
        """Return the losses of score and box, each a mean over the sampled anchors."""
        positive, negative = self.fg_bg_sampler(labels)
        objects = torch.where(torch.cat(positive))[0]
        sampled = torch.cat([objects, torch.where(torch.cat(negative))[0]])
        scores, truth = objectness.flatten()[sampled], torch.cat(labels)[sampled]
        changes = torch.cat(regression_targets)[objects]
        box_loss = F.l1_loss(pred_bbox_deltas[objects], changes, reduction="sum")
        score_loss = F.binary_cross_entropy_with_logits(scores, truth)
        return score_loss, box_loss / sampled.numel()


class DetectorInput(GeneralizedRCNNTransform):
    """torchvision's normalisation and resizing, then the encoder's view filter, then the padding.

    The filter sees the normalised picture at the detector's resolution, and its true borders.

    Args:
        short_sides: one is drawn per picture in training; the last is the test's.
        long_side: no side gets larger.
        mean: per channel, of pictures in [0, 1].
        std: the same.
        view_filter: of the encoder, or None.
    """

    def __init__(
        self,
        short_sides: tuple[int, ...],
        long_side: int,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        view_filter: Callable[[Tensor], Tensor] | None,
    ) -> None:
        # Not detectron2's 1: torchvision's anchors want a map of exactly 1 / 16.
        super().__init__(short_sides, long_side, list(mean), list(std), size_divisible=STRIDE)
        self._view_filter = view_filter

    def batch_images(self, images: list[Tensor], size_divisible: int = STRIDE) -> Tensor:
        """Filter each picture and pad all with zeros to one size."""
        if self._view_filter is not None:
            images = [self._view_filter(image[None])[0] for image in images]
        batch: Tensor = super().batch_images(images, size_divisible)
        return batch
