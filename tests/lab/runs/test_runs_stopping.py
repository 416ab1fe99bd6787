"""What ends a training is called by its name, with the exit code that belongs to it."""

import errno
import importlib
import os
import sys
from types import SimpleNamespace

import pytest
from pytorch_lightning.utilities.exceptions import SIGTERMException

from salmask_plugin.cli.main import main
from salmask_plugin.cli.output import lasting_output
from salmask_plugin.lab.errors import RunStopped
from salmask_plugin.lab.runs import stopping
from salmask_plugin.lab.runs.stopping import stops_in_words

TERMINATED = RuntimeError("DataLoader worker (pid 7) is killed by signal: Terminated. ")
BUS = RuntimeError(
    "DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that dataloader's "
    "workers are out of shared memory. Please try to raise your shared memory limit."
)


def stopped(folder, error, *, sigterm=False):
    with (
        pytest.raises(RunStopped) as caught,
        stops_in_words(folder, SimpleNamespace(received_sigterm=sigterm)),
    ):
        raise error
    return str(caught.value), caught.value.code


def after(cause, message="DataLoader worker (pid(s) 7) exited unexpectedly"):
    """As torch raises it."""
    error = RuntimeError(message)
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [
        SIGTERMException(),
        TERMINATED,
        after(TERMINATED),
        RuntimeError("Connection closed by peer"),
        OSError(errno.EPIPE, os.strerror(errno.EPIPE)),
    ],
)
def test_sigterm_to_all_processes_is_sigterm(tmp_path, error):
    """Schedulers signal the group: a worker's or another rank's death is then no fault."""
    said, code = stopped(tmp_path, error, sigterm=True)
    assert code == 143
    assert said == "ended by SIGTERM. There is no checkpoint yet: the same command starts again."


def test_a_signal_to_a_worker_alone_is_a_fault(tmp_path, monkeypatch):
    monkeypatch.setattr(stopping, "LATE", 0.0)
    said, code = stopped(tmp_path, after(TERMINATED))
    assert code == 1
    assert said.startswith("DataLoader worker (pid 7) is killed by signal: Terminated. There is")


def test_a_signal_that_comes_after_the_worker_s_is_waited_for(tmp_path, monkeypatch):
    trainer = SimpleNamespace(received_sigterm=False)
    monkeypatch.setattr(
        stopping.time, "sleep", lambda seconds: setattr(trainer, "received_sigterm", True)
    )
    with pytest.raises(RunStopped) as caught, stops_in_words(tmp_path, trainer):
        raise TERMINATED
    assert caught.value.code == 143


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (after(BUS), "is killed by signal: Bus error. It is possible that dataloader's workers "),
        (
            RuntimeError(
                "Caught RuntimeError in DataLoader worker process 0.\nOriginal Traceback (most "
                'recent call last):\n  File "x.py", line 1\nRuntimeError: unable to write to file '
                "</torch_7_1>: No space left on device (28)\n"
            ),
            "unable to write to file </torch_7_1>: No space left on device (28)",
        ),
    ],
)
def test_shared_memory_that_is_too_small_is_said(tmp_path, error, words):
    said, code = stopped(tmp_path, error)
    assert code == 1
    assert words in said
    assert "/dev/shm is too small for the batches: enlarge it, or set loader.workers=0." in said
    assert "Traceback" not in said


def test_an_error_of_the_system_in_a_worker_is_one_sentence(tmp_path):
    error = OSError(
        "Caught FileNotFoundError in DataLoader worker process 1.\nOriginal Traceback (most recent "
        "call last):\nFileNotFoundError: [Errno 2] No such file or directory: '/data/7.png'\n"
    )
    said, code = stopped(tmp_path, error)
    assert code == 1
    assert said.startswith("[Errno 2] No such file or directory: '/data/7.png'. There is no chec")


def test_other_errors_pass_as_they_are(tmp_path):
    with (
        pytest.raises(RuntimeError, match="a fault of ours"),
        stops_in_words(tmp_path, SimpleNamespace(received_sigterm=False)),
    ):
        raise RuntimeError("a fault of ours")


def test_ctrl_c_during_the_imports_is_an_interrupt(monkeypatch, capsys):
    def slow(name):
        raise KeyboardInterrupt

    monkeypatch.setattr(importlib, "import_module", slow)
    assert main(["doctor"]) == 130
    assert "interrupted; what was finished is kept" in capsys.readouterr().err


def ended_by_ctrl_c():
    """As Lightning ends a training."""
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        sys.exit(1)


def ended_by_sigterm():
    raise SIGTERMException


@pytest.mark.parametrize(("end", "code"), [(ended_by_ctrl_c, 130), (ended_by_sigterm, 143)])
def test_an_evaluation_s_training_ends_as_the_run_s_does(monkeypatch, capsys, end, code):
    command = SimpleNamespace(run=lambda options: end())
    monkeypatch.setattr(importlib, "import_module", lambda name: command)
    assert main(["evaluate", "run"]) == code
    assert "interrupted; what was finished is kept" in capsys.readouterr().err


@pytest.fixture
def closed_pipe():
    """Standard output behind `| head -1`, whose reader has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    stream = open(writer, "w")  # noqa: PTH123, SIM115 - of a descriptor
    yield stream
    stream.close()


def test_a_reader_that_goes_away_does_not_end_the_command(monkeypatch, capfd, closed_pipe):
    monkeypatch.setattr("sys.stdout", closed_pipe)
    assert main(["explain", "masking=mean"]) == 0
    assert capfd.readouterr().err == ""


def test_errors_may_go_nowhere_too(monkeypatch, closed_pipe):
    monkeypatch.setattr("sys.stderr", closed_pipe)
    assert main(["explain", "masking=nothing"]) == 2


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")  # noqa: PTH110
def test_a_full_disk_under_the_output_is_said_once(monkeypatch, capfd):
    with open("/dev/full", "w") as full, monkeypatch.context() as patched:  # noqa: PTH123
        patched.setattr("sys.stdout", full)
        with lasting_output():
            for _ in range(3):
                print("a line", flush=True)
    assert capfd.readouterr().err.count("the output is cut off: [Errno 28]") == 1
