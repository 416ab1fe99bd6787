"""Photographs with instance outlines, in COCO's layout."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from salmask_plugin.data.folders import existing_folder
from salmask_plugin.data.reading import read_image
from salmask_plugin.data.splits import ImageSplits, limited
from salmask_plugin.data.text_files import read_json

Segmentation = list[list[float]] | dict[str, Any]
"""Polygons as flat lists x0, y0, x1, y1, ... in pixels, or run lengths {"size", "counts"}."""


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
    included. Images without an instance are left out.

    Args:
        root: the folder with ``annotations`` and the splits' image folders.
        train: name of the training split.
        val: name of the validation split.
        limit_train: size of a class-balanced subset; None takes all.
        limit_val: the same of the validation images.
        subset_seed: of the subsets.

    Raises:
        ValueError: if a folder or file is missing, an annotation is not understood, a category is
            unknown in the training split, or an argument is out of range.

    References:
        Lin et al. 2014, https://arxiv.org/abs/1405.0312; format:
        https://cocodataset.org/#format-data
    """
    folder = existing_folder(root)
    content = {split: read_instances(folder, split) for split in (train, val)}
    categories = {entry["id"]: str(entry["name"]) for entry in content[train]["categories"]}
    order = sorted(categories)
    parts = [CocoImages(folder / split, content[split], order) for split in (train, val)]
    names = tuple(categories[key] for key in order)
    splits = ImageSplits(parts[0], parts[1], names, "coco", has_masks=True)
    return limited(splits, limit_train=limit_train, limit_val=limit_val, seed=subset_seed)


class CocoImages:
    """One split of :func:`coco`; files are read and outlines drawn when asked for.

    Args:
        folder: with the image files.
        content: of the instances file.
        categories: ids in the order of the class indices.

    Raises:
        ValueError: if a category is not among ``categories``, or no image has an instance.
    """

    def __init__(self, folder: Path, content: dict[str, Any], categories: Sequence[int]) -> None:
        index = {key: label for label, key in enumerate(categories)}
        found: dict[int, list[dict[str, Any]]] = {}
        for entry in content["annotations"]:
            if entry["category_id"] not in index:
                raise ValueError(
                    f"'{folder.name}' has category_id={entry['category_id']}, which the training "
                    "split's categories lack."
                )
            found.setdefault(entry["image_id"], []).append(entry)
        images = [entry for entry in content["images"] if entry["id"] in found]
        if not images:
            raise ValueError(f"No image of '{folder.name}' has an annotated instance.")
        instances = [found[entry["id"]] for entry in images]
        largest = [max(group, key=lambda entry: float(entry["area"])) for group in instances]
        self.paths = tuple(folder / entry["file_name"] for entry in images)
        self.labels = tuple(index[entry["category_id"]] for entry in largest)
        self._sizes = tuple((int(entry["width"]), int(entry["height"])) for entry in images)
        self._outlines: tuple[tuple[Segmentation, ...], ...] = tuple(
            tuple(entry["segmentation"] for entry in group) for group in instances
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return read_image(self.paths[index]), self.labels[index]

    def with_mask(self, index: int) -> tuple[Image.Image, Image.Image, int]:
        """Return (picture, union of its instances with 255 = object, class index).

        Raises:
            ValueError: if the picture's size is not the annotated one, or an outline is not
                understood.
        """
        image, label = self[index]
        if image.size != self._sizes[index]:
            raise ValueError(
                f"'{self.paths[index]}' is {image.size[0]}x{image.size[1]} px, its annotation says "
                f"{self._sizes[index][0]}x{self._sizes[index][1]}."
            )
        return image, draw_instances(self._outlines[index], image.size), label


def draw_instances(instances: Sequence[Segmentation], size: tuple[int, int]) -> Image.Image:
    """Return the union of instances as a mask of mode "L", 255 = object.

    Polygons are filled by PIL, their outline included: up to half a pixel more than COCO's own
    tools. Run lengths go down the columns, background first.

    Args:
        instances: polygons or uncompressed run lengths.
        size: (width, height) in pixels.

    Raises:
        ValueError: for a polygon of fewer than three points, compressed run lengths, or run lengths
            that do not fill the picture.
    """
    mask = Image.new("L", size, 0)
    brush = ImageDraw.Draw(mask)
    for instance in instances:
        if isinstance(instance, dict):
            crowd = Image.fromarray(_from_runs(instance, size))
            mask.paste(255, mask=crowd)
            continue
        for polygon in instance:
            if len(polygon) < 6 or len(polygon) % 2:
                raise ValueError(f"A polygon has {len(polygon)} numbers; x, y of 3 points or more.")
            brush.polygon(list(zip(polygon[::2], polygon[1::2], strict=True)), fill=255)
    return mask


def _from_runs(runs: dict[str, Any], size: tuple[int, int]) -> NDArray[np.uint8]:
    counts = runs["counts"]
    if not isinstance(counts, list):
        raise ValueError("Compressed run lengths are not supported; a list of counts is needed.")
    values = np.repeat(np.arange(len(counts)) % 2, counts).astype(np.uint8) * 255
    if list(runs["size"]) != [size[1], size[0]] or len(values) != size[0] * size[1]:
        raise ValueError(f"Run lengths of size {runs['size']} do not fill {size[1]}x{size[0]} px.")
    return np.ascontiguousarray(values.reshape(size).T)


def read_instances(folder: Path, split: str) -> dict[str, Any]:
    """Return the content of folder/annotations/instances_SPLIT.json.

    Raises:
        ValueError: if the file or the split's image folder is missing, or it lacks a part.
    """
    path = folder / "annotations" / f"instances_{split}.json"
    if not path.is_file():
        raise ValueError(f"'{path}' does not exist.")
    if not (folder / split).is_dir():
        raise ValueError(f"'{folder / split}' is not a folder.")
    content = read_json(path)
    lacking = {"images", "annotations", "categories"} - set(content)
    if lacking:
        raise ValueError(f"'{path}' has no {sorted(lacking)[0]!r}: not an instances file of COCO.")
    return dict(content)
