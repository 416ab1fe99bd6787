import io
import struct
import sys
from dataclasses import replace
from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pytest
from oracles.working import run
from PIL import Image

from salmask_plugin.lab.results import (
    Evaluation,
    GalleryRow,
    compare,
    display_filtered,
    display_view,
    draw_gallery,
)
from salmask_plugin.lab.results.bars import accuracy_bars, difference_dots
from salmask_plugin.lab.results.curves import accuracy_curves, diagnostics, loss_curves
from salmask_plugin.lab.results.drawing import (
    BASELINE_COLOUR,
    KNOWN,
    colours,
    line_styles,
    rendered,
    to_png,
)
from salmask_plugin.lab.results.leading_rows import leading

FIGURES = (accuracy_bars, difference_dots, loss_curves, diagnostics, accuracy_curves)


def _size(png: bytes) -> tuple[int, int]:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    return struct.unpack(">II", png[16:24])


def _pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


@pytest.fixture
def table(make_record):
    linear = Evaluation({"top1_last": 0.5}, {}, {"top1": (0.2, 0.5)})
    records = [
        make_record(recipe, seed, 0.4 + 0.01 * seed).with_evaluation("linear", linear)
        for recipe in ("none", "mean", "blur")
        for seed in (0, 1)
    ]
    return compare(records).tables[0]


@pytest.mark.parametrize("draw", FIGURES)
def test_figures_are_png_of_the_reports_width(table, draw):
    png = to_png(draw(table))
    width, height = _size(png)
    assert width == 1350
    assert 200 < height < 2000
    assert _pixels(png).std() > 5
    assert to_png(draw(table)) == png


@pytest.mark.parametrize(("kind", "opening"), [("svg", b"<?xml"), ("pdf", b"%PDF-")])
def test_a_figure_is_also_a_vector_graphic_the_same_each_time(table, kind, opening):
    figure = difference_dots(table)
    to_png(figure)
    first, again = rendered(figure, kind), rendered(difference_dots(table), kind)
    assert first.startswith(opening)
    assert b"Matplotlib v" not in first
    # Whether it was a PNG before or not: its texts have the same room.
    assert len(first) == pytest.approx(len(again), rel=0.02)
    assert rendered(figure, kind) == first


def test_a_recipe_has_one_colour_in_every_table_and_the_baseline_is_grey(make_record):
    records = [make_record(recipe) for recipe in ("none", "blur", "mean", "top")]
    records += [make_record(recipe, epochs=9) for recipe in ("none", "mean", "top")]
    records += [make_record("top", branch="key")]
    tables = compare(records).tables
    found = [line_styles(table) for table in tables]
    colours = {
        (row.setting.recipe, styles[row.name]["color"])
        for table, styles in zip(tables, found, strict=True)
        for row in table.rows
    }
    assert len(tables) == 2
    assert len(colours) == 4
    assert ("none", BASELINE_COLOUR) in colours
    one, other = (found[0][f"top · branch={branch}"] for branch in ("key", "query"))
    assert one["linestyle"] != other["linestyle"]


def test_labels_of_panels_do_not_overlap_and_are_large(make_record):
    """Four long names below four panels, as occlusion gives them."""
    names = ("top1_linear", "top1_linear_anywhere_picture", "top1_knn_background_picture")
    found = Evaluation(dict.fromkeys(names, 0.5), {})
    records = [make_record(n, 0).with_evaluation("occlusion", found) for n in ("none", "mean")]
    figure = accuracy_bars(compare(records).tables[0])
    figure.draw_without_rendering()
    labels = [axis.xaxis.label for axis in figure.axes if axis.axison]
    assert len(labels) == 4
    boxes = [label.get_window_extent() for label in labels]
    for number, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:number])
        assert 0 <= box.x0 < box.x1 <= figure.bbox.x1
    # 8 pixels high where the figure is shown 400 pixels wide
    assert labels[0].get_size() * figure.dpi / 72 * 400 / figure.bbox.width > 8


def test_chance_is_marked_where_its_classes_are_known(make_record):
    """On flowers, of 102 classes, it stood at the chance of the run's own ten."""
    found = Evaluation({"top1_last": 0.5}, {})
    record = make_record("none").with_evaluation("flowers102/linear", found)
    figure = accuracy_bars(compare([record.with_evaluation("linear", found)]).tables[0])
    chance = {
        axis.get_xlabel().split()[0]: [
            line.get_xdata()[0] for line in axis.lines if line.get_linestyle() == ":"
        ]
        for axis in figure.axes
        if axis.axison
    }
    own = [100 / record.data.classes]
    assert chance == {"kNN": own, "Linear": own, "flowers102:": []}


def test_a_known_recipe_has_one_colour_in_every_report():
    alone, among = colours(["mean"]), colours(["a", "blur", "mean", "random", "z"])
    assert alone["mean"] == among["mean"]
    assert len(set(among.values())) == 5
    many = colours([*KNOWN, *map(str, range(9))])
    assert all(many[name] == colours([name])[name] for name in KNOWN)


def test_rows_of_one_colour_differ_in_dash_or_marker(make_record):
    names = [*KNOWN, *map(str, range(9))]
    table = compare([make_record(recipe) for recipe in ("none", *names)]).tables[0]
    looks = [tuple(sorted(style.items())) for style in line_styles(table).values()]
    assert len(set(looks)) == len(names) + 1


@pytest.mark.parametrize("draw", [loss_curves, diagnostics, accuracy_curves])
def test_curves_are_legible_at_400_pixels(table, draw):
    figure = draw(table)
    figure.draw_without_rendering()
    shown = 400 / figure.bbox.width * figure.dpi / 72
    texts = [text for axis in figure.axes if axis.axison for text in axis.get_xticklabels()]
    texts += [axis.xaxis.label for axis in figure.axes if axis.axison]
    texts += [text for legend in figure.legends for text in legend.get_texts()]
    assert len(texts) > 3
    assert min(text.get_size() for text in texts) * shown > 8
    for axis in figure.axes:
        boxes = [t.get_window_extent() for t in axis.get_xticklabels() if axis.axison]
        assert not any(one.overlaps(other) for one, other in pairwise(boxes))


@pytest.mark.parametrize("draw", FIGURES)
def test_without_data_there_is_no_figure(make_record, draw):
    empty = compare([make_record("mean", knn=None, history={})]).tables[0]
    assert draw(empty) is None


def test_figures_take_one_seed_missing_values_and_strange_names(make_record):
    records = [
        make_record("none", history={"loss": (float("nan"), 2.0, float("inf"))}),
        make_record(r"$\frac{", method="_m$"),
        make_record("mean", knn=None, history={"loss": (1.0,)}),
    ]
    table = compare(records).tables[0]
    for draw in (accuracy_bars, loss_curves):
        assert _size(to_png(draw(table)))[0] == 1350


def test_seeds_of_unequal_length_are_drawn(make_record):
    records = [make_record("mean", s, history={"loss": (1.0,) * (s + 1)}) for s in (0, 1)]
    assert loss_curves(compare(records).tables[0]) is not None


def test_drawing_leaves_the_users_style_and_opens_no_window(table):
    before = dict(mpl.rcParams)
    to_png(loss_curves(table))
    assert dict(mpl.rcParams) == before
    assert (
        "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
    )


def test_importing_the_room_loads_no_drawing_library():
    code = (
        "import sys, salmask_plugin.results as r; "
        "assert not {'matplotlib', 'jinja2'} & set(sys.modules), 'loaded'"
    )
    done = run([sys.executable, "-c", code])
    assert done.returncode == 0, done.stderr


def _row(height: int = 40, width: int = 60, **changes: object) -> GalleryRow:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    parts = {
        "image": image,
        "saliency": rng.random((5, 7)),
        "foreground": rng.random((5, 7)) > 0.5,
        "query": image / 255,
        "key": image[:, ::-1],
        "negative": image[::-1],
        "label": "a$_very_long_name" * 5,
    }
    return GalleryRow(**(parts | changes))


@pytest.mark.parametrize("width", [1000, 1400])
def test_a_gallery_has_the_asked_width_and_the_images_shape(width):
    wide, tall = (
        draw_gallery([_row(40, 60)], width=width),
        draw_gallery([_row(60, 40)], width=width),
    )
    assert _size(wide)[0] == _size(tall)[0] == width
    assert _size(tall)[1] > _size(wide)[1]


def test_the_gallery_shows_the_picture_itself():
    colours = np.zeros((8, 8, 3), np.uint8)
    colours[:4, :4] = (250, 10, 20)
    row = GalleryRow(image=colours, query=np.full((8, 8, 3), (30, 200, 40), np.uint8))
    pixels = _pixels(draw_gallery([row], width=800))
    found = {tuple(colour) for colour in pixels.reshape(-1, 3)}
    assert {(250, 10, 20), (0, 0, 0), (30, 200, 40)} <= found
    red = np.argwhere((pixels == (250, 10, 20)).all(-1))
    black = np.argwhere((pixels == (0, 0, 0)).all(-1) & (np.arange(800) < 400)[None, :])
    assert red[:, 0].max() < black[:, 0].max()
    assert red[:, 1].max() < black[:, 1].max()


def test_the_foreground_keeps_the_object_and_darkens_the_rest():
    image = np.full((30, 30, 3), 200, np.uint8)
    foreground = np.array([[True, False, False]] * 3)
    pixels = _pixels(draw_gallery([GalleryRow(image, foreground=foreground)], width=800))
    second = pixels[-300:-30, 415:-15].astype(float).mean((0, 2))
    third = len(second) // 3
    assert second[: third - 20].mean() == pytest.approx(200, abs=3)
    assert second[third + 20 :].mean() == pytest.approx(60, abs=3)


@pytest.mark.parametrize("value", [True, False])
def test_flat_maps_are_drawn(value):
    row = _row(saliency=np.zeros((2, 3)), foreground=np.full((2, 3), value))
    assert _size(draw_gallery([row], filtered=True, title="t"))[0] == 1350


def test_parts_that_no_row_has_leave_no_column_and_single_gaps_are_drawn():
    images_only = replace(
        _row(), saliency=None, foreground=None, query=None, key=None, negative=None, label=""
    )
    assert _size(draw_gallery([images_only]))[1] > _size(draw_gallery([_row()]))[1]
    assert _size(draw_gallery([_row(), images_only]))[0] == 1350


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": np.zeros((3, 8, 8))}, r"image has shape \(3, 8, 8\)"),
        ({"query": np.full((8, 8, 3), -0.1)}, r"query lies in \[-0.1"),
        ({"key": np.full((8, 8, 3), np.nan)}, "key lies in"),
        ({"negative": np.zeros((8, 8, 3), np.int64)}, "negative has dtype int64"),
        ({"saliency": np.zeros((1, 4, 4))}, "saliency has shape"),
        ({"foreground": np.zeros((4, 4))}, "foreground has dtype float64"),
    ],
)
def test_pictures_of_the_wrong_kind_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        _row(**changes)


def test_a_gallery_of_nothing_or_too_narrow_is_refused():
    with pytest.raises(ValueError, match="rows is empty"):
        draw_gallery([])
    with pytest.raises(ValueError, match="width=100"):
        draw_gallery([_row()], width=100)


def test_a_view_comes_back_from_its_normalisation():
    pixels = np.random.default_rng(1).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    view = ((pixels / 255 - mean) / std).transpose(2, 0, 1).astype(np.float32)
    np.testing.assert_array_equal(display_view(view), pixels)


def test_a_filtered_view_is_stretched_about_mid_grey():
    view = np.zeros((3, 20, 30))
    view[0, 0], view[1, 0] = 1e-3, -1e-3
    shown = display_filtered(view)
    assert shown.shape == (20, 30, 3)
    assert (shown[0, 0] == (255, 0, 128)).all()
    assert (shown[5] == 128).all()
    assert (display_filtered(np.zeros((3, 2, 2))) == 128).all()


@pytest.mark.parametrize("display", [display_view, display_filtered])
def test_only_views_are_displayed(display):
    with pytest.raises(ValueError, match=r"view has shape \(8, 8, 3\)"):
        display(np.zeros((8, 8, 3)))
    with pytest.raises(ValueError, match=r"view is a list; it must be an array \(3, H, W\)"):
        display([[0.0]])


@pytest.mark.parametrize("draw", [loss_curves, accuracy_curves, diagnostics])
def test_long_names_do_not_run_out_of_the_figure(make_record, draw):
    linear = Evaluation({"top1_last": 0.5}, {}, {"top1": (0.2, 0.5)})
    names = ["none", *(f"masks_that_fall_on_the_foreground_alone_{place}" for place in range(7))]
    records = [make_record(name, 0, 0.4).with_evaluation("linear", linear) for name in names]
    pixels = _pixels(to_png(draw(compare(records).tables[0])))
    assert (pixels[:, :4] == 255).all()
    assert (pixels[:, -4:] == 255).all()


def test_a_name_of_its_own_says_enough(make_record):
    masked = [
        make_record("top", 0, 0.4, branch="query"),
        make_record("key", 0, 0.4, branch="key"),
        make_record("mean", 0, 0.4, branch="key"),
        make_record("mean", 1, 0.4, branch="both"),
    ]
    (table,) = compare([make_record("none", 0, 0.3), *masked]).tables
    names = {row.name for row in table.rows}
    assert names == {"none", "top", "key", "mean · branch=key", "mean · branch=both"}
    assert {row.variant for row in table.rows} >= {"branch=query", "branch=key"}


def many(make_record, names, plan=None):
    compared = {"rows": {name: [] for name in names}, "plan": plan}
    records = [
        make_record(name, 0, 0.4, config={"compare": {**compared, "row": name}}) for name in names
    ]
    return compare(records).tables[0]


def legend_of(figure):
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()], legend.get_title().get_text()


def test_more_curves_than_the_eye_can_follow_are_not_drawn_and_the_figure_says_so(make_record):
    """Baseline, untrained and planned rows first, then the others as the study names them."""
    others = [f"row{letter}" for letter in "zyxwvuts"]
    plan = {"a": {"row": "rows", "against": "none", "measure": "knn/top1", "note": None}}
    names = ["untrained", *others, "none"]
    drawn, title = legend_of(loss_curves(many(make_record, names, plan)))
    assert set(drawn) == {"none", "untrained", "rows", "rowz", "rowy", "rowx", "roww", "rowv"}
    said = "8 of 10 rows: the baseline, untrained and planned ones, and those furthest from it"
    assert " ".join(title.split()).startswith(said)


def test_of_the_others_those_are_drawn_that_lie_furthest_from_the_baseline(make_record):
    """Among those of three seeds, above or below it; one seed lies far off by chance."""
    losses = {"none": 3.0, "rowa": 3.1, "rowb": 2.8, "rowc": 3.2, "rowd": 3.05, "once": 9.0}
    compared = {"rows": {name: [] for name in losses}}
    table = compare(
        make_record(
            name,
            seed,
            0.4,
            history={"loss": (5.0, loss)},
            config={"compare": {**compared, "row": name}},
        )
        for name, loss in losses.items()
        for seed in range(1 if name == "once" else 3)
    ).tables[0]
    curves = [{row.name: (5.0, losses[row.name]) for row in table.rows}]
    assert leading(table.rows, 3, curves) == {"none", "rowb", "rowc"}
    assert leading(table.rows, 5, curves) == {"none", "rowb", "rowc", "rowa", "rowd"}
    assert leading(table.rows, 3) == {"none", "rowa", "rowb"}
    # A panel that the baseline is not in, such as what masks hide, ranks nothing.
    assert leading(table.rows, 3, [{**curves[0], "none": ()}]) == {"none", "rowa", "rowb"}


def test_as_many_curves_as_can_be_told_apart_are_all_drawn(make_record):
    drawn, title = legend_of(loss_curves(many(make_record, ["none", *"abcdefg"])))
    assert set(drawn) == {"none", *"abcdefg"}
    assert not title
