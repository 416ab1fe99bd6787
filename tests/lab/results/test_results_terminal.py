"""Tables of any kind as text: nothing is lost, nothing is wider than the terminal."""

import pytest

from salmask_plugin.lab.results.grid import NOTHING, Grid
from salmask_plugin.lab.results.terminal import filled, grid_blocks, grid_entries

HEADERS = ["Recipe", "Localizer", *(f"measure {index}" for index in range(9))]
ROWS = [
    [f"recipe {row}", "uniform", *(f"0.{row}{column} ± 0.05" for column in range(9))]
    for row in range(3)
]


@pytest.mark.parametrize("width", [60, 80, 100, 400])
def test_every_cell_stands_once_and_its_name_in_every_block(width):
    text = grid_blocks(Grid(HEADERS, ROWS), left=2, width=width)
    assert max(map(len, text.splitlines())) <= width
    blocks = text.split("\n\n")
    assert (len(blocks) == 1) == (width == 400)
    found = [[], [], [], []]
    for block in blocks:
        lines = block.splitlines()
        assert len(lines) == 4
        for place, line in enumerate(lines):
            name, localizer, *cells = (
                line.replace("measure ", "measure_")
                .replace("recipe ", "recipe_")
                .replace(" ± ", "±")
                .split()
            )
            assert (name, localizer) == [
                ("Recipe", "Localizer"),
                *((f"recipe_{row}", "uniform") for row in range(3)),
            ][place]
            found[place] += cells
    assert found[0] == [f"measure_{index}" for index in range(9)]
    assert found[1:] == [[cell.replace(" ± ", "±") for cell in row[2:]] for row in ROWS]


def test_columns_are_aligned():
    lines = grid_blocks(Grid(["A", "value"], [["x", "1"], ["long name", "23"]]), 1).splitlines()
    assert lines == ["A          value", "x              1", "long name     23"]


def test_a_long_name_is_cut_and_a_table_of_names_stays():
    text = grid_blocks(Grid(["Name", "v"], [["n" * 90, "1"]]), 1, width=60)
    assert text.splitlines()[1] == "n" * 28 + "…  1"
    assert grid_blocks(Grid(["Name"], [["a"]]), 1) == "Name\na"


def test_an_entry_has_a_line_a_cell_and_none_for_nothing():
    grid = Grid(
        ["Comparison", "Rows", "p", "Note"], [["fill", "mean - none", NOTHING, "long " * 20]]
    )
    lines = grid_entries(grid, width=60).splitlines()
    assert lines[:2] == ["Comparison: fill", "  Rows        mean - none"]
    assert lines[2].startswith("  Note        long long")
    assert all(line.startswith(" " * 14) for line in lines[3:])
    assert max(map(len, lines)) <= 60
    assert " ".join("".join(lines[2:]).split()[1:]) == ("long " * 20).strip()


def test_what_acts_on_a_terminal_is_escaped():
    grid = Grid(["A", "B"], [["\x1b[2J", "\x1b]0;x"]])
    assert "\x1b" not in grid_blocks(grid, 1) + grid_entries(grid)


def test_a_path_stays_whole():
    path = "/data/" + "x" * 90
    assert path in filled(f"is at {path} now", "  ", 60).splitlines()[1]
