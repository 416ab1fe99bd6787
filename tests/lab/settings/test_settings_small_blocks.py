"""The small blocks: every row takes a step on cached maps, and the plan is what was fixed."""

import pytest
import pytorch_lightning as pl
import torch

from salmask_plugin.cli.main import main
from salmask_plugin.lab.runs.build import PretrainData, build_parts
from salmask_plugin.lab.runs.expected_warnings import expected_warnings
from salmask_plugin.lab.settings.compose import compose_settings
from salmask_plugin.lab.settings.study_rows import check_plan

GENERATED = ["data=generated", "data.train_images=8", "data.val_images=8", "data.classes=4"]
GENERATED += ["data.size=48"]
SMALL = ["loader.batch_size=4", "loader.workers=0", "backbone.widths=[4,4,6,8]"]
PASSES = {
    "small_block_simclr": 6,
    "small_block_mocov2": 4,
    "small_block_imagenette_simclr": 6,
    "small_block_imagenette_mocov2": 4,
}
"""Study -> passes of the encoder in a step without hard negatives: a backward counts as two."""


def rows_of(study):
    compare = compose_settings([f"experiment={study}", "data.root=x", "localizer.folder=y"])[
        "compare"
    ]
    return compare["rows"] if study == "small_block_simclr" else compare["only"]


ROWS = [(study, row) for study in PASSES if "imagenette" not in study for row in rows_of(study)]


@pytest.fixture(scope="module")
def maps(tmp_path_factory):
    folder = tmp_path_factory.mktemp("block") / "maps"
    made = ["localizer=efficientnet_lite0", "loader.workers=0", *GENERATED]
    assert main(["cache", "--grid", "2", "--size", "64", str(folder), *made]) == 0
    return folder


@pytest.mark.parametrize(("study", "row"), ROWS)
def test_every_row_takes_a_step(maps, study, row):
    given = [*GENERATED, *SMALL, f"localizer.folder={maps}"]
    given += ["method.split_batch_size=2"] if study == "small_block_mocov2" else []
    settings = compose_settings([f"experiment={study}/{row}", *given])
    parts = build_parts(settings)
    module = parts.module
    before = {name: value.clone() for name, value in module.backbone.named_parameters()}
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
        trainer.fit(module, datamodule=PretrainData(parts.data))
    moved = [
        not torch.equal(value, before[name]) for name, value in module.backbone.named_parameters()
    ]
    assert any(moved)


@pytest.mark.parametrize("study", PASSES)
def test_the_plan_is_the_one_that_was_fixed(study):
    settings = compose_settings([f"experiment={study}", "data.root=x", "localizer.folder=y"])
    check_plan(settings)
    hidden = "occlusion/top1_linear_anywhere_picture"
    plan = settings["compare"]["plan"]
    assert [(p["row"], p["against"], p["measure"]) for p in plan.values()] == [
        ("masks", "none", "logistic/top1"),
        ("masks", "none", hidden),
        ("masks", "random", "logistic/top1"),
        ("masks", "random", hidden),
        ("masks_paper", "none_longer", "logistic/top1"),
    ]
    assert settings["compare"]["seeds"] == [0, 1, 2, 3, 4]
    cells = settings["localizer"]["grid"]
    assert [side * 8 for side in cells] == [settings["view_size"]] * 2
    assert settings["evaluation"]["occlusion"]["grid"] == cells
    rows = settings["compare"]["rows"]
    longer = int(rows["none_longer"][-1].removeprefix("trainer.max_epochs="))
    assert longer == round(settings["trainer"]["max_epochs"] * (1 + 1 / PASSES[study]))


@pytest.mark.parametrize("study", ["small_block_simclr", "small_block_imagenette_simclr"])
def test_masks_that_fall_anywhere_have_the_cells_of_those_by_saliency(study):
    """Else a row differs from its partner by more than its name says."""
    given = ["data.root=x", "localizer.folder=y"]
    rows = compose_settings([f"experiment={study}", *given])["compare"]["rows"]
    found = {}
    anywhere = ("masking=random", "warm_up@method.warm_up=saliency")
    for row in [row for row, overrides in rows.items() if {*anywhere} & {*overrides}]:
        settings = compose_settings([f"experiment={study}/{row}", *given])
        parts = ((settings["masking"] or {}).get("localizer"), settings["method"].get("warm_up"))
        own = [part["grid"] for part in parts if part and "grid" in part]
        if own:
            found[row] = own
    assert {"random", "random_other_image", "label_free_warmup"} <= found.keys()
    cells = compose_settings([f"experiment={study}", *given])["localizer"]["grid"]
    assert {row: own for row, own in found.items() if own != [cells]} == {}


def test_the_block_for_a_gpu_composes():
    for study in ("gpu_block_simclr", "gpu_block_mocov2"):
        settings = compose_settings(
            [f"experiment={study}/mean", "data.root=x", "localizer.folder=y"]
        )
        assert settings.choices["backbone"] == "resnet18_cifar"
        assert settings["trainer"]["precision"] == "bf16-mixed"
