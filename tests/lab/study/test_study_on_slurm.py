"""Rows as jobs of a stand-in for SLURM: what sbatch is given, what is submitted, what goes on."""

import json
import os
import re
import signal
import time
from pathlib import Path

import pytest
import torch
from fake_slurm import install

from salmask_plugin.cli.main import main
from salmask_plugin.encoders.checkpoint_files import newest_checkpoint
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.runs.folder_lock import alone_in
from salmask_plugin.lab.settings.compose import compose_settings
from salmask_plugin.lab.settings.groups import Slurm
from salmask_plugin.lab.study import on_slurm
from salmask_plugin.lab.study.on_slurm import Launched, check_launcher, run_on_slurm
from salmask_plugin.lab.study.side_by_side import Job
from salmask_plugin.lab.study.slurm_job import RowJob, goes_on_after_a_kill
from salmask_plugin.lab.study.slurm_queue import check_slurm, in_queue

pytest.importorskip("submitit", reason="needs the extra slurm")
ASKED = Slurm(
    partition="gpu,long",
    account="lab-1",
    minutes=90,
    gpus=2,
    cpus=6,
    memory_gb=24,
    at_once=3,
    extra={"constraint": "a100&nvlink", "exclusive": True, "hold": False, "nice": 100},
)
WORK = """
import os, sys, time, pathlib
from salmask_plugin.lab.study.side_by_side import end_with_parent
end_with_parent()
folder = pathlib.Path(sys.argv[1])
with (folder / "starts").open("a") as starts:
    starts.write("x")
print("here is", folder.name, os.environ.get("SLURM_PROCID", "without a rank"), flush=True)
if folder.name == "bad":
    sys.exit(3)
(folder / "new").write_text(str(os.getpid()))
(folder / "new").replace(folder / "pid")
until = time.monotonic() + 300
while folder.name == "slow" and not (folder / "let").exists():
    assert time.monotonic() < until
    time.sleep(0.02)
(folder / "done").touch()
"""
STAND_IN = """
import sys
if "submitit.core._submit" in " ".join(sys.orig_argv):
    from salmask_plugin.lab.study import side_by_side
    side_by_side.COMMAND = [sys.executable, {work!r}]
"""


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    monkeypatch.setattr(on_slurm, "PAUSE", 0.1)
    return install(tmp_path, monkeypatch)


@pytest.fixture
def jobs(tmp_path, monkeypatch):
    """Make jobs whose command is a small script, in the processes that SLURM starts too."""
    work = tmp_path / "work.py"
    work.write_text(WORK)
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(STAND_IN.format(work=str(work)))
    path = [str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))

    def make(*names):
        folders = [tmp_path / "study" / name for name in names]
        return [
            Job(name, [[str(folder)]], folder) for name, folder in zip(names, folders, strict=True)
        ]

    return make


def run(jobs, tmp_path, *, wait=True, wanted=ASKED):
    return run_on_slurm(
        jobs,
        wanted,
        tmp_path / "study",
        wait=wait,
        finished=lambda job: (job.folder / "done").exists(),
        settle=lambda job, going: None,
    )


def wait_for(condition):
    until = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def flags(script):
    return {line.removeprefix("#SBATCH ") for line in script.splitlines() if "#SBATCH" in line}


def test_what_sbatch_is_given_is_what_was_asked_for(slurm, jobs, tmp_path, capsys):
    slurm.say("hold")
    launched = run(jobs("a", "b"), tmp_path, wait=False)
    assert launched == Launched([], ["a", "b"])
    (script,) = slurm.scripts()
    folder = tmp_path / "study" / "jobs"
    assert flags(script) == {
        "--partition=gpu,long",
        "--account=lab-1",
        "--time=90",
        "--nodes=1",
        "--ntasks-per-node=1",
        "--gpus-per-node=2",
        "--cpus-per-task=6",
        "--mem=24GB",
        "--array=0-1%2",
        "--requeue",
        "--signal=USR2@90",
        "--open-mode=append",
        "--job-name=study",
        f"--output={folder}/%A_%a_0_log.out",
        "--constraint='a100&nvlink'",
        "--exclusive",
        "--nice=100",
    }
    assert "srun --unbuffered" in script
    assert "--cpus-per-task=6" in script.partition("# command")[2]
    for index, name in enumerate("ab"):
        kept = json.loads((tmp_path / "study" / name / "job.json").read_text())
        assert kept == {"job": f"1_{index}"}
    said = capsys.readouterr().out
    assert re.search(r"1_1 +submitted +b: .*/study/b/job\.log", said)


def test_nothing_that_was_not_asked_for_is_said_to_sbatch(slurm, jobs, tmp_path):
    slurm.say("hold")
    run(jobs("a"), tmp_path, wait=False, wanted=Slurm(gpus=0))
    given = {text.partition("=")[0] for text in flags(slurm.scripts()[0])}
    assert not given & {"--partition", "--account", "--qos", "--mem", "--gpus-per-node", "--wckey"}


def test_jobs_run_fail_and_say_it_in_the_run_s_folder(slurm, jobs, tmp_path, capfd):
    made = jobs("a", "bad", "c")
    assert run(made, tmp_path) == Launched(["bad"], [])
    for name in ("a", "c"):
        log = (tmp_path / "study" / name / "job.log").read_text()
        # One process without a rank, however many tasks the job has.
        assert f"here is {name} without a rank" in log
    log = (tmp_path / "study" / "bad" / "job.log").read_text()
    assert "bad failed with exit code 3" in log
    said = capfd.readouterr()
    assert f"bad has ended without a result; see {tmp_path}/study/bad/job.log" in said.err
    assert "here is" not in said.out
    # A second call submits the one that is left.
    (left,) = jobs("bad")
    assert run([left], tmp_path) == Launched(["bad"], [])
    assert (left.folder / "starts").read_text() == "xx"
    assert [len(flags(script) & {"--array=0-2%3"}) for script in slurm.scripts()] == [1, 0]


def test_what_waits_or_runs_is_not_submitted_twice(slurm, jobs, tmp_path, capsys):
    slurm.say("hold")
    run(jobs("a"), tmp_path, wait=False)
    slurm.say("hold", on=False)
    with alone_in(tmp_path / "study" / "b"):  # as another command does that runs it here
        launched = run(jobs("a", "b", "c"), tmp_path, wait=False)
    assert launched.going == ["a", "b", "c"]
    assert len(slurm.scripts()) == 2
    assert not (tmp_path / "study" / "b" / "job.json").exists()
    assert json.loads((tmp_path / "study" / "c" / "job.json").read_text()) == {"job": "2"}
    assert re.search(r" 1 +is there +a", capsys.readouterr().out)
    wait_for(lambda: in_queue() == {"1"})


def test_a_job_whose_time_is_up_is_put_back_and_goes_on(slurm, jobs, tmp_path):
    """SIGUSR2 comes to all processes of a job, as SLURM gives it; only the outer one answers."""
    (job,) = jobs("slow")
    run([job], tmp_path, wait=False)
    wait_for(lambda: (job.folder / "pid").exists())
    child = int((job.folder / "pid").read_text())
    os.kill(child, signal.SIGUSR2)
    time.sleep(0.2)
    os.kill(child, 0)  # it is still there
    os.kill(int((slurm.home / "1.pid").read_text()), signal.SIGUSR2)
    wait_for(lambda: (job.folder / "starts").read_text() == "xx")
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
    assert in_queue() == {"1"}
    (job.folder / "let").touch()
    assert run([job], tmp_path) == Launched([], [])
    assert len(slurm.scripts()) == 1
    assert (slurm.home / "1.starts").read_text() == "xx"
    log = (job.folder / "job.log").read_text()
    assert log.count("=== ") >= 2
    assert log.count("here is slow") == 2


def test_a_job_that_ended_since_the_study_was_planned_is_not_submitted(slurm, jobs, tmp_path):
    done, left = jobs("done", "left")
    done.folder.mkdir(parents=True)
    (done.folder / "done").touch()
    slurm.say("hold")
    assert run([done, left], tmp_path, wait=False) == Launched([], ["left"])
    assert not (done.folder / "job.json").exists()


def test_a_job_that_is_killed_ends_its_run_and_is_submitted_again(slurm, jobs, tmp_path):
    (job,) = jobs("slow")
    run([job], tmp_path, wait=False)
    wait_for(lambda: (job.folder / "pid").exists())
    child = int((job.folder / "pid").read_text())
    os.kill(int((slurm.home / "1.pid").read_text()), signal.SIGKILL)
    wait_for(lambda: in_queue() == set() and not alive(child))
    (job.folder / "let").touch()
    assert run([job], tmp_path) == Launched([], [])
    assert len(slurm.scripts()) == 2
    assert json.loads((job.folder / "job.json").read_text()) == {"job": "2"}


def test_a_run_that_the_system_kills_goes_on_while_it_gets_further(tmp_path):
    again = goes_on_after_a_kill(tmp_path)
    job = Job("a", [], tmp_path)
    assert not again(job, -9)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "epoch-0000.ckpt").touch()
    assert again(job, -9)
    assert not again(job, -9)
    (tmp_path / "checkpoints" / "epoch-0001.ckpt").touch()
    assert not again(job, 2)  # a failure of its own would come again


def test_submitit_s_own_executor_puts_a_run_back_by_the_same_hook(jobs, tmp_path):
    """The local executor of submitit: interrupted as at a time limit, started again, finished."""
    import submitit

    (job,) = jobs("slow")
    executor = submitit.LocalExecutor(tmp_path / "local")
    executor.update_parameters(timeout_min=5)
    started = executor.submit(RowJob(job))
    wait_for(lambda: (job.folder / "pid").exists())
    first = (job.folder / "pid").read_text()
    pid = next(iter(children_of(int(started.job_id))))
    os.kill(pid, signal.SIGUSR2)
    wait_for(lambda: (job.folder / "pid").read_text() not in ("", first))
    (job.folder / "let").touch()
    assert started.result() is None
    assert (job.folder / "done").exists()
    assert (job.folder / "starts").read_text() == "xx"


def alive(pid):
    """A process that nobody waits for stays as a zombie where there is no init."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def children_of(pid):
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(place.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == pid:
            yield int(place.parent.name)


def test_sbatch_s_refusal_and_a_silent_queue_are_said(slurm, jobs, tmp_path):
    slurm.say("refuse")
    with pytest.raises(UserError, match=r"sbatch refuses the jobs: .*Invalid account"):
        run(jobs("a"), tmp_path)
    slurm.say("refuse", on=False)
    slurm.say("silent")
    with pytest.raises(UserError, match="nothing was submitted"):
        run(jobs("a"), tmp_path)
    assert slurm.scripts() == []


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"minutes": 0}, "compare.slurm.minutes=0 must be at least 1"),
        ({"gpus": -1}, "compare.slurm.gpus=-1 must be at least 0"),
        ({"memory_gb": 0}, "compare.slurm.memory_gb=0 must be at least 1"),
        ({"partition": "a\ntouch b"}, "compare.slurm.partition='a\\ntouch b' must be one word"),
        ({"extra": {"comment": "a\nb"}}, "compare.slurm.extra.comment="),
        ({"extra": {"a\nb": 1}}, "options are named as in --constraint"),
        ({"extra": {"time": 3}}, "compare.slurm.extra.time=3: it is compare.slurm.minutes"),
        ({"extra": {"output": "x"}}, "every job has its own"),
        ({"extra": {"ntasks": 4}}, "compare.slurm.extra.ntasks=4: every job has its own"),
    ],
)
def test_a_request_out_of_range_is_named(slurm, tmp_path, changed, words):
    with pytest.raises(UserError) as caught:
        check_slurm(Slurm(**changed), tmp_path)
    assert words in str(caught.value)


def test_a_machine_without_slurm_and_a_folder_that_it_would_misread_are_said(
    slurm, tmp_path, monkeypatch
):
    with pytest.raises(UserError, match="a % in the names of its logs"):
        check_slurm(Slurm(), tmp_path / "100%j")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="needs sbatch, srun, squeue on the PATH"):
        check_slurm(Slurm(), tmp_path)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["compare.wait=false"], "compare.wait=false needs compare.launcher=slurm"),
        (["compare.slurm.gpus=2"], "compare.slurm needs compare.launcher=slurm"),
        (["compare.parallel=0"], "compare.parallel=0 must be a whole number, at least 1"),
        (["compare.launcher=slurm", "compare.parallel=2"], "belongs to compare.launcher=here"),
        (["compare.launcher=slurm", "devices=2"], "trainer.devices=2 needs more than"),
        (["compare.launcher=slurm", "trainer.num_nodes=2"], "each job has one node"),
        (["compare.launcher=cluster"], "must be one of here, slurm"),
        (["compare.slurm.partitions=x"], "'compare.slurm.partitions' is no setting"),
        (["compare.slurm.gpus=all"], "compare.slurm.gpus='all' must be an integer"),
        (["compare.slurm.extra={nice: [1]}"], "must be"),
    ],
)
def test_settings_of_the_launcher_are_held_to_what_they_can_do(overrides, words):
    def checked():
        settings = compose_settings(["data=generated", *overrides])
        check_launcher(settings.compare, {"none": settings.trainer})

    with pytest.raises(UserError) as caught:
        checked()
    assert words in str(caught.value)


def test_several_gpus_of_a_job_and_several_processes_on_its_cores():
    for overrides in (["compare.slurm.gpus=4"], ["trainer.accelerator=cpu"]):
        settings = compose_settings(
            ["data=generated", "devices=4", "compare.launcher=slurm", *overrides]
        )
        check_launcher(settings.compare, {"none": settings.trainer})
    assert settings.compare.slurm == Slurm()


def test_a_machine_without_the_nodes_devices_submits_for_them(slurm, tmp_path, capsys):
    """Where there is no GPU, as at the door of a cluster, rows that need one are submitted."""
    slurm.say("hold")
    study = ["compare", "data=generated", f"out={tmp_path}", "compare.only=[none,mean]"]
    study += ["compare.seeds=[0,1]", "trainer.accelerator=gpu", "compare.launcher=slurm"]
    assert main([*study, "compare.wait=false"]) == 0
    said = capsys.readouterr().out
    assert "4 of 4 runs are in the queue or run" in said
    assert "Report" not in said
    assert len(list(tmp_path.rglob("job.json"))) == 4
    assert main([*study, "compare.wait=false"]) == 0
    assert capsys.readouterr().out.count("is there") == 4
    assert main([*study, "epochs=3", "compare.wait=false"]) == 2
    said = capsys.readouterr()
    assert "is there" not in said.out
    assert "holds a run with other settings (trainer.max_epochs: 200 there, 3 here)" in said.err
    assert len(slurm.scripts()) == 1


def test_a_run_that_another_command_trains_with_other_settings_is_refused(slurm, tmp_path, capsys):
    """It has begun, though it has no checkpoint yet."""
    slurm.say("hold")
    study = ["compare", "data=generated", f"out={tmp_path}", "compare.only=[none]"]
    study += ["trainer.accelerator=cpu", "compare.launcher=slurm", "compare.wait=false"]
    assert main([*study, "compare.seeds=[0]"]) == 0
    (folder,) = (path.parent for path in tmp_path.rglob("job.json"))
    (folder / "job.json").unlink()
    with alone_in(folder):
        assert main([*study, "compare.seeds=[0]", "batch_size=64"]) == 2
        assert "loader.batch_size: 128 there, 64 here" in capsys.readouterr().err
        assert main([*study, "compare.seeds=[0]"]) == 0
        assert "is there" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("seed=5", r"from compare.seeds=[5]"),
        ("recipe=mine", "from the names of compare.rows"),
        ("compare.rows.none=[masking=none,seed=3]", "row none: seed=3 cannot be a row's"),
        ("compare.rows.none=[masking=none,out=elsewhere]", "row none: out=elsewhere cannot"),
    ],
)
def test_what_no_run_would_have_is_refused(tmp_path, capsys, typed, words):
    assert main(["compare", "data=generated", f"out={tmp_path}", "compare.only=[none]", typed]) == 2
    assert words in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.iterdir())


def test_rows_side_by_side_have_one_gpu_each(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    settings = compose_settings(["data=generated", "devices=2", "compare.parallel=2"])
    with pytest.raises(UserError, match="gives each row one"):
        check_launcher(settings.compare, {"none": settings.trainer})
    alone = compose_settings(["data=generated", "devices=2"])
    check_launcher(alone.compare, {"none": alone.trainer})


@pytest.mark.slow
def test_a_comparison_on_slurm_survives_a_time_limit_and_equals_the_unbroken_run(
    slurm, tmp_path, capsys
):
    """The real command in real jobs: submitted, put back in training, collected, reported."""
    shared = ["experiment=plumbing", "data.train_images=64", "data.val_images=32", "view_size=32"]
    shared += ["epochs=6", "batch_size=16", "workers=0", "trainer.accelerator=cpu"]
    shared += ["evaluation.tasks=[knn]", "masking=none"]
    study = ["compare", *shared, f"out={tmp_path}", "compare.launcher=slurm", "compare.only=[none]"]
    assert main([*study, "compare.wait=false"]) == 0
    assert "1 of 1 runs are in the queue or run" in capsys.readouterr().out
    (folder,) = [path.parent for path in tmp_path.rglob("job.json")]
    wait_for(lambda: list(folder.glob("checkpoints/*.ckpt")))
    os.kill(int((slurm.home / "1.pid").read_text()), signal.SIGUSR2)
    assert main(study) == 0
    said = capsys.readouterr().out
    assert "is there" in said
    assert "Report: " in said
    assert len(slurm.scripts()) == 1
    assert "Resuming from" in (folder / "job.log").read_text()
    assert main(["pretrain", *shared, f"out={tmp_path}", "name=whole"]) == 0
    weights = [
        torch.load(newest_checkpoint(place / "checkpoints"), weights_only=True)["state_dict"]
        for place in (folder, tmp_path / "whole")
    ]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
