"""Two commands never write into one run's folder."""

import errno
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock

from salmask_plugin.cli.main import main
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.probes import evaluate as evaluation
from salmask_plugin.lab.runs import folder_lock
from salmask_plugin.lab.runs.folder_lock import LOCK_NAME, alone_in
from salmask_plugin.lab.runs.writable import check_writable

HOLDS = """
import sys, time
from pathlib import Path
from salmask_plugin.lab.runs.folder_lock import alone_in
with alone_in(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(folder_lock, "PATIENCE", 0.2)


def test_a_second_command_is_refused_and_writes_nothing(tmp_path, impatient, capsys):
    folder = tmp_path / "run"
    with alone_in(folder):
        code = main(["pretrain", "experiment=plumbing", f"out={tmp_path}", "name=run"])
    assert code == 2
    assert f"{folder} is in use by another command" in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == [LOCK_NAME]


def test_a_folder_is_free_again_after_an_error(tmp_path, impatient):
    with pytest.raises(ZeroDivisionError), alone_in(tmp_path):
        raise ZeroDivisionError
    with alone_in(tmp_path), pytest.raises(UserError, match="in use"), alone_in(tmp_path):
        pass


def test_a_lock_that_is_given_up_while_waiting_is_taken(tmp_path, monkeypatch, capsys):
    other = FileLock(tmp_path / LOCK_NAME)
    other.acquire()
    acquire = FileLock.acquire

    def released_after_the_first_try(self, timeout):
        if timeout:
            other.release()
        return acquire(self, timeout=timeout)

    monkeypatch.setattr(FileLock, "acquire", released_after_the_first_try)
    with alone_in(tmp_path):
        assert "waiting 20 s for the other command" in capsys.readouterr().out


def test_a_killed_command_holds_nothing(tmp_path, impatient):
    command = [sys.executable, "-c", HOLDS, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(UserError, match="in use"), alone_in(tmp_path):
            pass
        process.kill()
        process.wait()
    started = time.monotonic()
    with alone_in(tmp_path):
        assert time.monotonic() - started < 5


def test_a_file_system_without_locks_is_said_and_no_obstacle(tmp_path, monkeypatch, capsys):
    def refused(self, timeout):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(FileLock, "acquire", refused)
    with alone_in(tmp_path):
        assert "cannot be locked against other commands: [Errno" in capsys.readouterr().out


@pytest.fixture
def read_only(monkeypatch):
    """No file can be made anywhere, whoever tries; root may write where modes forbid it."""
    opened = Path.open

    def refused(self, mode="r", *rest, **named):
        if "x" in mode:
            raise OSError(errno.EROFS, "Read-only file system", str(self))
        return opened(self, mode, *rest, **named)

    monkeypatch.setattr(Path, "open", refused)


@pytest.mark.parametrize("place", [".", "not/there"])
def test_a_folder_that_cannot_be_written_is_said_before_the_work(place, tmp_path, read_only):
    """The lock alone was missed; the results of hours were then lost when they were written."""
    words = r"cannot be written, and results go there: .*Read-only"
    with pytest.raises(UserError, match=words), alone_in(tmp_path / place):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


def test_evaluations_look_first_whether_results_can_be_written(tmp_path, read_only, monkeypatch):
    monkeypatch.setattr(evaluation, "read_settings", lambda folder, trust: None)
    monkeypatch.setattr(evaluation, "apply_overrides", lambda *given, trust: None)
    for check in ("check_run", "_refuse_idle"):
        monkeypatch.setattr(evaluation, check, lambda *given: None)
    monkeypatch.setattr(evaluation, "evaluate", None)
    with pytest.raises(UserError, match="cannot be written, and results go there"):
        evaluation.evaluate_run(tmp_path)


def test_asking_leaves_nothing_behind(tmp_path):
    check_writable(tmp_path)
    check_writable(tmp_path / "not" / "there")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file/below cannot be written"):
        check_writable(tmp_path / "file" / "below")


def test_other_processes_of_the_same_command_do_not_wait_for_the_first(tmp_path, monkeypatch):
    with alone_in(tmp_path):
        monkeypatch.setattr(folder_lock.rank_zero_only, "rank", 1)
        with alone_in(tmp_path):
            pass


def test_a_folder_to_include_is_looked_for_before_anything_runs(tmp_path, capsys):
    place = tmp_path / "nowhere"
    given = ["experiment=plumbing", "localizer=uniform", f"out={tmp_path}"]
    assert main(["compare", *given, f"compare.include=[{place}]"]) == 2
    assert f"compare.include: {place} is not a folder." in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
def test_a_lock_that_is_a_link_empties_nothing(link, tmp_path):
    """The library truncates what it opens: through symbolic links up to 3.20, hard ones longer."""
    victim, run = tmp_path / "victim", tmp_path / "run"
    victim.write_text("mine")
    run.mkdir()
    getattr(run / LOCK_NAME, link)(victim)
    with pytest.raises(UserError, match="no lock of ours"), alone_in(run):
        pass
    assert victim.read_text() == "mine"


def test_the_library_itself_does_not_follow_a_link(tmp_path):
    """Between the look and the lock the file may be exchanged: the floor in pyproject.toml."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / LOCK_NAME).symlink_to(victim)
    with pytest.raises(OSError, match="symbolic"):
        FileLock(tmp_path / LOCK_NAME, fallback_to_soft=False).acquire(timeout=0)
    assert victim.read_text() == "mine"


@pytest.mark.parametrize("left", [f"999999999\n{socket.gethostname()}\n", "1\nanother-host\n", ""])
@pytest.mark.parametrize("native", [True, False])
def test_a_lock_that_was_left_behind_holds_nothing(left, native, tmp_path, monkeypatch, impatient):
    """With and without locks of the system: nothing is taken for held by its presence alone."""
    fcntl = pytest.importorskip("fcntl")

    def missing(*arguments):
        raise OSError(errno.ENOSYS, "Function not implemented")

    (tmp_path / LOCK_NAME).write_text(left)
    if not native:
        monkeypatch.setattr(fcntl, "flock", missing)
    for _ in range(2):
        with alone_in(tmp_path):
            pass
