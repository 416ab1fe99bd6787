"""The limits that other tests put on processes: what hangs is told from what waits its turn."""

import os
import subprocess
import sys
import time

import pytest
from oracles.working import Work, run

PYTHON = [sys.executable, "-S", "-c"]
LOOP = "while True: pass"
CHILD = f"import subprocess, sys; subprocess.run([sys.executable, '-S', '-c', {LOOP!r}])"


def checked_for_ever(work):
    while True:
        time.sleep(0.02)
        work.check()


@pytest.mark.parametrize(
    ("code", "words"),
    [("input()", "have done nothing"), (LOOP, "do not end"), (CHILD, "do not end")],
)
def test_what_hangs_is_an_error(code, words):
    with subprocess.Popen(
        [*PYTHON, code], start_new_session=True, stdin=subprocess.PIPE
    ) as process:
        work = Work(process.pid, idle=0.3 if code == "input()" else 60, least=1.0, most=0.2)
        try:
            with pytest.raises(AssertionError, match=words):
                checked_for_ever(work)
        finally:
            os.killpg(process.pid, 9)


def test_a_process_that_ends_is_told_as_it_was():
    done = run([*PYTHON, "import sys; print(5); sys.exit(3)"])
    assert (done.returncode, done.stdout, done.stderr) == (3, "5\n", "")
