"""Rows side by side: equal ends, one failure, interrupts, and no orphans."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from salmask_plugin.lab.errors import RunStopped
from salmask_plugin.lab.study.side_by_side import Job, environment_of, run_jobs

PARENT = """
import sys
from salmask_plugin.lab.study import side_by_side
from salmask_plugin.lab.study.side_by_side import Job, run_jobs
side_by_side.COMMAND = [sys.executable, {script!r}]
run_jobs([Job(str(i), [[str(i)]]) for i in range(2)], parallel=2)
"""
CHILD = """
import os, sys, time
from salmask_plugin.lab.study.side_by_side import end_with_parent
end_with_parent()
name, folder = sys.argv[1], {folder!r}
open(os.path.join(folder, name + ".pid"), "w").write(str(os.getpid()))
while True:
    with open(os.path.join(folder, name + ".beat"), "a") as beat:
        beat.write(".")
    time.sleep(0.05)
"""


@pytest.fixture
def script(tmp_path, monkeypatch):
    """Write a stand-in for the command and have it started instead."""

    def write(text):
        place = tmp_path / "command.py"
        place.write_text(text)
        monkeypatch.setattr(
            "salmask_plugin.lab.study.side_by_side.COMMAND", [sys.executable, str(place)]
        )
        return place

    return write


@pytest.mark.parametrize("parallel", [1, 2, 5])
def test_every_job_runs_and_a_failing_one_ends_no_other(script, tmp_path, capfd, parallel):
    script(
        "import sys, pathlib\n"
        "name = sys.argv[1]\n"
        "print('this is', name)\n"
        "print('beside', name, file=sys.stderr)\n"
        "if name == 'b1': sys.exit(3)\n"
        f"pathlib.Path({str(tmp_path)!r}, name).touch()\n"
    )
    jobs = [Job(name, [[f"{name}{step}"] for step in (1, 2)]) for name in "abc"]
    assert run_jobs(jobs, parallel=parallel) == ["b"]
    assert {path.name for path in tmp_path.iterdir()} == {"command.py", "a1", "a2", "c1", "c2"}
    out, err = capfd.readouterr()
    assert "b failed with exit code 3" in err
    prefix = "[a] " if parallel > 1 else ""
    assert f"{prefix}this is a2\n" in out
    assert f"{prefix}beside a2\n" in err


def test_side_by_side_is_at_the_same_time(script, tmp_path):
    """Each of two jobs waits for the other's file: one after the other they would never end."""
    script(
        "import sys, pathlib, time\n"
        f"folder = pathlib.Path({str(tmp_path)!r})\n"
        "(folder / sys.argv[1]).touch()\n"
        "until = time.monotonic() + 60\n"
        "while not (folder / sys.argv[2]).exists():\n"
        "    assert time.monotonic() < until\n"
        "    time.sleep(0.02)\n"
    )
    assert run_jobs([Job("a", [["a", "b"]]), Job("b", [["b", "a"]])], parallel=2) == []


def test_an_interrupt_in_one_ends_all(script, tmp_path):
    script(
        "import sys, time, pathlib\n"
        "if sys.argv[1] == 'a': sys.exit(130)\n"
        "time.sleep(600)\n"
        f"pathlib.Path({str(tmp_path)!r}, 'went on').touch()\n"
    )
    with pytest.raises(KeyboardInterrupt):
        run_jobs([Job("b", [["b"]]), Job("a", [["a"]]), Job("c", [["c"]])], parallel=2)
    assert not (tmp_path / "went on").exists()  # nobody has waited for it


def test_sigterm_ends_all_with_its_code(script, tmp_path):
    """The job itself sends the signal to the process that runs the rows."""
    script("import os, signal, time\nos.kill(os.getppid(), signal.SIGTERM)\ntime.sleep(60)\n")
    with pytest.raises(RunStopped) as stopped:
        run_jobs([Job("a", [["a"]])], parallel=2)
    assert stopped.value.code == 128 + signal.SIGTERM


def test_sigterm_while_a_job_starts_ends_it(script, monkeypatch):
    """It came before anybody knew of the process, which then went on."""
    script("import time\ntime.sleep(600)\n")
    started, make = [], subprocess.Popen

    def slow(*arguments, **options):
        started.append(make(*arguments, **options))
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.1)
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", slow)
    with pytest.raises(RunStopped):
        run_jobs([Job("a", [["a"]])], parallel=2)
    assert [process.returncode for process in started] == [-signal.SIGTERM]


def test_nothing_writes_on_when_the_parent_is_killed(tmp_path):
    child = tmp_path / "child.py"
    child.write_text(CHILD.format(folder=str(tmp_path)))
    with subprocess.Popen([sys.executable, "-c", PARENT.format(script=str(child))]) as parent:
        pids = [_read(tmp_path / f"{name}.pid") for name in (0, 1)]
        parent.kill()
    until = time.monotonic() + 30
    while any(_alive(int(pid)) for pid in pids):
        assert time.monotonic() < until, "a row outlived the comparison"
        time.sleep(0.05)
    sizes = [(tmp_path / f"{name}.beat").stat().st_size for name in (0, 1)]
    time.sleep(0.3)
    assert sizes == [(tmp_path / f"{name}.beat").stat().st_size for name in (0, 1)]


def test_each_process_has_its_own_cores_and_gpu(monkeypatch):
    # Of a machine's 128 cores this process may use 6, as in a scheduler's allocation.
    monkeypatch.setattr(os, "cpu_count", lambda: 128)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    shared = {"gpus": ["3", "5"], "environment": {}}
    assert environment_of(0, 1, **shared).get("OMP_NUM_THREADS") is None
    assert "CUDA_VISIBLE_DEVICES" not in environment_of(0, 1, **shared)
    two = [environment_of(slot, 2, **shared) for slot in (0, 1)]
    assert [entry["OMP_NUM_THREADS"] for entry in two] == ["3", "3"]
    assert [entry["CUDA_VISIBLE_DEVICES"] for entry in two] == ["3", "5"]
    own = environment_of(0, 3, gpus=["0"], environment={"OMP_NUM_THREADS": "1"})
    assert own["OMP_NUM_THREADS"] == "1"
    assert "CUDA_VISIBLE_DEVICES" not in own


def _read(path):
    until = time.monotonic() + 60
    while not path.exists() or not path.read_text():
        assert time.monotonic() < until
        time.sleep(0.05)
    return path.read_text()


def _alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A process that nobody waits for any more stays as a zombie where there is no init.
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
