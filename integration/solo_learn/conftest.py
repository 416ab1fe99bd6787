"""The real solo-learn: found, or the tests skip and say why."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from solo_toy import build_method, make_batch, search_path

sys.path.append(str(Path(__file__).resolve().parents[2] / "tests"))
from oracles import working

NEEDS = ("lightning", "einops", "sklearn", "hydra", "timm", "torchmetrics", "wandb")
CLASSES = 6


@pytest.fixture(scope="session")
def solo_home() -> Path:
    """The clone with solo-learn's main scripts."""
    missing = [name for name in NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"solo-learn needs {', '.join(missing)}: pip install '.[solo]' in its clone")
    home = os.environ.get("SOLO_LEARN_HOME")
    if home is None:
        spec = importlib.util.find_spec("solo")
        if spec is None or spec.origin is None:
            pytest.skip("solo-learn is not importable and SOLO_LEARN_HOME is not set")
        home = str(Path(spec.origin).parents[1])
    if not (Path(home) / "main_pretrain.py").is_file():
        pytest.skip(f"{home} has no main_pretrain.py: a clone of solo-learn is needed")
    return Path(home)


@pytest.fixture(scope="session")
def solo(solo_home: Path) -> Path:
    """solo-learn importable in this process, with us registered."""
    sys.path.insert(0, str(solo_home))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # solo-learn's imports warn of its own age
        import solo.methods  # noqa: F401

        from salmask_plugin.adapters.solo_learn import register

        register()
        register()
    return solo_home


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train/ and val/ with 6 classes; a stripe of the class's colour on noise, 40 x 56 px."""
    root = tmp_path_factory.mktemp("stripes")
    rng = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 2)):
        for label in range(CLASSES):
            folder = root / split / f"class{label}"
            folder.mkdir(parents=True)
            for index in range(count):
                pixels = rng.integers(0, 255, (40, 56, 3)).astype(np.uint8)
                pixels[5 : 5 + 4 * (label + 1), 10:30] = (40 * label, 255 - 40 * label, 90)
                Image.fromarray(pixels).save(folder / f"{index}.png")
    return root


Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(solo_home: Path, tmp_path: Path) -> Run:
    """Run a script of the clone in an empty folder and return what it printed."""

    def launch(
        script: str,
        *arguments: str,
        module: tuple[str, ...] = (),
        fails: bool = False,
        env: dict[str, str] | None = None,
        cwd: Path = tmp_path,
    ) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "PYTHONPATH": search_path(solo_home),
            "PYTHONWARNINGS": "ignore",
            "OMP_NUM_THREADS": "1",
            "SOLO_LEARN_HOME": str(solo_home),
            "WANDB_MODE": "offline",
            "HYDRA_FULL_ERROR": "1",
            **(env or {}),
        }
        target = script if module else str(solo_home / script)
        done = working.run(
            [sys.executable, *module, target, *arguments],
            cwd=cwd,
            env=environment,
        )
        output = done.stdout + done.stderr
        assert (done.returncode != 0) == fails, output[-4000:]
        done.stdout = output
        return done

    return launch


@pytest.fixture
def own_yaml(solo_home: Path, images: Path) -> Callable[..., list[str]]:
    """Overrides that run one of solo-learn's own YAMLs on a few images and one CPU."""

    def arguments(config: str, **overrides: Any) -> list[str]:
        folder = solo_home / "scripts" / Path(config).parent
        values = {
            "data.dataset": "custom",
            "data.train_path": images / "train",
            "data.val_path": images / "val",
            "data.format": "image_folder",
            "data.num_workers": 0,
            "optimizer.batch_size": 8,
            "accelerator": "cpu",
            "devices": '"1"',
            "strategy": "auto",
            "precision": "32-true",
            "sync_batchnorm": False,
            "max_epochs": 1,
            "wandb.enabled": False,
            **overrides,
        }
        if config.startswith("pretrain"):
            values.setdefault("augmentations.0.crop_size", 32)
        if "moco" in config and config.startswith("pretrain"):
            values.setdefault("method_kwargs.queue_size", 32)
        listed = [f"{key}={value}" for key, value in values.items()]
        return ["--config-path", str(folder), "--config-name", Path(config).name, *listed]

    return arguments


@pytest.fixture
def build(solo: Path, images: Path) -> Callable[..., Any]:
    """Return make(method, salmask node or None, backbone) -> a method on a small ResNet-18."""
    return partial(build_method, solo, images)


@pytest.fixture
def batch() -> list[Any]:
    """One batch of two views."""
    return make_batch()
