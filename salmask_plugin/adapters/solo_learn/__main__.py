"""Run one of solo-learn's scripts that is no Hydra program, with our methods registered.

``python -m salmask_plugin.adapters.solo_learn main_knn.py --pretrained_checkpoint_dir ...``
"""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

import torch

USAGE = (
    "usage: python -m salmask_plugin.adapters.solo_learn SCRIPT [its arguments]\n"
    "SCRIPT is main_knn.py or main_umap.py of a solo-learn clone: a path, or a name looked up in "
    "the working directory and then in $SOLO_LEARN_HOME."
)


def main(arguments: list[str]) -> None:
    """Register, then run the script as ``__main__`` with the remaining arguments."""
    if not arguments or arguments[0] in ("-h", "--help"):
        raise SystemExit(USAGE)
    script = find_script(arguments[0])
    if script.name == "main_umap.py" and not torch.cuda.is_available():
        raise SystemExit("salmask: main_umap.py asks for cuda:0, and there is no CUDA device.")
    sys.argv = [str(script), *arguments[1:]]
    sys.path.insert(0, str(script.parent))
    from salmask_plugin.adapters.solo_learn import register

    register()
    if not torch.cuda.is_available():
        stay_on_cpu()
    runpy.run_path(str(script), run_name="__main__")


def find_script(name: str) -> Path:
    """Return the script's path.

    Raises:
        SystemExit: if it is neither there nor in ``$SOLO_LEARN_HOME``.
    """
    home = os.environ.get("SOLO_LEARN_HOME")
    candidates = [Path(name), *([Path(home) / name] if home else [])]
    for path in candidates:
        if path.is_file():
            return path.resolve()
    raise SystemExit(f"{name} is not found at {', '.join(map(str, candidates))}.\n{USAGE}")


def stay_on_cpu() -> None:
    """Make ``tensor.cuda()`` a no-op: solo-learn's k-NN calls it whether or not there is a GPU."""
    print("salmask: no CUDA device, the script runs on the CPU.")
    torch.Tensor.cuda = lambda self, *args, **kwargs: self  # type: ignore[method-assign]


if __name__ == "__main__":
    main(sys.argv[1:])
