"""Results of one record are of one data set: what changed is said before anything is computed."""

from types import SimpleNamespace

import pytest
import torch

from salmask_plugin.cli.main import main
from salmask_plugin.lab.data import image_folder
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.probes import evaluate as evaluations
from salmask_plugin.lab.probes import pictures
from salmask_plugin.lab.probes import transfer as transfers
from salmask_plugin.lab.results import DataSet, RunRecord, write_record
from salmask_plugin.lab.runs.data_of_run import keep_data
from salmask_plugin.lab.settings.compose import compose_settings

ASKED = ["masking=none", "view_size=32", "loader.workers=0", "trainer.accelerator=cpu"]
ASKED += ["evaluation.knn.k=2", "evaluation.tasks=[knn]"]
OTHER = ["+data@evaluation.data.other=imagefolder", "evaluation.tasks=[other/knn]"]


class StartedError(Exception):
    """The encoder would be read or used now."""


def stop(*_, **__):
    raise StartedError


@pytest.fixture
def root(tmp_path, make_classes):
    for split in ("train", "val"):
        make_classes(tmp_path / "set" / split, {"ant": 3, "cat": 3})
    return tmp_path / "set"


@pytest.fixture
def run(root, tmp_path, monkeypatch):
    """A finished run's folder, as far as it is looked at."""
    monkeypatch.setattr(evaluations, "_prepared", stop)
    folder = tmp_path / "run"
    keep_data(folder, image_folder(root))
    data = DataSet("set", 6, 6, 2, 32)
    write_record(folder, RunRecord("run", "lightly", "mocov2", "none", 0, data, "narrow", 1, 8))
    return folder


def evaluate_anew(settings, run):
    """As a process of its own does, which lists the images anew."""
    pictures._built.cache_clear()
    evaluations.evaluate(settings, run)


def settings_of(root, *more):
    given = ["data=imagefolder", f"data.root={root}", "method=mocov2_quick", *ASKED, *more]
    return compose_settings(given)


def test_a_run_is_evaluated_on_the_data_it_began_on(run, root, tmp_path, save_picture):
    with pytest.raises(StartedError):
        evaluate_anew(settings_of(root), run)
    save_picture(root / "train" / "cat" / "900.png", 99)
    with pytest.raises(UserError, match=r"began \(7 training images, 6 before\)"):
        evaluate_anew(settings_of(root), run)
    moved = root.rename(tmp_path / "moved")
    (moved / "train" / "cat" / "900.png").unlink()
    with pytest.raises(StartedError):
        evaluate_anew(settings_of(moved), run)


def test_so_it_is_on_another_set(run, root, tmp_path, make_classes, save_picture):
    for split in ("train", "val"):
        make_classes(tmp_path / "other" / split, {"bee": 4, "eel": 4})
    asked = [*OTHER, f"evaluation.data.other.root={tmp_path / 'other'}"]
    for _ in range(2):
        with pytest.raises(StartedError):
            evaluate_anew(settings_of(root, *asked), run)
    save_picture(tmp_path / "other" / "val" / "eel" / "900.png", 99)
    with pytest.raises(UserError, match=r"began \(9 validation images, 8 before\)"):
        evaluate_anew(settings_of(root, *asked), run)
    # Of other settings it is another set: the result says which.
    with pytest.raises(StartedError):
        evaluate_anew(settings_of(root, *asked, "evaluation.data.other.limit_train=4"), run)
    # What is not read is not asked for.
    (root / "train" / "cat" / "001.png").unlink()
    with pytest.raises(StartedError):
        evaluate_anew(settings_of(root, *asked, "evaluation.data.other.limit_train=4"), run)


@pytest.mark.parametrize("change", ["more", "limit"])
def test_results_of_one_checkpoint_are_of_one_set(
    root, tmp_path, save_picture, change, monkeypatch, capsys
):
    monkeypatch.setattr(transfers, "evaluated", stop)
    monkeypatch.setattr(transfers, "check_takes_views", lambda *arguments: None)
    backbone_of = {"filtered": lambda: None}
    folder = tmp_path / "out" / "theirs-imagefolder"
    keep_data(folder, image_folder(root))
    data = DataSet("set", 6, 6, 2, 32)
    theirs = {"fingerprint": "theirs"}
    record = RunRecord("run", "other", "x", "none", 0, data, "narrow", 0, 0, config=theirs)
    write_record(folder, record)

    backbone = SimpleNamespace(network=torch.nn.Conv2d(3, 1, 1), **theirs, **backbone_of)
    monkeypatch.setattr(transfers, "load_backbone", lambda path, **options: backbone)
    asked = ["transfer", "theirs.pth", "data=imagefolder", f"data.root={root}", *ASKED[1:]]
    asked += [f"out={tmp_path / 'out'}"]
    with pytest.raises(StartedError):
        main([*asked, "--debug"])
    if change == "more":
        save_picture(root / "train" / "cat" / "900.png", 99)
    else:
        asked += ["data.limit_train=5"]
    capsys.readouterr()
    pictures._built.cache_clear()
    assert main(asked) == 2
    words = "7 training images" if change == "more" else "5 training images"
    assert f"changed since it began ({words}, 6 before)" in capsys.readouterr().err
