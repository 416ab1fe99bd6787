"""kill -9 at any moment, as often as it happens: the run ends as if it had never been stopped."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
import torture_runs as runs
from oracles.working import ended, wait_until

from salmask_plugin.lab.results import read_record

pytestmark = pytest.mark.torture
ADIOS = ("method=adios_s_mocov2_quick", "masking=none", "method.width=8")


def finish(out, *more):
    done = runs.pretrain(out, *more)
    assert done.returncode == 0, done.stderr
    return out / "run"


@pytest.fixture(scope="session")
def straight(tmp_path_factory):
    """Fingerprint of the run that nothing interrupts."""
    return runs.fingerprint(finish(tmp_path_factory.mktemp("straight")))


@pytest.fixture(scope="session")
def straight_of_two(tmp_path_factory):
    """The same on two processes."""
    return runs.fingerprint(finish(tmp_path_factory.mktemp("straight_of_two"), *runs.TWO))


@pytest.fixture(scope="session")
def straight_adios(tmp_path_factory):
    """The same of ADIOS: two players, two optimizers, masks without saliency."""
    return runs.fingerprint(finish(tmp_path_factory.mktemp("straight_adios"), *ADIOS))


def wait_for_part(process, folder):
    """Return when a checkpoint is being written, or the run has ended."""
    while process.poll() is None and not list(folder.glob(".epoch-*.part")):
        time.sleep(0.0005)


def other_ranks(process):
    """Process ids that Lightning has started for further ranks."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    named = [(int(pid), Path(f"/proc/{pid}/environ").read_bytes()) for pid in children]
    return [pid for pid, names in named if b"LOCAL_RANK=1" in names]


def kill_at(out, moment, draw, *more, victim="all"):
    """Start or resume the run and kill it; return the fault, or None if it ended before."""
    with runs.started(out, *more) as process:
        if not runs.until(process, lambda line: line.startswith("BatchNorm")):
            return None
        if moment == "save":
            for _ in range(draw.randrange(2)):
                runs.until(process, lambda line: line.startswith("epoch"))
            wait_for_part(process, out / "run" / "checkpoints")
            time.sleep(draw.random() * 0.1)
        elif moment == "epoch":
            runs.until(process, lambda line: line.startswith("epoch"))
            time.sleep(draw.random() * 0.4)
        else:
            time.sleep(draw.random() * 2.5)
        if process.poll() is not None:
            return None
        if victim == "all":
            runs.kill_session(process)
            return f"kill -9, {moment}"
        pids = {"rank 0": [process.pid], "rank 1": other_ranks(process)}[victim]
        rest = {process.pid, *other_ranks(process)} - set(pids)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        assert pids
        what = f"the processes left after the death of {victim}"
        wait_until(lambda: not any(alive(pid) for pid in rest), process, what)
        return f"kill -9 of {victim} alone"


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("seed", range(4))
def test_resumes_are_exact_however_often_a_run_is_killed(seed, straight, tmp_path, tried):
    draw = random.Random(seed)
    for moment in (("save", "random"), ("epoch", "save"), ("random", "random"), ("save", "save"))[
        seed
    ]:
        fault = kill_at(tmp_path, moment, draw)
        if fault:
            tried(fault)
    assert runs.fingerprint(finish(tmp_path)) == straight
    left = [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()]
    assert sorted(left) == ["epoch-0002.ckpt", "epoch-0003.ckpt"]


@pytest.mark.parametrize(("seed", "victim"), [(0, "all"), (1, "rank 0"), (2, "rank 1")])
def test_resumes_are_exact_on_two_processes(seed, victim, straight_of_two, tmp_path, tried):
    draw = random.Random(seed)
    moment = "save" if victim == "all" else "epoch"
    fault = kill_at(tmp_path, moment, draw, *runs.TWO, victim=victim)
    assert fault
    assert runs.fingerprint(finish(tmp_path, *runs.TWO)) == straight_of_two
    tried(f"{fault}, two processes")


def test_sigterm_to_workers_too_is_sigterm_and_no_fault(straight, tmp_path, tried):
    """As schedulers send it: a dead worker is noticed before the step at hand ends."""
    with runs.started(tmp_path, "loader.workers=2") as process:
        # The first epoch's checkpoint is written after its line.
        assert runs.until(process, lambda line: line.startswith("epoch 2/"))
        os.killpg(process.pid, signal.SIGTERM)
        printed = process.stdout.read()
        assert ended(process) == 143
    assert "ended by SIGTERM. The newest good checkpoint is" in printed
    assert "Traceback" not in printed
    assert runs.fingerprint(finish(tmp_path, "loader.workers=2")) == straight
    tried("SIGTERM to all processes of a run")


@pytest.mark.parametrize("moment", ["save", "epoch"])
def test_adios_resumes_exactly(moment, straight_adios, tmp_path, tried):
    fault = kill_at(tmp_path, moment, random.Random(3), *ADIOS)
    assert fault
    assert runs.fingerprint(finish(tmp_path, *ADIOS)) == straight_adios
    tried(f"{fault}, ADIOS")


def test_a_kill_after_the_last_checkpoint_and_in_the_evaluation(straight, tmp_path, tried):
    """The record is not written yet, then written without its evaluations."""
    with runs.started(tmp_path, "evaluation.linear.epochs=3") as process:
        while process.poll() is None and not list(tmp_path.rglob("epoch-0003.ckpt")):
            time.sleep(0.0005)
        runs.kill_session(process)
    tried("kill -9 after the last checkpoint")
    folder = finish(tmp_path)
    assert runs.fingerprint(folder) == straight
    short = ("evaluation.linear.epochs=3", "evaluation.knn.k=5")
    straight_folder = shutil.copytree(folder, tmp_path / "copy")
    whole = runs.salmask("evaluate", str(straight_folder), *short)
    assert whole.returncode == 0, whole.stderr
    expected = read_record(straight_folder).evaluations
    process = runs.popen("evaluate", str(folder), *short)
    assert runs.until(process, lambda line: line.startswith("knn"))
    runs.kill_session(process)
    tried("kill -9 in the evaluation")
    assert read_record(folder).evaluations["knn"].metrics == expected["knn"].metrics
    again = runs.salmask("evaluate", str(folder), *short)
    assert again.returncode == 0, again.stderr
    for name, found in read_record(folder).evaluations.items():
        assert (found.metrics, found.curves) == (expected[name].metrics, expected[name].curves)
