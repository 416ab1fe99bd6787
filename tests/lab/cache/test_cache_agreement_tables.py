"""The table of agreement: every view in one class, and all of them in the last row."""

import json

import numpy as np
import pytest

from salmask_plugin.lab.cache.agreement_tables import (
    agreement_rows,
    agreement_text,
)
from salmask_plugin.lab.results.apart import measurement_json

AREAS = np.array([0.1, 0.2, 0.21, 0.59, 1.0, 1.0000001])
VALUES = {
    "iou": np.array([0.5, 0.7, 0.9, 0.4, 1.0, 0.8]),
    "gamma_difference": np.array([0.1, -0.1, 0.0, 0.2, 0.3, 0.1]),
}


def test_rows_split_the_views_by_area():
    rows = agreement_rows(AREAS, VALUES)
    assert [(row.area, row.views) for row in rows] == [
        ((0.0, 0.2), 2),
        ((0.2, 0.4), 1),
        ((0.4, 0.6), 1),
        ((0.8, 1.0), 2),
        ((0.0, 1.0), 6),
    ]
    assert rows[0].values["iou"].mean == pytest.approx(0.6)
    assert rows[1].gamma_spread is None
    assert rows[-1].gamma_spread == pytest.approx(np.std(VALUES["gamma_difference"], ddof=1))


def test_the_table_and_the_file_say_the_same():
    rows = agreement_rows(AREAS, VALUES)
    text = agreement_text(rows)
    lines = text.splitlines()
    assert "|" not in text
    assert max(map(len, lines)) <= 80
    assert next(line for line in lines if line.startswith("all ")).split()[1:3] == ["6", "0.717"]
    assert lines[0].startswith("Crop, share of the image")
    content = json.loads(measurement_json({"seed": 3}, rows))
    assert content["protocol"] == {"seed": 3}
    assert content["rows"][-1]["values"]["iou"]["mean"] == pytest.approx(4.3 / 6)
