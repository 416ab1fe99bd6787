"""The supervised reference through the command: train, evaluate, refuse."""

import pytest
import torch

from salmask_plugin.cli.main import main
from salmask_plugin.lab.data import evaluation_loaders
from salmask_plugin.lab.results import read_record
from salmask_plugin.lab.runs.build import build_data, build_splits
from salmask_plugin.lab.runs.trained import load_module
from salmask_plugin.lab.settings.compose import compose_settings

TINY = [
    "experiment=plumbing",
    "method=supervised_quick",
    "data.train_images=48",
    "data.val_images=24",
    "data.classes=4",
    "view_size=32",
    "loader.batch_size=16",
    "loader.workers=0",
    "trainer.max_epochs=2",
    "method.decay_every=1",
    "method.learning_rate=0.01",
    "evaluation.knn.k=5",
    "evaluation.linear.epochs=1",
]


def test_a_supervised_run_has_its_own_accuracy_in_the_record(tmp_path, capsys):
    given = [*TINY, "masking=none", f"out={tmp_path}", "name=run"]
    assert main(["pretrain", "--evaluate", *given]) == 0
    record = read_record(tmp_path / "run")
    assert (record.method, record.recipe, record.localizer) == ("supervised", "none", "none")
    assert record.rho is record.temperature is record.queue_size is None
    assert record.optimizer["decay_every"] == 1
    assert len(record.history["loss"]) == 2
    assert set(record.evaluations) == {"knn", "linear", "supervised"}

    settings = compose_settings(given)
    splits = build_splits(settings)
    checkpoint = tmp_path / "run" / "checkpoints" / "epoch-0001.ckpt"
    module = load_module(settings, splits, None, checkpoint)
    right = 0
    _, val = evaluation_loaders(splits, view_size=32)
    for images, labels in val:
        with torch.no_grad():
            right += int((module.classifier(module.backbone(images)).argmax(1) == labels).sum())
    top1 = record.evaluations["supervised"].metrics["top1"]
    assert top1 == pytest.approx(right / 24)

    capsys.readouterr()
    assert main(["variance", str(tmp_path / "run")]) == 2
    assert "is a supervised run" in capsys.readouterr().err


def test_masking_is_refused_before_training(tmp_path, capsys):
    given = [*TINY, "masking=mean", "localizer=uniform", f"out={tmp_path}"]
    assert main(["pretrain", *given]) == 2
    assert "method=supervised trains on one clean view per image" in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.ckpt"))


def test_the_method_alone_is_the_papers_setting():
    settings = compose_settings(["method=supervised", "data=generated"])
    assert settings.choices["masking"] == "none"
    assert settings["trainer"]["max_epochs"] == 100
    assert settings["loader"]["batch_size"] == 256


def test_batches_are_one_view_and_the_same_after_a_resume():
    settings = compose_settings([*TINY, "masking=none"])
    data = build_data(settings, build_splits(settings), None)

    def batches(loader, epoch):
        loader.sampler.set_epoch(epoch)
        return list(loader)

    first = data.train_loader(rank=0, world_size=1)
    batches(first, 0)
    later = batches(data.train_loader(epoch=1, rank=0, world_size=1), 1)
    for (views, labels), (again, same) in zip(batches(first, 1), later, strict=True):
        assert views.shape == (16, 3, 32, 32)
        assert torch.equal(views, again)
        assert torch.equal(labels, same)
