"""Any checkpoint to a plain backbone and on to other libraries; a small encoder for laptops."""

from salmask_plugin.encoders.backbone import (
    FilteredBackbone,
    PretrainedBackbone,
    fingerprint,
    load_backbone,
)
from salmask_plugin.encoders.convnets import timm_convnet, torchvision_convnet
from salmask_plugin.encoders.small_convnet import SMALL_WIDTHS, SmallConvNet, small_convnet

__all__ = [
    "SMALL_WIDTHS",
    "FilteredBackbone",
    "PretrainedBackbone",
    "SmallConvNet",
    "fingerprint",
    "load_backbone",
    "small_convnet",
    "timm_convnet",
    "torchvision_convnet",
]
