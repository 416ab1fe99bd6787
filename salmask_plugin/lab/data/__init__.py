"""Data sets, two-view loaders and evaluation loaders."""

from salmask_plugin.lab.data.augment import (
    TwoViews,
    evaluation_transform,
    linear_train_transform,
    two_views,
)
from salmask_plugin.lab.data.caltech101 import caltech101
from salmask_plugin.lab.data.coco import CocoImages, coco
from salmask_plugin.lab.data.device.apply import apply_views
from salmask_plugin.lab.data.device.decoded import PictureBatch
from salmask_plugin.lab.data.device.draws import ViewDraws, draw_views, uniforms_of_epoch
from salmask_plugin.lab.data.device.recipe import ViewRecipe
from salmask_plugin.lab.data.device.views import DeviceViewData, DeviceViews, device_view_data
from salmask_plugin.lab.data.files import ImageFiles, unreadable_files
from salmask_plugin.lab.data.fingerprint import (
    changed_images,
    differences,
    identity_of_splits,
    labels_sha256,
    pixel_digest,
    split_identity,
    spot_checks,
)
from salmask_plugin.lab.data.flowers102 import flowers102
from salmask_plugin.lab.data.folders import image_folder, list_images
from salmask_plugin.lab.data.generated import generated
from salmask_plugin.lab.data.generated_objects import generated_objects
from salmask_plugin.lab.data.in_memory import cifar10, cifar100, stl10
from salmask_plugin.lab.data.loaders import (
    OneViewData,
    TwoViewData,
    evaluation_loaders,
    pretrain_loader,
)
from salmask_plugin.lab.data.picture_folder import picture_folder
from salmask_plugin.lab.data.reading import UnreadableImageError, read_image
from salmask_plugin.lab.data.sampling import EpochSampler
from salmask_plugin.lab.data.splits import (
    ImageSplits,
    ImageSubset,
    LabelledImages,
    MaskedImages,
    labelled_share,
)
from salmask_plugin.lab.data.tiny_imagenet import tiny_imagenet
from salmask_plugin.lab.data.two_view import OneViewDataset, TwoViewDataset
from salmask_plugin.lab.data.whole import WholeImages, WholeViews

__all__ = [
    "CocoImages",
    "DeviceViewData",
    "DeviceViews",
    "EpochSampler",
    "ImageFiles",
    "ImageSplits",
    "ImageSubset",
    "LabelledImages",
    "MaskedImages",
    "OneViewData",
    "OneViewDataset",
    "PictureBatch",
    "TwoViewData",
    "TwoViewDataset",
    "TwoViews",
    "UnreadableImageError",
    "ViewDraws",
    "ViewRecipe",
    "WholeImages",
    "WholeViews",
    "apply_views",
    "caltech101",
    "changed_images",
    "cifar10",
    "cifar100",
    "coco",
    "device_view_data",
    "differences",
    "draw_views",
    "evaluation_loaders",
    "evaluation_transform",
    "flowers102",
    "generated",
    "generated_objects",
    "identity_of_splits",
    "image_folder",
    "labelled_share",
    "labels_sha256",
    "linear_train_transform",
    "list_images",
    "picture_folder",
    "pixel_digest",
    "pretrain_loader",
    "read_image",
    "split_identity",
    "spot_checks",
    "stl10",
    "tiny_imagenet",
    "two_views",
    "uniforms_of_epoch",
    "unreadable_files",
]
