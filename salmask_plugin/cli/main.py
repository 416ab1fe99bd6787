"""Argument parsing and dispatch; heavy imports wait until a command runs."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import Any

from salmask_plugin import __version__
from salmask_plugin.cli.errors import RunStopped, UserError

COMMANDS = {
    "pretrain": "pretrain one encoder (resumes if the run was interrupted)",
    "evaluate": "kNN and linear evaluation of a finished run",
    "transfer": "the same and fine-tuning of any checkpoint, on any data set",
    "export": "a backbone for timm, torchvision, detectron2 or ONNX, with a model card",
    "compare": "several rows and seeds: pretrain, evaluate, table, report; skips finished runs",
    "report": "Markdown and HTML report of the runs in a folder",
    "results": "the kept records of several studies as one page, with paired differences",
    "preview": "see saliency, masks and hard negatives on your own images, before any training",
    "explain": "the resolved recipe in plain words, with every departure from the paper",
    "cache": "saliency of every training image, once, for localizer=cached; resumes",
    "audit": "the share of object and background that recipes remove, on images with masks",
    "variance": "how far the views of an image spread in a run's encoder (the paper's Table 7)",
    "detect": "train and test a detector on a run's or any checkpoint's backbone (Tables 2 and 10)",
    "depth": "train and test monocular depth on a run's or any checkpoint's encoder (Table 11)",
    "plan": "hours, memory and images/s of a run, from a few timed steps",
    "doctor": "versions, devices, hosts and weights found, and what to do about what is missing",
}
FOLDERS = {
    "evaluate": "run folder",
    "transfer": "checkpoint, run folder or export",
    "export": "checkpoint or run folder",
    "cache": "folder of the maps",
    "report": "folder with runs",
    "results": "folder of studies",
    "preview": "images",
    "variance": "run folder",
    "detect": "run folder or checkpoint",
    "depth": "run folder or checkpoint",
}
IMAGES: dict[str, Any] = {"type": int, "metavar": "N", "help": "at most so many images"}
ONLY_MISSING: dict[str, Any] = {
    "action": "store_true",
    "help": "leave out results that are there already under the same settings",
}
SPLIT: dict[str, Any] = {"choices": ("train", "val"), "default": "val", "help": "which images"}
FLAGS: dict[str, dict[str, dict[str, Any]]] = {
    "pretrain": {
        "--evaluate": {"action": "store_true", "help": "evaluate as well, in the same process"},
    },
    "evaluate": {"--only-missing": ONLY_MISSING},
    "transfer": {"--only-missing": ONLY_MISSING},
    "export": {
        "out": {"help": "an empty folder"},
        "--format": {
            "default": "safetensors",
            "metavar": "FORMATS",
            "help": "safetensors (the default), timm, torchvision, detectron2, onnx; timm,onnx",
        },
        "--architecture": {"help": "where the weights do not tell, such as resnet18_cifar"},
        "--part": {
            "help": "where in the file the encoder is, such as model_state_dict.base_encoder"
        },
        "--view-size": {"type": int, "metavar": "PX", "help": "side of ONNX's images"},
        "--filter-outside": {
            "action": "store_true",
            "help": "bare weights of a high-pass encoder, in a format that cannot hold the filter",
        },
        "--license": {"help": "of the weights, for the model card"},
    },
    "cache": {
        "--grid": {
            "type": int,
            "metavar": "N",
            "default": 14,
            "help": "store maps of at least N x N cells",
        },
        "--size": {
            "type": int,
            "metavar": "PX",
            "help": "side at which the localizer sees whole images; about 1.4 times localizer_size",
        },
        "--verify": {
            "action": "store_true",
            "help": "decode every image and compare it with its digest; changed ones are redone",
        },
        "--agreement": {
            "type": int,
            "metavar": "N",
            "help": "compare with the localizer's maps of the views of N images",
        },
    },
    "audit": {
        "--images": {**IMAGES, "default": 500},
        "--split": SPLIT,
        "--object-share": {
            "type": float,
            "nargs": 2,
            "metavar": ("LOW", "HIGH"),
            "default": (0.01, 0.75),
            "help": "leave views out whose object is a smaller or larger share of them",
        },
    },
    "variance": {
        "--images": {**IMAGES, "default": 1000},
        "--split": SPLIT,
        "--views": {"type": int, "metavar": "R", "default": 32, "help": "views per image"},
        "--layer": {
            "choices": ("projection", "backbone"),
            "default": "projection",
            "help": "whose output is measured",
        },
        "--batch-norm": {
            "choices": ("batch", "running"),
            "default": "batch",
            "help": "statistics of the batch, as in training, or the running ones",
        },
    },
}
NO_SETTINGS = ("doctor", "export")
OVERRIDES_HELP = "settings as key=value, e.g. masking=blur data=cifar10 data.root=/data/cifar10"


class CommandParser(argparse.ArgumentParser):
    """The parser of one command, whose flags may stand anywhere among the settings."""

    _inside = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse with positional arguments and flags intermixed."""
        if self._inside:  # argparse's intermixed parsing is made of calls of the ordinary one
            return super().parse_known_args(args, namespace)
        self._inside = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._inside = False


class NoMultirun(argparse.Action):
    """Hydra's flag for several values of a setting, which a comparison has instead."""

    def __init__(self, option_strings: Sequence[str], dest: str, **keywords: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, **keywords)

    def __call__(self, parser: argparse.ArgumentParser, *rest: Any) -> None:
        """Say where several values go."""
        parser.error(
            "there is no --multirun: `salmask compare` runs several seeds (compare.seeds=[0,1]) "
            "and several recipes (compare.rows, compare.only=[none,mean])"
        )


def build_parser() -> argparse.ArgumentParser:
    """Return the parser: one subcommand per module of this package."""
    parser = argparse.ArgumentParser(
        prog="salmask",
        description="Saliency-guided masking for contrastive learning on ConvNets.",
        epilog="Settings are Hydra overrides: salmask pretrain masking=mean trainer.max_epochs=10. "
        "Docs: README.md and docs/.",
    )
    parser.add_argument("--version", action="version", version=f"salmask_plugin {__version__}")
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=CommandParser
    )
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary)
        command.add_argument("--debug", action="store_true", help="show the whole traceback")
        if name in FOLDERS:
            command.add_argument("folder", help=FOLDERS[name])
        for flag, arguments in FLAGS.get(name, {}).items():
            command.add_argument(flag, **arguments)
        if name not in NO_SETTINGS:
            command.add_argument("overrides", nargs="*", help=OVERRIDES_HELP, metavar="key=value")
            command.add_argument("-m", "--multirun", action=NoMultirun, help=argparse.SUPPRESS)
            command.add_argument("--config-dir", help="a folder with your own configuration groups")
            command.add_argument(
                "--trust",
                action="store_true",
                help="allow a _target_ outside the allow-list in your own configuration",
            )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code (2 for a mistake in the input, 1 for a failed run)."""
    options = build_parser().parse_args(arguments)
    command = importlib.import_module(f"salmask_plugin.cli.{options.command}")
    try:
        command.run(options)
    except KeyboardInterrupt:
        print("\nsalmask: interrupted; what was finished is kept.", file=sys.stderr)
        return 130
    except (UserError, ValueError, FileNotFoundError, ImportError) as error:
        if options.debug:
            raise
        print(f"salmask: {error}", file=sys.stderr)
        return 2
    except (RunStopped, OSError) as error:
        if options.debug:
            raise
        print(f"salmask: {error}", file=sys.stderr)
        return getattr(error, "code", 1)
    return 0
