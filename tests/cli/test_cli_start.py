"""What happens before a command has begun: nothing heavy is imported, Ctrl-C is one line."""

import importlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import salmask_plugin

INTERRUPTED = """
import sys

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupt())
from salmask_plugin.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("arguments", [["doctor"], ["explain", "experiment=plumbing"]])
def test_ctrl_c_while_torch_is_imported_is_one_line(arguments):
    line = [sys.executable, "-c", INTERRUPTED, *arguments]
    process = subprocess.run(line, capture_output=True, text=True)
    said = process.stderr.strip()
    assert (process.returncode, said.count("\n")) == (130, 0), said
    assert said == "salmask: interrupted; what was finished is kept."


def test_what_is_imported_at_first_use_is_what_was_there_before():
    for name in salmask_plugin.__all__:
        assert name in dir(salmask_plugin)
        assert getattr(salmask_plugin, name).__module__.startswith("salmask_plugin.")
    masks = importlib.import_module("salmask_plugin.masks")
    assert salmask_plugin.masks is masks
    assert salmask_plugin.GridMask is masks.GridMask
    with pytest.raises(AttributeError, match="no attribute 'GirdMask'"):
        _ = salmask_plugin.GirdMask


WITHOUT = """
import sys

for name in ("lightly", "pytorch_lightning", "lightning", "solo", "timm", "hydra"):
    sys.modules[name] = None
from salmask_plugin.cli.main import main
sys.exit(main(["report", sys.argv[1]]))
"""


@pytest.mark.slow
def test_a_report_is_made_where_no_host_is_installed(tmp_path):
    """What solo-learn's environment and a laptop of readers have: nothing but the report's own."""
    records = Path(__file__).parents[2] / "docs" / "results" / "6_demo" / "records"
    for record in ("none-seed0", "mean-seed0"):
        (tmp_path / record).mkdir()
        shutil.copy(records / f"{record}.json", tmp_path / record / "record.json")
    line = [sys.executable, "-c", WITHOUT, str(tmp_path)]
    process = subprocess.run(line, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert "mean" in process.stdout
    assert (tmp_path / "report" / "report.html").is_file()
