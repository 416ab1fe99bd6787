"""Argument parsing and dispatch; heavy imports wait until a command runs."""

from __future__ import annotations

import argparse
import difflib
import importlib
import re
import signal
import sys
import traceback
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NoReturn

from salmask_plugin import __version__
from salmask_plugin.cli.allocator import keep_memory
from salmask_plugin.cli.commands import (
    COMMANDS,
    EVERY_PROCESS,
    FLAGS,
    FOLDERS,
    NO_SETTINGS,
    OVERRIDES_HELP,
)
from salmask_plugin.cli.completion import PrintCompletion, complete_paths
from salmask_plugin.cli.missing import in_words
from salmask_plugin.cli.output import lasting_output, printable
from salmask_plugin.cli.usage import usage_of
from salmask_plugin.lab.errors import RunStopped, UserError
from salmask_plugin.lab.runs.launcher import alone, rank
from salmask_plugin.lab.runs.requeue import requeued_by_slurm
from salmask_plugin.lab.study.side_by_side import end_with_parent

LONGEST = 400
"""Characters that are shown of an error which nobody has foreseen."""


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


class TopParser(argparse.ArgumentParser):
    """The parser of ``salmask``, which knows what a misspelt command was meant to be."""

    def error(self, message: str) -> NoReturn:
        """End with what is wrong, and the commands that are most like it."""
        found = re.search(r"argument COMMAND: invalid choice: '([^']*)'", message)
        if found is not None:
            near = difflib.get_close_matches(found[1], COMMANDS, n=3, cutoff=0.5)
            hint = f": did you mean {' or '.join(near)}?" if near else "."
            message = f"{found[1]!r} is no command{hint} `salmask --help` lists them"
        super().error(message)


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
    parser = TopParser(
        prog="salmask",
        description="Saliency-guided masking for contrastive learning on ConvNets.",
        epilog="Settings are Hydra overrides: salmask pretrain masking=mean trainer.max_epochs=10. "
        "Docs: README.md and docs/.",
    )
    parser.add_argument("--version", action="version", version=f"salmask_plugin {__version__}")
    parser.add_argument(
        "--print-completion",
        action=PrintCompletion,
        metavar="SHELL",
        help="a script that completes commands and flags in bash or zsh, see docs/command.md",
    )
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=CommandParser
    )
    for name, summary in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=summary,
            description=summary,
            epilog=usage_of(name),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_argument("--debug", action="store_true", help="show the whole traceback")
        if name in FOLDERS:
            command.add_argument("folder", help=FOLDERS[name])
        for flag, arguments in FLAGS.get(name, {}).items():
            command.add_argument(flag, **arguments)
        if name not in NO_SETTINGS:
            # Without a default of its own argparse calls it required, where a folder is missing.
            command.add_argument(
                "overrides", nargs="*", default=[], help=OVERRIDES_HELP, metavar="key=value"
            )
            command.add_argument("-m", "--multirun", action=NoMultirun, help=argparse.SUPPRESS)
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
        complete_paths(command)
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
        words = in_words(error) if isinstance(error, ImportError) else error
        print(f"salmask: {printable(words)}", file=sys.stderr)
        return 2
    except (RunStopped, OSError) as error:
        if options.debug:
            raise
        print(f"salmask: {printable(error)}", file=sys.stderr)
        return getattr(error, "code", 1)
    except Exception as error:
        if options.debug:
            raise
        print(f"salmask: {printable(_unforeseen(error))}", file=sys.stderr)
        return 1
    return 0


def _unforeseen(error: Exception) -> str:
    """A sentence for what nobody has foreseen: what, where, and how to see all of it."""
    from salmask_plugin.lab.runs.trace import trace_of

    words = " ".join(str(error).split())
    places = list(traceback.extract_tb(error.__traceback__))
    own = [frame for frame in places if "salmask_plugin" in Path(frame.filename).parts] or places
    place = f"{Path(own[-1].filename).name}, line {own[-1].lineno}" if own else "an unknown place"
    kept = trace_of(error)
    end = f". {kept}" if kept else "; the same command with --debug shows where it comes from"
    return f"{type(error).__name__} in {place}: {words:.{LONGEST}}. This was not foreseen{end}."


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
