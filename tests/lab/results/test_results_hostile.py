"""Records and galleries from anybody: one of them ends no report, and no text in them acts."""

import csv
import html
import io
import json
import os
import re
import unicodedata

import pytest

from salmask_plugin.lab.results import write_record
from salmask_plugin.lab.results.escaping import LONGEST, escape_block, printable, shown
from salmask_plugin.lab.results.grid import rows_csv
from salmask_plugin.lab.results.statistics import Estimate
from salmask_plugin.lab.results.store import LARGEST_RECORD
from salmask_plugin.lab.study.report_folder import report_folder

PNG = b"\x89PNG\r\n\x1a\n"
ESCAPES = "\x1b[2J\x1b]0;title\x07\x9b31m\u202e\u2028\x7f"
NO_UTF8 = os.fsdecode(b"caf\xe9")
HUGE = int("9" * 400)


@pytest.fixture
def runs(make_record, tmp_path):
    folder = tmp_path / "runs"
    for recipe in ("none", "mean"):
        write_record(folder / recipe, make_record(recipe))
    return folder


@pytest.fixture
def spoil(make_record, runs):
    """Write a record with other content into a run's folder."""

    def write(name, text=None, **changes):
        path = write_record(runs / name, make_record("blur", name=name))
        content = {**json.loads(path.read_text()), **changes}
        path.write_bytes((json.dumps(content) if text is None else text).encode())
        return path

    return write


def reported(folder):
    written = report_folder(folder, title="A table", baseline="none")
    return written.table, written.html.read_text(), written.markdown.read_text()


NESTED = "[" * 300 + "]" * 300
BAD = {
    "deeper than JSON goes": {"text": "[" * 100_000},
    "deep": {"config": {"x": json.loads(NESTED)}},
    "huge whole number": {"seed": HUGE},
    "huge number": {"rho": HUGE},
    "more digits than Python reads": {"text": '{"seed": ' + "9" * 5000 + "}"},
    "huge classes": {"data": {"name": "x", "train_images": 1, "val_images": 1, "classes": HUGE}},
    "host": {"host": {"a": 1}},
    "targets": {"config": {"compare": {"row": "mean", "targets": 5}}},
    "target": {"config": {"compare": {"row": "mean", "targets": {"mean": {"a": [1]}}}}},
    "rows": {"config": {"compare": {"rows": 7}}},
    "row": {"config": {"compare": {"row": {"a": 1}}}},
    "open": {"config": {"compare": {"open": [{}]}}},
    "plan": {"config": {"compare": {"plan": {"a": 1}}}},
    "gate": {"config": {"compare": {"gate": "high"}}},
}


@pytest.mark.usefixtures("no_figures")
def test_bad_records_are_named_and_the_others_reported(runs, spoil):
    for number, changes in enumerate(BAD.values()):
        spoil(f"bad{number}", **changes)
    (runs / "latin").mkdir()
    (runs / "latin" / "record.json").write_bytes(b'{"name": "caf\xe9"}')
    (runs / "folder" / "record.json").mkdir(parents=True)
    for text in reported(runs):
        assert "50.00" in text
        assert "blur" not in text
        plain = text.replace("\\", "")
        for name in [*(f"bad{number}" for number in range(len(BAD))), "latin", "folder"]:
            assert f"runs/{name}/record.json: " in plain
        assert "9" * 90 not in plain  # the wrong value is not repeated whole


@pytest.mark.usefixtures("no_figures")
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes and devices")
def test_what_is_no_file_or_too_large_is_not_read(runs, make_record):
    places = {name: runs / name for name in ("pipe", "device", "large")}
    for place in places.values():
        place.mkdir()
    os.mkfifo(places["pipe"] / "record.json")
    (places["device"] / "record.json").symlink_to("/dev/zero")
    with (places["large"] / "record.json").open("wb") as file:
        file.truncate(LARGEST_RECORD + 1)
    for name, recipe in (("pipe2", "a"), ("device2", "b"), ("text2", "c"), ("gone2", "d")):
        write_record(runs / name, make_record(recipe, name=name))
    os.mkfifo(runs / "pipe2" / "gallery.png")
    (runs / "device2" / "gallery.png").symlink_to("/dev/zero")
    (runs / "text2" / "gallery.png").write_text("no picture")
    (runs / "gone2" / "gallery.png").symlink_to("nowhere")
    table, *files = reported(runs)
    for text in (table, *files):
        assert text.count("it is no regular file") == 4
        assert f"{LARGEST_RECORD + 1:,} bytes" in text
        for name in ("text2", "gone2", "pipe2", "device2"):
            assert f"The gallery of {name} is left out" in text


@pytest.mark.usefixtures("no_figures")
def test_each_setting_of_a_recipe_has_its_gallery(runs, make_record):
    config = {"masking": {"ratio": [0.5, 0.6]}}
    write_record(runs / "other", make_record("mean", name="other", config=config))
    write_record(runs / "mean1", make_record("mean", 1))
    for name in ("mean", "other", "mean1"):
        (runs / name / "gallery.png").write_bytes(PNG)
    assert reported(runs)[2].count("![mean, ") == 2


@pytest.mark.usefixtures("no_figures")
def test_a_bad_record_beside_a_gallery_ends_nothing(runs, spoil):
    (spoil("bad", seed="x").parent / "gallery.png").write_bytes(PNG)
    assert "runs/bad/record.json: record.seed" in reported(runs)[0]


NAMES = (ESCAPES, NO_UTF8, "\ud800 half", "=1+1", "+A1", "-A1", "@SUM(A1)", "\t=1", "# a", "1. b")


@pytest.mark.usefixtures("no_figures")
def test_no_text_of_a_record_acts_where_it_is_shown(make_record, tmp_path):
    folder = tmp_path / NO_UTF8
    for number, name in enumerate(NAMES):
        record = make_record(name, name=name, notes=(name,), warnings=(name,), method=name)
        write_record(folder / str(number), record)
    (folder / NO_UTF8).mkdir()
    (folder / NO_UTF8 / "record.json").write_text("{")
    written = report_folder(folder, title=f"Runs in {folder.name}", baseline="none")
    texts = [
        written.table,
        *(path.read_bytes().decode() for path in (written.html, written.markdown)),
        written.markdown.with_name("table.csv").read_bytes().decode(),
    ]
    for text in texts:
        kinds = {unicodedata.category(sign) for sign in text.replace("\n", "")}
        assert not kinds & {"Cc", "Cf", "Cs", "Zl", "Zp"}
        plain = text.replace("\\\\", "\\").replace("\\[", "[")
        assert r"\x1b[2J" in plain
        assert r"\u202e" in plain
        assert r"caf\xe9" in plain
    assert r"caf\\xe9/record.json: " in texts[2] + texts[0].replace("\\", "\\\\")
    for row in csv.reader(io.StringIO(texts[3])):
        for cell in row:
            assert not re.match(r"\s*[=+@]", cell)
            assert not cell.lstrip().startswith("-") or float(cell)


def test_numbers_stay_numbers_in_csv():
    text = rows_csv([{"=a": "=1", "b": -1.5, "c": "-2.5", "d": Estimate(2, -1.0, 0.5)}])
    assert text.splitlines() == ["'=a,b,c,d,d_interval", "'=1,-1.5,-2.5,-1.0,0.5"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain name", "plain name"),
        ("größe 画像 ∞", "größe 画像 ∞"),
        ("a\nb\tc", "a b c"),
        ("\x1b[31m", r"\x1b[31m"),
        (NO_UTF8, r"caf\xe9"),
        ("\ud800", r"\ud800"),
        ("\u202eexe", r"\u202eexe"),
        ("x" * 3000, "x" * LONGEST + "…"),
    ],
)
def test_what_is_shown(text, expected):
    assert shown(text) == expected
    assert shown(shown(text)) == expected or len(text) > LONGEST


def test_a_harmless_record_is_shown_as_it_is(make_record):
    record = make_record(config={"a": [1, {"b": None}], "c": 0.5})
    assert printable(record) == record


# What opens a block in Markdown, by CommonMark's grammar and GitHub's formulas.
BLOCK = re.compile(
    r"#{1,6}( |$)|[-+*]( |$)|\d{1,9}[.)]( |$)|>|```|~~~|=+ *$|-{3}|_{3}|\*{3}|<|\$|\|"
)
TEXTS = ["# a", "- a", "+ a", "* a", "1. a", "12) a", "~~~", "```", "> a", "===", "---", "$x$", "|"]


@pytest.mark.parametrize("text", TEXTS)
def test_a_note_opens_no_block(text):
    assert BLOCK.match(text)
    escaped = escape_block(text)
    assert not BLOCK.match(escaped)
    # Read as Markdown reads it, it is the text again.
    assert html.unescape(re.sub(r"\\([^\w\s])", r"\1", escaped)) == text


def test_names_that_are_no_utf8_are_drawn():
    import numpy as np

    from salmask_plugin.lab.results import GalleryRow, draw_gallery

    image = np.zeros((8, 8, 3), np.uint8)
    drawn = draw_gallery([GalleryRow(image, label=NO_UTF8)], title=ESCAPES, width=400)
    assert drawn.startswith(PNG)
