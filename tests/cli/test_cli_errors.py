"""Bad input gets one line that names what is wrong, and exit code 2."""

import contextlib
import io
import json
import sys

import pytest

from salmask_plugin.cli.main import build_parser, main
from salmask_plugin.cli.output import lasting_output
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.runs.folder import keep_settings, read_settings, run_folder
from salmask_plugin.lab.settings.allowed_targets import check_targets
from salmask_plugin.lab.settings.compose import apply_overrides, compose_settings


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["foo=1"], ["'foo'", "Unknown keys are errors"]),
        (["masking.foo=1"], ["masking.foo"]),
        (["masking=men"], ["masking=men", "did you mean masking=mean"]),
        (["data=cifar10"], ["data.root"]),
        (["masking"], ["'masking'", "key=value"]),
    ],
)
def test_a_bad_setting_is_named(overrides, words, capsys):
    assert main(["explain", *overrides]) == 2
    message = capsys.readouterr().err
    assert message.startswith("salmask: ")
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["masking=mean", "masking.query.sampler.ratio=[0.5,0.2]"], ["ratio=", "low <= high"]),
        (["masking=mean", "masking.branch=left"], ["branch='left'"]),
        (["masking=blur", "masking.query.fill.kernel_size=4"], ["kernel_size=4", "odd"]),
        (["data.train_images=100", "loader.batch_size=128"], ["batch_size=128", "100"]),
        (["loader.batch_size=1"], ["batch_size=1 must be at least 2"]),
    ],
)
def test_a_value_out_of_range_stops_before_training(overrides, words, capsys, tmp_path):
    common = ["experiment=plumbing", "localizer=uniform", f"out={tmp_path}", "data.val_images=40"]
    common += [] if any("train_images" in text for text in overrides) else ["data.train_images=64"]
    assert main(["pretrain", *common, *overrides]) == 2
    message = capsys.readouterr().err
    for word in words:
        assert word in message
    assert not list(tmp_path.rglob("*.ckpt"))


def test_a_view_too_small_for_the_blur_is_an_error(capsys, tmp_path):
    arguments = ["experiment=plumbing", "localizer=uniform", "masking=blur", f"out={tmp_path}"]
    arguments += ["view_size=16", "masking.query.fill.kernel_size=33", "data.train_images=64"]
    assert main(["pretrain", *arguments]) == 2
    assert "kernel_size=33 is too large for a view of 16x16 px" in capsys.readouterr().err


def test_an_error_does_nothing_to_the_terminal(capsys, tmp_path):
    """Names of files stand in errors, and anyone may have chosen them."""
    folder = tmp_path / "clear\x1b[2J\r\u202eme\udcff"
    assert main(["preview", str(folder), "masking=mean"]) == 2
    told = capsys.readouterr().err
    assert "clear\\x1b[2J\\r\\u202eme\\udcff is not a folder" in told


def test_what_is_printed_is_text_whatever_names_are_in_it():
    """Also where the stream takes no surrogates, as in a UTF-8 locale."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="strict")
    with contextlib.redirect_stdout(stream), lasting_output():
        print("a\x1b[2J\r\udcff\u202eb", "é ± \U0001f469\u200d\U0001f4bb\tc", sep="\n")
        print("progress\r", file=sys.stderr)
    stream.seek(0)
    said = stream.read()
    assert said == "a\\x1b[2J\\r\\udcff\\u202eb\né ± \U0001f469\u200d\U0001f4bb\tc\n"


def test_a_folder_without_images_is_named(capsys, tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "val").mkdir()
    command = ["pretrain", "data=imagefolder", f"data.root={tmp_path}", f"out={tmp_path / 'runs'}"]
    assert main([*command, "localizer=uniform"]) == 2
    assert str(tmp_path) in capsys.readouterr().err


def test_settings_of_another_data_set_are_named(capsys, tmp_path):
    command = ["pretrain", "experiment=plumbing", "data=imagefolder", f"data.root={tmp_path}"]
    assert main([*command, f"out={tmp_path / 'runs'}", "localizer=uniform"]) == 2
    message = capsys.readouterr().err
    assert "'data.train_images' is no setting of salmask_plugin.data.image_folder" in message
    assert "There are root, val_share" in message


def test_preview_of_a_folder_without_images_is_named(capsys, tmp_path):
    assert main(["preview", str(tmp_path)]) == 2
    assert (
        "no images (.bmp, .jpeg, .jpg, .npy, .pgm, .png, .ppm, .tif, .tiff, .webp) below "
        f"'{tmp_path}'" in capsys.readouterr().err
    )


def test_evaluating_what_is_no_run_is_named(capsys, tmp_path):
    assert main(["evaluate", str(tmp_path)]) == 2
    assert "is not a run folder" in capsys.readouterr().err


def test_report_of_nothing_is_named(capsys, tmp_path):
    assert main(["report", str(tmp_path)]) == 2
    assert "no finished run" in capsys.readouterr().err


def test_a_run_with_other_settings_is_refused(tmp_path):
    first = compose_settings(["experiment=plumbing", f"out={tmp_path}", "name=one"])
    keep_settings(run_folder(first), first)
    keep_settings(run_folder(first), first)
    more = compose_settings(
        ["experiment=plumbing", f"out={tmp_path}", "name=one", "loader.workers=0"]
    )
    keep_settings(run_folder(more), more)
    started = run_folder(first) / "checkpoints" / "epoch-0000.ckpt"
    started.parent.mkdir()
    started.touch()
    other = compose_settings(["experiment=plumbing", f"out={tmp_path}", "name=one", "view_size=32"])
    with pytest.raises(UserError, match="view_size: 64 there, 32 here"):
        keep_settings(run_folder(other), other)
    # What may change is kept as it was asked for last; what was refused leaves no trace.
    assert read_settings(run_folder(first)).values == more.values


def test_damaged_settings_are_named(tmp_path):
    (tmp_path / "settings.json").write_text("{")
    with pytest.raises(UserError, match=r"settings\.json cannot be read"):
        read_settings(tmp_path)


def test_kept_settings_take_changes_of_known_keys_only(tmp_path):
    settings = compose_settings(["experiment=plumbing"])
    changed = apply_overrides(settings, ["evaluation.knn.k=7"], trust=False)
    assert changed["evaluation"]["knn"]["k"] == 7
    assert settings["evaluation"]["knn"]["k"] == 20
    with pytest.raises(UserError, match="not a setting of this run"):
        apply_overrides(settings, ["evaluation.knn.kk=7"], trust=False)


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "builtins.eval",
        "torch.load",
        "torch.hub.load",
        "lightly.loss.ntx_ent_loss.torch.load",
        "salmask_plugin.lab.study.side_by_side.subprocess.run",
        "salmask_plugin.lab.results.store.json.loads",
        "torch.utils.data.DataLoader",
        "numpy.load",
        "pytorch_lightning.trainer.trainer.log",
    ],
)
def test_targets_outside_the_list_are_refused(target):
    with pytest.raises(UserError, match=r"not allowed|cannot be imported"):
        check_targets({"masking": {"query": [{"_target_": target}]}})


def test_trust_lifts_the_list(tmp_path):
    group = tmp_path / "fill"
    group.mkdir()
    (group / "mine.yaml").write_text("_target_: collections.Counter\n")
    overrides = ["masking=mean", "fill@masking.query.fill=mine"]
    with pytest.raises(UserError, match="not allowed"):
        compose_settings(overrides, config_dir=str(tmp_path))
    settings = compose_settings(overrides, config_dir=str(tmp_path), trust=True)
    assert json.dumps(settings.values)


@pytest.mark.parametrize(
    "typed",
    [
        ["audit", "--images", "7", "masking=mean", "data=generated"],
        ["audit", "masking=mean", "--images", "7", "data=generated"],
        ["audit", "masking=mean", "data=generated", "--images", "7"],
    ],
)
def test_flags_may_stand_anywhere_among_the_settings(typed):
    options = build_parser().parse_args(typed)
    assert (options.command, options.images) == ("audit", 7)
    assert options.overrides == ["masking=mean", "data=generated"]


def test_a_folder_comes_first_whatever_stands_between():
    options = build_parser().parse_args(
        ["variance", "--views", "3", "run", "--layer", "backbone", "a=1"]
    )
    assert (options.folder, options.views, options.layer) == ("run", 3, "backbone")
    assert options.overrides == ["a=1"]


def test_an_unknown_flag_is_still_an_error(capsys):
    with pytest.raises(SystemExit):
        build_parser().parse_args(["audit", "masking=mean", "--imagse", "7"])
    assert "--imagse" in capsys.readouterr().err
