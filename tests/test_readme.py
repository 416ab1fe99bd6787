"""Every snippet of the README runs."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import torch

from salmask_plugin.cli.main import COMMANDS, build_parser

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def snippets(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands():
    lines = "\n".join(snippets("bash")).replace("\\\n", " ").splitlines()
    return [line.split("#")[0].strip() for line in lines if line.split("#")[0].strip()]


def test_python_snippet_trains():
    (snippet,) = snippets("python")
    torch.manual_seed(0)
    encoder = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 128))
    key_encoder = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 128))
    before = encoder[1].weight.clone()
    namespace = {
        "dataloader": [([torch.randn(4, 3, 32, 32), torch.randn(4, 3, 32, 32)], torch.arange(4))],
        "encode": encoder,
        "encode_key": key_encoder,
        "update_momentum": lambda: None,
        "optimizer": torch.optim.SGD(encoder.parameters(), lr=0.1),
    }
    exec(compile(snippet, "README.md", "exec"), namespace)
    assert namespace["loss"].isfinite()
    assert not torch.equal(before, encoder[1].weight)


@pytest.mark.parametrize("line", [line for line in commands() if line.startswith("salmask ")])
def test_salmask_lines_parse_and_compose(line, monkeypatch):
    """The line is taken by the parser, and its settings compose."""
    from salmask_plugin.cli.config import CONFIGS, compose_settings

    options = build_parser().parse_args(shlex.split(line)[1:])
    assert options.command in COMMANDS
    if getattr(options, "overrides", None):
        own = (CONFIGS / f"{options.command}.yaml").is_file()
        compose_settings(options.overrides, root=options.command if own else "run")


@pytest.mark.parametrize("line", [line for line in commands() if line.startswith("make ")])
def test_make_targets_exist(line):
    done = subprocess.run(
        ["make", "--dry-run", *shlex.split(line)[1:]], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_extras_that_the_readme_installs_exist():
    import tomllib

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    named = re.findall(r"pip install '[./\w]+\[([\w,]+)\]", "\n".join(commands()))
    assert len(named) == 2
    assert {extra for names in named for extra in names.split(",")} <= set(extras)


def test_solo_learn_line_names_what_is_registered():
    (line,) = [line for line in commands() if line.startswith("python main_pretrain.py")]
    recipe = re.search(r"\+salmask=(\w+)", line).group(1)
    assert (ROOT / "configs" / "solo_learn" / "salmask" / f"{recipe}.yaml").is_file()


def test_links_and_pictures_exist():
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_no_command_is_left_untested():
    known = ("salmask ", "make ", "pip install ", "python main_pretrain.py")
    known += ("git clone https://github.com/vturrisi/solo-learn", "export SOLO_LEARN_HOME", "cd ")
    assert [line for line in commands() if not line.startswith(known)] == []
