"""Any checkpoint on any data set: results, records, and what is refused at the start."""

from __future__ import annotations

import re

import pytest
import torch
import torchvision

from salmask_plugin.cli.main import main
from salmask_plugin.encoders import load_backbone
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.probes import transfer as transfers
from salmask_plugin.lab.probes.transfer import asked_filter
from salmask_plugin.lab.results import DataSet, Evaluation, RunRecord, read_record, write_record
from salmask_plugin.lab.runs import folder_lock

TINY = [
    "data=generated",
    "data.train_images=24",
    "data.val_images=17",
    "data.classes=4",
    "view_size=32",
    "loader.workers=0",
    "trainer.accelerator=cpu",
    "evaluation.knn.k=5",
    "evaluation.linear.epochs=2",
    "evaluation.linear.milestones=[1]",
    "evaluation.linear.batch_size=16",
    "evaluation.finetune.epochs=1",
    "evaluation.finetune.batch_size=16",
    "evaluation.finetune_10percent.epochs=1",
]
TASKS = ["knn", "linear", "linear_10percent", "finetune_10percent"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A stranger's file: a torchvision ResNet-18 with its classifier."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("foreign") / "someones.pth"
    torch.save(torchvision.models.resnet18(num_classes=7).state_dict(), path)
    return path


def transfer(checkpoint, out, *more):
    return main(["transfer", str(checkpoint), *TINY, f"out={out}", *more])


@pytest.fixture(scope="module")
def evaluated(checkpoint, tmp_path_factory):
    out = tmp_path_factory.mktemp("transfers")
    assert transfer(checkpoint, out, f"evaluation.tasks=[{','.join(TASKS)}]") == 0
    return out / "someones-generated"


def test_every_task_has_its_result_and_protocol(checkpoint, evaluated):
    record = read_record(evaluated)
    assert (record.host, record.recipe, record.backbone) == ("other", "someones", "resnet18")
    assert list(record.evaluations) == TASKS
    for name, found in record.evaluations.items():
        assert {"mean_per_class"} < set(found.metrics), name
        assert all(0 <= value <= 1 for value in found.metrics.values())
        assert found.protocol["view_size"] == 32
        assert found.seconds > 0
    assert record.evaluations["linear"].protocol["head"] == "N(0, 0.01^2), bias 0"
    few = record.evaluations["finetune_10percent"].protocol
    # 10 % of 24 images are fewer than one per class.
    assert few["labels"] == "0.1 of the training images, 4"
    assert few["epochs"] == 1
    assert record.evaluations["linear_10percent"].settings["options"]["milestones"] == [1]
    assert load_backbone(checkpoint).fingerprint == record.config["fingerprint"]


def test_what_is_there_is_not_computed_again(checkpoint, evaluated, capsys):
    before = (evaluated / "record.json").read_bytes()
    asked = f"evaluation.tasks=[{','.join(TASKS)}]"
    again = ["transfer", "--only-missing", str(checkpoint), *TINY, f"out={evaluated.parent}", asked]
    assert main(again) == 0
    assert "linear:" not in capsys.readouterr().out
    assert (evaluated / "record.json").read_bytes() == before
    assert main([*again, "evaluation.knn.k=3"]) == 0
    printed = capsys.readouterr().out
    assert "knn:" in printed
    assert "linear:" not in printed
    assert read_record(evaluated).evaluations["knn"].protocol["k"] == 3


def test_a_folder_in_use_is_refused_before_anything_is_computed(
    checkpoint, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(folder_lock, "PATIENCE", 0.1)
    with folder_lock.alone_in(tmp_path / "someones-generated"):
        assert transfer(checkpoint, tmp_path, "evaluation.tasks=[knn]") == 2
    captured = capsys.readouterr()
    assert "in use by another command" in captured.err
    assert "knn" not in captured.out


def test_results_of_two_encoders_do_not_mix(evaluated, tmp_path, capsys):
    other = tmp_path / "someones.pth"
    torch.save(torchvision.models.resnet18().state_dict(), other)
    assert transfer(other, evaluated.parent) == 2
    assert "fingerprint differs" in capsys.readouterr().err


def test_every_seed_has_classifiers_and_a_record_of_its_own(evaluated, checkpoint, capsys):
    """Results of a second seed took the first one's place, in a record that named the first."""
    out, before = evaluated.parent, (evaluated / "record.json").read_bytes()
    fixed = ["evaluation.tasks=[linear]", "evaluation.linear.augment=false"]
    fixed += ["evaluation.linear.learning_rate=0.001", "data.val_images=60"]
    assert transfer(checkpoint, out, "seed=1") == 2
    assert "holds the results of seed 0. Choose another name=" in capsys.readouterr().err
    assert (evaluated / "record.json").read_bytes() == before
    curves = []
    for seed in (1, 2):
        name = f"seed{seed}"
        assert transfer(checkpoint, out, *fixed, f"name={name}", f"seed={seed}") == 0
        record = read_record(out / name)
        assert record.seed == seed
        curves.append(record.evaluations["linear"].curves)
    assert curves[0] != curves[1]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["evaluation.tasks=[lineer]"], "no settings evaluation.lineer; there are finetune, "),
        (["evaluation.tasks=[flowers/linear]"], "needs a data set evaluation.data.flowers"),
        (["evaluation.tasks=[knn,knn]"], "names a task twice"),
        (["evaluation.knn.k=25"], "k=25 must be in [1, 24]"),
        (["evaluation.tasks=[linear]", "evaluation.linear.label_share=0"], "label_share=0 must"),
        (["+evaluation.knn.neighbours=3"], "'evaluation.knn.neighbours' is no setting"),
        (["+evaluation.mine={task: probe}", "evaluation.tasks=[mine]"], "task='probe' must be one"),
        (
            ["evaluation.tasks=[finetune]", "evaluation.finetune.batch_size=23"],
            "leaves a last batch of one of the 24 images",
        ),
        (["evaluation.reestimate_batch_norm=true"], "a setting of `salmask evaluate`"),
        (["architecture=resnet50"], "does not fit ResNet"),
        (["filter=[4]"], "must be auto, null or [taps, sigma]"),
        (["filter=[inf,1]"], "kernel_size=inf must be an odd number of taps"),
    ],
)
def test_bad_input_is_refused_before_anything_is_computed(
    checkpoint, tmp_path, capsys, overrides, message
):
    assert transfer(checkpoint, tmp_path / "out", *overrides) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([9.9, 2], "kernel_size=9.9 must be an odd number of taps"),
        ([9.0, 2], "kernel_size=9.0 must be an odd number of taps"),
        ([8, 2], "kernel_size=8 must be an odd number of taps"),
        ([True, 2], "kernel_size=True must be an odd number of taps"),
        ([float("nan"), 2], "kernel_size=nan must be an odd number of taps"),
        ([9, float("inf")], "sigma=inf must be a number above 0"),
        ([9, 0], "sigma=0 must be a number above 0"),
        ([9, None], "sigma=None must be a number above 0"),
    ],
)
def test_a_filter_is_taken_as_it_is_typed_or_refused(value, words):
    """Taps of 9.9 were 9."""
    with pytest.raises(UserError, match=re.escape(words)):
        asked_filter(value)
    found = asked_filter([9, 2])
    assert (found.kernel_size, found.sigma) == (9, 2.0)


def test_a_task_that_diverges_says_so_and_the_results_before_it_stay(checkpoint, tmp_path, capsys):
    asked = ["evaluation.tasks=[knn,finetune]", "evaluation.finetune.learning_rate=1e30"]
    assert transfer(checkpoint, tmp_path, *asked) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "evaluation.finetune has no result" in told
    assert "learning_rate=1e+30" in told
    assert list(read_record(tmp_path / "someones-generated").evaluations) == ["knn"]


def test_a_run_keeps_the_results_of_every_seed(checkpoint, tmp_path, monkeypatch):
    """Those of the second took the first one's place, and --only-missing found them done."""
    data = DataSet("set", 8, 8, 2, 32)
    write_record(tmp_path, RunRecord("one", "lightly", "mocov2", "none", 0, data, "small", 1, 2))
    (tmp_path / "settings.json").write_text('{"values": {"view_size": 32}, "choices": {}}')
    backbone = load_backbone(checkpoint)
    monkeypatch.setattr(transfers, "load_backbone", lambda *given, **named: backbone)
    monkeypatch.setattr(
        transfers,
        "evaluated",
        lambda task, backbone: Evaluation({"value": task.settings.seed}, settings=task.kept),
    )
    asked = [str(tmp_path), *TINY, "evaluation.tasks=[knn]"]
    for seed in (0, 1, 1, 0):
        assert main(["transfer", "--only-missing", *asked, f"seed={seed}"]) == 0
    found = read_record(tmp_path).evaluations
    assert {name: there.metrics["value"] for name, there in found.items()} == {
        "generated/knn": 0,
        "generated/knn_seed1": 1,
    }
