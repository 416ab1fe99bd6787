"""Step time and memory of every recipe x localizer, as ratios to the host's baseline in one run.

    python integration/benchmarks/step_time.py --preset cpu --out bench
    python integration/benchmarks/step_time.py --preset gpu --out bench
    python integration/benchmarks/step_time.py --from-json bench/step_time.json --write-docs

A step is forward, backward and optimiser of the real module on one augmented batch that all rows
share. Rows take turns; a ratio is that of two times of the same round. ``cpu`` takes about ten
minutes on two quiet cores: one thread, float32, processor seconds. ``gpu`` runs under bfloat16
autocast with channels_last, wall-clock with synchronisation.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from bench_clock import peak_memory, single_threaded, take_turns
from bench_rows import ROWS, Setting, step_of
from bench_stages import time_stages
from bench_tables import DOCS, write_docs, write_report
from lightly.transforms import MoCoV2Transform
from torch import Tensor
from torchvision.transforms.functional import to_pil_image

from salmask_plugin.lab.results.environment import environment

EVERY = tuple(ROWS)
CORE = (
    "baseline",
    "lightly's own parts",
    "mean, masks only, cached",
    "mean, cached",
    "blur, cached",
    "highpass, cached",
    "mean, momentum",
    "mean, EfficientNet-Lite0",
    "mean, ResNet-50",
)
MORE = (
    "blur, masks only, cached",
    "highpass, masks only, cached",
    "mscn, uniform",
    "ADIOS-s",
    "SimCLR baseline",
    "SimCLR mean, masks only, cached",
    "SimCLR mean, cached",
)
PRESETS: dict[str, list[Setting]] = {
    "cpu": [
        Setting("resnet50", "standard", 224, 4, 224, CORE, memory=False),
        Setting("resnet18", "cifar", 32, 32, 64, CORE + MORE),
        Setting("resnet18", "standard", 64, 32, 64, CORE),
    ],
    "gpu": [
        Setting("resnet18", "cifar", 32, 256, 224, EVERY),
        Setting("resnet50", "standard", 64, 256, 224, EVERY),
        Setting("resnet50", "standard", 224, 32, 224, CORE),
        Setting("resnet50", "standard", 224, 128, 224, EVERY),
    ],
    "smoke": [Setting("resnet18", "cifar", 32, 4, 64, ("baseline", "mean, cached", "ADIOS-s"))],
}
ROUNDS = {"cpu": 7, "gpu": 30, "smoke": 2}
SHARES = {"cpu": (0.7, 0.15, 0.15), "gpu": (0.25, 0.25, 0.25, 0.25), "smoke": (1.0,)}
"""Of the minutes, for each setting of a preset."""


def batch_of(setting: Setting, device: str) -> list[Tensor]:
    """Two augmented views of noise images, as lightly's MoCo v2 transform makes them."""
    torch.manual_seed(0)
    side = setting.view + setting.view // 4
    transform = MoCoV2Transform(input_size=setting.view)
    pairs = [transform(to_pil_image(torch.rand(3, side, side))) for _ in range(setting.batch)]
    layout = torch.channels_last if device == "cuda" else torch.contiguous_format
    return [
        torch.stack([pair[index] for pair in pairs]).to(device, memory_format=layout)
        for index in range(2)
    ]


def measure(setting: Setting, preset: str, device: str, minutes: float) -> dict[str, Any]:
    """Time rows, memory and stages of one setting within about that many minutes."""
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    views = batch_of(setting, device)
    begin = time.monotonic()
    memory, steps = {}, {}
    for name in setting.rows:
        step = step_of(ROWS[name], setting, views, device, dtype)
        step()  # optimiser state, kernels, weights on their device
        if setting.memory:
            memory[name] = peak_memory(step, device)
        steps[name] = step
    rounds = ROUNDS[preset]
    times = take_turns(
        steps, device, rounds=rounds, warm_up=1 if device == "cuda" else 0,
        until=begin + 60 * minutes * 0.8,
    )  # fmt: skip
    steps.clear()
    gc.collect()
    stages = time_stages(setting, views, device, dtype, rounds=rounds, until=begin + 60 * minutes)
    return {"setting": asdict(setting), "times": times, "memory": memory, "stages": stages}


def machine(device: str) -> dict[str, Any]:
    """Say what the numbers depend on."""
    gpus = (torch.cuda.get_device_name(),) if device == "cuda" else ()
    where = environment(gpus)
    return {
        "device": where.device,
        "versions": dict(where.versions),
        "commit": where.commit,
        "threads": torch.get_num_threads(),
        "clock": "processor seconds" if single_threaded(device) else "wall-clock",
        "precision": "bfloat16 autocast, channels_last" if device == "cuda" else "float32",
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", choices=sorted(PRESETS), help="default: gpu where there is one")
    parser.add_argument("--out", type=Path, default=Path("bench"), help="folder for the results")
    parser.add_argument("--minutes", type=float, default=10, help="bound of the whole (default 10)")
    parser.add_argument("--from-json", type=Path, help="measure nothing: tables of an earlier run")
    parser.add_argument("--write-docs", action="store_true", help=f"also write {DOCS.name}")
    options = parser.parse_args()
    if options.from_json is not None:
        result = json.loads(options.from_json.read_text())
    else:
        warnings.simplefilter("ignore")
        preset = options.preset or ("gpu" if torch.cuda.is_available() else "cpu")
        device = "cuda" if preset == "gpu" else "cpu"
        if device == "cpu":
            torch.set_num_threads(1)
        result = {"preset": preset, "machine": machine(device), "settings": []}
        for setting, share in zip(PRESETS[preset], SHARES[preset], strict=True):
            print(f"{setting}: {len(setting.rows)} rows", flush=True)
            result["settings"].append(measure(setting, preset, device, options.minutes * share))
            write_report(result, options.out)
    print(write_report(result, options.out))
    if options.write_docs:
        write_docs(result)


if __name__ == "__main__":
    main()
