"""Every snippet of the README runs."""

import re
import shlex
import subprocess

import pytest
import torch
from documents import ROOT, run_block, snippets

import salmask_plugin
from salmask_plugin.cli.commands import COMMANDS
from salmask_plugin.cli.main import build_parser

README = (ROOT / "README.md").read_text()


def commands():
    lines = "\n".join(snippets("README.md", "bash")).replace("\\\n", " ").splitlines()
    return [line.split("#")[0].strip() for line in lines if line.split("#")[0].strip()]


def encoder_of(*norm):
    return torch.nn.Sequential(torch.nn.Flatten(), *norm, torch.nn.Linear(3 * 32 * 32, 128))


def run_snippet(device, epochs=2):
    """What the loop leaves: its names, and the images that each encoder saw."""
    torch.manual_seed(0)
    encoder, key_encoder = encoder_of(), encoder_of(torch.nn.BatchNorm1d(3 * 32 * 32))
    encoder.to(device), key_encoder.to(device)
    seen = {"query": [], "key": []}
    encoder.register_forward_pre_hook(lambda _, images: seen["query"].append(images[0]))
    key_encoder.register_forward_pre_hook(lambda _, images: seen["key"].append(images[0]))
    views = [torch.randn(4, 3, 32, 32).to(device) for _ in range(2)]
    names = {
        "dataloader": [(views, torch.arange(4))],
        "epochs": epochs,
        "encoder": encoder,
        "key_encoder": key_encoder,
        "update_momentum": lambda: None,
        "optimizer": torch.optim.SGD(encoder.parameters(), lr=0.1),
    }
    return run_block("README.md", 0, **names), seen


def test_python_snippet_trains():
    names, seen = run_snippet("cpu")
    torch.manual_seed(0)
    assert names["loss"].isfinite()
    assert not torch.equal(encoder_of()[1].weight, names["encoder"][1].weight)
    one, other = seen["query"]
    assert not torch.equal(one, other)  # another mask for the same views in the second epoch


def test_hard_negatives_of_the_snippet_leave_no_statistics():
    names, seen = run_snippet("cpu")
    keys, negatives = seen["key"][::2], seen["key"][1::2]
    assert torch.equal(keys[0], names["dataloader"][0][0][1])
    assert not torch.equal(negatives[0], keys[0])
    expected = torch.nn.BatchNorm1d(3 * 32 * 32)
    for images in keys:
        expected(images.flatten(1))
    assert torch.equal(names["key_encoder"][1].running_mean, expected.running_mean)
    assert names["key_encoder"][1].num_batches_tracked == 2


@pytest.mark.parametrize(
    "device", ["meta", pytest.param("cuda", marks=pytest.mark.gpu)], ids=["meta", "cuda"]
)
def test_python_snippet_runs_where_its_views_are(device, monkeypatch):
    """The bank is left on the CPU by the snippet; the meta device refuses to mix."""
    if device == "meta":  # has no generators; draws there take any
        make = salmask_plugin.step_generator
        monkeypatch.setattr(
            salmask_plugin,
            "step_generator",
            lambda seed, rank, step, device: make(seed, rank, step),
        )
    names, _ = run_snippet(device)
    assert names["loss"].device.type == device
    assert names["criterion"].memory_bank.bank.device.type == device


@pytest.mark.parametrize("line", [line for line in commands() if line.startswith("salmask ")])
def test_salmask_lines_parse_and_compose(line, monkeypatch, tmp_path):
    """The line is taken by the parser, and its settings compose."""
    from salmask_plugin.lab.settings.compose import CONFIGS, compose_settings

    (tmp_path / "my_photos").mkdir()
    monkeypatch.chdir(tmp_path)
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
