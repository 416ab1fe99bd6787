"""The notebook of the first hour: its cells run, one after the other."""

import importlib.util
import json
import shlex
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from salmask_plugin.cli.main import build_parser, main
from salmask_plugin.lab.results import read_record

NOTEBOOK = Path(__file__).resolve().parents[1] / "docs" / "first_hour.ipynb"
PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")


def cells():
    content = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == "code"]


def words(cell):
    """What a cell hands to the command."""
    return shlex.split(cell.removeprefix("!salmask ").replace("\\\n", " "))


def drawn(seed):
    """A photograph's stand-in: colours that belong to one, and noise."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 90, (300, 380, 3))
    return (rng.integers(0, 160, 3) + noise).astype(np.uint8)


@pytest.fixture
def with_photographs(monkeypatch):
    """scikit-image's photographs; drawn ones where it is not installed."""
    if importlib.util.find_spec("skimage") is None:
        data = types.ModuleType("skimage.data")
        for seed, name in enumerate(PHOTOGRAPHS):
            setattr(data, name, lambda seed=seed: drawn(seed))
        package = types.ModuleType("skimage")
        package.data = data
        monkeypatch.setitem(sys.modules, "skimage", package)
        monkeypatch.setitem(sys.modules, "skimage.data", data)


def test_the_notebook_has_no_output_and_its_commands_parse():
    content = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert not any(cell.get("outputs") for cell in content["cells"])
    commands = [words(cell) for cell in cells() if cell.startswith("!salmask ")]
    assert [command[0] for command in commands] == [
        *("preview", "pretrain", "evaluate", "embed", "export"),
    ]
    for command in commands:
        build_parser().parse_args(command)
    for cell in cells():
        if not cell.startswith("!"):
            compile(cell, NOTEBOOK.name, "exec")


@pytest.mark.slow
@pytest.mark.usefixtures("with_photographs")
def test_the_notebook_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "notebook"}
    for cell in cells():
        if cell.startswith("!salmask "):
            assert main(words(cell)) == 0, cell
        else:
            exec(compile(cell, NOTEBOOK.name, "exec"), names)
    assert tuple(names["features"].shape) == (2, 192)
    assert "(2, 192)" in capsys.readouterr().out
    assert len(list(Path("my_photos").rglob("*.png"))) == 36
    record = read_record(tmp_path / "runs" / "notebook")
    assert (record.data.train_images, record.data.classes) == (28, 4)
    assert record.evaluations["knn"].metrics["top1"] > 0.5
    with Image.open("embedded/neighbours.png") as picture:
        assert picture.width > 400
