"""Accuracy under occlusion in words, in tables and as a figure."""

import io

import numpy as np
import pytest
from PIL import Image

from salmask_plugin.lab.results import Evaluation, compare
from salmask_plugin.lab.results.curves import accuracy_curves, occlusion_curves
from salmask_plugin.lab.results.drawing import to_png
from salmask_plugin.lab.results.metric_names import is_occlusion, metric_title, occlusion_title
from salmask_plugin.lab.results.study_page import study_results


def hidden(value, shares="0.15, 0.3"):
    metrics = {"top1_linear": 0.8, "top1_linear_anywhere_picture": value}
    curves = {"linear anywhere picture": (0.8, 0.7, value)}
    return Evaluation(metrics, {"shares": shares, "metrics_at": 0.3}, curves)


@pytest.fixture
def records(make_record):
    return [
        make_record(recipe, seed, 0.4).with_evaluation("occlusion", hidden(value + 0.01 * seed))
        for recipe, value in (("none", 0.3), ("mean", 0.6))
        for seed in (0, 1)
    ]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("top1_linear", "linear, nothing hidden"),
        ("top1_linear_anywhere_picture", "linear, hidden by another picture"),
        ("knn object black", "kNN, hidden on the object by black"),
        ("top1_knn_background_mean", "kNN, hidden on the background by mean colour"),
    ],
)
def test_conditions_have_words(name, words):
    assert occlusion_title(name) == words


def test_tables_use_them():
    found = metric_title("cifar10/occlusion", "top1_linear_anywhere_noise")
    assert found == "cifar10: Occlusion: linear, hidden by noise (%)"
    assert is_occlusion("cifar10/occlusion")
    assert not is_occlusion("linear")


def test_the_figure_shows_each_rows_curve(records):
    """Its pixels change with a value, and rows without the task leave no figure."""
    png = to_png(occlusion_curves(compare(records).tables[0]))
    image = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    assert image.std() > 5
    moved = [records[0].with_evaluation("occlusion", hidden(0.1)), *records[1:]]
    assert to_png(occlusion_curves(compare(moved).tables[0])) != png
    assert to_png(occlusion_curves(compare(records).tables[0])) == png


def test_without_occlusion_there_is_no_figure(make_record):
    assert occlusion_curves(compare([make_record("mean")]).tables[0]) is None


def test_shares_are_no_epochs(records):
    assert accuracy_curves(compare(records).tables[0]) is None


def test_shares_that_do_not_fit_are_left_out(make_record):
    broken = make_record("none").with_evaluation("occlusion", hidden(0.3, shares="many"))
    assert occlusion_curves(compare([broken]).tables[0]) is None


@pytest.mark.usefixtures("no_figures")
def test_a_studys_page_has_the_column(records):
    text, _ = study_results(records, "a", baseline="none")
    row = next(line for line in text.splitlines() if line.startswith("| mean"))
    assert "+30.00" in row
    assert "partly hidden" in text
    assert "linear top-1" not in text  # nobody has it


FILLS = ("mean", "noise", "picture")


def by_fill(*values):
    metrics = {f"top1_linear_anywhere_{fill}": v for fill, v in zip(FILLS, values, strict=True)}
    return Evaluation(
        {"top1_linear": 0.8, "top1_knn_anywhere_mean": 0.2, **metrics}, {"metrics_at": 0.3}
    )


def hidden_rows(text):
    """The cells of the table of hidden pictures, by row."""
    _, _, after = text.partition("by what hides it")
    table = after.split("\n\n")[1]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return {first: rest for first, *rest in cells}


@pytest.mark.usefixtures("no_figures")
def test_a_studys_page_says_what_each_row_gains_by_what_hides(make_record):
    """Means and paired differences by numpy, Student's t from its table for two pairs."""
    values = {
        "none": [(0.3, 0.2, 0.1), (0.4, 0.2, 0.1)],
        "mean": [(0.6, 0.1, 0.2), (0.5, 0.3, 0.2)],
    }
    records = [
        make_record(recipe, seed).with_evaluation("occlusion", by_fill(*values[recipe][seed]))
        for recipe in values
        for seed in (0, 1)
    ]
    text, _ = study_results(records, "a", baseline="none")
    assert "linear classifier on pictures of which 30 % is hidden" in text
    found = hidden_rows(text)
    assert found["row"] == ["hidden by mean colour", "hidden by noise", "hidden by another picture"]
    assert found["none"] == ["35.00", "20.00", "10.00"]
    none, mean = (100 * np.array(values[recipe]) for recipe in ("none", "mean"))
    for place, cell in enumerate(found["mean"][:2]):
        pairs = mean[:, place] - none[:, place]
        reach = 12.706 * pairs.std(ddof=1) / np.sqrt(2)
        number, gain, _, width = cell.replace("(", "").replace(")", "").split()
        assert float(number) == pytest.approx(mean[:, place].mean())
        assert float(gain) == pytest.approx(pairs.mean())
        assert float(width) == pytest.approx(reach, rel=1e-3)


@pytest.mark.usefixtures("no_figures")
def test_a_difference_that_cannot_be_read_is_none_there_either(make_record):
    """The baseline is no better than the untrained encoder."""
    records = [
        make_record(name, 0, 0.4).with_evaluation("occlusion", by_fill(0.3, 0.2, 0.1))
        for name in ("none", "untrained", "mean")
    ]
    found = hidden_rows(study_results(records, "a", baseline="none")[0])
    assert found["mean"] == [f"{value} (below the gate)" for value in ("30.00", "20.00", "10.00")]


@pytest.mark.usefixtures("no_figures")
def test_one_way_of_hiding_has_no_table_of_its_own(records):
    """It is a column of the study's table."""
    assert "by what hides it" not in study_results(records, "a", baseline="none")[0]


def test_the_untrained_encoder_is_left_out_of_the_differences_and_the_caption_says_so(make_record):
    def found(*names):
        records = [
            make_record(name, seed, value + 0.01 * seed)
            for name, value in zip(names, (0.7, 0.3, 0.71), strict=False)
            for seed in (0, 1)
        ]
        text, figures = study_results(records, "a", baseline="none")
        return text, Image.open(io.BytesIO(figures["a/differences.png"])).height

    both, high = found("none", "untrained", "mean")
    alone, same = found("none", "untrained")
    assert "untrained encoder, far below, is in the table" in both
    assert "far below" not in alone
    assert high == same  # one row each
