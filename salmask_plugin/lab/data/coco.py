"""Photographs with instance outlines, in COCO's layout."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from salmask_plugin.lab.data.coco_file import CocoSplit, read_split
from salmask_plugin.lab.data.folder_walk import check_files
from salmask_plugin.lab.data.folders import existing_folder
from salmask_plugin.lab.data.outline_checks import Outline, checked_outline
from salmask_plugin.lab.data.outlines import mask_of_runs
from salmask_plugin.lab.data.reading import read_image
from salmask_plugin.lab.data.splits import ImageSplits, limited


def coco(
    root: str | Path,
    train: str = "train2017",
    val: str = "val2017",
    limit_train: int | None = None,
    limit_val: int | None = None,
    subset_seed: int = 0,
) -> ImageSplits:
    """Read images and instance masks: root/SPLIT/* and root/annotations/instances_SPLIT.json.

    An image has one label here, as contrastive learning's evaluations expect: the category of its
    largest instance by the annotated area. Its mask is the union of all its instances, crowds
    included. Images without an instance are left out. Where no area is annotated, it is the
    outline's, else the box's. If an object has no outline, the set has no masks.

    Args:
        root: the folder with ``annotations`` and the splits' image folders.
        train: name of the training split.
        val: name of the validation split.
        limit_train: size of a class-balanced subset; None takes all.
        limit_val: the same of the validation images.
        subset_seed: of the subsets.

    Raises:
        ValueError: if a folder, file or picture is missing, an annotation is not understood, a
            category is unknown in the training split, or an argument is out of range.

    References:
        Lin et al. 2014, https://arxiv.org/abs/1405.0312; format:
        https://cocodataset.org/#format-data
    """
    folder = existing_folder(root)
    content = {split: read_split(folder, split) for split in (train, val)}
    categories = content[train].categories
    order = sorted(categories)
    parts = [CocoImages(content[split], order) for split in (train, val)]
    for split, part in zip((train, val), parts, strict=True):
        below = folder / split
        check_files(below, [path.relative_to(below).as_posix() for path in part.paths])
    splits = ImageSplits(
        parts[0],
        parts[1],
        tuple(categories[key] for key in order),
        "coco",
        has_masks=all(part.has_masks for part in parts),
    )
    return limited(splits, limit_train=limit_train, limit_val=limit_val, seed=subset_seed)


class CocoImages:
    """One split of :func:`coco`; files are read and outlines drawn when asked for.

    Args:
        content: of the instances file.
        categories: ids in the order of the class indices.

    Attributes:
        has_masks: whether every object has an outline.

    Raises:
        ValueError: if a category is not among ``categories``, or no image has an instance.
    """

    def __init__(self, content: CocoSplit, categories: Sequence[int]) -> None:
        index = {key: label for label, key in enumerate(categories)}
        for found in content.objects.values():
            for entry in found:
                if entry.category not in index:
                    raise ValueError(
                        f"'{content.name}' has category_id={entry.category}, which the training "
                        "split's categories lack."
                    )
        pictures = [picture for picture in content.pictures if content.objects[picture.key]]
        if not pictures:
            raise ValueError(f"No image of '{content.name}' has an annotated instance.")
        self._objects = tuple(tuple(content.objects[picture.key]) for picture in pictures)
        largest = [max(group, key=lambda entry: entry.area) for group in self._objects]
        self.paths = tuple(picture.path for picture in pictures)
        self.labels = tuple(index[entry.category] for entry in largest)
        self._sizes = tuple(picture.size for picture in pictures)
        self.has_masks = all(entry.outline for group in self._objects for entry in group)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return read_image(self.paths[index]), self.labels[index]

    def with_mask(self, index: int) -> tuple[Image.Image, Image.Image, int]:
        """Return (picture, union of its instances with 255 = object, class index).

        Raises:
            ValueError: if the picture's size is not the annotated one, or an object has no outline
                or one that is not understood.
        """
        image, label = self[index]
        if image.size != self._sizes[index]:
            raise ValueError(
                f"'{self.paths[index]}' is {image.size[0]}x{image.size[1]} px, its annotation says "
                f"{self._sizes[index][0]}x{self._sizes[index][1]}."
            )
        mask = Image.new("L", image.size, 0)
        for entry in self._objects[index]:
            if entry.outline is None:
                raise ValueError(f"{entry.name} has no segmentation: what it covers is unknown.")
            try:
                drawn = draw_instances([entry.outline], image.size)
            except ValueError as error:
                raise ValueError(f"{entry.name}: {error}") from error
            mask.paste(255, mask=drawn)
        return image, mask, label


def draw_instances(instances: Sequence[Outline], size: tuple[int, int]) -> Image.Image:
    """Return the union of instances as a mask of mode "L", 255 = object.

    Polygons are filled by PIL, their outline included: up to half a pixel more than COCO's own
    tools. Run lengths go down the columns, background first.

    Args:
        instances: polygons or run lengths.
        size: (width, height) in pixels.

    Raises:
        ValueError: for an outline that is none of a picture of this size, see
            :func:`~salmask_plugin.lab.data.outline_checks.checked_outline`.
    """
    mask = Image.new("L", size, 0)
    brush = ImageDraw.Draw(mask)
    for instance in instances:
        outline = checked_outline(instance, size)
        if isinstance(outline, dict):
            mask.paste(255, mask=Image.fromarray(mask_of_runs(outline) * np.uint8(255)))
            continue
        for polygon in outline:
            brush.polygon(list(zip(polygon[::2], polygon[1::2], strict=True)), fill=255)
    return mask
