"""Studies of kept records: pairing by seed, what seeds decide, the page and how it is kept."""

import argparse
import math
import statistics
from dataclasses import replace

import pytest

from salmask_plugin.cli import results as command
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.results import Evaluation, write_record
from salmask_plugin.lab.results.arms import against, arms_of, orders
from salmask_plugin.lab.results.evidence import evidence_page
from salmask_plugin.lab.results.statistics import difference
from salmask_plugin.lab.results.study_page import study_results
from salmask_plugin.lab.study.kept_records import slim

ROWS = {"none": [], "masks": [], "top": []}
TARGETS = {
    "none": {"Table 8 (%)": 56.0},
    "masks": {"Table 8 (%)": 55.0},
    "top": {"Table 8 (%)": 57.0, "Table 6 (%)": 50.0},
}
LINEAR = {"none": (0.20, 0.24, 0.22), "masks": (0.26, 0.29, 0.285), "top": (0.23, 0.20, 0.21)}
T_975 = {1: 12.7062, 2: 4.30265}  # Student's t in any table, by degrees of freedom


@pytest.fixture
def records(make_record):
    def make(seeds=(0, 1, 2), **changes):
        return [
            make_record(
                recipe=row,
                seed=seed,
                config={"compare": {"row": row, "rows": ROWS, "targets": TARGETS}, "out": "here"},
                evaluations={
                    "linear": Evaluation({"top1_last": LINEAR[row][seed], "top1_best": 0.9}),
                    "knn": Evaluation({"top1": 0.5 + 0.01 * seed}),
                },
                **changes,
            )
            for row in ("top", "none", "masks")
            for seed in seeds
        ]

    return make


def test_rows_come_baseline_first_then_as_configured(records):
    arms = arms_of(records(), "none")
    assert [arm.name for arm in arms] == ["none", "masks", "top"]
    assert arms[1].values("linear", "top1_last") == dict(enumerate(LINEAR["masks"]))
    assert arms[2].reported == TARGETS["top"]


@pytest.mark.parametrize("count", [2, 3])
def test_the_interval_is_students(count):
    run = dict(enumerate(LINEAR["masks"][:count]))
    found = difference(run, dict(enumerate(LINEAR["none"])))
    pairs = [a - b for a, b in zip(LINEAR["masks"][:count], LINEAR["none"], strict=False)]
    assert found.pairs == pytest.approx(pairs)
    expected = T_975[count - 1] * statistics.stdev(pairs) / math.sqrt(count)
    assert found.interval == pytest.approx(expected, rel=1e-4)
    assert found.mean == pytest.approx(statistics.mean(pairs))


def test_only_common_seeds_count_and_one_decides_nothing():
    assert difference({0: 0.9}, {1: 0.1}).pairs == ()
    found = difference({0: 0.9, 3: 0.2}, {0: 0.1, 1: 0.5})
    assert (found.pairs, found.interval, found.verdict) == (
        (pytest.approx(0.8),),
        None,
        "undecided",
    )


def test_verdicts(records):
    arms = arms_of(records(), "none")
    none, masks, top = arms
    linear = ("linear", "top1_last")
    assert against(masks, none, *linear).verdict == "above"
    assert against(none, masks, *linear).verdict == "below"
    assert against(top, none, *linear).verdict == "undecided"
    far = arms_of(records(seeds=(0,)), "none")[1]
    assert against(far, arms_of(records(seeds=(1,)), "none")[0], *linear) is None
    found = {order.row: order for order in orders(arms, "linear", "top1_last")}
    assert set(found) == {"masks", "top"}  # Table 6 has one row here: nothing to compare
    assert (found["masks"].reported, found["masks"].verdict) == (-1.0, "contradicts")
    assert (found["top"].reported, found["top"].verdict) == (1.0, "undecided")


def test_a_study_needs_a_baseline_and_one_record_a_seed(records):
    with pytest.raises(ValueError, match="baseline='mean' is none of the rows: top, none, masks"):
        arms_of(records(), "mean")
    with pytest.raises(ValueError, match="row 'top' has seed 0 twice"):
        arms_of([*records(), records()[0]], "none")
    mixed = [*records(seeds=(0,)), *records(seeds=(1,), epochs=7)]
    with pytest.raises(ValueError, match="row 'top' differ in epochs"):
        arms_of(mixed, "none")


def test_failed_runs_are_in_no_row(records):
    arms = arms_of([*records(), *records(seeds=(1,), status="failed")], "none")
    assert [len(arm.runs) for arm in arms] == [3, 3, 3]


@pytest.mark.parametrize(
    ("queue", "words"), [(512, "batch 64, queue 512, temp"), (None, "batch 64, temp")]
)
def test_a_queue_is_named_where_there_is_one(records, queue, words):
    text, _ = study_results(records(queue_size=queue, batch_size=64), "block", baseline="none")
    assert words in text


def test_the_results_say_what_the_records_say(records):
    text, figures = study_results(records(), "block", baseline="none")
    assert "| masks | 3 | 3 | 27.83 (SD 1.61) | +5.83 ± 1.90 |" in text
    assert (
        "Exploratory. By linear top-1 against the baseline, above: masks; below: none; "
        "undecided: top."
    ) in text
    assert "| Table 8 | masks - none | -1.00 | +5.83 ± 1.90 | contradicts |" in text
    assert "ImageNet-1k labels" in text
    assert set(figures) == {"block/differences.png", "block/loss.png"}
    assert all(png.startswith(b"\x89PNG") for png in figures.values())


@pytest.mark.usefixtures("no_figures")
def test_a_machine_is_named_once_with_the_code_that_ran_there(records):
    """Each commit by twelve signs; one that was not what ran keeps its mark."""
    runs = records()
    ran = ["a" * 40, "b" * 40 + "+modified", None]
    told = [
        replace(run, environment=replace(run.environment, commit=ran[place % 3]))
        for place, run in enumerate(runs)
    ]
    other = replace(runs[0].environment, gpus=("GPU",), commit="c" * 40)
    told[0] = replace(told[0], environment=other)
    text, _ = study_results(told, "a", baseline="none")
    (line,) = [line for line in text.splitlines() if line.startswith("- Machine")]
    assert line.replace("\\", "") == (
        f"- Machine: 1 x GPU, torch 2.14.1, code {'c' * 12}; "
        f"A CPU, 2 cores, torch 2.14.1, code {'b' * 12}+modified, unknown, {'a' * 12}."
    )


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "kept"
    for name, text in {
        "": "# Results\n",
        "1_block": "## Block\n\nBefore.\n\n{{results}}\n\nAfter.\n",
        "2_words": "## Words\n\nNo records.\n",
    }.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "study.md").write_text(text)
    return folder


def run(folder, *overrides):
    command.run(argparse.Namespace(folder=str(folder), overrides=list(overrides)))


def test_records_are_kept_and_the_page_is_made_again_from_them(records, folder, tmp_path, capsys):
    for record in records():
        write_record(tmp_path / "runs" / record.name, record)
    run(folder, f"keep={tmp_path / 'runs'}", "study=1_block")
    assert "Kept: 9 records" in capsys.readouterr().out
    kept = sorted(path.name for path in (folder / "1_block" / "records").iterdir())
    assert kept == [
        f"{row}-seed{seed}.json" for row in ("masks", "none", "top") for seed in (0, 1, 2)
    ]
    page = folder.with_suffix(".md").read_text()
    headings = [line for line in page.splitlines() if line.startswith("#")]
    assert headings == ["# Results", "## Block", "## Words"]
    assert page.index("Before.") < page.index("27.83") < page.index("After.")
    assert (folder / "1_block" / "differences.png").is_file()
    run(folder)
    assert folder.with_suffix(".md").read_text() == page == evidence_page(folder).markdown
    # A later record of the same row and seed takes the earlier one's place.
    run(folder, f"keep={tmp_path / 'runs' / 'none-seed0'}", "study=1_block")
    assert len(list((folder / "1_block" / "records").iterdir())) == 9


def test_what_is_kept_does_not_say_where_it_ran(records):
    record = records()[0]
    loader = {"input": "device", "batch_size": 64, "workers": 8, "keep": True}
    kept = slim(replace(record, config={**record.config, "loader": loader}))
    assert "out" not in kept.config
    assert kept.config["loader"] == {"input": "device", "batch_size": 64}  # they act on the result
    assert kept.config["compare"]["row"] == "top"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["keep=x"], "keep=RUNS and study=NAME belong together"),
        (["stdy=x"], "'stdy=x' is not a setting of results: keep, study"),
        (["keep=nowhere", "study=1_block"], "keep=nowhere is not a folder"),
        (["keep=nowhere", "study=3_new"], "study.md is missing"),
    ],
)
def test_misuse_is_refused_in_words(folder, overrides, message):
    with pytest.raises(UserError, match=message):
        run(folder, *overrides)


def test_text_and_records_must_match(folder, records):
    with pytest.raises(ValueError, match="it has 0"):
        evidence_page(folder)
    write_record(folder / "2_words" / "records" / "none-seed0.json", records()[0])
    (folder / "1_block" / "study.md").write_text("## Block\n")
    with pytest.raises(ValueError, match=r"2_words.*it has 1"):
        evidence_page(folder)
    (folder / "2_words" / "records" / "none-seed0.json").write_text("{")
    with pytest.raises(ValueError, match="is not JSON"):
        evidence_page(folder)


def test_links_of_every_text_are_relative_to_the_page(folder):
    link = "[a]({}data.md#top) [b]({}kept.md#here) [c](https://a.b/c) [d](#own)\n"
    (folder / "study.md").write_text(link.format("../", "../"))
    (folder / "1_block" / "study.md").write_text(link.format("../../", "../../"))
    line = "[a](data.md#top) [b](#here) [c](https://a.b/c) [d](#own)"
    assert evidence_page(folder).markdown.splitlines()[::2] == [
        line,
        line,
        "## Words",
        "No records.",
    ]
