"""The content of COCO's instances files, checked, with what annotation tools leave out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr
from typing import Any

from salmask_plugin.file_names import path_below
from salmask_plugin.lab.data.outline_checks import (
    Outline,
    area_and_box,
    checked_outline,
    checked_size,
    is_missing,
    is_number,
)
from salmask_plugin.lab.data.text_files import read_json

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class CocoPicture:
    """A picture of a split.

    Attributes:
        key: its id.
        file_name: relative to the split's folder.
        path: of the file, below that folder.
        size: (width, height) in pixels, as annotated.
    """

    key: int | str
    file_name: str
    path: Path
    size: tuple[int, int]


@dataclass(frozen=True)
class CocoObject:
    """An annotated object.

    Attributes:
        name: file and annotation, for messages.
        category: id.
        crowd: whether it stands for many.
        box: x, y, width, height in pixels; the outline's where none is annotated.
        area: in pixels; the outline's, else the box's, where none is annotated.
        outline: as it stands in the file, unchecked; None where there is none.
    """

    name: str
    category: int
    crowd: bool
    box: Box
    area: float
    outline: Outline | None


@dataclass(frozen=True)
class CocoSplit:
    """A split's pictures in their order, their objects, and the categories' names by id."""

    name: str
    pictures: tuple[CocoPicture, ...]
    objects: dict[int | str, list[CocoObject]]
    categories: dict[int, str]


def read_split(root: Path, split: str) -> CocoSplit:
    """Read root/annotations/instances_SPLIT.json.

    Raises:
        ValueError: if the file or the split's image folder is missing, or an entry lacks what it
            must have; it names file and entry.
    """
    path = root / "annotations" / f"instances_{split}.json"
    if not path.is_file():
        raise ValueError(f"'{path}' does not exist.")
    if not (root / split).is_dir():
        raise ValueError(f"'{root / split}' is not a folder.")
    content = read_json(path)
    parts: dict[str, list[Any]] = {}
    for part in ("images", "annotations", "categories"):
        found = content.get(part) if isinstance(content, dict) else None
        if not isinstance(found, list):
            raise ValueError(f"'{path}' has no {part!r}: not an instances file of COCO.")
        parts[part] = found
    if not parts["images"]:
        raise ValueError(f"'{split}' has no image: '{path}' lists none.")
    pictures: dict[int | str, CocoPicture] = {}
    for where, entry in _entries(path, "image", parts["images"]):
        picture = _picture(where, entry, root / split)
        if picture.key in pictures:
            raise ValueError(f"{where}: another image has the same id.")
        pictures[picture.key] = picture
    objects: dict[int | str, list[CocoObject]] = {key: [] for key in pictures}
    for where, entry in _entries(path, "annotation", parts["annotations"]):
        key = _key(where, entry, "image_id")
        if key not in pictures:
            raise ValueError(f"{where} is of image {key}, which is not listed.")
        objects[key].append(_object(where, entry, pictures[key].size))
    categories: dict[int, str] = {}
    for where, entry in _entries(path, "category", parts["categories"]):
        category = _category(where, entry, "id")
        if category in categories:
            raise ValueError(f"{where}: another category has the same id.")
        categories[category] = str(_present(where, entry, "name"))
    return CocoSplit(split, tuple(pictures.values()), objects, categories)


def _entries(path: Path, kind: str, entries: list[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for place, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise ValueError(f"'{path}', {kind} at place {place}: {repr(entry)} is no entry.")
        name = repr(entry["id"]) if "id" in entry else f"at place {place}"
        yield f"'{path}', {kind} {name}", entry


def _picture(where: str, entry: dict[str, Any], folder: Path) -> CocoPicture:
    file_name = _present(where, entry, "file_name")
    if not isinstance(file_name, str):
        raise ValueError(f"{where}: file_name={repr(file_name)} must be a text.")
    width, height = (_present(where, entry, key) for key in ("width", "height"))
    try:
        size = checked_size(width, height)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    path = path_below(folder, file_name, where, follow_links=True)
    return CocoPicture(_key(where, entry, "id"), file_name, path, size)


def _object(where: str, entry: dict[str, Any], size: tuple[int, int]) -> CocoObject:
    outline = entry.get("segmentation")
    if is_missing(outline):
        outline = None
    box, area = _box(where, entry.get("bbox")), entry.get("area")
    if area is not None and not is_number(area):
        raise ValueError(f"{where}: area={repr(area)} must be a number.")
    if box is None or (area is None and outline is not None):
        if outline is None:
            raise ValueError(f"{where} has neither bbox nor segmentation: its place is unknown.")
        try:
            own_area, own_box = area_and_box(checked_outline(outline, size))
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
        box = box or own_box
        area = own_area if area is None else area
    if area is None:
        area = box[2] * box[3]
    return CocoObject(
        name=where,
        category=_category(where, entry, "category_id"),
        crowd=bool(entry.get("iscrowd")),
        box=box,
        area=float(area),
        outline=outline,
    )


def _box(where: str, box: Any) -> Box | None:
    if box is None or box == []:
        return None
    if not (isinstance(box, list) and len(box) == 4 and all(is_number(value) for value in box)):
        raise ValueError(f"{where}: bbox={repr(box)} must be four numbers: x, y, width, height.")
    x, y, width, height = (float(value) for value in box)
    return x, y, width, height


def _key(where: str, entry: dict[str, Any], name: str) -> int | str:
    value = _present(where, entry, name)
    if not isinstance(value, int | str):
        raise ValueError(f"{where}: {name}={repr(value)} must be a whole number or a text.")
    return value


def _category(where: str, entry: dict[str, Any], name: str) -> int:
    value = _present(where, entry, name)
    if not isinstance(value, int):
        raise ValueError(f"{where}: {name}={repr(value)} must be a whole number.")
    return value


def _present(where: str, entry: dict[str, Any], name: str) -> Any:
    if entry.get(name) is None:
        raise ValueError(f"{where} has no {name!r}.")
    return entry[name]
