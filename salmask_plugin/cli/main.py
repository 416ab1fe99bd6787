"""Argument parsing and dispatch; heavy imports wait until a command runs."""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from salmask_plugin import __version__
from salmask_plugin.cli.allocator import keep_memory
from salmask_plugin.cli.errors import RunStopped, UserError
from salmask_plugin.cli.launcher import alone, rank
from salmask_plugin.cli.output import lasting_output
from salmask_plugin.cli.requeue import requeued_by_slurm
from salmask_plugin.cli.side_by_side import end_with_parent

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
EVERY_PROCESS = ("pretrain", "detect", "depth", "plan")
"""Commands that a launcher's processes share; of the others the first does everything."""
NO_SETTINGS = ("doctor", "export")
OVERRIDES_HELP = "settings as key=value, e.g. masking=blur data=cifar10 data.root=/data/cifar10"


class Allow(argparse.Action):
    """Add a name to what ``--trust`` lifts altogether."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        """Take the name, unless anything is allowed already."""
        known = getattr(namespace, self.dest, False)
        setattr(namespace, self.dest, known is True or frozenset({*(known or ()), values}))


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
            command.add_argument("--config-dir", help="a folder with your own configuration groups")
            command.add_argument(
                "--trust",
                action="store_true",
                help="allow any _target_: for files of your own alone",
            )
            command.add_argument(
                "--allow",
                action=Allow,
                dest="trust",
                default=argparse.SUPPRESS,
                metavar="NAME",
                help="allow the _target_ NAME as well; again for another. A run folder's download, "
                "pretrained and addresses likewise",
            )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code (2 for a mistake in the input, 1 for a failed run)."""
    options = build_parser().parse_args(arguments)
    keep_memory()
    end_with_parent()
    with lasting_output():
        return _ended(options)


def _ended(options: argparse.Namespace) -> int:
    """Run the command; return its exit code."""
    try:
        with requeued_by_slurm():
            _run(options)
    except KeyboardInterrupt:
        return _interrupted(signal.SIGINT)
    except SystemExit as error:
        # Lightning's words for Ctrl-C and SIGTERM, here in the training of an evaluation.
        if isinstance(error.__context__, KeyboardInterrupt):
            return _interrupted(signal.SIGINT)
        if type(error).__name__ == "SIGTERMException":
            return _interrupted(signal.SIGTERM)
        raise
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


def _interrupted(number: int) -> int:
    print("\nsalmask: interrupted; what was finished is kept.", file=sys.stderr)
    return 128 + number


def _run(options: argparse.Namespace) -> None:
    """Run the command, in as many of a launcher's processes as can share its work."""
    shared = options.command in EVERY_PROCESS
    if not shared and rank():
        return
    with nullcontext() if shared else alone():
        command = importlib.import_module(f"salmask_plugin.cli.{options.command}")
        command.run(options)
