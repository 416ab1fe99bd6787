"""``salmask depth`` on a run and on checkpoints, and depth as a task."""

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from oracles.narrow_resnet import narrow_backbone
from torchvision.models import resnet18

from salmask_plugin.cli.main import main
from salmask_plugin.filters import HighPassFilter
from salmask_plugin.lab.downstream import command, task
from salmask_plugin.lab.downstream.depth import depth_errors, mean_errors, training
from salmask_plugin.lab.downstream.depth.batches import DepthPictures
from salmask_plugin.lab.downstream.depth.generated_sequences import generated_sequences
from salmask_plugin.lab.downstream.depth.training import DEPTH, plan_of, train_and_test
from salmask_plugin.lab.probes.tasks import requested_tasks
from salmask_plugin.lab.results import DataSet, RunRecord, read_record, write_record
from salmask_plugin.lab.results.late_pictures import LatePictures
from salmask_plugin.lab.runs.checkpoints import newest_checkpoint
from salmask_plugin.lab.runs.metrics_log import METRICS_NAME, read_rows
from salmask_plugin.lab.settings.compose import compose_settings

TINY = ["depth.data.train_sequences=1", "depth.data.test_sequences=1", "depth.data.frames=4"]
TINY += ["depth.data.height=32", "depth.data.width=48", "depth.schedule.epochs=2"]
TINY += ["depth.schedule.batch_size=2", "depth.model.width=64", "depth.model.pose_channels=8"]
TINY += ["depth.model.decoder_channels=[8,8,8,8,8]", "loader.workers=0", "trainer.accelerator=cpu"]
QUICK = ["depth=quick", *TINY]
SEVEN = ["abs_rel", "sq_rel", "rmse", "rmse_log", "delta1", "delta2", "delta3"]


@pytest.fixture
def narrow(monkeypatch):
    """Commands get the narrow backbone, whatever file they are given."""
    monkeypatch.setattr(command, "load_backbone", lambda path, **options: narrow_backbone())


def test_a_runs_record_gets_the_result(narrow, tmp_path, capsys):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "settings.json").write_text(
        json.dumps({"values": {"view_size": 32, "evaluation": {}}, "choices": {}})
    )
    data = DataSet("generated", 16, 8, 4, 32)
    write_record(folder, RunRecord("run", "lightly", "mocov2", "none", 0, data, "narrow", 1, 8))
    command = ["depth", str(folder), *QUICK]
    assert main(command) == 0
    text = capsys.readouterr().out
    assert "step 2/2  loss " in text
    assert "quick: abs_rel 0." in text
    place = folder / "depth" / "quick-seed0"
    result = json.loads((place / "result.json").read_text())
    found = read_record(folder).evaluations["quick"]
    assert dict(found.metrics) == result["metrics"]
    assert list(result["metrics"]) == SEVEN
    protocol = result["protocol"]
    assert protocol["encoder"] == "frozen, with its BatchNorm"
    assert protocol["normalization"] == "imagenet"
    assert protocol["resolution"] == "64x64"
    assert protocol["epochs"] == 2
    assert protocol["scale"] == "median of each image"
    assert len(found.curves["photometric"]) == 2
    assert (place / "depth.png").read_bytes().startswith(b"\x89PNG")
    assert main(command) == 0
    assert "already finished" in capsys.readouterr().out
    # Killed between the result and the record, the same command brings it in.
    kept = read_record(folder)
    write_record(folder, replace(kept, evaluations={}))
    assert main(command) == 0
    assert "is there now" in capsys.readouterr().out
    assert read_record(folder).evaluations == kept.evaluations
    assert main([*command, "depth.schedule.learning_rate=1.0"]) == 2
    assert "other settings" in capsys.readouterr().err


def plan_and_backbone(*changes, view_filter=None):
    settings = compose_settings([*QUICK, *changes], root="depth")
    plan = plan_of(settings["depth"], trainer=settings["trainer"], seed=3, workers=0)
    return plan, narrow_backbone(view_filter)


def test_a_resumed_depth_is_the_uninterrupted_one(tmp_path):
    plan, backbone = plan_and_backbone("trainer.log_every_n_steps=1")
    before = copy.deepcopy(backbone.network.state_dict())
    whole = train_and_test(plan, backbone, tmp_path, LatePictures())
    last = newest_checkpoint(tmp_path / "checkpoints")
    expected = torch.load(last, weights_only=True)["state_dict"]
    log = read_rows(tmp_path / "metrics" / METRICS_NAME)
    last.unlink()
    resumed = train_and_test(plan, backbone, tmp_path, LatePictures())
    found = torch.load(newest_checkpoint(tmp_path / "checkpoints"), weights_only=True)
    assert all(torch.equal(found["state_dict"][key], value) for key, value in expected.items())
    assert resumed.metrics == whole.metrics
    assert resumed.curves == whole.curves
    assert {row["epoch"] for row in log if "train_loss" in row} == {"0", "1"}
    assert read_rows(tmp_path / "metrics" / METRICS_NAME) == log
    encoder = {k: v for k, v in expected.items() if k.startswith("model.encoder.network.")}
    assert encoder
    for key, value in encoder.items():
        assert torch.equal(before[key.removeprefix("model.encoder.network.")], value), key
    # The caller's backbone is as it was: other evaluations follow.
    assert all(torch.equal(before[key], v) for key, v in backbone.network.state_dict().items())


def test_a_filter_and_fine_tuning_are_in_the_protocol(tmp_path):
    plan, backbone = plan_and_backbone(
        "depth.model.freeze_backbone=false",
        "depth.schedule.epochs=1",
        view_filter=HighPassFilter(5, 2.0),
    )
    protocol = train_and_test(plan, backbone, tmp_path, LatePictures()).protocol
    assert protocol["encoder"] == "fine-tuned"
    assert "HighPassFilter" in protocol["view_filter"]


def test_a_frozen_encoder_that_changed_is_an_error(tmp_path, monkeypatch):
    plan, backbone = plan_and_backbone("depth.schedule.epochs=1")
    made = training.model_of

    def leaky(plan, backbone):
        model = made(plan, backbone)

        def nudge(*_):
            model.encoder.network.bn1.running_mean.add_(0.01)

        model.decoder.register_forward_hook(nudge)
        return model

    monkeypatch.setattr(training, "model_of", leaky)
    with pytest.raises(RuntimeError, match="weights or statistics changed"):
        train_and_test(plan, backbone, tmp_path, LatePictures())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["depth.schedule.batch_size=3", "trainer.devices=2"], "larger than the 2 triplets"),
        (["depth.schedule.batch_size=1", "trainer.devices=2"], "must be a multiple of"),
        (["+trainer.max_steps=1"], "trainer.max_steps=1 would leave out a part of the training"),
        (["+trainer.limit_val_batches=1"], "trainer.limit_val_batches=1 would be lost"),
        (["depth.model.width=50"], "width=50 must be a multiple of 32"),
        (["depth.test.crop=eigen"], "crop='eigen'"),
        (["depth.typo=1"], "typo"),
    ],
)
def test_mistakes_are_said_before_a_folder_is_made(narrow, tmp_path, capsys, changes, words):
    assert main(["depth", "x.pth", *QUICK, f"out={tmp_path / 'out'}", *changes]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_kitti_needs_a_folder(narrow, capsys):
    assert main(["depth", "x.pth", "trainer.accelerator=cpu"]) == 2
    assert "give its data.root=FOLDER" in capsys.readouterr().err


def test_depth_is_a_task(tmp_path):
    changes = [part.replace("depth.", "evaluation.quick.") for part in TINY if "depth." in part]
    given = ["+depth@evaluation.quick=quick", "evaluation.tasks=[quick]", *changes]
    settings = compose_settings([*given, "loader.workers=0", "trainer.accelerator=cpu"])
    (wanted,) = requested_tasks(settings)
    assert wanted.kind == "depth"
    task.check(DEPTH, wanted)
    wanted = type(wanted)(**{**vars(wanted), "folder": tmp_path})
    found = task.run(DEPTH, wanted, narrow_backbone())
    assert list(found.metrics) == SEVEN
    picture = tmp_path / "depth" / "quick-seed0" / "depth.png"
    assert not picture.exists()  # until the result is written
    assert wanted.pictures.draw() == [picture]
    assert picture.is_file()
    with pytest.raises(ValueError, match="data set of its own"):
        task.check(DEPTH, type(wanted)(**{**vars(wanted), "is_transfer": True}))


def settled_resnet18(images):
    """Return the weights of an untrained network whose BatchNorm has seen pictures."""
    torch.manual_seed(0)
    network = resnet18()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the mean over what it sees
    with torch.no_grad():
        network.train()(images)
    return network.state_dict()


@pytest.mark.slow
def test_depth_of_drawn_rooms_is_learned(tmp_path):
    """Rooms never seen in training, an untrained frozen ResNet-18: better than a flat depth."""
    splits = generated_sequences()
    pictures = DepthPictures(splits.test, height=64, width=96)
    images = torch.stack([pictures[index][1] for index in range(12)]).float() / 255
    torch.save(settled_resnet18((images - 0.45) / 0.225), tmp_path / "r18.pth")
    given = ["depth=quick", "loader.workers=0", "trainer.accelerator=cpu", f"out={tmp_path}"]
    assert main(["depth", str(tmp_path / "r18.pth"), *given, "name=rooms"]) == 0
    found = json.loads((tmp_path / "rooms" / "result.json").read_text())
    truths = [splits.test.depth(index) for index in range(len(splits.test))]
    flat = mean_errors([depth_errors(np.ones_like(t), t, crop="none") for t in truths])
    assert found["metrics"]["abs_rel"] < 0.7 * flat["abs_rel"]
    assert found["metrics"]["delta1"] > 1.3 * flat["delta1"]
    losses = found["curves"]["photometric"]
    assert losses[-1] < 0.8 * losses[0]
