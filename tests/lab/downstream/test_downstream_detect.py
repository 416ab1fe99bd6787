"""``salmask detect`` on one short run's backbone and on plain checkpoints."""

import copy
import json
import os
import sys
from dataclasses import replace

import pytest
import torch
from oracles import working
from oracles.detection_layouts import write_coco, write_voc
from oracles.narrow_resnet import narrow_backbone
from torchvision.models import resnet18

from salmask_plugin.cli.main import main
from salmask_plugin.lab.downstream import command
from salmask_plugin.lab.downstream.detection import Schedule
from salmask_plugin.lab.downstream.detection.training import plan_of, train_and_test
from salmask_plugin.lab.downstream.folders import ASKED
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.probes.tasks import TASKS, is_done
from salmask_plugin.lab.results import DataSet, RunRecord, read_record, write_record
from salmask_plugin.lab.results.late_pictures import LatePictures
from salmask_plugin.lab.runs.build import build
from salmask_plugin.lab.runs.checkpoints import newest_checkpoint
from salmask_plugin.lab.runs.folder import some_settings
from salmask_plugin.lab.runs.metrics_log import METRICS_NAME, read_rows
from salmask_plugin.lab.settings.compose import compose_settings
from salmask_plugin.lab.settings.evaluation_request import EvaluationRequest

PRETRAIN = ["experiment=plumbing", "localizer=uniform", "data.train_images=16", "data.val_images=8"]
PRETRAIN += ["data.classes=4", "view_size=32", "loader.batch_size=8", "loader.workers=0"]
PRETRAIN += ["method.queue_size=16", "trainer.max_epochs=1", "backbone=resnet18"]
TINY = ["detection.schedule.steps=2", "detection.schedule.round_steps=1"]
TINY += ["detection.schedule.batch_size=2", "detection.schedule.milestones=[1]"]
TINY += ["detection.schedule.precise_batches=1", "detection.schedule.warmup_steps=0"]
TINY += ["detection.model.short_sides=[64]", "detection.model.anchor_sides=[16,32]"]
TINY += ["detection.model.proposals_train=[50,6]", "detection.model.proposals_test=[40,5]"]
TINY += ["detection.model.regions_per_image=4", "detection.model.detections_per_image=5"]
TINY += ["loader.workers=0", "trainer.accelerator=cpu"]
QUICK = ["detection=quick", "detection.data.train_images=4", "detection.data.val_images=4"]
QUICK += ["detection.data.classes=2", "detection.data.size=64", *TINY]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "other.pth"
    torch.save(resnet18().state_dict(), path)
    return path


@pytest.fixture
def narrow(monkeypatch):
    """Commands get the narrow backbone, whatever file they are given."""
    monkeypatch.setattr(command, "load_backbone", lambda path, **options: narrow_backbone())


@pytest.mark.slow
def test_a_run_is_pretrained_and_detects_behind_its_filter(tmp_path, capsys):
    pretrain = ["pretrain", *PRETRAIN, "masking=highpass", f"out={tmp_path}", "name=run"]
    assert main(pretrain) == 0
    assert main(["detect", str(tmp_path / "run"), *QUICK]) == 0
    assert "behind HighPassFilter" in capsys.readouterr().out
    found = read_record(tmp_path / "run").evaluations["quick"]
    assert "HighPassFilter" in found.protocol["view_filter"]


def test_a_runs_record_gets_the_result(narrow, tmp_path, capsys):
    folder = tmp_path / "run"
    folder.mkdir()
    data = DataSet("generated", 16, 8, 4, 32)
    (folder / "settings.json").write_text(
        json.dumps({"values": {"view_size": 32, "evaluation": {}}, "choices": {}})
    )
    write_record(folder, RunRecord("run", "lightly", "mocov2", "none", 0, data, "narrow", 1, 8))
    command = ["detect", str(folder), *QUICK]
    assert main(command) == 0
    text = capsys.readouterr().out
    assert "step 2/2  loss " in text
    place = folder / "detection" / "quick-seed0"
    result = json.loads((place / "result.json").read_text())
    found = read_record(folder).evaluations["quick"]
    assert dict(found.metrics) == result["metrics"]
    assert {"box_ap", "box_ap50", "mask_ap", "mask_ap75"} <= set(found.metrics)
    assert all(0 <= value <= 100 for value in found.metrics.values())
    assert found.protocol["detector"] == "Mask R-CNN C4, torchvision"
    assert found.protocol["precise_batch_norm"] == 1
    assert len(found.curves["loss"]) == 2
    assert (place / "detections.png").read_bytes().startswith(b"\x89PNG")
    # A comparison that asks for the same finds it there.
    node = compose_settings(QUICK, root="detect")["detection"]
    options = {key: node[key] for key in ("data", "model", "schedule")}
    wanted = EvaluationRequest(
        "quick", "detection", options, {}, False, some_settings(folder, ASKED)
    )
    assert is_done(read_record(folder), wanted)
    other = {**options, "schedule": {**options["schedule"], "steps": 4}}
    assert not is_done(read_record(folder), replace(wanted, options=other))
    assert main(command) == 0
    assert "already finished" in capsys.readouterr().out
    assert main([*command, "detection.schedule.learning_rate=1.0"]) == 2
    assert "other settings" in capsys.readouterr().err


def plan_and_backbone(*changes):
    settings = compose_settings([*QUICK, *changes], root="detect")
    plan = plan_of(settings["detection"], trainer=settings["trainer"], seed=3, workers=0)
    return plan, narrow_backbone()


def test_a_resumed_detector_is_the_uninterrupted_one(tmp_path):
    plan, backbone = plan_and_backbone("trainer.log_every_n_steps=1")
    before = copy.deepcopy(backbone.network.state_dict())
    whole = train_and_test(plan, backbone, tmp_path, LatePictures())
    last = newest_checkpoint(tmp_path / "checkpoints")
    expected = torch.load(last, weights_only=True)
    log = read_rows(tmp_path / "metrics" / METRICS_NAME)
    last.unlink()
    resumed = train_and_test(plan, backbone, tmp_path, LatePictures())
    found = torch.load(newest_checkpoint(tmp_path / "checkpoints"), weights_only=True)
    assert found["global_step"] == expected["global_step"] == 2
    assert all(
        torch.equal(found["state_dict"][key], value)
        for key, value in expected["state_dict"].items()
    )
    assert resumed.metrics == whole.metrics
    assert resumed.curves == whole.curves
    assert [row["epoch"] for row in log if "train_loss" in row] == ["0", "1"]
    assert read_rows(tmp_path / "metrics" / METRICS_NAME) == log
    # The caller's backbone is as it was: other evaluations follow.
    assert all(torch.equal(before[key], v) for key, v in backbone.network.state_dict().items())


def test_a_frozen_backbone_ends_as_it_began(tmp_path):
    plan, backbone = plan_and_backbone(
        "detection.model.freeze_backbone=true", "detection.model.masks=false"
    )
    result = train_and_test(plan, backbone, tmp_path, LatePictures())
    assert result.protocol["backbone"] == "frozen, with its BatchNorm"
    assert "mask_ap" not in result.metrics
    state = torch.load(newest_checkpoint(tmp_path / "checkpoints"), weights_only=True)["state_dict"]
    stage = {k: v for k, v in state.items() if k.startswith("detector.roi_heads.box_head.stage.")}
    assert stage
    for key, value in stage.items():
        name = key.replace("detector.roi_heads.box_head.stage", "layer4")
        assert torch.equal(backbone.network.state_dict()[name], value)


def test_voc_on_a_checkpoint_of_others(narrow, tmp_path):
    objects = {f"{i}": [("dog", (4 + i, 10, 40, 50), False)] for i in range(2)}
    write_voc(tmp_path / "voc", "2007_trainval", objects)
    write_voc(tmp_path / "voc", "2007_test", {"9": [("dog", (5, 9, 44, 47), False)]})
    given = ["detection=voc_c4", f"detection.data.root={tmp_path / 'voc'}", *TINY]
    given += ["detection.data.train=[2007_trainval]", f"out={tmp_path / 'out'}"]
    assert main(["detect", "other.pth", *given]) == 0
    (folder,) = (tmp_path / "out").iterdir()
    assert folder.name == "other-voc_c4-seed0"
    result = json.loads((folder / "result.json").read_text())
    assert set(result["metrics"]) == {"ap", "ap50", "ap75", "ap50_area"}
    assert result["protocol"]["detector"] == "Faster R-CNN C4, torchvision"
    assert "11 points" in result["protocol"]["metric"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["detection.schedule.batch_size=3", "trainer.devices=2"], "must be a multiple of"),
        (["detection.schedule.round_steps=7"], "round_steps=7 must divide steps=2"),
        (["architecture=resnet50"], "does not fit ResNet"),
        (["detection.model.short_sides=[16]"], "short_sides=[16]"),
        (["detection.typo=1"], "typo"),
        (["detection=voc_c4"], "give its data.root=FOLDER"),
    ],
)
def test_what_cannot_work_is_said_before_training(weights, tmp_path, changes, words, capsys):
    known = [] if changes == ["detection=voc_c4"] else QUICK
    assert main(["detect", str(weights), f"out={tmp_path}", *known, *changes]) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert "step" not in captured.out
    assert not list(tmp_path.iterdir())


def test_boxes_alone_teach_no_masks(narrow, tmp_path, capsys):
    write_voc(tmp_path / "voc", "2007_trainval", {"1": [("dog", (4, 10, 40, 50), False)]})
    given = ["detection=voc_c4", f"detection.data.root={tmp_path / 'voc'}", *TINY]
    given += ["detection.data.train=[2007_trainval]", "detection.data.test=[2007_trainval]"]
    given += ["detection.model.masks=true", f"out={tmp_path}"]
    assert main(["detect", "other.pth", *given]) == 2
    assert "needs outlines" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("outline", "words"),
    [
        ({"size": [64, 80], "counts": [3, 2]}, "'000.png', object 0: Run lengths of size"),
        ([[0, 0, 1e7, 0, 1e7, 5]], "'000.png', object 0: A polygon has the coordinate"),
        ([], "needs outlines; coco has objects with boxes alone"),
    ],
)
def test_outlines_are_checked_before_masks_are_learned(narrow, tmp_path, capsys, outline, words):
    dog = {"category_id": 18, "bbox": [4, 10, 26, 21]}
    root = write_coco(tmp_path / "coco", "train2017", [[dog]] * 2)
    write_coco(root, "val2017", [[{**dog, "segmentation": outline}]])
    given = ["detection=quick_coco", f"detection.data.root={root}", *TINY, f"out={tmp_path}"]
    assert main(["detect", "other.pth", *given]) == 2
    assert words in capsys.readouterr().err


def test_a_test_without_an_object_is_refused_before_training(narrow, tmp_path, capsys):
    """After the last step there was no AP to report, or one of 0."""
    dog = {"category_id": 18, "bbox": [4, 10, 26, 21]}
    root = write_coco(tmp_path / "coco", "train2017", [[dog]] * 2)
    given = ["detection=quick_coco", f"detection.data.root={root}", *TINY, f"out={tmp_path}"]
    for images in ([[], []], [[{**dog, "iscrowd": 1}]]):
        write_coco(root, "val2017", images)
        assert main(["detect", "other.pth", *given]) == 2
        assert "test images of coco have no object that counts" in capsys.readouterr().err


def test_as_a_task_it_goes_below_the_runs_folder_on_one_device(tmp_path):
    settings = compose_settings(
        ["trainer.devices=4", "trainer.strategy=ddp", "trainer.accelerator=cpu", "loader.workers=0"]
    )
    node = compose_settings(QUICK, root="detect")["detection"]
    options = {key: node[key] for key in ("data", "model", "schedule")}
    wanted = EvaluationRequest("box", "detection", options, {}, False, settings, tmp_path)
    TASKS["detection"].check(wanted)
    found = TASKS["detection"].run(wanted, narrow_backbone())
    assert found.protocol["batch_norm"] == "per process of 2 images"
    picture = tmp_path / "detection" / "box-seed0" / "detections.png"
    assert not picture.exists()  # until the result is written
    assert wanted.pictures.draw() == [picture]
    assert picture.is_file()
    with pytest.raises(ValueError, match="a data set of its own"):
        TASKS["detection"].check(replace(wanted, is_transfer=True, name="cifar10/box"))
    other = {**options, "schedule": {**options["schedule"], "learning_rate": 1.0}}
    with pytest.raises(UserError, match="other settings"):
        TASKS["detection"].run(replace(wanted, options=other), narrow_backbone())


@pytest.mark.slow
def test_two_processes_train_one_detector(weights, tmp_path):
    dog = {"category_id": 18, "bbox": [4, 10, 26, 21]}
    root = write_coco(tmp_path / "coco", "train2017", [[dog]] * 3)
    write_coco(root, "val2017", [[dog]] * 3)
    given = ["detection=quick_coco", f"detection.data.root={root}", *TINY]
    given += ["trainer.devices=2", "trainer.strategy=ddp", f"out={tmp_path / 'out'}"]
    done = working.run(
        [sys.executable, "-m", "salmask_plugin.cli", "detect", str(weights), *given],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "out").iterdir()
    protocol = json.loads((folder / "result.json").read_text())["protocol"]
    assert protocol["batch_norm"] == "per process of 1 images"
    assert done.stdout.count("step 2/2") == 1


@pytest.mark.slow
def test_a_detector_learns_to_find_drawn_objects(tmp_path):
    changes = ["data.train_images=200", "data.val_images=40", "data.classes=2", "data.size=64"]
    changes += ["schedule.steps=300", "schedule.round_steps=50", "schedule.milestones=[250]"]
    changes += ["schedule.batch_size=8", "schedule.warmup_steps=20"]
    changes += ["model.short_sides=[64]", "model.anchor_sides=[16,32,48]"]
    given = ["detection=quick", "trainer.accelerator=cpu", *(f"detection.{c}" for c in changes)]
    settings = compose_settings(given, root="detect")
    plan = plan_of(settings["detection"], trainer=settings["trainer"], seed=0, workers=0)
    metrics = train_and_test(plan, narrow_backbone(), tmp_path, LatePictures()).metrics
    assert metrics["box_ap50"] > 50
    assert metrics["mask_ap50"] > 50


def test_the_schedules_written_down_are_mocos():
    def schedule(choice):
        return build(
            compose_settings([f"detection={choice}"], root="detect")["detection"]["schedule"]
        )

    assert schedule("voc_c4") == Schedule()
    twice, once = schedule("coco_c4_2x"), schedule("coco_c4_1x")
    assert (twice.steps, twice.milestones, twice.warmup_steps) == (180000, (120000, 160000), 1000)
    assert (once.steps, once.milestones) == (90000, (60000, 80000))
    assert once.batch_size * once.steps == 16 * 90000
