"""Which objects a configuration may name, judged by the name alone."""

import functools
import inspect
import json
import sys
from pathlib import Path

import pytest
import yaml
from hydra.utils import get_object

from salmask_plugin.cli.main import build_parser, main
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.runs.build import build
from salmask_plugin.lab.runs.folder import read_settings
from salmask_plugin.lab.settings.allowed_targets import (
    ALLOWED,
    FETCHING,
    UNASKED,
    WITHOUT_A_FILE,
    check_targets,
    fetches,
    flags_for_children,
)
from salmask_plugin.lab.settings.compose import CONFIGS, apply_overrides, compose_settings
from salmask_plugin.lab.settings.nodes import target_of

RECORDS = Path(__file__).resolve().parents[3] / "docs" / "results"


def named(value):
    """Every ``_target_`` in plain containers."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from [item] if key == "_target_" else named(item)
    elif isinstance(value, list):
        for item in value:
            yield from named(item)


def test_the_list_is_what_the_configurations_name():
    files = [path for path in CONFIGS.rglob("*.yaml") if path.parent.name != "solo_learn"]
    assert set(named([yaml.safe_load(path.read_text()) for path in files])) == ALLOWED
    for name in ALLOWED:
        assert callable(get_object(name))
        assert target_of({"_target_": name}) is get_object(name)


def test_what_cannot_be_imported_is_no_target_and_leaves_no_log(tmp_path, monkeypatch, caplog):
    (tmp_path / "broken_at_import.py").write_text("import a_module_that_is_not_there\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("broken_at_import.Localizer", "not_there.at_all", "torch.nn.NotThere", "", "."):
        assert target_of({"_target_": name}) is None
    assert not caplog.records


def test_every_kept_record_names_what_is_on_the_list():
    files = sorted(RECORDS.rglob("records/*.json"))
    assert files
    for path in files:
        config = json.loads(path.read_text())["config"]
        assert list(named(config))
        check_targets(config, foreign=True)


@pytest.mark.parametrize(
    "name",
    [
        "torch.nn.Identity",
        "torch.nn.ModuleDict",
        "torch.fx.GraphModule",
        "torch.distributed.nn.RemoteModule",
        "torchvision.models._utils.IntermediateLayerGetter",
        "torchvision.models.resnet18",
        "timm.models.resnet18",
        "pytorch_lightning.loggers.CSVLogger",
        "salmask_plugin.BlurFill.__init__",
        "salmask_plugin.cli.main.main",
        "salmask_plugin.fills.blur.BlurFill ",
        ["salmask_plugin.BlurFill"],
        {"_target_": "salmask_plugin.BlurFill"},
        None,
    ],
)
def test_no_library_is_allowed_wholesale(name):
    with pytest.raises(UserError, match="not allowed"):
        check_targets({"masking": [{"_target_": name}]})


def test_a_name_is_judged_before_anything_is_imported():
    """This module ends the program when it is imported."""
    with pytest.raises(UserError, match="not allowed"):
        check_targets({"_target_": "salmask_plugin.cli.__main__.main"})
    assert "salmask_plugin.cli.__main__" not in sys.modules


CODE = "a\n    __import__('os').mkdir('x')\n    b"


@pytest.mark.parametrize("name", [CODE, "a.b", "a b", "", "1"])
@pytest.mark.parametrize("key", ["itself", "inside"])
def test_names_of_arguments_and_parts_are_identifiers(name, key):
    inner = {name: {"_target_": "salmask_plugin.MeanFill"}}
    node = inner if key == "itself" else {"modules": [inner]}
    own = frozenset({"torch.nn.ModuleDict"})
    with pytest.raises(UserError, match="must be an identifier"):
        check_targets({"data": {"_target_": "torch.nn.ModuleDict", **node}}, trust=own)
    check_targets({"rows": {name: ["masking=mean"]}})  # names of rows are for people


def test_a_text_is_no_node_to_build(tmp_path):
    """OmegaConf reads a text as YAML, in which the check sees no node."""
    mark = tmp_path / "made"
    for node in (
        f"_target_: os.mkdir\npath: {mark}",
        [{"_target_": "os.mkdir", "path": str(mark)}],
    ):
        with pytest.raises(UserError, match="must be a node with a _target_"):
            build(node)
    with pytest.raises(UserError, match="must be a node with a _target_"):
        build({"path": str(mark)})
    assert not mark.exists()


@functools.cache
def demo():
    return compose_settings(["experiment=plumbing", "localizer=uniform", "masking=mean"])


def written(folder, **changed):
    settings = demo()
    content = {"values": {**settings.values, **changed}, "choices": settings.choices}
    (folder / "settings.json").write_text(json.dumps(content))
    return settings


def attack(mark):
    """torch.fx writes the names of modules into Python source; a localizer is traced by it."""
    code = f"a=__import__('os').mkdir('{mark}')"
    return {
        "_target_": "salmask_plugin.SCDALocalizer",
        "network": {
            "_target_": "torchvision.models._utils.IntermediateLayerGetter",
            "model": {
                "_target_": "torch.nn.ModuleDict",
                "modules": {code: {"_target_": "torch.nn.Identity"}},
            },
            "return_layers": {},
        },
    }


@pytest.mark.parametrize("command", ["evaluate", "variance"])
@pytest.mark.parametrize("place", ["masking", "data", "backbone", "method", "evaluation"])
def test_a_foreign_run_folder_runs_nothing(command, place, tmp_path, capsys):
    mark = tmp_path / "mark"
    written(
        tmp_path, **{place: {"localizer": attack(mark)}}, allow=["torch.nn.ModuleDict"], trust=True
    )
    assert main([command, str(tmp_path)]) == 2
    assert "IntermediateLayerGetter' at" in capsys.readouterr().err
    written(tmp_path, **{place: f"_target_: os.mkdir\npath: {mark}"})
    assert main([command, str(tmp_path)]) == 2
    assert not mark.exists()


TIMM = "salmask_plugin.localizers.pretrained.timm_network"
RESNET50 = "salmask_plugin.localizers.pretrained.torchvision_resnet50"
FETCHED = [
    ({"download": True}, "download"),
    ({"network": {"_target_": "salmask_plugin.MeanFill", "pretrained": True}}, "pretrained"),
    ({"roots": ["https://example.org/x"]}, "https://example.org/x"),
    ({"root": "hf-hub:someone/network"}, "hf-hub:someone/network"),
    ({"root": " s3://bucket/x"}, " s3://bucket/x"),
    ({"network": {"_target_": TIMM, "name": "resnet18"}}, "pretrained"),
    ({"network": {"_target_": RESNET50, "weights_file": None}}, RESNET50),
    ({"network": {"_target_": RESNET50}}, RESNET50),
]


@pytest.mark.parametrize(("changed", "word"), FETCHED, ids=lambda value: str(value)[:20])
def test_a_foreign_run_folder_fetches_nothing(changed, word, tmp_path):
    data = {"_target_": "salmask_plugin.data.cifar10", "root": "C:\\data", **changed}
    settings = written(tmp_path, data=data)
    with pytest.raises(UserError, match=r"fetches .* --allow"):
        read_settings(tmp_path)
    kept = read_settings(tmp_path, trust=frozenset({word}))
    assert kept["data"] == data
    assert fetches(kept.values) == [word]
    # One's own words are one's own.
    check_targets(kept.values)
    changed = apply_overrides(settings, ["loader.workers=3"], trust=False)
    assert changed["loader"]["workers"] == 3


def test_what_fetches_by_default_is_known():
    defaults = {
        (name, word): parameters[word].default
        for name in ALLOWED
        for parameters in [inspect.signature(get_object(name)).parameters]
        for word in FETCHING
        if word in parameters
    }
    assert {name: word for (name, word), given in defaults.items() if given} == UNASKED
    assert not fetches({"_target_": TIMM, "name": "resnet18", "pretrained": False})
    # What asks torchvision for an address does so where no file is named.
    own = [get_object(name) for name in ALLOWED if ".localizers." in name]
    assert {
        f"{made.__module__}.{made.__name__}"
        for made in own
        if "_resolve(" in inspect.getsource(made)
    } == WITHOUT_A_FILE.keys()
    for name, argument in WITHOUT_A_FILE.items():
        assert inspect.signature(get_object(name)).parameters[argument].default is None
        assert not fetches({"_target_": name, argument: "mine.pth"})


def test_a_localizer_that_nothing_of_a_run_uses_is_not_judged_for_what_it_fetches(tmp_path):
    """Every run has one, the paper's by default; what uses it holds a copy."""
    written(tmp_path, localizer={"_target_": "salmask_plugin.SCDALocalizer", "network": NETWORK})
    read_settings(tmp_path)
    masking = {**demo().masking, "localizer": {"network": NETWORK}}
    written(tmp_path, masking=masking)
    with pytest.raises(UserError, match=f"--allow {RESNET50}"):
        read_settings(tmp_path)
    written(tmp_path, localizer={"_target_": "os.mkdir"})
    with pytest.raises(UserError, match="not allowed"):
        read_settings(tmp_path)


NETWORK = {"_target_": RESNET50, "weights_file": None}


def test_arguments_without_names_are_refused():
    node = {"_target_": TIMM, "_args_": ["resnet18", None, True]}
    with pytest.raises(UserError, match=r"_args_ at network: .*by their names"):
        check_targets({"network": node})
    mine = {"_target_": "my.network", "_args_": [1]}
    check_targets(mine, trust=frozenset({"my.network"}))


@pytest.mark.parametrize(
    ("typed", "trust"),
    [
        ([], False),
        (["--trust"], True),
        (["--allow", "a.B", "x=1", "--allow=c.D"], frozenset({"a.B", "c.D"})),
        (["--allow", "a.B", "--trust"], True),
        (["--trust", "x=1", "--allow", "a.B"], True),
    ],
)
def test_the_command_line_alone_extends_the_list(typed, trust):
    options = build_parser().parse_args(["pretrain", *typed])
    assert options.trust == trust
    again = build_parser().parse_args(["pretrain", *flags_for_children(options.trust)])
    assert again.trust == trust


def test_an_allowed_name_is_allowed_by_name(tmp_path):
    (tmp_path / "fill").mkdir()
    (tmp_path / "fill" / "mine.yaml").write_text("_target_: collections.Counter\n")
    overrides = ["masking=mean", "fill@masking.query.fill=mine"]
    with pytest.raises(UserError, match=r"--allow collections\.Counter"):
        compose_settings(
            overrides, config_dir=str(tmp_path), trust=frozenset({"collections.deque"})
        )
    mine = frozenset({"collections.Counter"})
    settings = compose_settings(overrides, config_dir=str(tmp_path), trust=mine)
    with pytest.raises(UserError, match="not allowed"):
        apply_overrides(settings, ["trainer._target_=os.system"], trust=mine)
