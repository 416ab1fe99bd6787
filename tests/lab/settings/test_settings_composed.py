"""Settings as people type them: which keys there are, of which type, and what would be lost."""

import copy
from functools import cache
from typing import get_type_hints, is_typeddict

import pytest
import torch
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from salmask_plugin.cli.main import build_parser, main
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.runs import build as building
from salmask_plugin.lab.runs import pretrain
from salmask_plugin.lab.runs.build import build
from salmask_plugin.lab.runs.refusals import check_trainer
from salmask_plugin.lab.settings.checks import judge
from salmask_plugin.lab.settings.compose import CONFIGS, apply_overrides, compose_settings
from salmask_plugin.lab.settings.known import KINDS, ROOTS
from salmask_plugin.lab.settings.override_text import parse_value, read_typed
from salmask_plugin.lab.settings.reserved_arguments import METHOD, TRAINER
from salmask_plugin.lab.settings.settings import Settings


def refusal(overrides, **options):
    with pytest.raises(UserError) as caught:
        compose_settings(overrides, **options)
    return str(caught.value)


@cache
def composed():
    return compose_settings(["masking=mean"]).values


def faults_of(*settings):
    """What is wrong with settings on top of the mean recipe, without composing it again."""
    config = OmegaConf.create(copy.deepcopy(composed()))
    for typed in read_typed(settings, lambda name: name in ("masking", "data")):
        if typed.value is None:
            node, _, name = typed.key.rpartition(".")
            del (OmegaConf.select(config, node) if node else config)[name]
        else:
            value = parse_value(typed)
            OmegaConf.update(config, typed.key, value, merge=True, force_add=True)
    return judge(OmegaConf.to_container(config), "run").faults


def test_a_plus_makes_no_key_known():
    refusals = {refusal([f"{sign}max_epochs=9"]) for sign in ("", "+", "++")}
    (message,) = refusals
    assert "'max_epochs' is no setting" in message
    assert "trainer.max_epochs" in message
    assert "+" not in message


@pytest.mark.parametrize(
    ("setting", "nearest"),
    [
        ("loader.batchsize=3", "loader.batch_size"),
        ("loader.shuffle=false", "There are batch_size, workers"),
        ("compare.seed=[0]", "compare.seeds"),
        ("evaluation.foo=3", "There are tasks, data"),
        ("evaluation.knn.neighbours=3", "There are task, k, temperature"),
        ("evaluation.mine={task: knn, kk: 3}", "There are task, k, temperature"),
        ("data.trainimages=3", "data.train_images"),
        ("masking.negative.source=key", "There are sampler, fill"),
        ("masking.negative.sampler.ratios=[0,1]", "masking.negative.sampler.ratio"),
        ("trainer.max_epoch=3", "trainer.max_epochs"),
        ("masking.query.sampler={_target_: salmask_plugin.TopMask, share: 1}", "There are ratio"),
    ],
)
def test_an_unknown_key_is_told_with_those_that_are_like_it(setting, nearest):
    plain = faults_of(setting)
    assert faults_of(f"+{setting}") == plain
    assert "is no setting" in plain[0].message
    assert nearest in plain[0].message


@pytest.mark.parametrize(
    "setting",
    [
        "trainer.accumulate_grad_batches=2",
        "trainer.max_steps=5",
        "views.cj_strength=0.5",
        "compare.rows.topk=[masking=mean]",
        "evaluation.mine={task: knn, k: 3}",
        "method.warm_up=null",
    ],
)
def test_what_a_constructor_or_a_free_mapping_takes_needs_no_plus(setting):
    assert faults_of(setting) == faults_of(f"+{setting}") == []


def test_groups_can_still_be_added():
    added = ["+data@evaluation.data.flowers102=flowers102", "evaluation.data.flowers102.root=x"]
    assert compose_settings(added)["evaluation"]["data"]["flowers102"]["root"] == "x"
    assert "'foo' is no setting" in refusal(["+masking@foo=mean"])


def test_a_key_of_ones_own_file_is_judged_too(tmp_path):
    (tmp_path / "experiment").mkdir()
    own = tmp_path / "experiment" / "mine.yaml"
    own.write_text("# @package _global_\nepochs: 9\n")
    assert "trainer.max_epochs" in refusal(["experiment=mine"], config_dir=str(tmp_path))
    own.write_text("# @package _global_\ntrainer: {max_epochs: 9}\n")
    settings = compose_settings(["experiment=mine"], config_dir=str(tmp_path))
    assert settings["trainer"]["max_epochs"] == 9


def test_ones_own_configurations_may_lie_anywhere(tmp_path):
    name = "a b (1), = ~ [x] it's über"
    group = tmp_path / name / "backbone"
    group.mkdir(parents=True)
    (group / "mine.yaml").write_text((CONFIGS / "backbone" / "resnet18.yaml").read_text())
    settings = compose_settings(["backbone=mine"], config_dir=str(tmp_path / name))
    assert settings["backbone"]["name"] == "resnet18"


def test_ones_own_file_is_read_or_refused_but_never_passed_over(tmp_path):
    """Hydra takes the first file of a name, and that was ours, without a word."""
    assert "nowhere is no folder" in refusal([], config_dir=str(tmp_path / "nowhere"))
    (tmp_path / "fill").mkdir()
    own = tmp_path / "fill" / "mean.yaml"
    own.write_text("_target_: salmask_plugin.NoiseFill\n")
    words = refusal(["masking=mean"], config_dir=str(tmp_path))
    assert f"'{own}' is called like a file of ours, fill/mean.yaml" in words
    own.rename(own.with_name("mine.yaml"))
    own.write_text((CONFIGS / "fill" / "mean.yaml").read_text())  # a copy changes nothing
    chosen = ["masking=mean", "fill@masking.query.fill=mine"]
    settings = compose_settings(chosen, config_dir=str(tmp_path))
    assert settings["masking"]["query"]["fill"]["_target_"] == "salmask_plugin.NoiseFill"


def declared(hint, node):
    """Keys of a TypedDict, and of what lies below, that do not agree with a node; both ways."""
    hints = get_type_hints(hint)
    required = set(hint.__required_keys__)
    wrong = sorted((required - node.keys()) | (node.keys() - hints.keys() - {"scale"}))
    for key, inner in hints.items():
        if is_typeddict(inner) and key not in ("evaluation", "trainer") and key in node:
            wrong += [f"{key}.{name}" for name in declared(inner, node[key])]
    return wrong


@pytest.mark.parametrize(
    ("root", "choices"),
    [
        ("run", []),
        ("transfer", ["data=generated"]),
        ("detect", []),
        ("depth", []),
    ],
)
def test_the_description_of_the_settings_is_that_of_the_files(root, choices):
    values = compose_settings(choices, root=root).values
    assert declared(ROOTS[root], values) == []
    if "evaluation" in values:
        for kind in ("knn", "linear", "finetune"):
            own = set(values["evaluation"][kind])
            assert own <= set(get_type_hints(KINDS[kind]))
            assert set(get_type_hints(KINDS[kind])) <= own | {"task", "label_share"}


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("seed=1e3", "seed=1000.0 must be a whole number"),
        ("seed=true", "seed=True must be a whole number"),
        ("seed=0,1", "compare.seeds=[0,1]"),
        ("seed=range(0,3)", "compare.seeds=[0,1]"),
        ("masking.probability=0.1,0.2", "compare.rows"),
        ("masking=mean,blur", "compare.only"),
        ("masking=null", "name one of the choices of masking"),
        ("~loader", "the setting loader is missing"),
        ("~loader.workers", "the setting loader.workers is missing"),
        ("~trainer.devices", "the setting trainer.devices is missing"),
        ("~data", "the setting data is missing"),
        ("loader=3", "loader=3 must be a mapping with batch_size"),
        ("loader.workers=two", "loader.workers='two' must be an integer"),
        ("loader.keep=yes", "loader.keep='yes' must be true or false"),
        ("loader.input=disk", "loader.input='disk' must be one of host, device"),
        ("logger=none", "logger='none' must be one of csv, tensorboard, wandb"),
        ("compare.only=none", "compare.only='none' must be a list, each a text or null"),
        ("compare.seeds=3", "compare.seeds=3 must be a list, each a whole number"),
        ("trainer.devices=1.5", "trainer.devices=1.5 must be"),
        ("trainer.precision=half", "trainer.precision='half' must be one of 64, 32"),
        ("masking.probability=high", "masking.probability='high' must be a number"),
        ("masking.query.sampler.ratio=0.5", "ratio=0.5 must be a list [a number, a number]"),
        ("masking.query.sampler.ratio=[a,b]", "must be a list [a number, a number]"),
        ("masking.query.fill=null", "masking.query.fill=null must be a node with a _target_"),
        ("masking.query=3", "masking.query=3 must be a node with a _target_"),
        ("data.train_images=null", "data.train_images=null must be an integer"),
        ("views.input_size=big", "views.input_size='big' must be an integer"),
        ("evaluation.knn.k=few", "evaluation.knn.k='few' must be an integer"),
        ("out=null", "out=null must be a path"),
        ("out=", "the path is empty"),
        ("hydra.run.dir=x", "nothing reads here"),
        ("=3", "settings are key=value"),
        ("é=3", "settings are key=value"),
    ],
)
def test_a_value_of_another_type_is_a_sentence(setting, words):
    try:
        message = faults_of(setting)[0].message
    except UserError as error:
        message = str(error)
    assert words in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize("setting", ["seed=1e3", "~loader"])
def test_a_wrong_setting_ends_the_command_with_2(setting, capsys):
    assert main(["explain", setting]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_parts_of_a_part_that_is_left_out_are_no_settings():
    faults = faults_of("masking.negative=null", "masking.negative.sampler.ratio=[0,1]")
    assert "masking.negative=" in faults[0].message
    assert "masking builds nothing" in refusal(["masking=none", "masking.probability=0.5"])


def test_a_setting_that_is_a_text_takes_what_is_typed():
    settings = compose_settings(["out=2024", "name=[a]", "data=cifar10", "data.root=1e3"])
    assert (settings["out"], settings["name"], settings["data"]["root"]) == ("2024", "[a]", "1e3")


def test_paths_are_taken_as_people_have_them():
    odd = ["a=b", "a/~y", "runs (1)", "a;b", "фото", "写真/猫", "x[1]{2}", "it's", "a#b!", "50 %"]
    typed = ["data=cifar10", f"data.root=/d,{'/'.join(odd)}", f"compare.include=[{','.join(odd)}]"]
    settings = compose_settings([*typed, "out=f(x)"])
    assert settings["data"]["root"] == f"/d,{'/'.join(odd)}"
    assert settings["compare"]["include"] == odd
    assert settings["out"] == "f(x)"


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_every_text_comes_through_the_grammar(text):
    (typed,) = read_typed([f"out={text}"], lambda name: False, as_text={"out"})
    assert OverridesParser.create().parse_override(typed.hydra).value() == text


def test_the_users_folder_is_expanded_where_a_setting_is_a_path(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    typed = ["data=cifar10", "data.root=~/c", "out=~/runs", "compare.include=[~/a,~]", "name=~x"]
    settings = compose_settings([*typed, "localizer.network.weights_file=~/w.pth"])
    assert settings["data"]["root"] == f"{tmp_path}/c"
    assert settings["out"] == f"{tmp_path}/runs"
    assert settings["compare"]["include"] == [f"{tmp_path}/a", str(tmp_path)]
    assert settings["localizer"]["network"]["weights_file"] == f"{tmp_path}/w.pth"
    assert settings["name"] == "~x"
    assert "'~nobody-here/x'" in refusal(["out=~nobody-here/x"])


@pytest.mark.parametrize(
    "setting",
    [
        "trainer.logger=false",
        "trainer.default_root_dir=x",
        "trainer.callbacks=[]",
        "trainer.limit_val_batches=3",
        "method.seed=3",
        "method.masking=null",
    ],
)
def test_what_a_command_sets_itself_is_refused(setting):
    message = faults_of(f"+{setting}")[0].message
    assert setting.partition("=")[0] in message
    assert "would be lost, the command sets it" in message


@pytest.mark.parametrize(
    ("command", "setting"),
    [
        ("detect", "trainer.max_epochs=3"),
        ("detect", "trainer.sync_batchnorm=true"),
        ("depth", "trainer.max_epochs=3"),
        ("depth", "trainer.logger=false"),
    ],
)
def test_what_a_schedule_decides_is_refused(command, setting, capsys, tmp_path):
    assert main([command, str(tmp_path), setting]) == 2
    assert "would be lost" in capsys.readouterr().err


def test_the_lists_of_what_is_set_are_those_of_the_code(monkeypatch, tmp_path):
    seen = {}

    def recorded(node, kind=None, /, **arguments):
        seen[node["_target_"].rpartition(".")[2]] = set(arguments)
        return (torch.nn.Identity(), 1) if "name" in node else torch.nn.Identity()

    settings = compose_settings(["experiment=plumbing", f"out={tmp_path}"])
    monkeypatch.setattr(pretrain, "build", recorded)
    monkeypatch.setattr(building, "build", recorded)
    pretrain._trainer(settings, tmp_path, [])
    splits = type("Splits", (), {"classes": ("a", "b")})()
    building.build_module(settings, splits, None)
    supervised = compose_settings(["method=supervised"])
    building.build_module(supervised, splits, None)
    assert seen["Trainer"] <= set(TRAINER)
    assert seen["MaskedMoCoV2"] | seen["SupervisedClassifier"] == set(METHOD)


def test_nothing_that_is_built_loses_an_argument():
    node = {"_target_": "salmask_plugin.CenterLocalizer", "grid": [3, 3], "size": 0.5}
    assert build(node).size == 0.5
    with pytest.raises(UserError, match=r"size=0\.5 of salmask_plugin\.CenterLocalizer"):
        build(node, size=0.75)


def test_a_finished_run_takes_what_still_acts(tmp_path):
    kept = compose_settings(
        [
            "experiment=plumbing",
            "data=cifar10",
            "~data.train_images",
            "~data.val_images",
            "data.root=x",
        ]
    )
    changed = apply_overrides(kept, ["data.root=2024", "evaluation.knn.k=7"], trust=False)
    assert (changed["data"]["root"], changed["evaluation"]["knn"]["k"]) == ("2024", 7)
    for text in ("seed=3", "trainer.max_epochs=9", "out=x", "masking=none", "+loader.workers=1"):
        with pytest.raises(UserError, match="not a setting of this run"):
            apply_overrides(kept, [text], trust=False)
    with pytest.raises(UserError, match="must be an integer"):
        apply_overrides(kept, ["evaluation.knn.k=few"], trust=False)


def test_settings_that_an_older_version_kept_are_not_judged_again():
    kept = Settings({**composed(), "gone": 3}, {}, ())
    assert apply_overrides(kept, ["evaluation.knn.k=7"], trust=False)["gone"] == 3


@pytest.mark.parametrize("flag", ["--multirun", "-m"])
def test_several_values_have_a_place(flag, capsys):
    with pytest.raises(SystemExit) as ended:
        build_parser().parse_args(["pretrain", "seed=0,1", flag])
    assert ended.value.code == 2
    assert "compare.seeds=[0,1]" in capsys.readouterr().err


NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["trainer.devices=0"], ["devices=0"]),
        (["trainer.devices=-2"], ["devices"]),
        (["trainer.devices=[]"], ["devices=[]"]),
        (["trainer.max_epochs=-5"], ["max_epochs", "-5"]),
        (["trainer.limit_train_batches=1.5"], ["limit_train_batches", "1.5"]),
        (["trainer.gradient_clip_val=1", "trainer.gradient_clip_algorithm=x"], ["algorithm", "x"]),
        pytest.param(["trainer.accelerator=gpu"], ["gpu"], marks=NO_GPU),
        pytest.param(["trainer.accelerator=cuda", "trainer.devices=2"], ["CUDA"], marks=NO_GPU),
        (["method=ADIOSSimCLR", "trainer.gradient_clip_val=1.0"], ["gradient_clip_val=1.0"]),
        (["method=ADIOSMoCoV2", "trainer.accumulate_grad_batches=4"], ["grad_batches=4"]),
    ],
)
def test_what_lightning_refuses_is_a_sentence(settings, words):
    values = copy.deepcopy(composed())
    for typed in read_typed(settings, lambda name: False):
        if typed.key == "method":
            values["method"] = {"_target_": f"salmask_plugin.adapters.lightly.{typed.value}"}
        else:
            values["trainer"][typed.key.removeprefix("trainer.")] = parse_value(typed)
    with pytest.raises(UserError) as caught:
        check_trainer(Settings(values, {}, ()))
    for word in words:
        assert word in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("command", ["pretrain", "compare", "plan"])
def test_it_is_said_before_any_work(command, capsys, tmp_path, monkeypatch):
    for module in (pretrain, building):
        monkeypatch.setattr(module, "build_splits", None)
    out = tmp_path / "runs"
    typed = [
        command,
        "experiment=plumbing",
        f"out={out}",
        "trainer.devices=0",
        *(["compare.only=[none]"] if command == "compare" else []),
    ]
    assert main(typed) == 2
    assert "devices=0" in capsys.readouterr().err
    assert not out.exists()


def test_what_lightning_refuses_later_is_a_sentence_too(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("salmask_plugin.lab.runs.refusals.AUTOMATIC", {})
    typed = ["pretrain", "experiment=plumbing", "method=adios_s_simclr_quick", "masking=none"]
    typed += ["data.train_images=8", "data.val_images=8", "loader.batch_size=4", "view_size=32"]
    typed += ["loader.workers=0", "trainer.gradient_clip_val=1.0", f"out={tmp_path}"]
    assert main(typed) == 2
    assert "clipping is not supported" in capsys.readouterr().err


@NO_GPU
def test_a_transfer_names_a_device_that_is_not_there(capsys, tmp_path):
    typed = ["transfer", str(tmp_path), "data=generated"]
    assert main([*typed, "trainer.accelerator=gpu"]) == 2
    assert "there is no GPU here" in capsys.readouterr().err
    assert main([*typed, "trainer.accelerator=fast"]) == 2
    assert "must be one of auto, cpu, gpu, cuda" in capsys.readouterr().err


def test_the_users_folder_is_expanded_in_reports(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    study = tmp_path / "kept" / "one"
    study.mkdir(parents=True)
    (study / "study.md").write_text("# One\n")
    (tmp_path / "runs").mkdir()
    assert main(["results", str(tmp_path / "kept"), "keep=~/runs", "study=one"]) == 2
    assert f"keep={tmp_path}/runs has no finished run" in capsys.readouterr().err
