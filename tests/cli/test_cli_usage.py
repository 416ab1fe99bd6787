"""What --help says of each command's settings is what there is."""

import re
import shlex

import pytest

from salmask_plugin.cli.commands import COMMANDS
from salmask_plugin.cli.main import build_parser, main
from salmask_plugin.cli.usage import EXAMPLES, KEYS, usage_of
from salmask_plugin.lab.settings.compose import CONFIGS, compose_settings
from salmask_plugin.lab.settings.shorthand import SHORT_NAMES, in_full

ROOTS = {"transfer": "transfer", "detect": "detect", "depth": "depth"}
COMPOSED = (
    "pretrain",
    "compare",
    "plan",
    "explain",
    "cache",
    "audit",
    "transfer",
    "detect",
    "depth",
)
RUN = ["data=cifar10", "data.root=x"]


def test_every_command_has_examples():
    assert EXAMPLES.keys() == COMMANDS.keys()
    assert KEYS.keys() <= COMMANDS.keys()


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_a_terminal(command):
    assert all(len(line) <= 80 for line in usage_of(command).splitlines())


@pytest.mark.parametrize("example", [line for lines in EXAMPLES.values() for line in lines])
def test_an_example_is_parsed_and_composes(example, tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path)
    words = shlex.split(example)[1:]
    options = build_parser().parse_args(words)
    if words[0] in COMPOSED:
        compose_settings(options.overrides, root=ROOTS.get(words[0], "run"))


@pytest.mark.parametrize("command", ["pretrain", "compare"])
def test_the_defaults_that_help_names_are_those_of_the_paper(command):
    settings = compose_settings(RUN)
    numbers = {
        key: value
        for text in KEYS[command]
        for key, value in re.findall(r"^([\w.]+)=([\d.]+)$", text)
        if key != "workers"
    }
    assert numbers.keys() >= {"epochs", "batch_size", "lr", "devices", "view_size", "seed"}
    for key, value in numbers.items():
        place = SHORT_NAMES["run"].get(key, key)
        found = settings.values
        for name in place.split("."):
            found = found[name]
        assert found == float(value), key


@pytest.mark.parametrize("command", KEYS)
def test_choices_that_help_names_exist(command):
    for text, words in KEYS[command].items():
        group, _, value = text.partition("=")
        if value != "NAME" or not (CONFIGS / group).is_dir():
            continue
        named = re.findall(r"[a-z]\w+(?:/\w+)?", re.sub(r"\([^)]*\)|;.*", "", words))
        assert named
        for name in named:
            assert (CONFIGS / group / f"{name}.yaml").is_file(), name


@pytest.mark.parametrize("root", SHORT_NAMES)
def test_a_short_name_is_the_setting_it_stands_for(root):
    for short, full in SHORT_NAMES[root].items():
        assert in_full([f"{short}=3", f"+{short}=3", f"x.{short}=3", short], root) == [
            f"{full}=3",
            f"+{full}=3",
            f"x.{short}=3",
            short,
        ]
        assert not (CONFIGS / short).exists()


def test_short_names_reach_the_run():
    settings = compose_settings([*RUN, "epochs=7", "batch_size=32", "lr=0.5", "workers=1"])
    assert settings.trainer["max_epochs"] == 7
    assert settings.loader.batch_size == 32
    assert settings.method["learning_rate"] == 0.5
    assert settings.workers == 1


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["pretain"], "'pretain' is no command: did you mean pretrain"),
        (["zzz"], "'zzz' is no command. `salmask --help` lists them"),
    ],
)
def test_a_misspelt_command_is_recognised(typed, words, capsys):
    with pytest.raises(SystemExit) as caught:
        main(typed)
    assert caught.value.code == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("data=cifar", "did you mean data=cifar10"),
        ("experiment=paper/tabel6", "did you mean experiment=paper/table6"),
        (
            "masking=zzz",
            "masking=zzz is none of the choices: There are background_mean, background_noise",
        ),
    ],
)
def test_a_misspelt_choice_is_recognised(typed, words, capsys):
    assert main(["explain", typed]) == 2
    assert words in capsys.readouterr().err
