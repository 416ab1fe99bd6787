"""What a run's folder, which may be anyone's, decides of the recipes that are measured."""

import json

import pytest
import torch

from salmask_plugin.cli.main import main
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.measures.variance.variance import variance_rows
from salmask_plugin.lab.runs.folder import read_settings
from salmask_plugin.lab.settings.compose import compose_settings

TIMM = "salmask_plugin.localizers.pretrained.timm_network"
CHOICES = ["timm", f"{{_target_:{TIMM},name:x}}", "../x", "/x", "a,b"]


@pytest.mark.parametrize("choice", CHOICES)
def test_a_foreign_choice_of_a_localizer_fetches_nothing(choice, tmp_path, monkeypatch, capsys):
    """`variance` composes its recipes with the localizer that the run's folder names."""
    monkeypatch.setattr("timm.create_model", None)
    settings = compose_settings(["experiment=plumbing", "localizer=uniform", "masking=mean"])
    choices = settings.choices | {"localizer": choice}
    (tmp_path / "settings.json").write_text(
        json.dumps({"values": dict(settings.values), "choices": choices})
    )
    if choice == "timm":
        with pytest.raises(UserError, match="--allow pretrained"):
            variance_rows([], read_settings(tmp_path), torch.nn.Identity())
        return
    assert main(["variance", str(tmp_path)]) == 2
    assert "choices.localizer must be the name of a choice" in capsys.readouterr().err
