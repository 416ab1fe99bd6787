"""A run's own saliency at each checkpoint, against an encoder bound by hand."""

import csv
import json
import re

import pytest
import torch
from torch import nn

from salmask_plugin import MomentumLocalizer
from salmask_plugin.cli.main import main
from salmask_plugin.lab.measures.audit import tables
from salmask_plugin.lab.measures.audit.over_training import audit_run
from salmask_plugin.lab.measures.audit.views import measured_views
from salmask_plugin.lab.runs.build import build_masking, build_module, build_splits
from salmask_plugin.lab.runs.folder import keep_settings
from salmask_plugin.lab.settings.compose import compose_settings
from salmask_plugin.masks import foreground

TINY = ["experiment=plumbing", "view_size=32", "data.train_images=8", "data.val_images=6"]
TINY += ["data.size=48", "data.classes=3", "loader.workers=0", "trainer.accelerator=cpu"]
TINY += ["method.queue_size=32", "method.split_batch_size=8", "backbone=small"]
LAYER = "layer3"  # 4 x 4 cells at 32 px
RECIPE = ["masking=label_free", f"masking.localizer.layer={LAYER}"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A folder as a run leaves it, its two checkpoints of weights by hand."""
    folder = tmp_path_factory.mktemp("run")
    settings = compose_settings([*TINY, *RECIPE])
    with torch.random.fork_rng():
        splits = build_splits(settings)
        keep_settings(folder, settings)
        (folder / "checkpoints").mkdir()
        modules = {}
        for epoch in (0, 4):
            module = build_module(settings, splits, build_masking(settings))
            torch.manual_seed(epoch)
            for part in module.key_backbone.parameters():
                part.data.normal_()
            path = folder / "checkpoints" / f"epoch-{epoch:04d}.ckpt"
            torch.save({"state_dict": module.state_dict()}, path)
            modules[epoch + 1] = module
        modules[0] = build_module(settings, splits, build_masking(settings))
    return folder, splits, modules


def test_rows_are_those_of_the_encoders_by_hand(run):
    folder, splits, modules = run
    audit = audit_run(folder, images=6, object_share=(0.0001, 1.0))
    assert [(row.views, row.epochs) for row in audit.rows] == [
        (kind, epochs) for kind in ("random crops", "whole images") for epochs in (0, 1, 5)
    ]
    assert {row.recipe for row in audit.rows} == {"label_free"}
    assert [row.name for row in audit.rows[:3]] == [
        "before training",
        "after 1 epoch",
        "after 5 epochs",
    ]
    assert {row.localizer for row in audit.rows} == {"momentum"}
    assert {row.trained_on for row in audit.rows} == {"the run's own images (no labels)"}
    settings = compose_settings([*TINY, *RECIPE])
    for row, epochs in zip(audit.rows[3:], (0, 1, 5), strict=True):
        localizer = MomentumLocalizer(modules[epochs].key_backbone, LAYER)
        ious = []
        views = measured_views(
            settings, splits, "whole images", split="val", count=6, limits=(0.0001, 1.0)
        )
        for images, objects in views:
            cells = foreground(localizer(images), 0.6)
            for cell, wanted in zip(cells, objects > 0.5, strict=True):
                shown = cell.repeat_interleave(32 // len(cell), 0)
                shown = shown.repeat_interleave(32 // cell.shape[1], 1)
                both, either = (shown & wanted[0]).sum(), (shown | wanted[0]).sum()
                ious.append(float(both / either))
        assert row.values["iou"].mean == pytest.approx(sum(ious) / len(ious), abs=1e-6)
    values = [row.values["iou"].mean for row in audit.rows[3:]]
    assert len(set(values)) == 3  # another encoder, another saliency


def test_files_lie_in_the_run_and_the_command_prints_the_table(run, capsys):
    folder = run[0]
    command = ["audit", "--run", str(folder), "--images", "3", "--object-share", "0", "1"]
    assert main([*command, "masking=mean", "name=mean"]) == 0
    text = capsys.readouterr().out
    named = re.findall(r"^after 5 epochs +\S", text, re.MULTILINE)
    assert len(named) == text.count("\nEncoder") > 1
    assert "of the view; mean" in " ".join(text.split())
    with (folder / "audit-mean.csv").open() as file:
        assert [row["epochs"] for row in csv.DictReader(file)] == ["0", "1", "5"] * 2
    protocol = json.loads((folder / "audit-mean.json").read_text())["protocol"]
    assert protocol["images_drawn"] == 3


def test_a_name_keeps_two_audits_of_a_run_apart(run):
    folder = run[0]
    before = set(folder.glob("audit-*"))
    found = audit_run(folder, ["name=deeper"], images=2, object_share=(0.0001, 1.0))
    assert {path.name for path in set(folder.glob("audit-*")) - before} == {
        "audit-deeper.csv",
        "audit-deeper.json",
        "audit-deeper.png",
    }
    assert set(found.files) == {"csv", "json", "png"}


def test_the_curves_are_the_rows(run, monkeypatch):
    """What is drawn over the epochs: precision, chance, the box; the band is the paired gain's."""
    audit = audit_run(run[0], images=6, object_share=(0.0001, 1.0))
    figures = []
    monkeypatch.setattr(tables, "to_png", lambda figure: figures.append(figure) or b"")
    tables.draw_coverage(audit.rows)
    (figure,) = figures
    assert [axis.get_title() for axis in figure.axes] == ["random crops", "whole images"]
    for axis, kind in zip(figure.axes, ("random crops", "whole images"), strict=True):
        mine = [row for row in audit.rows if row.views == kind]
        for line, key in zip(
            axis.get_lines(), ("precision", "object_area", "centre_precision"), strict=True
        ):
            assert list(line.get_xdata()) == [0, 1, 5]
            assert list(line.get_ydata()) == [row.values[key].mean for row in mine]
        (band,) = axis.collections
        gain = mine[1].values["over_chance"]
        edges = sorted({y for x, y in band.get_paths()[0].vertices if x == 1})
        middle = mine[1].values["object_area"].mean + gain.mean
        expected = [middle - gain.interval, middle + gain.interval]
        assert edges == pytest.approx(expected)


@pytest.mark.parametrize(
    ("crops", "said"),
    [([], "anywhere"), (["crops=most", "localizer=given"], "anywhere, unlike the run's own")],
)
def test_the_protocol_says_that_crops_lie_anywhere(crops, said, tmp_path):
    given = [*TINY, "masking=none", *crops]
    (tmp_path / "checkpoints").mkdir()
    settings = compose_settings(given)
    keep_settings(tmp_path, settings)
    module = build_module(settings, build_splits(settings), None)
    torch.save({"state_dict": module.state_dict()}, tmp_path / "checkpoints" / "epoch-0000.ckpt")
    audit = audit_run(
        tmp_path,
        [f"masking.localizer.layer={LAYER}"],
        images=2,
        object_share=(0.0001, 1.0),
    )
    assert audit.protocol["crops"] == said


@pytest.mark.parametrize(
    ("trained", "recipe", "filtered"),
    [
        (["masking=highpass", "localizer=center"], [f"masking.localizer.layer={LAYER}"], True),
        (
            ["masking=mean", "localizer=center"],
            ["masking=highpass", f"localizer.layer={LAYER}"],
            False,
        ),
    ],
)
def test_the_encoder_sees_what_it_was_trained_on(trained, recipe, filtered, tmp_path, monkeypatch):
    """The run's filter, whatever the recipe has: the encoder has never seen other views."""
    settings = compose_settings([*TINY, *trained])
    keep_settings(tmp_path, settings)
    masking = build_masking(settings)
    module = build_module(settings, build_splits(settings), masking)
    (tmp_path / "checkpoints").mkdir()
    torch.save({"state_dict": module.state_dict()}, tmp_path / "checkpoints" / "epoch-0000.ckpt")
    seen = []
    ask = MomentumLocalizer.__call__

    def look(localizer, images):
        seen.append(localizer.view_filter)
        return ask(localizer, images)

    monkeypatch.setattr(MomentumLocalizer, "__call__", look)
    audit_run(tmp_path, recipe, images=2, object_share=(0.0001, 1.0))
    assert seen
    assert {repr(found) for found in seen} == {repr(masking.view_filter or nn.Identity())}
    assert (masking.view_filter is not None) == filtered


def test_what_cannot_be_audited_is_named(run, tmp_path, capsys):
    folder = run[0]
    for arguments, words in (
        ([str(tmp_path)], "is not a run folder"),
        ([str(folder), "localizer=center"], "with --run it is localizer=momentum"),
        ([str(folder), "--images", "0"], "--images 0"),
    ):
        assert main(["audit", "--run", *arguments]) == 2
        assert words in capsys.readouterr().err
    (tmp_path / "settings.json").write_bytes((folder / "settings.json").read_bytes())
    assert main(["audit", "--run", str(tmp_path)]) == 2
    assert "has kept no checkpoint" in capsys.readouterr().err
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "epoch-0000.ckpt").write_bytes(b"torn")
    assert main(["audit", "--run", str(tmp_path)]) == 2
    assert "is damaged" in capsys.readouterr().err


@pytest.mark.parametrize(
    "layer", ["{_target_:os.system}", "a b", "${seed}", ["a"], {"a": 1}, 7, ""]
)
def test_a_foreign_layer_is_no_setting(layer, run, tmp_path, capsys):
    """The layer in a run's folder goes into the recipe's settings, as a name and nothing else."""
    content = json.loads((run[0] / "settings.json").read_text())
    content["values"]["masking"]["localizer"]["layer"] = layer
    (tmp_path / "settings.json").write_text(json.dumps(content))
    (tmp_path / "checkpoints").symlink_to(run[0] / "checkpoints")
    assert main(["audit", "--run", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "must name a part of its encoder" in said or "interpolation" in said
    content["values"]["masking"]["localizer"] = "text"
    (tmp_path / "settings.json").write_text(json.dumps(content))
    assert main(["audit", "--run", str(tmp_path), "--images", "2"]) == 2


def test_the_recipe_with_a_warm_up_looks_at_the_runs_layer_too(run):
    one, other = (
        audit_run(run[0], [*given, "name=layer"], images=2, object_share=(0.0001, 1.0))
        for given in ([], ["masking=label_free_warmup"])
    )
    assert [row.recipe for row in other.rows] == ["label_free_warmup"] * len(one.rows)
    assert [row.values for row in other.rows] == [row.values for row in one.rows]
