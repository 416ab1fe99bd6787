"""One process of several fails: the others end too, its error is shown, and nothing is left."""

from __future__ import annotations

import pytest
import torture_runs as runs
from oracles.working import wait_until

pytestmark = pytest.mark.torture

FAILING = """
import os
from salmask_plugin.data import TwoViewDataset, UnreadableImageError
item = TwoViewDataset.__getitem__
def bad(self, pair):
    if pair[0] == 1 and os.environ.get("LOCAL_RANK", "0") == "{rank}":
        raise UnreadableImageError("Cannot read the image 'class/picture.png': broken.")
    return item(self, pair)
TwoViewDataset.__getitem__ = bad
"""


@pytest.mark.parametrize("rank", [0, 1])
def test_the_error_of_one_process_ends_all(rank, tmp_path, tried):
    script = runs.faulty(tmp_path, FAILING.format(rank=rank))
    line = [runs.sys.executable, str(script), "pretrain", *runs.TINY, f"out={tmp_path}", "name=run"]
    process = runs.popen(line=[*line, *runs.TWO])
    said = []
    try:
        runs.until(process, lambda line: said.append(line) or "picture.png" in line)
        assert "Cannot read the image 'class/picture.png': broken." in said[-1]
        what = "the processes left after the error of one"
        wait_until(lambda: not runs.processes_left(process.pid), process, what)
    finally:
        runs.kill_session(process)
    assert process.returncode != 0
    kept = [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()]
    assert kept == ["epoch-0000.ckpt"]
    tried("error in one of two processes")
