"""COCO's objects one by one: root/SPLIT/* and root/annotations/instances_SPLIT.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from salmask_plugin.data.coco import read_instances
from salmask_plugin.data.folders import existing_folder
from salmask_plugin.data.instances import (
    InstanceFiles,
    Instances,
    InstanceSplits,
    box_in_picture,
    check_files,
    limited_instances,
    with_learnable_train,
)
from salmask_plugin.data.outlines import Outline


def coco_instances(
    root: str | Path,
    train: str = "train2017",
    val: str = "val2017",
    limit_train: int | None = None,
    limit_val: int | None = None,
    subset_seed: int = 0,
) -> InstanceSplits:
    """Read pictures, boxes and outlines; category ids become class indices in ascending order.

    Crowds are not learned and are ignored in the evaluation. The official training file has a few
    boxes without height or width: they are left out and counted in the notes.

    Args:
        root: the folder with ``annotations`` and the splits' image folders.
        train: name of the training split.
        val: name of the validation split.
        limit_train: size of a seeded subset; None takes all.
        limit_val: the same of the validation images.
        subset_seed: of the subsets.

    Raises:
        ValueError: if a folder, file or image is missing, the splits' categories differ, an
            annotation's image or category is unknown, a box lies outside, or an argument is out of
            range.

    References:
        Lin et al. 2014, https://arxiv.org/abs/1405.0312; format:
        https://cocodataset.org/#format-data
    """
    folder = existing_folder(root)
    content = {split: read_instances(folder, split) for split in (train, val)}
    names = {split: _categories(content[split]) for split in (train, val)}
    if names[train] != names[val]:
        differing = sorted(set(names[train].items()) ^ set(names[val].items()))
        raise ValueError(
            f"'{train}' has {len(names[train])} categories and '{val}' {len(names[val])}; they "
            f"must be the same, but {differing[0]} is not."
        )
    order = sorted(names[train])
    parts = [CocoInstanceImages(folder / split, content[split], order) for split in (train, val)]
    notes = tuple(
        f"{part.flat} annotated boxes of '{split}' have no area and are left out"
        for split, part in zip((train, val), parts, strict=True)
        if part.flat
    )
    splits = InstanceSplits(
        parts[0],
        parts[1],
        tuple(names[train][key] for key in order),
        "coco",
        metric="coco",
        has_outlines=True,
        notes=notes,
    )
    return limited_instances(
        with_learnable_train(splits), limit_train=limit_train, limit_val=limit_val, seed=subset_seed
    )


class CocoInstanceImages(InstanceFiles):
    """One split of :func:`coco_instances`; files are decoded when asked for.

    Args:
        folder: with the image files.
        content: of the instances file.
        categories: ids in the order of the class indices.

    Raises:
        ValueError: see :func:`coco_instances`.
    """

    def __init__(self, folder: Path, content: dict[str, Any], categories: list[int]) -> None:
        index = {key: label for label, key in enumerate(categories)}
        images = content["images"]
        if not images:
            raise ValueError(f"'{folder.name}' has no image.")
        files = [str(entry["file_name"]) for entry in images]
        check_files({path.name for path in folder.iterdir()}, files, str(folder))
        found: dict[int, list[dict[str, Any]]] = {entry["id"]: [] for entry in images}
        self.flat = 0
        for entry in content["annotations"]:
            if entry["image_id"] not in found:
                raise ValueError(
                    f"'{folder.name}': annotation {entry.get('id')} is of image "
                    f"{entry['image_id']}, which is not listed."
                )
            if entry["category_id"] not in index:
                raise ValueError(
                    f"'{folder.name}' has category_id={entry['category_id']}, which its categories "
                    "lack."
                )
            if entry["bbox"][2] > 0 and entry["bbox"][3] > 0:
                found[entry["image_id"]].append(entry)
            else:
                self.flat += 1
        super().__init__(
            [folder / name for name in files],
            [_instances(entry, found[entry["id"]], index) for entry in images],
        )


def _instances(
    image: dict[str, Any], entries: list[dict[str, Any]], index: dict[int, int]
) -> Instances:
    size = (int(image["width"]), int(image["height"]))
    boxes = []
    for entry in entries:
        x, y, width, height = entry["bbox"]
        name = f"'{image['file_name']}', annotation {entry.get('id')}"
        boxes.append(box_in_picture((x, y, x + width, y + height), size, name))
    crowd = np.array([bool(entry.get("iscrowd", 0)) for entry in entries], bool)
    outlines: tuple[Outline, ...] = tuple(entry["segmentation"] for entry in entries)
    return Instances(
        boxes=np.array(boxes, np.float64).reshape(-1, 4),
        labels=np.array([index[entry["category_id"]] for entry in entries], np.int64),
        ignored=crowd,
        learned=~crowd,
        areas=np.array([float(entry["area"]) for entry in entries], np.float64),
        outlines=outlines,
        size=size,
        name=str(image["file_name"]),
    )


def _categories(content: dict[str, Any]) -> dict[int, str]:
    return {int(entry["id"]): str(entry["name"]) for entry in content["categories"]}
