"""Where a run took place: versions, commit, machine. No host name, no path."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from salmask_plugin.lab.results.codec import Text, Whole

_PACKAGES = ("salmask-plugin", "torch", "torchvision", "lightly", "solo-learn", "timm", "kornia")


@dataclass(frozen=True)
class Environment:
    """What the run's numbers, and above all its times, depend on outside the configuration.

    Args:
        versions: package -> version, with "python"; only what is installed.
        commit: of this package's working tree, with "+modified" where it had changes, or None
            where the package does not run from a repository.
        cpu: model name of the processor.
        cores: processor cores the run could use.
        gpus: names of the accelerators the run used; empty on CPU.
    """

    versions: Mapping[str, Text] = field(default_factory=dict)
    commit: Text | None = None
    cpu: Text = "unknown"
    cores: Whole = 1
    gpus: tuple[Text, ...] = ()

    @property
    def device(self) -> str:
        """The machine in a few words, such as "2 x NVIDIA H100" or "AMD EPYC 7B13, 2 cores"."""
        if self.gpus:
            names = sorted(set(self.gpus))
            return ", ".join(f"{self.gpus.count(name)} x {name}" for name in names)
        return f"{self.cpu}, {self.cores} core{'s' if self.cores != 1 else ''}"


def environment(gpus: tuple[str, ...] = ()) -> Environment:
    """Collect the environment of this process.

    Args:
        gpus: names of the accelerators in use, as ``torch.cuda.get_device_name`` gives them.
    """
    return Environment(_versions(), _commit(), _cpu_name(), usable_cores(), tuple(gpus))


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _commit() -> str | None:
    # A virtual environment may lie inside somebody else's repository: only a tree that tracks this
    # very file is ours.
    if _git("ls-files", "--error-unmatch", Path(__file__).name) is None:
        return None
    commit = _git("rev-parse", "HEAD")
    changes = _git("status", "--porcelain", "--untracked-files=no")
    return f"{commit}+modified" if commit and changes else commit


def _git(*arguments: str) -> str | None:
    """Output of a git command beside this file, or None where git is absent or refuses."""
    try:
        answer = subprocess.run(
            ["git", *arguments],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


def _cpu_name() -> str:
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine() or "unknown"


def usable_cores() -> int:
    """Return how many cores this process may use, which a scheduler may have made fewer."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
