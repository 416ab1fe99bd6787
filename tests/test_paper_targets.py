"""The values in experiment/paper are those of the paper's tables."""

import pytest
import yaml

from salmask_plugin.cli.config import CONFIGS

PAPER = CONFIGS / "experiment" / "paper"
LINEAR = "Paper: linear top-1 (%)"
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


TARGETS = {
    "table1_mocov2": (LINEAR, methods(68.22, 70.28, 62.76, 73.80, 72.50, 70.84)),
    "table1_simclr": (LINEAR, methods(69.77, 77.18, 71.12, 77.90, 77.78, 77.36)),
    "table4": (
        LINEAR,
        crossed(
            (56.15, 56.60, 55.87, 55.33, 56.39, 54.37, 55.93, 55.94, 55.59),
            ("_random", "_saliency", "_foreground"),
            {"none": 56.00},
        ),
    ),
    "table5": (LINEAR, {"none": 68.22, "imagenet": 73.80, "coco": 73.78}),
    "table6": (
        LINEAR,
        crossed(
            (52.25, 56.29, 58.19, 51.06, 56.83, 58.28, 47.53, 56.86, 58.34),
            ("_key", "_both", "_query"),
            {"none": 56.00},
        ),
    ),
    "table8": (
        LINEAR,
        crossed((55.25, 56.26, 55.52, 56.83, 55.18, 56.21), ("_positive", ""), {"none": 56.00}),
    ),
    "table9": (SUPERVISED, {"supervised": 82.72}),
    "table_a5": (MINUTES, methods(5.5, 7, 10, 9, 10.5, 7.5)),
}


def test_every_table_is_checked():
    assert {path.stem for path in PAPER.glob("*.yaml")} == set(TARGETS)


@pytest.mark.parametrize("table", TARGETS)
def test_targets_are_the_papers(table):
    title, expected = TARGETS[table]
    study = yaml.safe_load((PAPER / f"{table}.yaml").read_text())["compare"]
    assert study["targets"] == {row: {title: value} for row, value in expected.items()}
    assert set(study["rows"]) == set(expected)
    assert study["open"]
