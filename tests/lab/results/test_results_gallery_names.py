"""A gallery is drawn whatever the classes are called."""

import numpy as np
import pytest

from salmask_plugin.lab.results import GalleryRow, draw_gallery

IMAGE = np.zeros((8, 8, 3), np.uint8)


@pytest.mark.parametrize("name", ["caf\udce9", r"$\frac{$", "a\nb\x1b[31m\0", "US$ 5 to US$ 10"])
def test_any_name_can_be_drawn(name):
    png = draw_gallery([GalleryRow(image=IMAGE, label=name)], title=name)
    assert png.startswith(b"\x89PNG")


def test_escapes_are_drawn_as_they_read():
    drawn = [
        draw_gallery([GalleryRow(image=IMAGE, label=name)]) for name in ("a\udce9", "a\\udce9", "a")
    ]
    assert drawn[0] == drawn[1] != drawn[2]
