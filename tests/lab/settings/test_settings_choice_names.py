"""What runs on own pictures and on a library's networks are called."""

from dataclasses import replace

import pytest

from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.runs.folder import default_name, keep_settings
from salmask_plugin.lab.runs.refusals import check_trainer
from salmask_plugin.lab.settings.choice_names import backbone_name, data_name
from salmask_plugin.lab.settings.compose import compose_settings
from salmask_plugin.lab.settings.explain import explain


def test_names_of_a_library_network_and_of_a_folder(tmp_path):
    (tmp_path / "pets").mkdir()
    chosen = [str(tmp_path / "pets"), "backbone=timm", "backbone.name=convnext_tiny"]
    settings = compose_settings([*chosen, "masking=none"])
    assert (backbone_name(settings), data_name(settings)) == ("timm/convnext_tiny", "folder-pets")
    assert default_name(settings).startswith("folder-pets-timm_convnext_tiny-mocov2-none-")
    assert "on timm/convnext_tiny," in "\n".join(explain(settings))


def test_other_names_are_the_choices():
    settings = compose_settings(["backbone=small", "masking=none", "data=generated"])
    assert (backbone_name(settings), data_name(settings)) == ("small", "generated")


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_a_library_needs_a_name(library):
    with pytest.raises(UserError, match=r"backbone\.name=VALUE"):
        compose_settings([f"backbone={library}"])


def test_a_run_from_before_channels_could_be_said_goes_on(tmp_path):
    settings = compose_settings(["method=adios_s_simclr", "backbone=resnet18", "data=generated"])
    assert settings.method["in_channels"] == settings.backbone["in_channels"] == 3
    older = {
        group: {key: value for key, value in settings[group].items() if key != "in_channels"}
        for group in ("backbone", "method")
    }
    keep_settings(tmp_path, replace(settings, values={**settings.values, **older}))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "epoch-0000.ckpt").write_bytes(b"work")
    keep_settings(tmp_path, settings)
    other = {**settings.backbone, "in_channels": 4}
    with pytest.raises(UserError, match=r"backbone\.in_channels: None there, 4 here"):
        keep_settings(tmp_path, replace(settings, values={**settings.values, "backbone": other}))


def test_encoder_and_pictures_have_the_same_channels(tmp_path):
    small = ["backbone=small", f"out={tmp_path}"]
    settings = compose_settings([*small, "in_channels=4", "data=generated"])
    with pytest.raises(UserError, match=r"in_channels=4, and data=generated gives .* 3 channels"):
        check_trainer(settings)
    own = [*small, "data=folder", f"data.root={tmp_path}", "in_channels=4"]
    assert compose_settings(own).data["channels"] == 4
    check_trainer(compose_settings(own))
    with pytest.raises(UserError, match=r"loader\.input=device makes views of RGB alone"):
        check_trainer(compose_settings([*own, "loader.input=device"]))
    supervised = ["method=supervised", "masking=none"]
    with pytest.raises(UserError, match="method=supervised trains on RGB, not on 4 channels"):
        check_trainer(compose_settings([*own, *supervised]))
