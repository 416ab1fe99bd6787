"""Faster R-CNN and Mask R-CNN with a C4 trunk, from torchvision's parts."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn
from torchvision.models import ResNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.rpn import RPNHead

from salmask_plugin.encoders.backbone import PretrainedBackbone
from salmask_plugin.lab.downstream.detection.parts import (
    C4Trunk,
    DetectorInput,
    ProposalNetwork,
    Res5,
)
from salmask_plugin.lab.downstream.detection.roi_heads import Res5RoIHeads

ANCHOR_SIDES = ((32, 64, 128, 256, 512),)
ANCHOR_RATIOS = ((0.5, 1.0, 2.0),)
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


class C4Detector(GeneralizedRCNN):
    """R50-C4 in MoCo's form: every layer trained, one more BatchNorm after res5.

    The pretrained network is taken over, not copied. In training ``detector(images, targets)``
    gives the losses, in eval mode ``detector(images)`` gives the detections, as in torchvision.

    Args:
        backbone: the pretrained encoder; a ResNet with the standard stem.
        num_classes: object classes, without background.
        masks: Mask R-CNN; False is Faster R-CNN.
        freeze_backbone: stem, stages and res5 keep weights and BatchNorm statistics; the extra
            BatchNorm, the proposals and the predictors are trained.
        short_sides: of the pictures in pixels: one is drawn per picture in training, the last is
            the test's.
        long_side: no side gets larger.
        anchor_sides: of the proposals' anchors, in pixels of the resized picture.
        proposals_train: kept before and after suppression in training.
        proposals_test: the same in the test.
        regions_per_image: sampled for the heads in training, a quarter of them on objects.
        score_threshold: detections with lower scores are not reported.
        detections_per_image: at most so many are reported.

    Raises:
        ValueError: if an argument is out of range or the network has another stem.

    References:
        He et al. 2020 (MoCo), section 4.2 and appendix, with detectron2's ``Base-RCNN-C4``.
    """

    def __init__(
        self,
        backbone: PretrainedBackbone,
        num_classes: int,
        masks: bool = False,
        freeze_backbone: bool = False,
        short_sides: Sequence[int] = (480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800),
        long_side: int = 1333,
        anchor_sides: Sequence[int] = ANCHOR_SIDES[0],
        proposals_train: Sequence[int] = (12000, 2000),
        proposals_test: Sequence[int] = (6000, 1000),
        regions_per_image: int = 512,
        score_threshold: float = 0.05,
        detections_per_image: int = 100,
    ) -> None:
        if num_classes < 1:
            raise ValueError(f"num_classes={num_classes} must be at least 1.")
        if not short_sides or min(short_sides) < 32 or max(short_sides) > long_side:
            raise ValueError(
                f"short_sides={list(short_sides)} must be at least 32 px and at most "
                f"long_side={long_side}."
            )
        network = standard_resnet(backbone)
        trunk = C4Trunk(network)
        anchors = AnchorGenerator((tuple(anchor_sides),), ANCHOR_RATIOS)
        proposals = ProposalNetwork(
            anchors,
            RPNHead(trunk.out_channels, anchors.num_anchors_per_location()[0]),
            fg_iou_thresh=0.7,
            bg_iou_thresh=0.3,
            batch_size_per_image=256,
            positive_fraction=0.5,
            pre_nms_top_n={"training": proposals_train[0], "testing": proposals_test[0]},
            post_nms_top_n={"training": proposals_train[1], "testing": proposals_test[1]},
            nms_thresh=0.7,
        )
        heads = Res5RoIHeads(
            Res5(network.layer4, backbone.feature_dim),
            num_classes + 1,
            masks=masks,
            regions_per_image=regions_per_image,
            score_threshold=score_threshold,
            detections_per_image=detections_per_image,
        )
        sides = tuple(short_sides)
        prepare = DetectorInput(sides, long_side, MEAN, STD, backbone.view_filter)
        super().__init__(trunk, proposals, heads, prepare)
        self.freeze_backbone = freeze_backbone
        if freeze_backbone:
            for part in self.pretrained_parts():
                part.requires_grad_(False)
        self.train(self.training)

    def pretrained_parts(self) -> tuple[nn.Module, nn.Module]:
        """Return the trunk and the res5 stage, without the extra BatchNorm."""
        return self.backbone, self.roi_heads.box_head.stage

    def train(self, mode: bool = True) -> C4Detector:
        """Switch modes; a frozen backbone stays in eval mode."""
        super().train(mode)
        if self.freeze_backbone:
            for part in self.pretrained_parts():
                part.eval()
        return self


def standard_resnet(backbone: PretrainedBackbone) -> ResNet:
    """Return the backbone's network.

    Raises:
        ValueError: if it is no ResNet of torchvision with the standard stem: the C4 map would not
            have a stride of 16.
    """
    network = backbone.network
    if not isinstance(network, ResNet):
        raise ValueError(
            f"C4 detection needs a ResNet of torchvision; {backbone.source} holds "
            f"{backbone.architecture}."
        )
    if network.conv1.stride != (2, 2) or not isinstance(network.maxpool, nn.MaxPool2d):
        raise ValueError(
            "C4 detection needs the standard stem, a convolution with stride 2 and max pooling; "
            f"{backbone.source} holds {backbone.architecture}, with a stem for small images."
        )
    return network
