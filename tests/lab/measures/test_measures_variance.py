"""``salmask variance`` on an encoder of one short run."""

import json
from copy import deepcopy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from salmask_plugin.cli.main import main
from salmask_plugin.lab.data import TwoViewDataset
from salmask_plugin.lab.measures.variance.measured import Encoder
from salmask_plugin.lab.measures.variance.variance import variance_rows
from salmask_plugin.lab.runs.build import build, build_splits
from salmask_plugin.lab.runs.checkpoints import newest_checkpoint
from salmask_plugin.lab.runs.folder import read_settings
from salmask_plugin.lab.runs.trained import load_module

TINY = ["experiment=plumbing", "localizer=uniform", "data.train_images=32", "data.val_images=20"]
TINY += ["data.classes=4", "view_size=32", "loader.batch_size=8", "loader.workers=0"]
TINY += ["method.queue_size=16", "method.split_batch_size=8", "trainer.max_epochs=1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    # A row of a study: its localizer is that of all rows, and of the variance too.
    row = ["experiment=plumbing/none", *TINY[1:], f"out={out}", "name=run"]
    assert main(["pretrain", *row]) == 0
    return out / "run"


def test_rows_of_table_7(folder, capsys):
    assert main(["variance", "--images", "20", "--views", "3", str(folder)]) == 0
    text = capsys.readouterr().out
    text = " ".join(text.split())
    assert "D 128, r 3, 16 images of generated val, BN batch" in text
    assert "unit 1e-4, at most 117.2" in text
    content = json.loads((folder / "variance-projection-batch.json").read_text())
    assert [row["recipe"] for row in content["rows"]] == [
        "standard",
        "high-pass filter, no masks",
        "highpass",
        "blur",
        "mean",
    ]
    localizers = [row["localizer"] for row in content["rows"]]
    assert localizers == ["none", "none", "uniform", "uniform", "uniform"]
    for row in content["rows"]:
        assert row["variance"]["count"] == 16
        identity = (1 - row["mean_cosine"]["mean"]) / content["protocol"]["dimension"]
        assert row["variance"]["mean"] == pytest.approx(identity)
    assert len({row["variance"]["mean"] for row in content["rows"]}) == 5
    assert content["protocol"]["encoder"]["masking"] == "none"
    assert (folder / "variance-projection-batch.png").read_bytes().startswith(b"\x89PNG")


def test_the_standard_row_is_that_of_views_embedded_one_by_one(folder):
    """Eval mode, where batches do not matter: every view of every image by itself."""
    options = ["--images", "8", "--views", "3", "--layer", "backbone", "--batch-norm", "running"]
    assert main(["variance", *options, str(folder), "masking=none"]) == 0
    content = json.loads((folder / "variance-backbone-running.json").read_text())
    settings = read_settings(folder)
    splits = build_splits(settings)
    checkpoint = newest_checkpoint(folder / "checkpoints")
    backbone = load_module(settings, splits, None, checkpoint).cpu().backbone
    samples = TwoViewDataset(splits.val, build(settings["views"]), seed=settings["seed"])
    drawn = np.random.default_rng(settings["seed"]).permutation(20)[:8].tolist()
    expected = []
    for index in drawn:
        views = [*samples[(0, index)][0], samples[(1, index)][0][0]]
        with torch.no_grad():
            units = [F.normalize(backbone(view[None]).flatten(1))[0].double() for view in views]
        centre = sum(units) / 3
        expected.append(sum(float((unit - centre).square().mean()) for unit in units) / 2)
    found = content["rows"][0]["variance"]
    assert found["mean"] == pytest.approx(sum(expected) / 8, rel=1e-4)
    # Student's t with 7 degrees of freedom, 97.5 %: 2.364624.
    expected_interval = 2.364624 * np.std(expected, ddof=1) / 8**0.5
    assert found["interval"] == pytest.approx(expected_interval, rel=1e-3)


def test_layer_and_batch_norm_are_options(folder, capsys):
    options = ["--images", "8", "--views", "2", "--layer", "backbone", "--batch-norm", "running"]
    command = ["variance", *options, str(folder), "masking=mean"]
    assert main(command) == 0
    first = capsys.readouterr().out
    assert "D 512, r 2, 8 images of generated val, BN running" in " ".join(first.split())
    assert first.count("  uniform ") == 1
    assert main(command) == 0
    assert capsys.readouterr().out == first
    assert (folder / "variance-backbone-running.json").is_file()


def test_measuring_changes_nothing_in_the_encoder():
    backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1))
    head = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5))
    before = deepcopy(nn.ModuleList((backbone, head)).state_dict())
    views = torch.randn(6, 3, 9, 7) * 3 + 1
    by_batch = Encoder(backbone, head, "projection", "batch")(views)
    assert by_batch.mean(0).abs().max() < 1e-5
    after = nn.ModuleList((backbone, head)).state_dict()
    assert all(torch.equal(before[key], value) for key, value in after.items())
    running = Encoder(backbone, head, "backbone", "running")(views)
    backbone.eval()
    assert torch.equal(running, backbone(views).flatten(1))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--views", "1"], "--views 1"),
        (["--images", "1"], "at least 2 images"),
    ],
)
def test_what_cannot_be_measured_is_named(folder, arguments, words, capsys):
    assert main(["variance", *arguments, str(folder), "masking=none"]) == 2
    assert words in capsys.readouterr().err


def test_given_masks_are_refused(folder, capsys):
    assert main(["variance", str(folder), "masking=mean", "localizer=given"]) == 2
    assert "localizer=given" in capsys.readouterr().err


def test_momentum_saliency_comes_from_the_runs_key_encoder(folder):
    overrides = ["masking=mean", "localizer=momentum"]

    class Module(nn.Module):
        key_backbone = None

    settings, module = read_settings(folder), Module()
    with pytest.raises(Exception, match="key encoder"):
        variance_rows(overrides, settings, module)
    del Module.key_backbone
    module.key_backbone = nn.ModuleDict({"layer4": nn.Conv2d(3, 2, 1)})
    (row,) = variance_rows(overrides, settings, module)
    assert row.masking.localizer.encoder is module.key_backbone
    assert row.masking.negative is None


def test_a_folder_without_a_checkpoint_is_named(folder, tmp_path, capsys):
    (tmp_path / "settings.json").write_text((folder / "settings.json").read_text())
    assert main(["variance", str(tmp_path)]) == 2
    assert "no readable checkpoint" in capsys.readouterr().err
