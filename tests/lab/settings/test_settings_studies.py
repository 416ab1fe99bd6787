"""Rows of studies: a training step of each at quick scale, on generated images."""

import pytest
import pytorch_lightning as pl
import torch
from PIL import Image

from salmask_plugin.lab.probes.tasks import requested_tasks
from salmask_plugin.lab.runs.build import (
    PretrainData,
    build_data,
    build_masking,
    build_module,
    build_splits,
)
from salmask_plugin.lab.runs.expected_warnings import expected_warnings
from salmask_plugin.lab.settings.compose import CONFIGS, compose_settings
from salmask_plugin.lab.settings.study_rows import study_name

EXPERIMENTS = CONFIGS / "experiment"
STUDIES = sorted(
    str(path.relative_to(EXPERIMENTS).with_suffix(""))
    for path in EXPERIMENTS.rglob("*.yaml")
    if path.stem != "demo" and ("_block_" not in path.stem + "_" or path.stem.startswith("tiny"))
)
"""The demo and the small blocks have no quick scale; tests of their own take their steps."""
SMALL = ["scale=quick", "loader.batch_size=8", "loader.workers=0"]
GENERATED = ["data=generated", "data.train_images=8", "data.val_images=8", "data.classes=4"]
# What experiments say of their own data sets' keys.
GENERATED += ["~data.limit_train", "~data.limit_val"]
ROOTS = [f"evaluation.data.{name}.root=somewhere" for name in ("caltech101", "flowers102")]
DOWNLOADS = {
    (f"paper/{study}", row) for study in ("table5", "table5_voc") for row in ("imagenet", "coco")
}
"""These rows are localizers with weights of their own."""


def given_for(study):
    own = (
        ["~data.limit_classes", "method.warmup_epochs=1"] if study.startswith("tiny_block") else []
    )
    return [f"experiment={study}", *SMALL, *GENERATED, *own]


ROWS = {
    (study, row): overrides
    for study in STUDIES
    for row, overrides in compose_settings(given_for(study))["compare"]["rows"].items()
}
STEPS = sorted(set(ROWS) - DOWNLOADS - {("controls", "given")})


def recipe_of(place):
    """What a row exercises, its values aside: the masking, or the method; SimCLR's once."""
    method = masking = warm_up = ""
    for text in ROWS[place]:
        if text.startswith("method="):
            method = text.removeprefix("method=").removesuffix("_quick")
        if text.startswith("masking="):
            masking = text.removeprefix("masking=")
        if text.startswith("warm_up@"):
            warm_up = text
    if method == "simclr":
        return method, masking == "none"
    return (masking, warm_up) if masking not in ("", "none") else (method, warm_up)


ONE_OF_EACH = {recipe_of(place): place for place in STEPS if place[0].startswith(("paper", "con"))}


def one_step(settings):
    """The encoder's parameters before and after two epochs of one batch."""
    masking = build_masking(settings)
    splits = build_splits(settings)
    module = build_module(settings, splits, masking)
    before = {name: value.clone() for name, value in module.backbone.named_parameters()}
    trainer = pl.Trainer(
        max_epochs=2,  # the first may be a warm-up
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    with expected_warnings():
        trainer.fit(module, datamodule=PretrainData(build_data(settings, splits, masking)))
    after = dict(module.backbone.named_parameters())
    assert all(value.isfinite().all() for value in after.values())
    assert any(not torch.equal(value, before[name]) for name, value in after.items())


def step_of(study, row):
    own = {text.partition("=")[0] for text in ROWS[study, row]}
    given = [*given_for(study), "localizer=center"]
    # What a row says itself wins; to say it otherwise is an error.
    given = [text for text in given if text.partition("=")[0] not in own]
    given[0] = f"experiment={study}/{row}"
    settings = compose_settings(given)
    assert settings["compare"]["row"] == row
    one_step(settings)


@pytest.mark.parametrize(("study", "row"), ONE_OF_EACH.values())
def test_a_row_of_each_recipe_takes_a_step(study, row):
    step_of(study, row)


@pytest.mark.slow
@pytest.mark.parametrize(("study", "row"), sorted(set(STEPS) - set(ONE_OF_EACH.values())))
def test_every_other_row_takes_a_step(study, row):
    step_of(study, row)


@pytest.fixture
def tiny_imagenet(tmp_path):
    """Eight training and two validation pictures of two classes, with boxes."""
    root = tmp_path / "tiny-imagenet-200"
    val = []
    for number, wnid in enumerate(("n01", "n02")):
        (root / "train" / wnid / "images").mkdir(parents=True)
        boxes = []
        for index in range(4):
            name = f"{wnid}_{index}.JPEG"
            picture = Image.effect_noise((64, 64), 60 + 20 * index).convert("RGB")
            picture.save(root / "train" / wnid / "images" / name)
            boxes.append(f"{name}\t{8 + index}\t4\t{30 + index}\t40\n")
        (root / "train" / wnid / f"{wnid}_boxes.txt").write_text("".join(boxes))
        (root / "val" / "images").mkdir(parents=True, exist_ok=True)
        picture.save(root / "val" / "images" / f"val_{number}.JPEG")
        val.append(f"val_{number}.JPEG\t{wnid}\t0\t10\t50\t60\n")
    (root / "val" / "val_annotations.txt").write_text("".join(val))
    return root


def test_given_boxes_take_a_step_on_tiny_imagenet(tiny_imagenet):
    given = ["data=tiny_imagenet", f"data.root={tiny_imagenet}", "~compare.left_out.given"]
    given += ["data.limit_train=null", "data.limit_val=null"]
    settings = compose_settings(["experiment=controls/given", *SMALL, *given])
    masking = build_masking(settings)
    assert (masking.query.sampler.tolerance, masking.negative.sampler.tolerance) == (0, 0)
    one_step(settings)


def test_scales_have_folders_of_their_own():
    names = [
        study_name(compose_settings([*given_for("paper/table6"), *extra]))
        for extra in ([], ["name=mine"])
    ]
    assert names == ["paper-table6-quick", "mine"]
    paper = compose_settings(["experiment=paper/table6", "data.root=somewhere"])
    assert study_name(paper) == "paper-table6"


@pytest.mark.parametrize("scale", ["paper", "quick"])
def test_table_3_evaluates_the_encoders_of_table_1(scale):
    paper = scale == "paper"
    given = [f"scale={scale}", "data.root=a", *(["data.classes_file=b"] if paper else [])]
    first, third = (
        compose_settings([f"experiment=paper/table{table}_mocov2", *given, *more])
        for table, more in ((1, []), (3, ROOTS if paper else []))
    )
    assert study_name(first) == study_name(third)
    assert first["compare"]["rows"] == third["compare"]["rows"]
    different = [key for key in first.values if first[key] != third[key]]
    assert different == ["compare", "evaluation"], "else the run folders would be refused"
    names = [task.name for task in requested_tasks(third)]
    assert names[0] == "linear"
    assert len(names) == 3
