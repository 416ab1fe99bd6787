"""Small data sets in VOC's and COCO's layout, written from objects whose boxes are known."""

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from PIL import Image

Box = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels; the last two are the first not inside."""


def write_voc(
    root: Path,
    name: str,
    pictures: dict[str, list[tuple[str, Box, bool]]],
    size: tuple[int, int] = (80, 64),
) -> Path:
    """Write YEAR_SET: stem -> (class, box, difficult) objects, each painted in its own grey."""
    year, _, split = name.partition("_")
    folder = root / f"VOC{year}"
    for part in ("ImageSets/Main", "Annotations", "JPEGImages"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "ImageSets" / "Main" / f"{split}.txt").write_text("\n".join(pictures) + "\n")
    for stem, objects in pictures.items():
        node = ElementTree.Element("annotation")
        for key, value in zip(("width", "height", "depth"), (*size, 3), strict=True):
            place = node.find("size")
            place = ElementTree.SubElement(node, "size") if place is None else place
            ElementTree.SubElement(place, key).text = str(value)
        for label, (x0, y0, x1, y1), difficult in objects:
            entry = ElementTree.SubElement(node, "object")
            ElementTree.SubElement(entry, "name").text = label
            ElementTree.SubElement(entry, "difficult").text = str(int(difficult))
            place = ElementTree.SubElement(entry, "bndbox")
            for key, value in zip(
                ("xmin", "ymin", "xmax", "ymax"), (x0 + 1, y0 + 1, x1, y1), strict=True
            ):
                ElementTree.SubElement(place, key).text = str(value)
        ElementTree.ElementTree(node).write(folder / "Annotations" / f"{stem}.xml")
        paint([box for _, box, _ in objects], size).save(folder / "JPEGImages" / f"{stem}.jpg")
    return root


def paint(boxes: list[Box], size: tuple[int, int]) -> Image.Image:
    """Return a dark picture with the boxes in brighter and brighter grey."""
    pixels = np.full((size[1], size[0], 3), 20, np.uint8)
    for place, (x0, y0, x1, y1) in enumerate(boxes):
        pixels[y0:y1, x0:x1] = 100 + 40 * place
    return Image.fromarray(pixels)


def write_coco(
    root: Path, split: str, images: list[list[dict]], size: tuple[int, int] = (80, 64)
) -> Path:
    """Write a split: per picture, annotations without ids; bbox is x, y, width, height."""
    (root / split).mkdir(parents=True, exist_ok=True)
    (root / "annotations").mkdir(exist_ok=True)
    annotations = []
    for number, entries in enumerate(images):
        boxes = []
        for entry in entries:
            x, y, width, height = entry["bbox"]
            boxes.append((x, y, x + width, y + height))
            corners = [[x, y, x + width, y, x + width, y + height, x, y + height]]
            known = {"segmentation": corners, "area": width * height, "iscrowd": 0}
            identity = {"id": len(annotations) + 1, "image_id": 50 + number}
            annotations.append({**known, **entry, **identity})
        paint(boxes, size).save(root / split / f"{number:03d}.png")
    content = {
        "images": [
            {
                "id": 50 + number,
                "file_name": f"{number:03d}.png",
                "width": size[0],
                "height": size[1],
            }
            for number in range(len(images))
        ],
        "annotations": annotations,
        "categories": [{"id": 18, "name": "dog"}, {"id": 3, "name": "car"}],
    }
    (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
    return root
