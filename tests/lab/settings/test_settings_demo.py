"""The demo: what it is made of, and a step of each row."""

import pytest
import pytorch_lightning as pl
import torch

from salmask_plugin import GivenLocalizer
from salmask_plugin.lab.runs.build import (
    PretrainData,
    build_data,
    build_masking,
    build_module,
    build_splits,
)
from salmask_plugin.lab.runs.expected_warnings import expected_warnings
from salmask_plugin.lab.settings.compose import compose_settings

ROWS = ["untrained", "none", "mean", "blur", "highpass"]
TINY = ["data.train_images=8", "data.val_images=8", "data.classes=4", "loader.batch_size=4"]
TINY += ["backbone.widths=[4,4,6,8]"]


def tolerances(node):
    """All values called so, at any depth."""
    if isinstance(node, list):
        return [found for part in node for found in tolerances(part)]
    if not isinstance(node, dict):
        return []
    own = [node["tolerance"]] if "tolerance" in node else []
    return own + [found for part in node.values() for found in tolerances(part)]


def test_what_the_demo_is_made_of():
    settings = compose_settings(["experiment=demo"])
    compare = settings["compare"]
    assert list(compare["rows"]) == ROWS
    assert (compare["baseline"], compare["parallel"], compare["seeds"]) == ("none", 2, [0])
    assert settings["data"]["_target_"] == "salmask_plugin.data.generated_objects"
    assert settings["backbone"]["_target_"] == "salmask_plugin.encoders.small_convnet"
    assert settings["evaluation"]["tasks"] == ["knn", "logistic", "occlusion"]
    assert settings["evaluation"]["occlusion"]["shares"] == [0.3]
    assert settings["evaluation"]["occlusion"]["fills"] == ["picture"]
    (setting, placed) = compare["notes"]
    # The note's numbers are the settings'.
    data, trainer = settings["data"], settings["trainer"]
    for said in (
        "Not the paper's setting",
        f"{data['train_images']:,} drawn pictures of {data['size']} px",
        f"views of {settings['view_size']} px",
        f"{trainer['max_epochs']} epochs",
    ):
        assert said in " ".join(setting.split())
    assert "not by a saliency network" in placed


@pytest.mark.parametrize("row", ROWS)
def test_every_row_takes_a_step(row):
    settings = compose_settings([f"experiment=demo/{row}", *TINY])
    masking = build_masking(settings)
    splits = build_splits(settings)
    module = build_module(settings, splits, masking)
    assert (masking is None) == (row in ("untrained", "none"))
    if masking is not None:
        assert isinstance(masking.localizer, GivenLocalizer)
        assert set(tolerances(settings["masking"])) == {0}
    before = {name: value.detach().clone() for name, value in module.backbone.named_parameters()}
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        precision=settings["trainer"]["precision"],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    with expected_warnings():
        trainer.fit(module, datamodule=PretrainData(build_data(settings, splits, masking)))
    change = max(
        float((value.detach() - before[name]).abs().max())
        for name, value in module.backbone.named_parameters()
    )
    assert (change < 1e-6) == (row == "untrained")
    assert torch.isfinite(torch.tensor(change))
