"""Data sets, two-view loaders and evaluation loaders."""

from salmask_plugin.data.augment import (
    TwoViews,
    evaluation_transform,
    linear_train_transform,
    two_views,
)
from salmask_plugin.data.files import ImageFiles
from salmask_plugin.data.folders import image_folder, list_images
from salmask_plugin.data.generated import generated
from salmask_plugin.data.loaders import TwoViewData, evaluation_loaders, pretrain_loader
from salmask_plugin.data.reading import UnreadableImageError, read_image
from salmask_plugin.data.sampling import EpochSampler
from salmask_plugin.data.splits import ImageSplits, ImageSubset, LabelledImages, MaskedImages
from salmask_plugin.data.two_view import OneViewDataset, TwoViewDataset

__all__ = [
    "EpochSampler",
    "ImageFiles",
    "ImageSplits",
    "ImageSubset",
    "LabelledImages",
    "MaskedImages",
    "OneViewDataset",
    "TwoViewData",
    "TwoViewDataset",
    "TwoViews",
    "UnreadableImageError",
    "evaluation_loaders",
    "evaluation_transform",
    "generated",
    "image_folder",
    "linear_train_transform",
    "list_images",
    "pretrain_loader",
    "read_image",
    "two_views",
]
