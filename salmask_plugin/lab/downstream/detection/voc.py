"""Pascal VOC's objects in its own layout: VOCYEAR/{ImageSets/Main, Annotations, JPEGImages}."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from salmask_plugin.lab.downstream.detection.instances import (
    InstanceFiles,
    Instances,
    InstanceSplits,
    limited_instances,
    with_learnable_train,
)
from salmask_plugin.lab.downstream.detection.voc_annotations import (
    Annotation,
    devkit,
    pictures_of,
    read_annotation,
)

VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
    "tvmonitor",
)  # fmt: skip


def voc(
    root: str | Path,
    train: Sequence[str] = ("2007_trainval", "2012_trainval"),
    test: Sequence[str] = ("2007_test",),
    learn_difficult: bool = True,
    classes: Sequence[str] = VOC_CLASSES,
    limit_train: int | None = None,
    limit_val: int | None = None,
    subset_seed: int = 0,
) -> InstanceSplits:
    """Read VOC07+12, or any set in this layout.

    Coordinates are 1-based pixels, both ends inside; 1 is taken off the first, so that x1 - x0 is
    the width. Objects marked difficult are ignored in the test whatever ``learn_difficult`` says.

    Args:
        root: the folder with VOC2007 and VOC2012, or the one with VOCdevkit.
        train: YEAR_SET of the training images, read from VOCYEAR/ImageSets/Main/SET.txt.
        test: the same of the test images.
        learn_difficult: train on objects marked difficult, as detectron2 does.
        classes: names in the order of the class indices.
        limit_train: size of a seeded subset; None takes all.
        limit_val: the same of the test images.
        subset_seed: of the subsets.

    Raises:
        ValueError: if a folder, list, annotation or image is missing, an image set is empty, a box
            has no area or lies outside, a class is unknown, or an argument is out of range.

    References:
        Everingham et al. 2010, https://doi.org/10.1007/s11263-009-0275-4; difficult objects in
        training:
        https://github.com/facebookresearch/detectron2/blob/0a07b6bf895639a35a223fc2027216b105525971/detectron2/data/datasets/pascal_voc.py
    """
    folder = devkit(root)
    index = {name: label for label, name in enumerate(classes)}
    learned, tested = (_read_sets(folder, names, index, learn_difficult) for names in (train, test))
    splits = InstanceSplits(
        learned, tested, tuple(classes), "voc", metric="voc", has_outlines=False
    )
    return limited_instances(
        with_learnable_train(splits), limit_train=limit_train, limit_val=limit_val, seed=subset_seed
    )


def _read_sets(
    folder: Path, names: Sequence[str], index: dict[str, int], learn_difficult: bool
) -> InstanceFiles:
    pictures = [path for name in names for path in pictures_of(folder, name)]
    found = [read_annotation(path, index) for path in pictures]
    return InstanceFiles(pictures, [_instances(one, learn_difficult) for one in found])


def _instances(found: Annotation, learn_difficult: bool) -> Instances:
    difficult = np.array(found.difficult, bool)
    return Instances(
        boxes=found.boxes,
        labels=np.array(found.labels, np.int64),
        ignored=difficult,
        learned=np.ones_like(difficult) if learn_difficult else ~difficult,
        areas=np.prod(found.boxes[:, 2:] - found.boxes[:, :2], axis=1),
        outlines=None,
        size=found.size,
        name=found.name,
    )
