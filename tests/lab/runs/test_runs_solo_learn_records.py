"""From a solo-learn run's folder to a record, on folders written here as solo-learn writes them."""

from __future__ import annotations

import json
import os
import sys
from collections import namedtuple
from types import SimpleNamespace

import pytest
import torch

from salmask_plugin.cli.solo_learn_record import main
from salmask_plugin.lab.results import read_record
from salmask_plugin.lab.runs.solo_learn_curves import log_folder, read_curves
from salmask_plugin.lab.runs.solo_learn_data import data_of
from salmask_plugin.lab.runs.solo_learn_records import _batch_size, record_run

SETTINGS = {
    "recipe": "mean",
    "localizer": "efficientnet_lite0",
    "query": {"sampler": {}, "fill": {}},
    "negative": {"sampler": {}, "fill": {}},
    "branch": "query",
    "rho": 2.0,
    "num_negatives": 1,
}
ADIOS = {"recipe": "adios_s", "masks_per_step": "one", "num_masks": 6, "sparsity": 1.0}
METHOD = {True: "salmask_mocov2plus", False: "mocov2plus"}
PRETRAIN = (
    "epoch,step,train_nce_loss_step,train_nce_loss_epoch,mask_ratio,val_acc1\n"
    "0,1,9.0,,,\n0,2,,3.5,0.15,\n0,2,,,,20.0\n1,4,,3.0,0.16,\n1,4,,,,25.0\n"
)
ENCODER = {"backbone.conv1.weight": torch.ones(2), "backbone.bn1.running_mean": torch.zeros(2)}
HEADS = {"classifier.weight": torch.ones(3), "momentum_backbone.conv1.weight": torch.zeros(2)}
LINEAR = "epoch,step,val_acc1,val_acc5\n0,2,30.0,80.0\n1,4,50.0,90.0\n2,6,40.0,95.0\n"


@pytest.fixture
def runs(tmp_path):
    images = tmp_path / "stripes"
    for split, count in (("train", 3), ("val", 2)):
        for label in ("a", "b"):
            (images / split / label).mkdir(parents=True)
            for index in range(count):
                (images / split / label / f"{index}.png").touch()
    data = {
        "dataset": "custom",
        "train_path": str(images / "train"),
        "val_path": str(images / "val"),
        "num_classes": 2,
    }
    common = {
        "data": data,
        "devices": "02",
        "num_nodes": 1,
        "default_root_dir": str(tmp_path),
        "scheduler": {"name": "step", "lr_decay_steps": [60, 80]},
    }

    def write(version, arguments, checkpoint, curves, state):
        folder = tmp_path / "trained_models" / "any" / str(version)
        folder.mkdir(parents=True)
        (folder / "args.json").write_text(json.dumps({**common, **arguments}))
        torch.save(state, folder / checkpoint)
        os.utime(folder / "args.json", (1000, 1000))
        os.utime(folder / checkpoint, (1060, 1060))
        logs = tmp_path / "lightning_logs" / f"version_{version}"
        logs.mkdir(parents=True)
        (logs / "metrics.csv").write_text(curves)
        return folder

    def make(masked=True, adios=False, checkpoint="run-ep=1.ckpt", evaluated=ENCODER):
        pretrain = write(
            0,
            {
                "name": "run-mean-s3",
                "method": "salmask_adios_mocov2plus" if adios else METHOD[masked],
                "seed": 3,
                "backbone": {"name": "resnet18", "kwargs": {}},
                "method_kwargs": {"temperature": 0.2, "queue_size": 64},
                "max_epochs": 2,
                "optimizer": {"name": "sgd", "lr": 0.1, "batch_size": 8, "kwargs": {"momentum": 1}},
                "augmentations": [{"crop_size": 96}],
                **({"salmask": ADIOS if adios else SETTINGS} if masked else {}),
            },
            checkpoint,
            PRETRAIN,
            {
                "state_dict": ENCODER | HEADS,
                **({"salmask": {"localizer_trained_on": "ImageNet-1k labels"}} if masked else {}),
            },
        )
        linear = write(
            1,
            {
                "name": "linear",
                "max_epochs": 3,
                "optimizer": {"name": "sgd", "lr": 3.0, "batch_size": 16},
                "pretrained_feature_extractor": str(pretrain / checkpoint),
            },
            "linear-ep=2.ckpt",
            LINEAR,
            {"state_dict": evaluated | {"classifier.weight": torch.zeros(3)}},
        )
        return pretrain, linear

    return make


def edit(run, data=None, **changes):
    """Change the arguments that solo-learn wrote beside a run, and their data node."""
    file = run / "args.json"
    arguments = json.loads(file.read_text())
    arguments["data"] |= data or {}
    file.write_text(json.dumps(arguments | changes))
    os.utime(file, (1000, 1000))
    return run


def resume(tmp_path, version, epoch):
    """Leave of a run's curves what a run that was resumed at this epoch writes."""
    table = tmp_path / "lightning_logs" / f"version_{version}" / "metrics.csv"
    head, *rows = table.read_text().splitlines(keepends=True)
    table.write_text("".join([head, *(row for row in rows if int(row[0]) >= epoch)]))


def test_a_masked_run(runs):
    record = record_run(*runs())
    assert (record.host, record.method, record.recipe) == ("solo-learn", "mocov2plus", "mean")
    assert (record.seed, record.epochs, record.batch_size) == (3, 2, 16)
    assert (record.localizer, record.localizer_trained_on) == (
        "efficientnet_lite0",
        "ImageNet-1k labels",
    )
    assert (record.branch, record.rho, record.temperature, record.queue_size) == (
        "query",
        2.0,
        0.2,
        64,
    )
    data = record.data
    assert (data.name, data.train_images, data.val_images, data.classes) == ("stripes", 6, 4, 2)
    assert data.view_size == 96
    assert record.history == {"loss": (3.5, 3.0), "mask_ratio": (0.15, 0.16)}
    assert record.timing.pretrain_seconds == 60
    assert record.status == "finished"
    linear = record.evaluations["linear"]
    assert linear.metrics == {"top1": 0.4, "top1_last": 0.4, "top1_best": 0.5, "top5": 0.95}
    assert linear.curves["top1"] == (0.3, 0.5, 0.4)
    assert linear.protocol["lr"] == 3.0
    assert linear.protocol["batch_size"] == 32


def test_a_baseline(runs):
    record = record_run(runs(masked=False)[0])
    assert (record.recipe, record.localizer, record.branch, record.rho) == (
        "none",
        "none",
        None,
        None,
    )
    assert record.evaluations == {}


def test_an_adios_run_stands_beside_its_method(runs):
    record = record_run(*runs(adios=True))
    assert (record.method, record.recipe) == ("mocov2plus", "adios_s")
    assert (record.localizer, record.branch, record.rho) == ("none", None, None)
    assert record.masking == {"masks_per_step": "one", "num_masks": 6, "sparsity": 1.0}


def test_a_run_that_stopped_early_is_no_finished_one(runs):
    record = record_run(runs(checkpoint="run-ep=0.ckpt")[0])
    assert record.status == "failed"
    assert "not the last epoch's" in record.warnings[0]


def test_a_resumed_run_has_neither_shifted_curves_nor_the_time_of_its_last_part(runs, tmp_path):
    pretrain, linear = runs()
    resume(tmp_path, 0, 1)
    record = record_run(pretrain, linear)
    assert record.history == {}
    assert record.timing.pretrain_seconds is None
    assert record.status == "finished"
    assert record.notes == ("Resumed at epoch 1: curves and wall-clock before are elsewhere.",)
    resume(tmp_path, 1, 2)
    evaluated = record_run(pretrain, linear).evaluations["linear"]
    assert evaluated.metrics == {"top1": 0.4, "top1_last": 0.4, "top5": 0.95}
    assert (evaluated.curves, evaluated.seconds) == ({}, None)


def test_an_evaluation_that_stopped_is_no_result(runs, tmp_path):
    pretrain, linear = runs()
    table = tmp_path / "lightning_logs" / "version_1" / "metrics.csv"
    table.write_text("".join(LINEAR.splitlines(keepends=True)[:2]))
    assert record_run(pretrain, linear)  # its checkpoint is the last epoch's
    (linear / "linear-ep=2.ckpt").rename(linear / "linear-ep=0.ckpt")
    with pytest.raises(ValueError, match="after 1 of its 3 epochs"):
        record_run(pretrain, linear)


def test_what_is_no_linear_evaluation_of_the_runs_images(runs, tmp_path):
    pretrain, linear = runs()
    with pytest.raises(ValueError, match=r"finetune=true"):
        record_run(pretrain, edit(linear, finetune=True))
    edit(linear, finetune=False, mixup=0.8, cutmix=0.0)
    protocol = record_run(pretrain, linear).evaluations["linear"].protocol
    assert protocol["mixup"] == 0.8
    assert "cutmix" not in protocol
    others = tmp_path / "flowers" / "train"
    with pytest.raises(ValueError, match=r"evaluated on flowers, but .* trained on stripes"):
        record_run(pretrain, edit(linear, data={"train_path": str(others)}))
    # The same folder by another name of solo-learn's.
    same = {"dataset": "imagenet100", "train_path": str(tmp_path / "stripes" / "train")}
    assert record_run(pretrain, edit(linear, data=same)).evaluations


def test_images_are_counted_as_solo_learn_reads_them(runs, tmp_path):
    pretrain, _ = runs()

    def images(**data):
        arguments = json.loads((edit(pretrain, data=data) / "args.json").read_text())
        found = data_of(arguments)
        return found.name, found.train_images, found.val_images

    train = tmp_path / "stripes" / "train"
    (train / "a" / "0.png").rename(train / "a" / "0.TIFF")
    (train / "b").rename(tmp_path / "elsewhere")
    (train / "b").symlink_to(tmp_path / "elsewhere")
    (train / "note.png").touch()  # in no class
    assert images() == ("stripes", 6, 4)
    assert images(fraction=0.5) == ("stripes", 3, 4)
    assert images(fraction=-1, val_path=None) == ("stripes", 6, 0)
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "0.png").touch()
    assert images(train_path=str(tmp_path / "plain"), no_labels=True)[1:] == (1, 0)
    assert images(dataset="stl10", num_classes=10) == ("stl10", 105_000, 8_000)


def test_curves_out_of_tensorboard(tmp_path, monkeypatch):
    """The reader imitated: (step, value) per name, as Lightning writes them after a resume."""
    event = namedtuple("Event", ["step", "value"])
    written = {
        "epoch": [event(5, 2.0), event(7, 3.0)],
        "val_acc1": [event(5, 10.0), event(7, 20.0)],
        "train_loss_step": [event(4, 1.0)],
        "hp_metric": [event(0, -1.0)],
    }
    reader = SimpleNamespace(
        Reload=lambda: reader, Tags=lambda: {"scalars": list(written)}, Scalars=written.get
    )
    module = SimpleNamespace(EventAccumulator=lambda *_, **__: reader)
    folder = "tensorboard.backend.event_processing"
    monkeypatch.setitem(sys.modules, folder, SimpleNamespace(event_accumulator=module))
    (tmp_path / "events.out.tfevents.1").touch()
    assert read_curves(tmp_path) == {"val_acc1": {2: 10.0, 3: 20.0}}


@pytest.mark.parametrize("name", ENCODER)
def test_an_evaluation_of_another_run_of_the_same_name(runs, name):
    """solo-learn names both checkpoints alike; weights and statistics tell them apart."""
    with pytest.raises(ValueError, match="whose encoder is not that of"):
        record_run(*runs(evaluated=ENCODER | {name: torch.full((2,), 0.5)}))


def test_an_evaluation_without_an_encoder(runs):
    with pytest.raises(ValueError, match="whose encoder is not that of"):
        record_run(*runs(evaluated={}))


def test_an_evaluation_of_a_checkpoint_that_was_renamed_or_in_half_precision(runs):
    pretrain, linear = runs(evaluated={name: value.half() for name, value in ENCODER.items()})
    edit(linear, pretrained_feature_extractor="elsewhere/final.ckpt")
    assert record_run(pretrain, linear).evaluations


def test_missing_folders(runs, tmp_path):
    pretrain, _ = runs()
    with pytest.raises(FileNotFoundError, match=r"args\.json is missing"):
        record_run(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"\+default_root_dir"):
        log_folder(pretrain, {"default_root_dir": str(tmp_path / "elsewhere")})
    with pytest.raises(FileNotFoundError, match=r"neither metrics\.csv nor"):
        read_curves(pretrain)


@pytest.mark.parametrize("key", ["branch", "rho", "localizer"])
@pytest.mark.parametrize("value", [..., None, [1], {}])
def test_masking_of_another_form_is_one_sentence(key, value, runs, tmp_path, capsys):
    pretrain, _ = runs()
    file = pretrain / "args.json"
    arguments = json.loads(file.read_text())
    arguments["salmask"] |= {key: value}
    if value is ...:
        del arguments["salmask"][key]
    file.write_text(json.dumps(arguments))
    with pytest.raises(SystemExit) as ended:
        main(["--pretrain", str(pretrain), "--to", str(tmp_path / "to")])
    error = capsys.readouterr().err
    assert ended.value.code == 2
    assert f"salmask.{key}" in error
    assert error.count("\n") == 1


def test_what_a_run_does_not_say_is_one_sentence(runs, tmp_path):
    pretrain, linear = runs()
    (tmp_path / "lightning_logs" / "version_1" / "metrics.csv").write_text("epoch,val_acc5\n0,1\n")
    with pytest.raises(ValueError, match=r"have no val_acc1\.$"):
        record_run(pretrain, linear)
    for content in ({}, [1], {"salmask": 3}, {"salmask": {}}):
        torch.save(content, pretrain / "run-ep=1.ckpt")
        with pytest.raises(ValueError, match="does not say what its localizer was trained on"):
            record_run(pretrain)


def test_the_command_writes_a_record_that_can_be_read(runs, tmp_path, capsys):
    pretrain, linear = runs()
    to = tmp_path / "results" / "x"
    main(["--pretrain", str(pretrain), "--linear", str(linear), "--to", str(to)])
    assert read_record(to).recipe == "mean"
    assert "record written" in capsys.readouterr().out


@pytest.mark.parametrize(("batches", "expected"), [(None, 16), (1, 16), (4, 64)])
def test_the_batch_is_that_of_an_optimizer_step(batches, expected):
    arguments = {"devices": "02", "optimizer": {"batch_size": 8}}
    assert _batch_size(arguments | {"accumulate_grad_batches": batches}) == expected


@pytest.mark.parametrize(
    ("devices", "processes"),
    [("1", 1), ("2", 2), ("02", 2), ("0,1", 2), ("0,", 1), ([0], 1), ([2, 3], 2)],
)
def test_devices_are_counted_as_lightning_reads_them(devices, processes):
    arguments = {"devices": devices, "optimizer": {"batch_size": 8}}
    assert _batch_size(arguments) == 8 * processes


@pytest.mark.parametrize(
    ("name", "dataset", "encoder"),
    [
        ("resnet18", "custom", "resnet18"),
        ("resnet18", "cifar10", "resnet18_cifar_solo"),
        ("resnet18_cifar", "custom", "resnet18_cifar_solo"),
        ("resnet50_highpass", "custom", "resnet50"),
        ("resnet50_highpass", "cifar100", "resnet50_cifar_solo"),
        ("convnext_tiny", "custom", "convnext_tiny"),
    ],
)
def test_the_encoder_is_named_as_it_is_built(runs, name, dataset, encoder):
    pretrain, _ = runs()
    edit(pretrain, data={"dataset": dataset, "num_classes": 2}, backbone={"name": name})
    assert record_run(pretrain).backbone == encoder
