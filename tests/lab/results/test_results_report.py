import base64
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from salmask_plugin.lab.results import Evaluation, GalleryRow, draw_gallery, write_report
from salmask_plugin.lab.results.curves import loss_curves
from salmask_plugin.lab.results.grid import Grid

HOSTILE = "<script>alert(1)</script><img src=x onerror=y>\"'&`|"


class _Page(HTMLParser):
    """What a browser would see: tags with their attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def picture():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (16, 24, 3), dtype=np.uint8)
    return draw_gallery([GalleryRow(image, rng.random((2, 3)))], width=500)


def test_a_report_has_table_figures_gallery_and_settings(make_record, tmp_path, picture):
    records = [
        make_record(recipe, seed, value)
        for recipe, value in (("none", 0.4), ("mean", 0.5))
        for seed in (0, 1)
    ]
    (tmp_path / "g.png").write_bytes(picture)
    paths = write_report(
        tmp_path / "out",
        records,
        galleries={"from bytes": picture, "from a file": tmp_path / "g.png"},
        title="A study",
        notes=["one broken record"],
    )
    page = _Page(paths.html.read_text())
    markdown = paths.markdown.read_text()
    for words in (
        "A study",
        "4 finished runs",
        "This is not the paper's setting",
        "50.00 (SD 0.00)",
        # Two seeds agree to a step of .1 points: the interval is no smaller than that allows.
        "+10.00 ± 0.64",
        "one broken record",
        "a note (mean-seed0, mean-seed1, none-seed0, none-seed1)",
        "k=20, temperature=0.07",
        "torch 2.14.1",
        "ImageNet-1k labels",
        '"ratio"',
    ):
        assert words in page.text
        assert words in markdown.replace("\\", "")
    images = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    assert len(images) == len(paths.figures) == 4 + 2
    embedded = {base64.b64decode(source.split(",", 1)[1]) for source in images}
    assert embedded == {path.read_bytes() for path in paths.figures}
    linked = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", markdown)
    assert [tmp_path / "out" / link for link in linked] == list(paths.figures)
    assert "50.0" in paths.csv.read_text()
    drawn = paths.figures[:4]
    assert paths.vectors == tuple(
        path.with_suffix(kind) for path in drawn for kind in (".svg", ".pdf")
    )
    assert all(path.stat().st_size > 1000 for path in paths.vectors)
    latex = paths.latex.read_text()
    assert r"+10.00 $\pm$ 0.64" in latex
    assert latex.count(r"\begin{table}") == 1


def test_the_html_needs_nothing_from_outside(make_record, tmp_path, picture):
    html = write_report(tmp_path, [make_record()], galleries={"g": picture}).html.read_text()
    page = _Page(html)
    assert not {"script", "link", "iframe", "a", "object"} & {tag for tag, _ in page.tags}
    for _, attributes in page.tags:
        assert str(attributes.get("src", "data:image/png;base64,")).startswith("data:image/png;")
        assert "href" not in attributes
    style = html[html.index("<style>") : html.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert "http" not in re.sub(r"base64,[^\"]*", "", html)


def test_hostile_names_stay_text(make_record, tmp_path, picture):
    record = make_record(
        HOSTILE,
        name=HOSTILE,
        method=HOSTILE,
        localizer=HOSTILE,
        backbone=HOSTILE,
        notes=(HOSTILE,),
        warnings=(HOSTILE,),
        config={HOSTILE: HOSTILE + "```"},
        optimizer={HOSTILE: HOSTILE},
        evaluations={HOSTILE: Evaluation({HOSTILE: 1.0}, {HOSTILE: HOSTILE})},
    )
    paths = write_report(
        tmp_path, [record], galleries={HOSTILE: picture}, title=HOSTILE, notes=[HOSTILE]
    )
    page = _Page(paths.html.read_text())
    assert "script" not in {tag for tag, _ in page.tags}
    assert not any("onerror" in attributes for _, attributes in page.tags)
    assert "<script>alert(1)</script>" in page.text
    markdown = re.sub(r"(?s)````+json\n.*?\n````+\n", "", paths.markdown.read_text())
    assert "<script" not in markdown
    assert "<img" not in markdown


def test_no_name_is_a_command_of_latex():
    text = Grid(["a_{b}"], [[r"\input{x} 5 % & $y$ #1 ^~" + "\x1b"], ["[1pt]"]]).latex(1, "$")
    assert text.splitlines()[4:8] == [
        r"a\_\{b\} \\",
        r"\midrule",
        r"\textbackslash{}input\{x\} 5 \% \& \$y\$ \#1 \textasciicircum{}\textasciitilde{}"
        r"\textbackslash{}x1b \\",
        r"{[}1pt] \\",
    ]
    assert r"\caption{\$}" in text


def test_the_same_records_give_the_same_files(make_record, tmp_path):
    records = [make_record("none"), make_record("mean"), make_record("mean", 1)]
    first = write_report(tmp_path / "a", records)
    second = write_report(tmp_path / "b", records[::-1])
    for one, two in zip(
        (first.html, first.markdown, first.csv, first.latex, *first.figures, *first.vectors),
        (second.html, second.markdown, second.csv, second.latex, *second.figures, *second.vectors),
        strict=True,
    ):
        assert one.read_bytes() == two.read_bytes()
        assert one.name == two.name


def test_a_figure_that_cannot_be_drawn_costs_no_table(make_record, tmp_path, monkeypatch):
    def fails(table):
        raise ValueError("no data point")

    drawers = "salmask_plugin.lab.results.report_parts.DRAWERS"
    monkeypatch.setattr(drawers, (("Bars", "", fails), ("Loss", "Thick: mean.", loss_curves)))
    records = [make_record(name, 0, 0.4) for name in ("none", "mean")]
    with pytest.warns(UserWarning, match=r'The figure "Bars" could not be drawn \(ValueError: no'):
        write_report(tmp_path, records)
    text = (tmp_path / "report.md").read_text()
    assert "| mean |" in text
    assert "Thick: mean." in text


@pytest.mark.parametrize(
    "recipes_and_accuracies",
    [[("none", 0.4)], [("mean", 0.4)], [("mean", None)], [("none", 0.4), ("mean", None)], []],
)
def test_a_report_of_little_is_still_a_report(make_record, tmp_path, recipes_and_accuracies):
    records = [make_record(recipe, 0, value) for recipe, value in recipes_and_accuracies]
    paths = write_report(tmp_path, records)
    text = _Page(paths.html.read_text()).text
    assert "nan" not in text.lower()
    assert ("There is no run" in text) == (not records)
    if recipes_and_accuracies == [("mean", 0.4)]:
        assert "has no baseline run here" in text


def test_a_study_whose_runs_all_failed_says_so(make_record, tmp_path):
    record = make_record(status="failed", warnings=("out of memory",))
    text = _Page(write_report(tmp_path, [record]).html.read_text()).text
    assert "0 finished runs and 1 failed run" in text
    assert "out of memory" in text


def test_a_run_that_was_stopped_is_not_called_failed(make_record, tmp_path):
    records = [make_record(name="a", status=status) for status in ("stopped", "failed", "stopped")]
    text = _Page(write_report(tmp_path, [make_record(), *records]).html.read_text()).text
    assert "1 finished run, 1 failed run and 2 stopped runs: host" in text


def test_the_papers_own_scale_is_not_called_small(make_record, tmp_path):
    data = make_record().data.__class__("imagenet100", 126689, 5000, 100, 224)
    record = make_record(data=data, backbone="resnet50", epochs=200)
    text = _Page(write_report(tmp_path, [record]).html.read_text()).text
    assert "not the paper's setting" not in text


def test_a_gallery_that_is_no_picture_is_refused_before_anything_is_written(make_record, tmp_path):
    with pytest.raises(ValueError, match=r"galleries\['g'\]: it is not a PNG"):
        write_report(tmp_path / "out", [make_record()], galleries={"g": b"GIF89a"})
    assert not (tmp_path / "out").exists()


def test_figures_of_an_earlier_report_do_not_stay(make_record, tmp_path, picture):
    write_report(tmp_path, [make_record()], galleries={"old": picture})
    paths = write_report(tmp_path, [make_record()])
    kept = sorted((*paths.figures, *paths.vectors))
    assert sorted((tmp_path / "figures").iterdir()) == kept
