"""Step time of salmask_mocov2plus over solo-learn's mocov2plus, by localizer, in one run.

    SOLO_LEARN_HOME=/path/to/solo-learn python integration/benchmarks/solo_step_time.py

A step is forward, backward and SGD on random views; data loading is left out, so real ratios are
smaller where loading limits. All variants take turns, round by round, so that whatever else the
machine does falls on all. ``--start-up`` measures what the Hydra plugin costs instead.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

VARIANTS = {
    "mocov2plus (baseline)": None,
    "no localizer (uniform), no hard negatives": ("mean", "uniform", False),
    "no localizer (uniform)": ("mean", "uniform", True),
    "momentum encoder": ("mean", "momentum", True),
    "EfficientNet-Lite0": ("mean", "efficientnet_lite0", True),
    "ResNet-50": ("mean", "resnet50", True),
    "EfficientNet-Lite0, blur": ("blur", "efficientnet_lite0", True),
    "EfficientNet-Lite0, high-pass": ("highpass", "efficientnet_lite0", True),
}


def build(variant: tuple[str, str, bool] | None, options: argparse.Namespace, data: Path) -> Any:
    """Return the method of one variant, weights of the ResNet-50 localizer random where absent."""
    from solo.args.pretrain import parse_cfg
    from solo.methods import METHODS

    with initialize_config_module("salmask_plugin.configs.solo_learn", version_base="1.2"):
        recipe = variant[0] if variant else "mean"
        cfg = compose("salmask_mocov2plus_folder", [f"salmask={recipe}"])
    OmegaConf.set_struct(cfg, False)
    cfg.data.train_path = cfg.data.val_path = str(data)
    cfg.augmentations[0].crop_size = options.size
    cfg.optimizer.batch_size = options.batch
    cfg.backbone.name = options.backbone
    if variant is None:
        cfg.method = "mocov2plus"
        del cfg.salmask
    else:
        _, cfg.salmask.localizer, hard = variant
        if recipe == "highpass":
            cfg.backbone.name += "_highpass"
        if not hard:
            cfg.salmask.negative = None
    torch.manual_seed(0)
    method = METHODS[cfg.method](parse_cfg(cfg)).to(options.device)
    method.log = method.log_dict = lambda *_, **__: None
    return method


def stepper(method: Any, options: argparse.Namespace) -> Callable[[], None]:
    optimizer = torch.optim.SGD(method.parameters(), lr=0.01)
    shape = (options.batch, 3, options.size, options.size)
    views = [torch.randn(shape, device=options.device) for _ in range(2)]
    batch = [torch.arange(options.batch), views, torch.zeros(options.batch, dtype=torch.long)]
    batch[2] = batch[2].to(options.device)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        method.training_step(batch, 0).backward()
        optimizer.step()

    return step


def seconds(work: Callable[[], None], device: str) -> float:
    if device != "cpu":
        torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def step_times(options: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds per step and round of every variant."""
    sys.path.insert(0, options.solo)
    with warnings.catch_warnings(), TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        import solo.methods  # noqa: F401

        from salmask_plugin.adapters.solo_learn import register
        from salmask_plugin.localizers import pretrained

        register()
        if not options.weights:
            # Only the time of the forward matters here, and it is that of any weights.
            pretrained.torchvision_resnet50 = lambda **_: pretrained.random_resnet50()
        for label in range(6):
            (Path(folder) / str(label)).mkdir()
        steps = {
            name: stepper(build(variant, options, Path(folder)), options)
            for name, variant in VARIANTS.items()
        }
    times: dict[str, list[float]] = {name: [] for name in steps}
    for work in steps.values():
        work()
    for _ in range(options.rounds):
        for name, work in steps.items():
            times[name].append(seconds(work, options.device))
    return times


def start_up(rounds: int = 15) -> None:
    """Time a Hydra program's plugin discovery, and importing our module alone."""
    program = (
        "import time, sys\nimport hydra\nfrom hydra.core.plugins import Plugins\n"
        "start = time.perf_counter()\nPlugins.instance()\n"
        "whole = time.perf_counter() - start\n"
        "sys.modules.pop('hydra_plugins.salmask', None)\nstart = time.perf_counter()\n"
        "import hydra_plugins.salmask\nown = time.perf_counter() - start\n"
        "print(1000 * whole, 1000 * own, 'torch' in sys.modules)\n"
    )
    rows = []
    for _ in range(rounds):
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )
        rows.append(done.stdout.split())
    print(f"discovery of all plugins      {median(float(r[0]) for r in rows):8.2f} ms")
    print(f"importing hydra_plugins.salmask {median(float(r[1]) for r in rows):6.2f} ms")
    print(f"torch imported: {any(row[2] == 'True' for row in rows)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--solo", default=os.environ.get("SOLO_LEARN_HOME", "."))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--weights", action="store_true", help="the real ResNet-50 weights")
    parser.add_argument("--start-up", action="store_true")
    options = parser.parse_args()
    if options.start_up:
        start_up()
        return
    times = step_times(options)
    base = times["mocov2plus (baseline)"]
    print(
        f"{options.backbone}, {options.batch} images of {options.size} px, {options.device}, "
        f"{options.rounds} rounds; the localizer sees 224 px"
    )
    for name, values in times.items():
        ratios = [own / other for own, other in zip(values, base, strict=True)]
        print(
            f"{name:<44}{median(values):8.3f} s  {median(ratios):6.2f} x  "
            f"({min(ratios):.2f} to {max(ratios):.2f})"
        )


if __name__ == "__main__":
    main()
