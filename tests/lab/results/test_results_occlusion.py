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
