"""Rows of the paper's tables: a training step of each at quick scale, on generated images."""

import pytest
import pytorch_lightning as pl
import torch

from salmask_plugin.cli.build import (
    PretrainData,
    build_data,
    build_masking,
    build_module,
    build_splits,
)
from salmask_plugin.cli.compare import study_name
from salmask_plugin.cli.config import CONFIGS, compose_settings
from salmask_plugin.cli.quiet import expected_warnings
from salmask_plugin.cli.tasks import wanted_tasks

TINY = [
    "scale=quick",
    "data=generated",
    "~data.limit_train",
    "~data.limit_val",
    "data.train_images=8",
    "data.val_images=8",
    "data.classes=4",
    "localizer=center",
    "loader.batch_size=8",
    "loader.workers=0",
]
ROOTS = [f"++evaluation.data.{name}.root=somewhere" for name in ("caltech101", "flowers102")]
STUDIES = [f"paper/{path.stem}" for path in (CONFIGS / "experiment" / "paper").glob("*.yaml")]
STUDIES = [*sorted(STUDIES), "controls"]
DOWNLOADS = {"imagenet", "coco"}
"""Table 5's rows are localizers with weights of their own."""


def rows(study):
    settings = compose_settings([f"experiment={study}", *TINY, *ROOTS])
    return settings["compare"]["rows"]


def one_step(study, row):
    chosen = [f"experiment={study}", *TINY, *ROOTS]
    settings = compose_settings([*chosen, *rows(study)[row]])
    masking = build_masking(settings)
    splits = build_splits(settings)
    module = build_module(settings, splits, masking)
    before = {name: value.clone() for name, value in module.backbone.named_parameters()}
    trainer = pl.Trainer(
        max_epochs=2,  # of one batch each: the first may be a warm-up
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    with expected_warnings():
        trainer.fit(module, datamodule=PretrainData(build_data(settings, splits, masking)))
    return before, dict(module.backbone.named_parameters())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("study", "row"),
    [(study, row) for study in STUDIES for row in rows(study) if row not in DOWNLOADS],
)
def test_every_row_takes_a_step(study, row):
    before, after = one_step(study, row)
    assert all(value.isfinite().all() for value in after.values())
    assert any(not torch.equal(value, before[name]) for name, value in after.items())


def test_a_row_of_table_6_takes_a_step():
    before, after = one_step("paper/table6", "highpass_both")
    assert any(not torch.equal(value, before[name]) for name, value in after.items())


def test_scales_have_folders_of_their_own():
    names = [
        study_name(compose_settings(["experiment=paper/table6", *TINY, *extra]))
        for extra in ([], ["name=mine"])
    ]
    assert names == ["paper-table6-quick", "mine"]
    paper = compose_settings(["experiment=paper/table6", "data.root=somewhere"])
    assert study_name(paper) == "paper-table6"


@pytest.mark.parametrize("scale", ["paper", "quick"])
def test_table_3_evaluates_the_encoders_of_table_1(scale):
    given = [f"scale={scale}", "++data.root=a", "++data.classes_file=b"]
    first, third = (
        compose_settings([f"experiment=paper/table{table}_mocov2", *given, *more])
        for table, more in ((1, []), (3, ROOTS))
    )
    assert study_name(first) == study_name(third)
    assert first["compare"]["rows"] == third["compare"]["rows"]
    different = [key for key in first.values if first[key] != third[key]]
    assert different == ["compare", "evaluation"], "else the run folders would be refused"
    names = [task.name for task in wanted_tasks(third)]
    assert names[0] == "linear"
    assert len(names) == 3
