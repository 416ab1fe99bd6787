"""Box and mask heads that share one res5 forward."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.models.detection.roi_heads import RoIHeads, maskrcnn_inference, maskrcnn_loss
from torchvision.ops import RoIAlign

from salmask_plugin.lab.downstream.detection.parts import (
    FEATURES,
    STRIDE,
    BoxPredictor,
    MaskHead,
    MaskPredictor,
    Res5,
)

POOLED = 14
"""Cells per side of a region, before res5 halves them."""

Found = list[dict[str, Tensor]]


class Res5RoIHeads(RoIHeads):
    """Regions of the C4 map through res5; its mean gives the box, its map the mask.

    In training the mask head gets the positive rows of the very map that the box head averages, so
    that BatchNorm sees the regions once. In the test found boxes are pooled again.

    Args:
        res5: the pretrained stage with its extra BatchNorm.
        num_classes: background included.
        masks: predict masks as well.
        regions_per_image: sampled in training, a quarter of them on objects.
        score_threshold: lower scores are not reported.
        detections_per_image: at most so many boxes are reported.
    """

    def __init__(
        self,
        res5: Res5,
        num_classes: int,
        *,
        masks: bool,
        regions_per_image: int,
        score_threshold: float,
        detections_per_image: int,
    ) -> None:
        # aligned and adaptive sampling: detectron2's ROIAlignV2 with sampling ratio 0.
        pool = RoIAlign(POOLED, 1 / STRIDE, sampling_ratio=0, aligned=True)
        head = MaskHead(res5.out_channels) if masks else None
        super().__init__(
            box_roi_pool=pool,
            box_head=res5,
            box_predictor=BoxPredictor(res5.out_channels, num_classes),
            fg_iou_thresh=0.5,
            bg_iou_thresh=0.5,
            batch_size_per_image=regions_per_image,
            positive_fraction=0.25,
            bbox_reg_weights=(10.0, 10.0, 5.0, 5.0),
            score_thresh=score_threshold,
            nms_thresh=0.5,
            detections_per_img=detections_per_image,
            mask_roi_pool=pool if masks else None,
            mask_head=head,
            mask_predictor=None if head is None else MaskPredictor(head.out_channels, num_classes),
        )

    def forward(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
        targets: list[dict[str, Tensor]] | None = None,
    ) -> tuple[Found, dict[str, Tensor]]:
        """Return (detections, {}) in the test and ([], losses) in training."""
        maps = features[FEATURES]
        if self.training:
            return [], self._losses(maps, proposals, targets)
        scores, changes = self._boxes(self._regions(maps, proposals))
        boxes, found, labels = self.postprocess_detections(scores, changes, proposals, image_shapes)
        results = [
            {"boxes": box, "scores": score, "labels": label}
            for box, score, label in zip(boxes, found, labels, strict=True)
        ]
        if self.has_mask():
            logits = self._masks(self._regions(maps, boxes))
            for result, mask in zip(results, maskrcnn_inference(logits, labels), strict=True):
                result["masks"] = mask
        return results, {}

    def _losses(
        self, maps: Tensor, proposals: list[Tensor], targets: list[dict[str, Tensor]] | None
    ) -> dict[str, Tensor]:
        assert targets is not None
        chosen, matched, labels, truth = self.select_training_samples(proposals, targets)
        regions = self._regions(maps, chosen)
        scores, changes = self._boxes(regions)
        classes = torch.cat(labels)
        positive = torch.where(classes > 0)[0]
        changes = changes.reshape(len(classes), -1, 4)[positive, classes[positive]]
        box_loss = F.l1_loss(changes, torch.cat(truth)[positive], reduction="sum")
        losses = {
            "loss_classifier": F.cross_entropy(scores, classes),
            "loss_box_reg": box_loss / classes.numel(),
        }
        if self.has_mask():
            kept = [label > 0 for label in labels]
            losses["loss_mask"] = maskrcnn_loss(
                self._masks(regions[positive]),
                [boxes[keep] for boxes, keep in zip(chosen, kept, strict=True)],
                [target["masks"] for target in targets],
                [target["labels"] for target in targets],
                [places[keep] for places, keep in zip(matched, kept, strict=True)],
            )
        return losses

    def _regions(self, maps: Tensor, boxes: list[Tensor]) -> Tensor:
        regions: Tensor = self.box_head(self.box_roi_pool(maps, boxes))
        return regions

    def _boxes(self, regions: Tensor) -> tuple[Tensor, Tensor]:
        scores, changes = self.box_predictor(regions.mean((2, 3)))
        return scores, changes

    def _masks(self, regions: Tensor) -> Tensor:
        logits: Tensor = self.mask_predictor(self.mask_head(regions))
        return logits
