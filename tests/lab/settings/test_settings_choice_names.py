"""What runs on own pictures and on a library's networks are called."""

import pytest

from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.runs.folder import default_name
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
    settings = compose_settings(["backbone=small", "masking=none"])
    assert (backbone_name(settings), data_name(settings)) == ("small", "generated")


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_a_library_needs_a_name(library):
    with pytest.raises(UserError, match=r"backbone\.name=VALUE"):
        compose_settings([f"backbone={library}"])
