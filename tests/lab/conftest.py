"""Fixtures of the lab: pictures in class folders, records by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from salmask_plugin.lab.results import DataSet, Environment, Evaluation, RunRecord, Timing


@pytest.fixture
def save_picture():
    """Write a picture whose red channel is ``value`` all over."""

    def save(path: Path, value: int, size: tuple[int, int] = (12, 9)) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.zeros((size[1], size[0], 3), np.uint8)
        pixels[..., 0] = value
        Image.fromarray(pixels).save(path)
        return path

    return save


@pytest.fixture
def make_classes(save_picture):
    """Make CLASS/NUMBER.png for every (class, how many); red counts up over all files."""

    def make(folder: Path, counts: dict[str, int], first: int = 0) -> Path:
        value = first
        for name, count in counts.items():
            for number in range(count):
                save_picture(folder / name / f"{number:03d}.png", value)
                value += 1
        return folder

    return make


@pytest.fixture
def reds():
    """The red values of a data set: which files it holds, in order."""
    return lambda images: [images[i][0].getpixel((0, 0))[0] for i in range(len(images))]


def _record(
    recipe: str = "mean", seed: int = 0, knn: float | None = 0.5, **changes: Any
) -> RunRecord:
    masked = recipe != "none"
    values: dict[str, Any] = {
        "name": f"{recipe}-seed{seed}",
        "host": "lightly",
        "method": "mocov2",
        "recipe": recipe,
        "seed": seed,
        "data": DataSet("cifar10", train_images=2500, val_images=1000, classes=10, view_size=32),
        "backbone": "resnet18",
        "epochs": 3,
        "batch_size": 64,
        "localizer": "scda" if masked else "none",
        "localizer_trained_on": "ImageNet-1k labels" if masked else "none",
        "branch": "query" if masked else None,
        "rho": 2.0 if masked else None,
        "temperature": 0.2,
        "queue_size": 4096,
        "masking": {"hard_negative_bias": 0.0} if masked else {},
        "optimizer": {"name": "SGD", "learning_rate": 0.015},
        "history": {"loss": (5.0, 4.5, 4.2)} | ({"mask_ratio": (0.1, 0.2, 0.15)} if masked else {}),
        "timing": Timing(pretrain_seconds=120.0, images_per_second=60.0, evaluation_seconds=9.0),
        "environment": Environment({"python": "3.11.7", "torch": "2.14.1"}, "abc", "A CPU", 2),
        "config": {"masking": {"ratio": [0.05, 0.25]}, "seed": seed, "resume": None},
        "notes": ("a note",),
        "finished_at": "2026-01-02T03:04:05+00:00",
    }
    if knn is not None:
        values["evaluations"] = {
            "knn": Evaluation({"top1": knn}, {"k": 20, "temperature": 0.07}, seconds=4.0)
        }
    return RunRecord(**(values | changes))


@pytest.fixture
def make_record() -> Callable[..., RunRecord]:
    return _record


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave figures out: where texts are tested, drawing is most of the time."""
    monkeypatch.setattr("salmask_plugin.lab.results.report_parts.DRAWERS", ())
    for name in ("paired_dots", "loss_curves", "accuracy_curves", "occlusion_curves"):
        monkeypatch.setattr(
            f"salmask_plugin.lab.results.study_page.{name}", lambda *arguments: None
        )
