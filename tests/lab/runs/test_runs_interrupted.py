"""A comparison that is killed in the middle of a row goes on where it stopped."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from oracles.working import communicated, wait_until

from salmask_plugin.cli.main import main
from salmask_plugin.lab.results import read_record
from salmask_plugin.lab.runs.checkpoints import newest_checkpoint

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="looks into /proc"),
]
TINY = [
    "experiment=plumbing",
    "localizer=uniform",
    "data.train_images=128",
    "data.val_images=16",
    "data.classes=4",
    "view_size=32",
    "loader.batch_size=16",
    "loader.workers=0",
    "method.queue_size=32",
    "method.split_batch_size=8",
    "method.hard_negative_bias=-7.6",
    "trainer.max_epochs=6",
    "evaluation.knn.k=5",
    "evaluation.linear.epochs=2",
    "compare.only=[none,mean]",
]


def start(out):
    command = [sys.executable, "-m", "salmask_plugin.cli", "compare", *TINY, f"out={out}"]
    return subprocess.Popen(
        command,
        start_new_session=True,  # a group of its own, to be killed as a whole
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())},
    )


def wait_for(condition, process):
    def there():
        assert condition() or process.poll() is None, process.stdout.read()
        return condition()

    wait_until(there, process)


def at_work(out):
    """Command lines of the processes that run for this folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().decode().split("\0")
        except OSError:
            continue
        if f"out={out}" in line:
            found.append(" ".join(line))
    return found


def weights(folder):
    return torch.load(newest_checkpoint(folder / "checkpoints"), weights_only=True)["state_dict"]


def in_the_middle_of_the_second_row(out):
    return (out / "plumbing" / "mean" / "seed0" / "checkpoints" / "epoch-0001.ckpt").exists()


def test_killed_in_the_middle_of_a_row_it_goes_on_there(tmp_path, capfd):
    process = start(tmp_path)
    wait_for(lambda: in_the_middle_of_the_second_row(tmp_path), process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    first, second = (tmp_path / "plumbing" / row / "seed0" for row in ("none", "mean"))
    assert (first / "record.json").is_file()
    assert not (second / "record.json").exists()
    kept = (first / "record.json").read_bytes()

    assert main(["compare", *TINY, f"out={tmp_path}"]) == 0
    printed = capfd.readouterr().out
    assert "finished  none, seed 0" in printed
    assert "to do     mean, seed 0" in printed
    assert f"Resuming from {second / 'checkpoints'}" in printed
    assert (first / "record.json").read_bytes() == kept
    assert set(read_record(second).evaluations) == {"knn", "linear"}

    # The row alone, never stopped, ends with the same weights and curves.
    row = [text for text in TINY if not text.startswith(("experiment=", "compare."))]
    arguments = ["experiment=plumbing/mean", *row, f"out={tmp_path / 'straight'}"]
    assert main(["pretrain", *arguments]) == 0
    straight = tmp_path / "straight" / "plumbing" / "mean" / "seed0"
    a, b = weights(straight), weights(second)
    assert [key for key in a if not torch.equal(a[key], b[key])] == []
    assert read_record(straight).history == read_record(second).history


def test_terminated_alone_it_takes_its_run_with_it(tmp_path):
    """Otherwise the run goes on, and the next command writes into the same folder beside it."""
    process = start(tmp_path)
    checkpoints = tmp_path / "plumbing" / "none" / "seed0" / "checkpoints"
    wait_for(lambda: newest_checkpoint(checkpoints) is not None, process)
    process.terminate()
    printed, _ = communicated(process)
    assert process.returncode == 143
    assert "interrupted; what was finished is kept" in printed
    assert at_work(tmp_path) == []
    assert not (tmp_path / "plumbing" / "mean").exists()
