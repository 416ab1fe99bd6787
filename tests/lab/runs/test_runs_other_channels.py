"""Pictures of 1, 4 and 13 channels, from pretraining to the export, through the command."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from salmask_plugin.cli.main import main
from salmask_plugin.encoders import load_backbone
from salmask_plugin.lab.data.bands import read_bands
from salmask_plugin.lab.data.channels import Channels
from salmask_plugin.lab.results import read_record

TINY = [
    "backbone=small",
    "backbone.widths=[4,4,4,8]",
    "view_size=32",
    "batch_size=4",
    "workers=0",
    "epochs=1",
    "trainer.accelerator=cpu",
    "method.queue_size=8",
    "method.split_batch_size=2",
    "masking=mean",
    "masking.negative=null",
    "data.val_share=0.3",
    "evaluation.tasks=[knn,occlusion]",
    "evaluation.knn.k=2",
    "evaluation.occlusion.shares=[0.3]",
]


def grey(path, values):
    """16-bit TIFF, as an X-ray is kept."""
    Image.fromarray((values[0] * 65535).astype(np.uint16)).save(path.with_suffix(".tif"))


def with_depth(path, values):
    """Four channels of 8 bits: a PNG with a fourth."""
    pixels = (values * 255).astype(np.uint8).transpose(1, 2, 0)
    Image.fromarray(pixels, "RGBA").save(path.with_suffix(".png"))


def satellite(path, values):
    """Thirteen bands of 16 bits, reflectance times 10,000."""
    np.save(path.with_suffix(".npy"), (values * 10000).astype(np.uint16))


CASES = {
    1: (grey, ["localizer=center"]),
    4: (with_depth, ["localizer=bands", "localizer_size=64"]),
    13: (satellite, ["localizer=center", "+view_filter@masking.view_filter=highpass"]),
}


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    def make(channels, write):
        monkeypatch.chdir(tmp_path)
        rng = np.random.default_rng(channels)
        for name in ("a", "b"):
            (tmp_path / "scenes" / name).mkdir(parents=True)
            for index in range(4):
                write(tmp_path / "scenes" / name / str(index), rng.random((channels, 36, 40)))

    return make


@pytest.mark.parametrize(
    "channels",
    [13, pytest.param(1, marks=pytest.mark.slow), pytest.param(4, marks=pytest.mark.slow)],
)
def test_other_channels_from_pretraining_to_the_export(channels, pictures, tmp_path, capsys):
    write, more = CASES[channels]
    pictures(channels, write)
    given = ["scenes", *TINY, *more, f"in_channels={channels}", "name=one"]
    assert main(["pretrain", *given]) == 2
    problem = " ".join(capsys.readouterr().err.split())
    assert f"mean and std of the {channels} channels are not set" in problem
    words = [word for word in problem.rstrip(".").split() if word.startswith("data.")]
    statistics = [word.rstrip(";") for word in words]
    assert [word.partition("=")[0] for word in statistics] == ["data.mean", "data.std"]

    assert main(["pretrain", *given, *statistics, "--evaluate"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "saturation, hue and grey are left out of the views" in said
    record = read_record(tmp_path / "runs" / "one")
    assert set(record.evaluations) == {"knn", "occlusion"}
    assert (tmp_path / "runs" / "one" / "gallery.png").is_file()

    assert main(["embed", "runs/one", "scenes", "seen"]) == 0
    packed = np.load(tmp_path / "seen" / "features.npz")
    node = json.loads((tmp_path / "runs" / "one" / "settings.json").read_text())["values"]["data"]
    own = Channels(node["mean"], node["std"])
    network = load_backbone("runs/one")
    first = next((tmp_path / "scenes").rglob(f"{packed['files'][0].rpartition('/')[2]}"))
    view = own.normalised(read_bands(first, channels))
    assert view.shape == (channels, 36, 40)

    assert main(["export", "runs/one", "weights"]) == 0
    described = json.loads((tmp_path / "weights" / "backbone.json").read_text())["salmask"]
    assert described["normalisation"] == {"mean": node["mean"], "std": node["std"]}
    assert described["in_channels"] == channels
    assert main(["embed", "weights", "scenes", "again", "--view-size", "32"]) == 0
    np.testing.assert_allclose(
        np.load(tmp_path / "again" / "features.npz")["features"], packed["features"], atol=1e-6
    )
    images = torch.rand(2, channels, 32, 32)
    assert torch.equal(load_backbone("weights").filtered()(images), network.filtered()(images))
    capsys.readouterr()
    assert main(["export", "runs/one", "other", "--format", "detectron2"]) == 2
    assert "is for" in capsys.readouterr().err
    given = ["data=imagefolder", "data.root=scenes", "data.val_share=0.3"]
    tasks = ["evaluation.tasks=[knn]", "workers=0", "trainer.accelerator=cpu"]
    assert main(["transfer", "runs/one", *given, *tasks, "evaluation.knn.k=2"]) == 2
    assert "channels, and data=imagefolder gives pictures of 3" in capsys.readouterr().err
    given += [*statistics, f"in_channels={channels}"]
    assert main(["transfer", "runs/one", *given, *tasks, "evaluation.knn.k=2"]) == 0
