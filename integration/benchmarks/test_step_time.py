"""The benchmark's arithmetic, its page's marks, and, slowly, one run of everything."""

import json
from itertools import pairwise

import pytest
import torch
from bench_clock import peak_memory, ratios, take_turns
from bench_rows import ROWS, baseline_of
from bench_tables import BEGIN, DOCS, END, TARGETS, page_tables, tables, write_report
from step_time import PRESETS, SHARES, measure

RESULT = {
    "preset": "cpu",
    "machine": {
        "device": "a machine",
        "versions": {"torch": "2"},
        "commit": None,
        "threads": 1,
        "clock": "processor seconds",
        "precision": "float32",
    },
    "settings": [
        {
            "setting": {
                "backbone": "resnet50",
                "stem": "standard",
                "view": 224,
                "batch": 4,
                "localizer": 224,
                "rows": ["baseline", "mean, cached"],
            },
            "times": {"baseline": [1.0, 2.0, 4.0], "mean, cached": [1.5, 2.4, 5.6]},
            "memory": {"baseline": 2**21, "mean, cached": 2**22},
            "stages": {"masks and fills: mean": [0.09, 0.1, 0.11]},
        }
    ],
}


def test_a_ratio_is_that_of_one_round():
    times = RESULT["settings"][0]["times"]
    found = ratios(times, "mean, cached", "baseline")
    assert found == pytest.approx({"median": 1.4, "low": 1.2, "high": 1.5})


def test_rows_take_turns_and_stop_in_time():
    called = []
    works = {name: lambda name=name: called.append(name) for name in "abc"}
    times = take_turns(works, "cpu", rounds=3, warm_up=1, until=float("inf"))
    assert "".join(called) == "abc" + "abc" + "bca" + "cab"
    assert [len(values) for values in times.values()] == [3, 3, 3]
    assert len(take_turns(works, "cpu", rounds=3, warm_up=0, until=0)["a"]) == 1


def test_peak_memory_counts_what_is_alive_at_once():
    given = torch.zeros(1000)

    def work():
        for _ in range(5):
            held = given + 1  # 4000 bytes, freed before the next
            given.add_(held)
        return held[:10] + 1

    assert 4000 < peak_memory(work, "cpu") <= 8000 + 200


def test_tables_show_ratio_target_and_a_missed_one():
    text = tables(RESULT)
    assert (
        "| mean, cached | 2.400 | 1.7 | 1.400 (1.20 to 1.50) | <= 1.30 **missed** | 4 | 2.00 |"
        in text
    )
    assert "| masks and fills: mean | 100.00 | 5.0% (<= 4% **missed**) |" in text


def test_the_page_has_sizes_side_by_side_and_stages_of_the_papers_alone():
    (judged,) = RESULT["settings"]
    small = judged | {
        "setting": judged["setting"] | {"backbone": "resnet18", "view": 32},
        "times": {"baseline": [1.0], "mean, cached": [1.2], "ADIOS-s": [3.0]},
    }
    text = page_tables(RESULT | {"settings": [judged, small]})
    assert "| resnet50, 224 px, batch 4; rounds: 3 | resnet18, 32 px, batch 4; rounds: 1 |" in text
    assert "| baseline | 2.000 s | 1.000 s |" in text
    assert "| mean, cached | 1.400 (1.20 to 1.50), <= 1.30 **missed** | 1.200 |" in text
    assert "| ADIOS-s |  | 3.000 |" in text
    assert text.count("| masks and fills: mean |") == 1


def test_report_is_written_and_can_be_read_again(tmp_path):
    write_report(RESULT, tmp_path)
    assert tables(json.loads((tmp_path / "step_time.json").read_text())) == tables(RESULT)
    assert (tmp_path / "step_time.png").read_bytes()[1:4] == b"PNG"


def test_presets_name_rows_and_have_their_baselines():
    for name, settings in PRESETS.items():
        assert sum(SHARES[name]) == pytest.approx(1)
        for setting in settings:
            assert set(setting.rows) <= set(ROWS)
            assert {baseline_of(row) for row in setting.rows} <= set(setting.rows)
    assert all(set(targets) <= set(ROWS) for targets in TARGETS.values())
    assert all(a.view <= b.view for a, b in pairwise(PRESETS["gpu"]))


def test_the_page_has_its_marks():
    page = DOCS.read_text()
    assert page.index(BEGIN) < page.index(END)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_everything_runs_small(tmp_path):
    (setting,) = PRESETS["smoke"]
    block = measure(setting, "smoke", "cpu", minutes=0.1)
    assert set(block["times"]) == set(setting.rows) == set(block["memory"])
    assert all(value > 0 for values in block["stages"].values() for value in values)
    write_report(RESULT | {"settings": [block]}, tmp_path)
