"""What views cost: every path makes two views, and the table says what was measured."""

import pytest
import torch
from bench_tables import DOCS
from view_cost import BEGIN, END, KORNIA, LIGHTLY, OURS, measure, pictures_of, tables, works_of

MACHINE = {
    "device": "a machine",
    "versions": {"torch": "2", "kornia": "0.9", "timm": "1"},
    "commit": None,
    "threads": 1,
    "clock": "processor seconds",
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_all_make_two_normalised_views_of_every_picture():
    (block,) = measure([(16, 20, 6)], "cpu", rounds=2, minutes=1)
    assert {name: len(times) for name, times in block["times"].items()} == {
        OURS: 2,
        LIGHTLY: 2,
        KORNIA: 2,
    }
    assert min(min(times) for times in block["times"].values()) > 0
    works = works_of(16, pictures_of(6, 20), "cpu")
    made = [works[OURS]()[0], works[KORNIA]()]
    made.append([torch.stack([pair[n] for pair in works[LIGHTLY]()]) for n in range(2)])
    for views in made:
        assert [view.shape for view in views] == [(6, 3, 16, 16)] * 2
        assert not torch.equal(*views)
        assert views[0].min() < 0 < views[0].max()


def test_a_ratio_is_that_of_one_round_and_a_missed_goal_is_named():
    times = {OURS: [1.0, 2.0, 4.0], LIGHTLY: [1.5, 3.2, 8.0], KORNIA: [0.5, 4.0, 2.0]}
    block = {"view": 96, "picture": 128, "pictures": 64, "times": times}
    text = tables({"machine": MACHINE, "sizes": [block]})
    assert "| 96 px (128 px) | 32 | 20 | 32 | 1.60 (1.50 to 2.00) **missed: 2.0** | " in text
    assert text.endswith("| 0.50 (0.50 to 2.00) **missed: 1.0** |\n")
    assert "torch 2, kornia 0.9; commit None. 3 interleaved rounds" in text


def test_the_page_has_its_marks():
    page = DOCS.read_text()
    assert page.index(BEGIN) < page.index(END)
