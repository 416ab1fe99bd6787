"""What a beginner meets at the command: one sentence, never a stack trace."""

import importlib
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from salmask_plugin.cli import missing
from salmask_plugin.cli.commands import COMMANDS
from salmask_plugin.cli.main import build_parser, main
from salmask_plugin.lab.errors import RunStopped, UserError
from salmask_plugin.lab.runs.folder_lock import alone_in
from salmask_plugin.lab.runs.trace import trace_kept

TINY = ["experiment=plumbing", "data.train_images=32", "data.val_images=20", "view_size=32"]


def said(capsys):
    message = capsys.readouterr().err.strip()
    assert message.startswith("salmask: ")
    assert "Traceback" not in message
    assert "\n" not in message
    return message


@pytest.fixture
def command(monkeypatch):
    """Let ``salmask doctor`` be something else."""

    def replace(run):
        stand_in = SimpleNamespace(run=lambda options: run())
        monkeypatch.setitem(sys.modules, "salmask_plugin.cli.doctor", stand_in)

    return replace


@pytest.mark.parametrize(
    ("module", "extra"),
    [
        ("lightly.loss", "cli"),
        ("pytorch_lightning", "cli"),
        ("hydra", "cli"),
        ("timm", "cli"),
        ("matplotlib.pyplot", "cli"),
        ("pycocotools.mask", "detection"),
        ("onnxscript", "export"),
        ("submitit", "slurm"),
    ],
)
def test_a_missing_extra_is_named_with_what_installs_it(
    module, extra, command, monkeypatch, capsys
):
    top = module.partition(".")[0]
    for name in [name for name in sys.modules if name.partition(".")[0] == top]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, top, None)
    command(lambda: importlib.import_module(module))
    assert main(["doctor"]) == 2
    assert said(capsys) == (
        f"salmask: {top} is not installed: pip install '.[{extra}]' in this package's clone."
    )


def test_what_an_extra_brings_is_what_the_project_says():
    import tomllib
    from pathlib import Path

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    listed = {"hydra": "hydra-core", "pytorch_lightning": "pytorch-lightning"}
    for extra, modules in missing.EXTRAS.items():
        lines = " ".join(project["optional-dependencies"][extra])
        for module in set(modules) - {"omegaconf"}:  # comes with hydra-core
            assert listed.get(module, module) in lines


def test_an_import_that_fails_otherwise_keeps_its_words(command, capsys):
    def broken():
        raise ImportError("libcudart.so.13: cannot open shared object file")

    command(broken)
    assert main(["doctor"]) == 2
    assert said(capsys) == "salmask: libcudart.so.13: cannot open shared object file"


def test_what_nobody_has_foreseen_is_a_sentence_and_a_trace_with_debug(command, capsys):
    def fails():
        torch.zeros(2, 3) @ torch.zeros(2, 3)

    command(fails)
    assert main(["doctor"]) == 1
    message = said(capsys)
    assert message.startswith("salmask: RuntimeError in main.py, line ")
    assert "shapes cannot be multiplied (2x3 and 2x3)" in message
    assert message.endswith("the same command with --debug shows where it comes from.")
    with pytest.raises(RuntimeError, match="multiplied"):
        main(["doctor", "--debug"])


def test_the_trace_of_what_nobody_has_foreseen_stays_in_the_run_s_folder(command, capsys, tmp_path):
    folder = tmp_path / "runs" / "mine"

    def fails():
        with alone_in(folder):
            raise RuntimeError("no route to https://ann:hunter2@host/x with api_key=hunter2")

    command(fails)
    assert main(["doctor"]) == 1
    message = said(capsys)
    assert message.endswith(f"Its trace is in {folder / 'error.txt'}.")
    text = (folder / "error.txt").read_text()
    assert text.startswith("Traceback (most recent call last):")
    assert "in fails" in text
    assert "no route to" in text
    assert "hunter2" not in text
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "error.txt"]


@pytest.mark.parametrize("error", [UserError("a"), ValueError("a"), OSError("a"), RunStopped("a")])
def test_what_was_foreseen_leaves_no_trace(error, tmp_path):
    with pytest.raises(type(error)), alone_in(tmp_path):
        raise error
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_a_trace_that_cannot_be_kept_is_said(command, capsys, tmp_path):
    def fails():
        with trace_kept(tmp_path / "file"):
            raise RuntimeError("x")

    (tmp_path / "file").touch()
    command(fails)
    assert main(["doctor"]) == 1
    assert "Its trace is lost: " in said(capsys)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            ["masking=mean", "masking.query.sampler.ratio=0.2"],
            ["sampler.ratio=0.2 must be"],
        ),
        (
            ["trainer.max_epochs=null", "trainer.max_steps=3"],
            ["max_epochs=null must be an integer."],
        ),
        (["view_size=0"], ["view_size=0 must be a whole number from 1."]),
    ],
)
def test_a_value_of_another_form(settings, words, tmp_path, capsys):
    assert main(["pretrain", *TINY, "localizer=uniform", f"out={tmp_path}", *settings]) == 2
    message = said(capsys)
    for word in words:
        assert word in message


def test_a_localizer_that_cannot_be_downloaded(tmp_path, monkeypatch, capsys):
    """The words to add are said."""

    def no_network(*arguments, **named):
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", no_network)
    assert main(["pretrain", *TINY, "masking=mean", "localizer=resnet50", f"out={tmp_path}"]) == 2
    message = said(capsys)
    assert "cannot be downloaded (no route to host)" in message
    assert "add localizer=efficientnet_lite0 to the command" in message


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_names_every_command_and_flag(shell, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--print-completion", shell])
    assert ended.value.code == 0
    script = capsys.readouterr().out
    for command in COMMANDS:
        assert f"_shtab_salmask_{command}_" in script
    for flag in ("--only-missing", "--projection", "--config-dir"):
        assert flag in script
    if shell == "bash":
        done = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True)
        assert (done.returncode, done.stderr) == (0, "")


def test_completion_without_shtab_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "shtab", None)
    with pytest.raises(SystemExit):
        build_parser().parse_args(["--print-completion", "zsh"])
    assert "--print-completion needs shtab: pip install shtab" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["preview", "evaluate", "cache"])
def test_settings_are_not_said_to_be_required(name, capsys):
    with pytest.raises(SystemExit):
        main([name])
    assert capsys.readouterr().err.endswith("the following arguments are required: folder\n")
    assert build_parser().parse_args([name, "runs/mine"]).overrides == []
    given = build_parser().parse_args([name, "a=1", "--debug", "b=2", "c=3"])
    assert (given.folder, given.overrides) == ("a=1", ["b=2", "c=3"])
