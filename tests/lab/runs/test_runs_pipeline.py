"""The command end to end on a few generated images: pretrain, resume, evaluate, compare, report."""

import json
import os
import subprocess
import sys

import pytest
import torch

from salmask_plugin.cli.main import main
from salmask_plugin.lab.results import read_record
from salmask_plugin.lab.runs.checkpoints import AtomicCheckpointIO, newest_checkpoint

TINY = [
    "experiment=plumbing",
    "localizer=uniform",
    "data.train_images=48",
    "data.val_images=24",
    "data.classes=4",
    "view_size=32",
    "loader.batch_size=16",
    "loader.workers=0",
    "method.queue_size=32",
    "method.split_batch_size=8",
    "trainer.log_every_n_steps=1",
    "evaluation.knn.k=5",
    "evaluation.linear.epochs=2",
]


def weights(folder):
    checkpoint = torch.load(newest_checkpoint(folder / "checkpoints"), weights_only=True)
    return checkpoint["state_dict"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of three epochs that nothing interrupted."""
    out = tmp_path_factory.mktemp("straight")
    assert main(["pretrain", "--evaluate", *TINY, f"out={out}", "name=run", "masking=mean"]) == 0
    return out / "run"


def test_a_run_leaves_a_complete_record(finished):
    record = read_record(finished)
    assert record.status == "finished"
    assert (record.method, record.recipe, record.localizer) == ("mocov2", "mean", "uniform")
    assert set(record.evaluations) == {"knn", "linear"}
    assert len(record.evaluations["linear"].curves["top1"]) == 2
    assert len(record.history["loss"]) == 3
    assert {"mask_ratio", "similarity_hard", "hard_negative_share"} <= set(record.history)
    assert 0.05 <= record.history["mask_ratio"][-1] <= 0.25
    assert (finished / "gallery.png").read_bytes().startswith(b"\x89PNG")
    assert (finished / "metrics" / "metrics.csv").is_file()


def test_a_finished_run_is_not_trained_again(finished, capsys):
    before = weights(finished)
    arguments = [*TINY, f"out={finished.parent}", "name=run", "masking=mean"]
    assert main(["pretrain", *arguments]) == 0
    assert "already pretrained" in capsys.readouterr().out
    assert all(torch.equal(before[key], value) for key, value in weights(finished).items())


def test_resume_after_an_interruption_ends_with_the_same_weights(finished, tmp_path):
    """Stopped hard in its second epoch, then continued: bit for bit the uninterrupted run."""
    arguments = [*TINY, f"out={tmp_path}", "name=run", "masking=mean"]
    code = (
        "import os, sys\n"
        "import salmask_plugin.adapters.lightly.moco as moco\n"
        "step = moco.MaskedMoCoV2.training_step\n"
        "def dying(self, batch, batch_idx):\n"
        "    if self.current_epoch == 1 and batch_idx == 1:\n"
        "        os._exit(9)\n"
        "    return step(self, batch, batch_idx)\n"
        "moco.MaskedMoCoV2.training_step = dying\n"
        "from salmask_plugin.cli.main import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    died = subprocess.run(
        [sys.executable, "-c", code, "pretrain", *arguments],
        env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())},
        capture_output=True,
        check=False,
    )
    assert died.returncode == 9, died.stderr.decode()
    assert newest_checkpoint(tmp_path / "run" / "checkpoints").name == "epoch-0000.ckpt"
    assert main(["pretrain", *arguments]) == 0
    straight, resumed = weights(finished), weights(tmp_path / "run")
    assert straight.keys() == resumed.keys()
    assert [key for key in straight if not torch.equal(straight[key], resumed[key])] == []
    assert read_record(tmp_path / "run").history == read_record(finished).history


def test_evaluation_can_be_repeated_with_another_protocol(finished, tmp_path, capsys):
    assert main(["evaluate", str(finished), "evaluation.knn.k=3"]) == 0
    assert read_record(finished).evaluations["knn"].protocol["k"] == 3
    assert main(["evaluate", str(finished), "evaluation.knn.k=5"]) == 0


def test_batch_norm_can_be_reestimated_before_evaluation(finished):
    before = weights(finished)
    plain = read_record(finished).evaluations["knn"].protocol
    assert main(["evaluate", str(finished), "evaluation.reestimate_batch_norm=true"]) == 0
    for name in ("knn", "linear"):
        protocol = read_record(finished).evaluations[name].protocol
        assert protocol["batch_norm"] == "re-estimated on 3 batches of 16 clean views"
    assert all(torch.equal(before[key], value) for key, value in weights(finished).items())
    assert main(["evaluate", str(finished)]) == 0
    assert read_record(finished).evaluations["knn"].protocol == plain


def test_compare_runs_rows_and_skips_what_is_finished(finished, tmp_path, capfd):
    chosen = ["compare.only=[none,mean]", "+compare.targets.none.Paper=56"]
    chosen += ["compare.open=[The batch.]"]
    command = ["compare", *TINY, *chosen, f"out={tmp_path}", "trainer.max_epochs=1"]
    assert main(command) == 0
    first = capfd.readouterr().out
    assert first.count("to do") == 2
    assert "56.00" in first
    report = tmp_path / "plumbing" / "report"
    assert "mean" in (report / "report.md").read_text()
    html = (report / "report.html").read_text()
    assert "data:image/png;base64" in html
    assert main([*command, f"compare.include=[{finished.parent}]"]) == 0
    again = capfd.readouterr().out
    assert again.count("finished  ") == 2
    again = " ".join(again.split())  # as it is wrapped, so it is not
    assert "3 epochs" in again  # the included run, in a table of its own
    assert "1 epoch" in again
    baseline = read_record(tmp_path / "plumbing" / "none" / "seed0")
    masked = read_record(tmp_path / "plumbing" / "mean" / "seed0")
    assert baseline.masking == {}
    assert masked.masking["hard_negative_bias"] < 0
    capfd.readouterr()
    assert main(["report", str(tmp_path / "plumbing")]) == 0
    assert "56.00" in capfd.readouterr().out
    assert "The batch." in (report / "report.md").read_text()


def test_compare_names_the_row_that_does_not_compose(tmp_path, capsys):
    bad = "+compare.rows.bad=['masking=men']"
    assert main(["compare", *TINY, bad, f"out={tmp_path}"]) == 2
    assert "row bad, seed 0" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_plan_prints_time_and_memory(tmp_path, capsys):
    given = ["plan", *TINY, "data.train_images=160", f"out={tmp_path}"]
    assert main([*given, "+trainer.max_steps=4", "+trainer.max_time=00:01:00:00"]) == 0
    text = capsys.readouterr().out
    assert ", 4 steps of " in text
    assert ", unless trainer.max_time=00:01:00:00 ends it; evaluation comes on top" in text
    assert "images/s" in text
    assert "GiB" in text
    assert not list(tmp_path.iterdir())


def test_plan_says_that_there_are_too_few_steps_to_time_one(tmp_path, capsys):
    few = ["data.train_images=32", "trainer.max_epochs=1", f"out={tmp_path}"]
    assert main(["plan", *TINY, *few]) == 2
    assert "the run has 2 steps in all, and timing needs 3" in capsys.readouterr().err


def test_doctor_names_what_is_missing(capsys):
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert "torch" in text
    assert "efficientnet_lite0" in text


def test_preview_writes_a_gallery_per_recipe(tmp_path, capsys):
    from salmask_plugin.lab.data import generated

    images = tmp_path / "images"
    images.mkdir()
    splits = generated(train_images=8, val_images=8, classes=4)
    for index in range(3):
        splits.train[index][0].save(images / f"{index}.png")
    (images / "broken.png").write_bytes(b"no picture")
    arguments = ["preview", str(images), f"out={tmp_path}", "view_size=64", "localizer=center"]
    with pytest.warns(UserWarning, match=r"broken\.png"):
        assert main(arguments) == 0
    written = sorted(path.name for path in (tmp_path / "preview").iterdir())
    assert written == ["blur-center.png", "highpass-center.png", "mean-center.png"]


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(tmp_path):
    io = AtomicCheckpointIO()
    for epoch in (0, 1):
        io.save_checkpoint({"epoch": epoch}, tmp_path / f"epoch-000{epoch}.ckpt")
    newest = tmp_path / "epoch-0001.ckpt"
    newest.write_bytes(newest.read_bytes()[:100])
    with pytest.warns(UserWarning, match="is damaged"):
        found = newest_checkpoint(tmp_path)
    assert found == tmp_path / "epoch-0000.ckpt"


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    io = AtomicCheckpointIO()
    path = tmp_path / "epoch-0000.ckpt"
    io.save_checkpoint({"epoch": 0}, path)

    def half(checkpoint, file):
        file.write(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(OSError, match="No space left"):
        io.save_checkpoint({"epoch": 1}, path)
    assert io.load_checkpoint(path) == {"epoch": 0}
    assert [file.name for file in tmp_path.iterdir()] == ["epoch-0000.ckpt"]


def test_checkpoints_hold_no_code(finished):
    checkpoint = torch.load(newest_checkpoint(finished / "checkpoints"), weights_only=True)
    assert not [key for key in checkpoint["state_dict"] if "localizer" in key]
    json.dumps(checkpoint["salmask_batches_seen"])


def test_a_run_is_evaluated_on_other_images(finished, capsys):
    before = read_record(finished).evaluations
    other = ["data=generated", "data.train_images=24", "data.val_images=15", "data.classes=3"]
    small = ["evaluation.tasks=[knn]", "evaluation.knn.k=4", "loader.workers=0"]
    assert main(["transfer", str(finished), *other, *small, "trainer.accelerator=cpu"]) == 0
    assert "fingerprint" in capsys.readouterr().out
    evaluations = read_record(finished).evaluations
    found = evaluations["generated/knn"]
    assert (found.protocol["val_images"], found.protocol["k"]) == (15, 4)
    assert found.protocol["view_size"] == 32, "the run's own"
    assert {name: evaluations[name] for name in before} == before
