"""Under torchrun, srun and mpirun: the processes that the settings count, or none."""

import os
import signal
import subprocess

import pytest
import pytorch_lightning as pl
from small_training import train

from salmask_plugin.cli.main import main
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.runs import launcher, requeue
from salmask_plugin.lab.runs.launcher import alone, check_world
from salmask_plugin.lab.runs.requeue import requeued_by_slurm

TORCHRUN = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": "x"}
SRUN = {"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "2", "SLURM_JOB_NAME": "train"}
DEMO = ["experiment=plumbing", "localizer=uniform"]


@pytest.fixture
def launched(monkeypatch):
    def launch(variables):
        for name in (*launcher.OWN, "TORCHELASTIC_RUN_ID", "SLURM_JOB_NAME"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return launch


@pytest.mark.parametrize("variables", [TORCHRUN, SRUN, {"OMPI_COMM_WORLD_SIZE": "2"}])
@pytest.mark.parametrize("devices", [2, "2", [0, 3], "auto", -1])
def test_as_many_processes_as_the_settings_say(launched, variables, devices):
    launched(variables)
    check_world({"devices": devices, "num_nodes": 1})
    check_world({"devices": 1, "num_nodes": 2})


@pytest.mark.parametrize("variables", [TORCHRUN, SRUN, {"OMPI_COMM_WORLD_SIZE": "2"}])
@pytest.mark.parametrize(("devices", "nodes"), [(1, 1), (2, 2), ([0], 1), ("4", 1)])
def test_a_contradiction_is_an_error(launched, variables, devices, nodes):
    launched(variables)
    with pytest.raises(UserError, match="the launcher has started 2 processes, but trainer"):
        check_world({"devices": devices, "num_nodes": nodes})


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"WORLD_SIZE": "8"},
        {"SLURM_NTASKS": "4", "SLURM_PROCID": "0"},
        {**SRUN, "SLURM_JOB_NAME": "interactive", "SLURM_STEP_NUM_TASKS": "1"},
    ],
)
def test_without_a_launcher_nothing_is_compared(launched, variables):
    """A batch script of SLURM's knows the job's tasks, and starts one process all the same."""
    launched(variables)
    check_world({"devices": 1, "num_nodes": 1})
    check_world({"devices": 2, "num_nodes": 1})


@pytest.mark.parametrize("command", ["pretrain", "plan"])
def test_two_copies_of_one_run_are_never_started(launched, tmp_path, capsys, command):
    launched(TORCHRUN)
    assert main([command, *DEMO, f"out={tmp_path / 'out'}"]) == 2
    assert "has started 2 processes, but trainer.devices=1" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "line",
    [
        ["evaluate", "nowhere"],
        ["transfer", "nowhere", "data=generated"],
        ["compare", "experiment=nothing"],
        ["variance", "nowhere"],
        ["explain", "masking=nothing"],
    ],
)
def test_one_process_does_what_cannot_be_shared(launched, capsys, line):
    launched(TORCHRUN)
    assert main(line) == 2
    assert capsys.readouterr().err
    launched({**TORCHRUN, "RANK": "1", "LOCAL_RANK": "1"})
    assert main(line) == 0
    assert capsys.readouterr() == ("", "")


def test_its_own_processes_do_not_take_themselves_for_the_launcher_s(launched):
    launched({**TORCHRUN, "MASTER_PORT": "29500", "OMP_NUM_THREADS": "1"})
    with alone():
        assert launcher.world_size() is None
        assert "MASTER_PORT" not in os.environ
        assert os.environ["OMP_NUM_THREADS"] == "1"
    assert launcher.world_size() == 2
    launched({"MASTER_PORT": "29500"})
    with alone():
        assert os.environ["MASTER_PORT"] == "29500"


SLURM = {
    "SLURM_JOB_ID": "17",
    "SLURM_JOB_NAME": "train",
    "SLURM_NTASKS": "1",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
    "SLURM_NODELIST": "a",
}


@pytest.fixture
def asked(monkeypatch):
    """What SLURM is asked for."""
    lines = []

    def run(line, **_):
        lines.append(line)
        return subprocess.CompletedProcess(line, 0, "", "")

    monkeypatch.setattr(requeue.subprocess, "run", run)
    return lines


class Signalled(pl.Callback):
    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step == 2:
            signal.raise_signal(signal.SIGUSR1)


def test_a_requeue_saves_nothing_in_the_middle_of_an_epoch(launched, asked, tmp_path, capsys):
    launched(SLURM)
    with requeued_by_slurm():
        train(tmp_path, max_epochs=1, callbacks=[Signalled()])
    assert asked == [["scontrol", "requeue", "17"]]
    assert "job 17 is put back into the queue" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["epoch-0000.ckpt"]


def test_a_job_of_an_array_is_put_back_alone_and_by_one_process(launched, asked):
    launched({**SLURM, "SLURM_ARRAY_JOB_ID": "16", "SLURM_ARRAY_TASK_ID": "3"})
    with requeued_by_slurm():
        signal.raise_signal(signal.SIGUSR1)
    assert asked == [["scontrol", "requeue", "16_3"]]
    launched({**SLURM, "SLURM_PROCID": "1"})
    with requeued_by_slurm():
        signal.raise_signal(signal.SIGUSR1)
    assert len(asked) == 1


def test_a_queue_that_refuses_is_said(launched, monkeypatch, capsys):
    launched(SLURM)
    monkeypatch.setenv("PATH", "")
    with requeued_by_slurm():
        signal.raise_signal(signal.SIGUSR1)
    assert "job 17 cannot be put back ([Errno 2]" in capsys.readouterr().err


def test_outside_of_slurm_the_signal_is_left_alone(launched, monkeypatch):
    launched({})
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    before = signal.getsignal(signal.SIGUSR1)
    with requeued_by_slurm():
        assert signal.getsignal(signal.SIGUSR1) == before


@pytest.mark.filterwarnings("ignore:.*srun.*")
def test_checkpoints_of_lightning_s_own_are_not_gone_on_from(launched, tmp_path, monkeypatch):
    """In a SLURM job it prefers them: the run then goes on in the middle of an epoch."""
    launched(SLURM)
    folder = tmp_path / "run"
    folder.mkdir()
    for place in (folder, folder / "checkpoints"):
        place.mkdir(exist_ok=True)
        (place / "hpc_ckpt_1.ckpt").write_bytes(b"not even a checkpoint")
    small = [
        "backbone=resnet18",
        "data.train_images=8",
        "data.val_images=8",
        "data.classes=2",
        "view_size=32",
    ]
    small += ["loader.batch_size=4", "loader.workers=0", "method.queue_size=4"]
    small += ["method.split_batch_size=2", "trainer.max_epochs=1", "evaluation.tasks=[linear]"]
    small += ["evaluation.linear.epochs=1", f"out={tmp_path}", "name=run"]
    monkeypatch.chdir(folder)  # the linear evaluation's trainer once looked here
    assert main(["pretrain", "--evaluate", *DEMO, *small]) == 0
