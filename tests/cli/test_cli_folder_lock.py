"""Two commands never write into one run's folder."""

import errno
import subprocess
import sys
import time

import pytest
from filelock import FileLock

from salmask_plugin.cli import folder_lock
from salmask_plugin.cli.errors import UserError
from salmask_plugin.cli.folder_lock import LOCK_NAME, alone_in
from salmask_plugin.cli.main import main

HOLDS = """
import sys, time
from pathlib import Path
from salmask_plugin.cli.folder_lock import alone_in
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
        code = main(["pretrain", "experiment=demo", f"out={tmp_path}", "name=run"])
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


def test_other_processes_of_the_same_command_do_not_wait_for_the_first(tmp_path, monkeypatch):
    with alone_in(tmp_path):
        monkeypatch.setattr(folder_lock.rank_zero_only, "rank", 1)
        with alone_in(tmp_path):
            pass


def test_a_folder_to_include_is_looked_for_before_anything_runs(tmp_path, capsys):
    place = tmp_path / "nowhere"
    given = ["experiment=demo", "localizer=uniform", f"out={tmp_path}"]
    assert main(["compare", *given, f"compare.include=[{place}]"]) == 2
    assert f"compare.include: {place} is not a folder." in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
