"""Data sets, two-view loaders and evaluation loaders."""

from salmask_plugin.data.augment import (
    TwoViews,
    evaluation_transform,
    linear_train_transform,
    two_views,
)
from salmask_plugin.data.caltech101 import caltech101
from salmask_plugin.data.coco import CocoImages, coco
from salmask_plugin.data.coco_instances import coco_instances
from salmask_plugin.data.decoded import PictureBatch
from salmask_plugin.data.depth_loaders import (
    DepthBatch,
    DepthPictures,
    DepthSamples,
    depth_test_loader,
    depth_train_loader,
)
from salmask_plugin.data.depth_splits import DepthImages, DepthSplits, FrameTriplets
from salmask_plugin.data.detection_loaders import (
    DetectionBatch,
    detection_train_loader,
    detection_val_loader,
)
from salmask_plugin.data.device_views import DeviceViewData, DeviceViews, device_view_data
from salmask_plugin.data.files import ImageFiles, unreadable_files
from salmask_plugin.data.fingerprint import (
    changed_images,
    differences,
    identity_of_splits,
    labels_sha256,
    pixel_digest,
    spot_checks,
)
from salmask_plugin.data.flowers102 import flowers102
from salmask_plugin.data.folders import image_folder, list_images
from salmask_plugin.data.generated import generated
from salmask_plugin.data.generated_instances import generated_instances
from salmask_plugin.data.generated_sequences import generated_sequences
from salmask_plugin.data.in_memory import cifar10, cifar100, stl10
from salmask_plugin.data.instances import InstanceImages, Instances, InstanceSplits
from salmask_plugin.data.kitti import kitti
from salmask_plugin.data.loaders import (
    OneViewData,
    TwoViewData,
    evaluation_loaders,
    pretrain_loader,
)
from salmask_plugin.data.reading import UnreadableImageError, read_image
from salmask_plugin.data.sampling import EpochSampler
from salmask_plugin.data.splits import (
    ImageSplits,
    ImageSubset,
    LabelledImages,
    MaskedImages,
    labelled_share,
)
from salmask_plugin.data.tiny_imagenet import tiny_imagenet
from salmask_plugin.data.two_view import OneViewDataset, TwoViewDataset
from salmask_plugin.data.view_draws import ViewDraws, draw_views, uniforms_of_epoch
from salmask_plugin.data.view_ops import apply_views
from salmask_plugin.data.view_recipe import ViewRecipe
from salmask_plugin.data.voc import VOC_CLASSES, voc
from salmask_plugin.data.whole import WholeImages, WholeViews

__all__ = [
    "VOC_CLASSES",
    "CocoImages",
    "DepthBatch",
    "DepthImages",
    "DepthPictures",
    "DepthSamples",
    "DepthSplits",
    "DetectionBatch",
    "DeviceViewData",
    "DeviceViews",
    "EpochSampler",
    "FrameTriplets",
    "ImageFiles",
    "ImageSplits",
    "ImageSubset",
    "InstanceImages",
    "InstanceSplits",
    "Instances",
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
    "coco_instances",
    "depth_test_loader",
    "depth_train_loader",
    "detection_train_loader",
    "detection_val_loader",
    "device_view_data",
    "differences",
    "draw_views",
    "evaluation_loaders",
    "evaluation_transform",
    "flowers102",
    "generated",
    "generated_instances",
    "generated_sequences",
    "identity_of_splits",
    "image_folder",
    "kitti",
    "labelled_share",
    "labels_sha256",
    "linear_train_transform",
    "list_images",
    "pixel_digest",
    "pretrain_loader",
    "read_image",
    "spot_checks",
    "stl10",
    "tiny_imagenet",
    "two_views",
    "uniforms_of_epoch",
    "unreadable_files",
    "voc",
]
