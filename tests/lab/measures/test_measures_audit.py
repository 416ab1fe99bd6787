"""``salmask audit`` on a few generated images."""

import csv
import json
import re

import pytest

from salmask_plugin.cli.main import main
from salmask_plugin.lab.measures.audit.audit import audit_rows
from salmask_plugin.lab.measures.audit.tables import COLUMNS

TINY = ["view_size=32", "data.train_images=8", "data.val_images=20", "data.size=48"]
TINY += ["data.classes=4", "loader.workers=0"]


def read(folder, name):
    with (folder / "audit" / f"{name}.csv").open() as file:
        return list(csv.DictReader(file))


def rows_of(*overrides):
    return audit_rows([*TINY, *overrides])


def test_table_files_and_controls(tmp_path, capsys):
    assert main(["audit", "--images", "12", *TINY, "localizer=uniform", f"out={tmp_path}"]) == 0
    text = capsys.readouterr().out
    rows = read(tmp_path, "generated-uniform")
    assert [(row["recipe"], row["localizer"]) for row in rows[:8]] == [
        (recipe, localizer)
        for localizer in ("uniform", "center")
        for recipe in ("mean", "blur", "highpass", "mean, top-k negatives")
    ]
    assert [row["views"] for row in rows] == ["random crops"] * 8 + ["whole images"] * 8
    # Eleven measures do not fit beside two names: the names stand in each of the blocks.
    named = re.findall(r"^mean, top-k negati… +uniform\b", text, re.MULTILINE)
    assert len(named) == text.count("\nRecipe") > 2
    lines = [line for line in text.splitlines() if not line.startswith("Written: ")]  # a path
    assert not [line for line in lines if "|" in line or len(line) > 80]
    assert (tmp_path / "audit" / "generated-uniform.png").read_bytes().startswith(b"\x89PNG")
    content = json.loads((tmp_path / "audit" / "generated-uniform.json").read_text())
    assert content["protocol"]["images_drawn"] == 12
    assert "Student's t" in content["protocol"]["interval"]
    assert set(content["rows"][0]["values"]) == {"object_area", *COLUMNS}
    # No saliency: everything is foreground, and the object's share of it is its area.
    assert float(rows[0]["over_chance"]) == pytest.approx(0, abs=1e-9)
    assert float(rows[0]["foreground"]) == 1
    assert float(rows[0]["precision"]) == pytest.approx(float(rows[0]["object_area"]))
    assert 0.03 < float(rows[0]["query_object"]) < 0.27
    assert float(rows[0]["query_object_interval"]) > 0
    # The same views and draws for the centre box, whose negatives spare the border.
    assert float(rows[4]["foreground"]) < 0.8
    assert float(rows[4]["object_area"]) == float(rows[0]["object_area"])


def test_given_masks_are_removed_and_the_same_seed_gives_the_same_numbers(tmp_path):
    fine = ["localizer=given", "localizer.grid=[16,16]", "masking=mean", f"out={tmp_path}"]
    fine += ["masking.negative.sampler.tolerance=0", "masking.negative.sampler.ratio=[1,1]"]
    command = ["audit", "--images", "10", "--object-share", "0.03", "0.7", *TINY, *fine]
    assert main(command) == 0
    first = read(tmp_path, "generated-given")
    assert [(row["recipe"], row["localizer"]) for row in first] == [
        ("mean", "given"),
        ("mean", "center"),
    ] * 2
    assert float(first[0]["negative_object"]) > 0.9
    assert float(first[0]["negative_background"]) < 0.1
    assert float(first[0]["recall"]) > 0.9
    assert main(command) == 0
    assert read(tmp_path, "generated-given") == first
    assert main([*command, "seed=1", "name=other"]) == 0
    assert read(tmp_path, "other") != first
    # What others measured stands, and what is measured again takes its own place again.
    for _ in range(2):
        assert main([*command, "seed=1"]) == 0
        assert read(tmp_path, "generated-given") == first
        assert read(tmp_path, "generated-given-2") == read(tmp_path, "other")
    assert len([*(tmp_path / "audit").glob("*.json")]) == 3


def test_a_recipe_with_a_localizer_of_its_own_has_no_control():
    (row,) = rows_of("masking=random", "recipe=anywhere")
    assert (row.name, row.localizer) == ("anywhere", "uniform")
    assert [row.localizer for row in rows_of("masking=mean", "localizer=center")] == ["center"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["masking=none"], "none removes nothing"),
        (["masking=random", "localizer=uniform"], "localizer=uniform acts on nothing"),
        (["masking=mean", "localizer=momentum"], "needs an encoder in training"),
        (["masking=men", "localizer=uniform"], "row men"),
        (["--object-share", "0.5", "0.5", "localizer=uniform"], "0 <= LOW < HIGH <= 1"),
        (["--object-share", "0.99", "1", "localizer=uniform"], "no view of generated"),
        (["--images", "0", "localizer=uniform"], "--images 0"),
    ],
)
def test_what_cannot_be_audited_is_named(arguments, words, tmp_path, capsys):
    assert main(["audit", *arguments, *TINY, f"out={tmp_path}"]) == 2
    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_data_without_masks_are_named(tmp_path, capsys):
    from PIL import Image

    for path in ("train/a", "train/b", "val/a", "val/b"):
        (tmp_path / path).mkdir(parents=True)
        Image.new("RGB", (40, 40)).save(tmp_path / path / "0.png")
    command = ["audit", "data=imagefolder", f"data.root={tmp_path}", "localizer=uniform"]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert "has no object masks" in said
    assert "data.masks=FOLDER" in said
