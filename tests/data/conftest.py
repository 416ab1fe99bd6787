from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def save_picture():
    """Write a picture whose red channel is ``value`` all over."""

    def save(path: Path, value: int, size: tuple[int, int] = (12, 9)) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.zeros((size[1], size[0], 3), np.uint8)
        pixels[..., 0] = value
        Image.fromarray(pixels).save(path)
        return path

    return save


@pytest.fixture
def make_classes(save_picture):
    """Make CLASS/NUMBER.png for every (class, how many); red counts up over all files."""

    def make(folder: Path, counts: dict[str, int], first: int = 0) -> Path:
        value = first
        for name, count in counts.items():
            for number in range(count):
                save_picture(folder / name / f"{number:03d}.png", value)
                value += 1
        return folder

    return make


@pytest.fixture
def reds():
    """The red values of a data set: which files it holds, in order."""
    return lambda images: [images[i][0].getpixel((0, 0))[0] for i in range(len(images))]
