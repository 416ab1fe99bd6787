"""The values in experiment/paper are those of the paper's tables."""

import pytest
import yaml

from salmask_plugin.lab.settings.compose import CONFIGS

PAPER = CONFIGS / "experiment" / "paper"
LINEAR = "Paper: linear top-1 (%)"
CALTECH, FLOWERS = "Paper: Caltech-101 (%)", "Paper: Flowers-102 (%)"
VOC, BOX, MASK = "Paper: VOC AP", "Paper: COCO box AP", "Paper: COCO mask AP"
MINUTES = "Paper: min per epoch"
SUPERVISED = "Paper: supervised top-1 (%)"
RECIPES = ("highpass", "blur", "mean")
METHODS = ("none", "mscn", "adios_s", *RECIPES)


def methods(*values):
    """Rows of Table 1's order."""
    return dict(zip(METHODS, values, strict=True))


def crossed(values, columns, base):
    """Rows RECIPE_COLUMN from a table's lines, as they are printed: recipe by recipe."""
    names = [f"{recipe}{column}" for recipe in RECIPES for column in columns]
    return base | dict(zip(names, values, strict=True))


MOCO = {LINEAR: methods(68.22, 70.28, 62.76, 73.80, 72.50, 70.84)}
SIMCLR = {LINEAR: methods(69.77, 77.18, 71.12, 77.90, 77.78, 77.36)}
LOCALIZERS = ("none", "imagenet", "coco")
TARGETS = {
    "table1_mocov2": MOCO,
    "table1_simclr": SIMCLR,
    "table2_mocov2": {VOC: methods(50.27, 50.27, 45.85, 50.89, 50.76, 50.59)},
    "table2_simclr": {VOC: methods(40.34, 43.50, 43.83, 43.76, 43.20, 43.20)},
    "table3_mocov2": MOCO
    | {
        CALTECH: methods(81.87, 84.13, 79.83, 84.91, 83.95, 82.68),
        FLOWERS: methods(88.39, 90.10, 88.39, 90.95, 90.59, 90.83),
    },
    "table3_simclr": SIMCLR
    | {
        CALTECH: methods(78.20, 86.99, 81.96, 87.04, 83.41, 83.55),
        FLOWERS: methods(85.21, 91.08, 87.53, 90.71, 91.93, 90.83),
    },
    "table4": {
        LINEAR: crossed(
            (56.15, 56.60, 55.87, 55.33, 56.39, 54.37, 55.93, 55.94, 55.59),
            ("_random", "_saliency", "_foreground"),
            {"none": 56.00},
        )
    },
    "table5_voc": {VOC: {"none": 50.27, "imagenet": 50.89, "coco": 50.22}},
    "table5": {
        LINEAR: dict(zip(LOCALIZERS, (68.22, 73.80, 73.78), strict=True)),
        CALTECH: dict(zip(LOCALIZERS, (81.87, 84.91, 85.68), strict=True)),
        FLOWERS: dict(zip(LOCALIZERS, (88.39, 90.95, 90.83), strict=True)),
    },
    "table6": {
        LINEAR: crossed(
            (52.25, 56.29, 58.19, 51.06, 56.83, 58.28, 47.53, 56.86, 58.34),
            ("_key", "_both", "_query"),
            {"none": 56.00},
        )
    },
    "table8": {
        LINEAR: crossed(
            (55.25, 56.26, 55.52, 56.83, 55.18, 56.21), ("_positive", ""), {"none": 56.00}
        )
    },
    "table9": {SUPERVISED: {"supervised": 82.72}},
    "table10_mocov2": {
        BOX: methods(38.52, 38.80, 38.12, 39.16, 38.90, 38.93),
        MASK: methods(33.75, 33.89, 33.38, 34.22, 33.93, 33.92),
    },
    "table10_simclr": {
        BOX: methods(36.30, 37.88, 38.76, 38.45, 37.44, 37.27),
        MASK: methods(31.99, 33.36, 33.94, 33.90, 32.92, 32.68),
    },
    "table11": {"Paper: KITTI Abs Rel": methods(0.140, 0.140, 0.139, 0.138, 0.135, 0.132)},
    "table_a5": {MINUTES: methods(5.5, 7, 10, 9, 10.5, 7.5)},
}


def test_every_table_is_checked():
    assert {path.stem for path in PAPER.glob("*.yaml")} == set(TARGETS)


@pytest.mark.parametrize("table", TARGETS)
def test_targets_are_the_papers(table):
    expected = TARGETS[table]
    study = yaml.safe_load((PAPER / f"{table}.yaml").read_text())["compare"]
    rows = dict.fromkeys(row for values in expected.values() for row in values)
    assert study["targets"] == {
        row: {title: values[row] for title, values in expected.items() if row in values}
        for row in rows
    }
    assert set(study["rows"]) == set(rows)
    assert study["open"]
