"""A SLURM of one machine: sbatch, srun, squeue and scontrol as scripts, jobs as processes.

sbatch keeps every script that it is given, and starts its tasks. A job that `scontrol requeue` puts
back is started again when it has ended.
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

SBATCH = r"""
import os, re, subprocess, sys
from pathlib import Path
home = Path(os.environ["FAKE_SLURM"])
script = Path(sys.argv[-1])
if (home / "refuse").exists():
    sys.exit("sbatch: error: Batch job submission failed: Invalid account")
number = 1 + len(list(home.glob("*.sh")))
text = script.read_text()
(home / f"{number}.sh").write_text(text)
array = re.search(r"--array=0-(\d+)", text)
names = [f"{number}_{index}" for index in range(int(array[1]) + 1)] if array else [str(number)]
for name in names:
    (home / f"{name}.queued").touch()
if not (home / "hold").exists():
    for name in names:
        subprocess.Popen([sys.executable, str(home / "runner.py"), name], start_new_session=True,
                         stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                         stderr=(home / f"{name}.err").open("ab"))
print("Submitted batch job", number)
"""
RUNNER = r"""
import os, subprocess, sys
from pathlib import Path
home, name = Path(os.environ["FAKE_SLURM"]), sys.argv[1]
number, _, index = name.partition("_")
own = {"SLURM_JOB_ID": number + index, "SLURM_JOB_NAME": "x", "SLURM_NTASKS": "1",
       "SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}
if index:
    own |= {"SLURM_ARRAY_JOB_ID": number, "SLURM_ARRAY_TASK_ID": index}
while True:
    (home / f"{name}.starts").open("a").write("x")
    subprocess.run(["bash", str(home / f"{number}.sh")], env={**os.environ, **own})
    back = home / f"{name}.requeue"
    if not back.exists():
        break
    back.unlink()
(home / f"{name}.queued").unlink()
"""
SRUN = r"""
import os, sys
from pathlib import Path
home = Path(os.environ["FAKE_SLURM"])
words = sys.argv[1:]
while words[0].startswith("--"):
    words = words[2 if words[0] in ("--output", "--error") else 1:]
number = os.environ["SLURM_JOB_ID"]
task = os.environ.get("SLURM_ARRAY_TASK_ID")
name = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{task}" if task is not None else number
(home / f"{name}.pid").write_text(str(os.getpid()))
os.execvp(words[0], words)
"""
SQUEUE = r"""
import os, sys
from pathlib import Path
home = Path(os.environ["FAKE_SLURM"])
if (home / "silent").exists():
    sys.exit("slurm_load_jobs error: Unable to contact slurm controller")
assert sys.argv[1:] == ["--me", "--array", "--noheader", "--format=%i"], sys.argv
for path in sorted(home.glob("*.queued")):
    print(path.stem)
"""
SCONTROL = r"""
import os, sys
from pathlib import Path
assert sys.argv[1] == "requeue"
(Path(os.environ["FAKE_SLURM"]) / f"{sys.argv[2]}.requeue").touch()
"""


class FakeSlurm:
    """What the stand-ins have been told.

    Attributes:
        home: their folder.
    """

    def __init__(self, home: Path) -> None:
        self.home = home

    def scripts(self) -> list[str]:
        """What sbatch was given."""
        return [path.read_text() for path in sorted(self.home.glob("*.sh"))]

    def say(self, name: str, *, on: bool = True) -> None:
        """Set or clear "hold" (nothing starts), "refuse" or "silent"."""
        (self.home / name).touch() if on else (self.home / name).unlink()


def install(folder: Path, monkeypatch) -> FakeSlurm:
    """Put the programs first on the PATH."""
    home, programs = folder / "slurm", folder / "bin"
    for place in (home, programs):
        place.mkdir()
    (home / "runner.py").write_text(RUNNER)
    for name, text in {
        "sbatch": SBATCH,
        "srun": SRUN,
        "squeue": SQUEUE,
        "scontrol": SCONTROL,
    }.items():
        path = programs / name
        path.write_text(f"#!{sys.executable}\n{text}")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("FAKE_SLURM", str(home))
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    return FakeSlurm(home)
