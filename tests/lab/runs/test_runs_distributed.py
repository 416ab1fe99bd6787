"""`salmask pretrain` on two processes: Lightning starts the second from the same line."""

import os
import sys

import pytest
from oracles.working import run

from salmask_plugin.lab.results import read_record

COMMAND = [
    "experiment=plumbing",
    "localizer=uniform",
    "masking=mean",
    "data.train_images=64",
    "data.val_images=24",
    "data.classes=4",
    "view_size=32",
    "loader.batch_size=16",
    "loader.workers=0",
    "method.queue_size=64",
    "trainer.max_epochs=1",
    "trainer.devices=2",
    "trainer.strategy=ddp",
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("made_on", "masking"), [("host", "mean"), ("device", "mean"), ("host", "sparse")]
)
def test_two_processes_train_one_run(tmp_path, made_on, masking):
    done = run(
        [
            sys.executable,
            "-m",
            "salmask_plugin.cli",
            "pretrain",
            *COMMAND,
            f"loader.input={made_on}",
            f"masking={masking}",
            *(["backbone=small"] if masking == "sparse" else []),
            f"out={tmp_path}",
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    (folder,) = tmp_path.iterdir()
    record = read_record(folder)
    assert record.batch_size == 32
    assert record.status == "finished"
    assert done.stdout.count("Method: mocov2") == 1


@pytest.mark.slow
def test_one_of_a_launcher_s_processes_evaluates(tmp_path):
    """The second once went on before the record was there, and the launcher ended the first."""
    launcher = ["torch.distributed.run", "--nproc-per-node=2", "--rdzv-backend=c10d"]
    command = ["pretrain", "--evaluate", *COMMAND, "evaluation.linear.epochs=1"]
    done = run(
        [
            sys.executable,
            "-m",
            *launcher,
            "--rdzv-endpoint=localhost:0",
            "-m",
            "salmask_plugin.cli",
            *command,
            "backbone=resnet18",
            "evaluation.knn.k=5",
            f"out={tmp_path}",
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    (folder,) = tmp_path.iterdir()
    record = read_record(folder)
    assert set(record.evaluations) == {"knn", "linear"}
    assert (record.status, record.epochs, record.steps) == ("finished", 1, 2)
    assert done.stdout.count("knn: ") == 1
