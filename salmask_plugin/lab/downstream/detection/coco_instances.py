"""COCO's objects one by one: root/SPLIT/* and root/annotations/instances_SPLIT.json."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from salmask_plugin.lab.data.coco_file import CocoObject, CocoPicture, CocoSplit, read_split
from salmask_plugin.lab.data.folder_walk import check_files
from salmask_plugin.lab.data.folders import existing_folder
from salmask_plugin.lab.downstream.detection.instances import (
    InstanceFiles,
    Instances,
    InstanceSplits,
    box_in_picture,
    limited_instances,
    with_learnable_train,
)


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
    boxes without height or width: they are left out and counted in the notes. Where no box is
    annotated, it is the outline's; where no area is, the outline's, else the box's. If an object
    has no outline, the set has none, and a note says so.

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
    content = {split: read_split(folder, split) for split in (train, val)}
    names = {split: content[split].categories for split in (train, val)}
    if names[train] != names[val]:
        differing = sorted(set(names[train].items()) ^ set(names[val].items()))
        raise ValueError(
            f"'{train}' has {len(names[train])} categories and '{val}' {len(names[val])}; they "
            f"must be the same, but {differing[0]} is not."
        )
    order = sorted(names[train])
    parts = [CocoInstanceImages(folder / split, content[split], order) for split in (train, val)]
    notes = []
    for split, part in zip((train, val), parts, strict=True):
        if part.flat:
            notes.append(f"{part.flat} annotated boxes of '{split}' have no area and are left out")
        if part.bare:
            notes.append(f"{part.bare} objects of '{split}' have a box and no outline")
    splits = InstanceSplits(
        parts[0],
        parts[1],
        tuple(names[train][key] for key in order),
        "coco",
        metric="coco",
        has_outlines=not any(part.bare for part in parts),
        notes=tuple(notes),
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

    Attributes:
        flat: how many objects are left out because their boxes have no area.
        bare: how many of the rest have no outline.

    Raises:
        ValueError: see :func:`coco_instances`.
    """

    def __init__(self, folder: Path, content: CocoSplit, categories: list[int]) -> None:
        index = {key: label for label, key in enumerate(categories)}
        pictures = content.pictures
        check_files(folder, [picture.file_name for picture in pictures])
        self.flat = self.bare = 0
        instances = []
        for picture in pictures:
            found = content.objects[picture.key]
            kept = [entry for entry in found if entry.box[2] > 0 and entry.box[3] > 0]
            self.flat += len(found) - len(kept)
            self.bare += sum(entry.outline is None for entry in kept)
            instances.append(_instances(picture, kept, index, folder.name))
        super().__init__([picture.path for picture in pictures], instances)


def _instances(
    picture: CocoPicture, entries: list[CocoObject], index: dict[int, int], split: str
) -> Instances:
    boxes = []
    for entry in entries:
        if entry.category not in index:
            raise ValueError(
                f"'{split}' has category_id={entry.category}, which its categories lack."
            )
        x, y, width, height = entry.box
        boxes.append(box_in_picture((x, y, x + width, y + height), picture.size, entry.name))
    crowd = np.array([entry.crowd for entry in entries], bool)
    outlines = tuple(entry.outline for entry in entries if entry.outline is not None)
    return Instances(
        boxes=np.array(boxes, np.float64).reshape(-1, 4),
        labels=np.array([index[entry.category] for entry in entries], np.int64),
        ignored=crowd,
        learned=~crowd,
        areas=np.array([entry.area for entry in entries], np.float64),
        outlines=outlines if len(outlines) == len(entries) else None,
        size=picture.size,
        name=picture.file_name,
    )
