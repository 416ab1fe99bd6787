"""Outlines that are none of their picture are refused before anything is drawn from them."""

import math

import numpy as np
import pytest

from salmask_plugin.lab.data.coco import draw_instances
from salmask_plugin.lab.data.outline_checks import area_and_box, checked_outline, checked_size
from salmask_plugin.lab.data.outlines import coco_tools, outline_masks, outline_of
from salmask_plugin.lab.downstream.detection.coco_ap import coco_average_precision
from salmask_plugin.lab.downstream.detection.detections import Detections

SIZE = (12, 9)
FULL = 12 * 9
BAD = {
    "short": ({"size": [9, 12], "counts": [3, 2]}, "do not fill 9x12"),
    "long": ({"size": [9, 12], "counts": [3, 2, FULL]}, "do not fill 9x12"),
    "turned": ({"size": [12, 9], "counts": [FULL]}, "do not fill 9x12"),
    "negative": ({"size": [9, 12], "counts": [FULL + 5, -5]}, "whole numbers from 0"),
    "wraps": ({"size": [9, 12], "counts": [2**32, FULL]}, "do not fill"),
    "huge": ({"size": [9, 12], "counts": [10**4000]}, "do not fill"),
    "fractions": ({"size": [9, 12], "counts": [float(FULL)]}, "whole numbers from 0"),
    "no counts": ({"size": [9, 12]}, "have no 'counts'"),
    "compressed, short": ({"size": [9, 12], "counts": "52"}, "do not fill"),
    "compressed, no end": ({"size": [9, 12], "counts": "5R"}, "end in the middle"),
    "compressed, endless number": ({"size": [9, 12], "counts": "o" * 40}, "wrong sign 'o'"),
    "compressed, wrong sign": ({"size": [9, 12], "counts": "5 2"}, "wrong sign ' '"),
    "far": ([[0, 0, 1e7, 0, 1e7, 5]], "coordinate 10000000.0"),
    "infinite": ([[0, 0, math.inf, 0, 3, 5]], "coordinate inf"),
    "nan": ([[0, math.nan, 4, 0, 3, 5]], "coordinate nan"),
    "giant": ([[0, 0, 10**4000, 0, 3, 5]], "coordinate 1000"),
    "text": ([[0, 0, "4", 0, 3, 5]], "coordinate '4'"),
    "true": ([[0, 0, True, 0, 3, 5]], "coordinate True"),
    "odd": ([[0, 0, 4, 0, 3, 5, 6]], "has 7 numbers"),
    "two points": ([[0, 0, 4, 4]], "has 4 numbers"),
    "one of two": ([[0, 0, 4, 0, 4, 4], []], "has 0 numbers"),
    "no list": ([{"x": 1}], "is a list of numbers"),
    "no outline": ("abc", "a list of polygons, or run lengths"),
}


@pytest.mark.parametrize("name", BAD)
def test_no_bad_outline_reaches_c_code(name, monkeypatch, make_instances):
    outline, words = BAD[name]
    monkeypatch.setattr(
        "salmask_plugin.lab.data.outlines.coco_tools", lambda name: pytest.fail(name)
    )
    with pytest.raises(ValueError, match=words):
        outline_masks([outline], SIZE)
    with pytest.raises(ValueError, match=words):
        draw_instances([outline], SIZE)
    nothing = Detections(np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0), ())
    with pytest.raises(ValueError, match=rf"'0\.png', object 0: .*{words}"):
        coco_average_precision([nothing], [make_instances(outline)], 1, "segm")


@pytest.fixture
def make_instances():
    from salmask_plugin.lab.downstream.detection.instances import Instances

    def make(outline):
        one = np.zeros(1, bool)
        box = np.array([[0.0, 0, 5, 5]])
        return Instances(
            box, np.zeros(1, np.int64), one, ~one, np.ones(1), (outline,), SIZE, "0.png"
        )

    return make


def random_masks():
    rng = np.random.default_rng(7)
    for share in (0.0, 0.03, 0.5, 0.97, 1.0):
        for size in ((9, 12), (1, 1), (40, 31), (3, 500)):
            yield rng.random(size) < share


def test_run_lengths_agree_with_cocos_own_tools():
    """Compressed by pycocotools, read here: the same runs, area and box as there."""
    tools = coco_tools("mask")
    for mask in random_masks():
        compressed = tools.encode(np.asfortranarray(mask.astype(np.uint8)))
        height, width = mask.shape
        checked = checked_outline(compressed, (width, height))
        assert checked == outline_of(mask)
        assert np.array_equal(outline_masks([compressed], (width, height))[0] > 0, mask)
        area, box = area_and_box(checked)
        assert area == tools.area(compressed)
        rows, columns = np.nonzero(mask)
        expected = (0.0, 0.0, 0.0, 0.0)
        if len(rows):
            x, y = columns.min(), rows.min()
            expected = (x, y, columns.max() - x + 1, rows.max() - y + 1)
        assert box == expected


def test_area_and_box_of_polygons():
    square, triangle = [2, 1, 5, 1, 5, 4, 2, 4], [6, 0, 10, 0, 10, 6]
    assert area_and_box([square]) == (9, (2, 1, 3, 3))
    assert area_and_box([square, triangle]) == (9 + 12, (2, 0, 8, 6))
    assert area_and_box([square[::-1]]) == (9, (1, 2, 3, 3))  # the other way around, and mirrored


def test_an_outline_may_hang_over_the_edge():
    polygon = [[-2.5, -1, 14, -1, 14, 11, -2.5, 11]]
    assert outline_masks([polygon], SIZE).all()
    assert np.asarray(draw_instances([polygon], SIZE)).all()


@pytest.mark.parametrize("side", [0, -4, 2.5, math.nan, math.inf, 10**400, "12", None, True])
def test_sizes_that_no_picture_has(side):
    with pytest.raises(ValueError, match="whole numbers from 1"):
        checked_size(side, 9)
    with pytest.raises(ValueError, match="whole numbers from 1"):
        checked_size(9, side)


def test_sizes_are_bounded():
    assert checked_size(640.0, 480) == (640, 480)
    with pytest.raises(ValueError, match="more than 89478485"):
        checked_size(100_000, 100_000)
