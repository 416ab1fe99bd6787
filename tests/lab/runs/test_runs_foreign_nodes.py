"""Arguments of what a foreign run builds, of a wrong type or value: one sentence, no traceback."""

import copy
import functools
import json
import shutil
from contextlib import suppress

import pytest
import torch
from oracles.narrow_resnet import narrow_backbone

from salmask_plugin.cli.main import main
from salmask_plugin.lab.downstream.depth.training import DEPTH
from salmask_plugin.lab.downstream.detection.training import DETECTION
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.probes.pictures import checked_data
from salmask_plugin.lab.runs.band_channels import transform_of
from salmask_plugin.lab.runs.build import (
    build_backbone,
    build_masking,
    build_module,
    build_splits,
    memory_format,
)
from salmask_plugin.lab.runs.node import as_mistakes, build, check_takes_views
from salmask_plugin.lab.runs.refusals import check_trainer
from salmask_plugin.lab.runs.trained import load_module
from salmask_plugin.lab.settings.compose import compose_settings
from salmask_plugin.lab.settings.settings import Settings

TINY = ["experiment=plumbing", "localizer=uniform", "masking=mean", "backbone=small"]
TINY += ["view_size=32", "data.train_images=16", "data.val_images=8", "data.classes=4"]
TINY += ["loader.workers=0", "loader.batch_size=8", "method.queue_size=16"]
TINY += ["method.split_batch_size=4"]
TINY += ["trainer.max_epochs=1", "evaluation.tasks=[knn]", "evaluation.knn.k=5"]
WRONG = (..., None, True, "x", -1, 0.5, [], [1], {"a": 1}, float("nan"), 1e308, 10**400)
LONGEST = 700
WANTED = ("data.", "evaluation.", "loader.workers")
"""What a transfer takes of these settings."""


@functools.cache
def tiny():
    return compose_settings(TINY)


def places(node, path=()):
    items = enumerate(node) if isinstance(node, list) else node.items()
    for key, value in items:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


def changed(content, path, value):
    content = copy.deepcopy(content)
    node = content
    for key in path[:-1]:
        node = node[key]
    if value is ...:
        node.pop(path[-1])
    else:
        node[path[-1]] = value
    return content


def with_wrong(path, value):
    settings = tiny()
    return Settings(changed(settings.values, path, value), settings.choices)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("data train_images", "x", "generated: train_images='x' must be an integer"),
        ("data train_images", {"a": 1}, "train_images="),
        ("data classes", float("nan"), "classes=nan must be an integer"),
        ("data train_images", 10**400, r"0{9}\.\.\. must be an integer, below 2\*\*63"),
        ("masking query sampler tolerance", -(10**400), "must be a number, below"),
        ("data unheard_of", 1, "'unheard_of' is no setting of"),
        ("backbone widths", None, "small_convnet: widths=null must be a list"),
        ("backbone widths", [24, 32, 96], "widths="),
        ("backbone widths", [24, 32, 96, "x"], "widths="),
        ("backbone widths", [24, 32, 96, -1], "192|widths|negative"),
        ("views input_size", [1], "input_size=.*must be an integer"),
        ("views input_size", ..., ""),
        ("masking query sampler ratio", None, "query.sampler.ratio=null must be a list"),
        ("masking query sampler tolerance", "x", "query.sampler.tolerance='x' must be a number"),
        ("masking query fill", 3, "query.fill=3 must be"),
        ("masking localizer grid", {"a": 1}, "localizer.grid="),
    ],
)
def test_an_argument_of_another_type_is_named(path, value, words):
    node = with_wrong(path.split(), value)[path.split()[0]]
    if value is ...:
        build(node)  # has a default
        return
    with pytest.raises((UserError, ValueError), match=words) as caught:
        build(node)
    assert len(str(caught.value)) < LONGEST


def test_what_a_library_raises_is_one_sentence():
    with pytest.raises(UserError, match=r"^it cannot: KeyError: 'a b'$"), as_mistakes("it cannot"):
        raise KeyError("a b")
    with pytest.raises(UserError, match="RuntimeError") as caught, as_mistakes("it cannot"):
        raise RuntimeError("x\n" * 10_000)
    assert len(str(caught.value)) < LONGEST
    assert "\n" not in str(caught.value)
    for kind in (ValueError, FileNotFoundError, KeyboardInterrupt):  # speak for themselves
        with pytest.raises(kind, match=r"^said$"), as_mistakes("it cannot"):
            raise kind("said")


def test_a_view_that_vanishes_in_the_encoder_is_one_sentence():
    network, _ = build(tiny().backbone)
    before = copy.deepcopy(network.eval().state_dict())
    check_takes_views(network, 32)
    with pytest.raises(UserError, match=r"views of 7 px \(view_size\)"):
        check_takes_views(network, 7)
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


@pytest.mark.parametrize("value", [[], [1], {}, {"a": 1}, 3, "x"])
def test_a_memory_format_of_another_type_is_named(value):
    with pytest.raises(UserError, match="memory_format="):
        memory_format(with_wrong(["memory_format"], value))


@pytest.mark.parametrize("size", [1, 2, 2**31 - 1])
def test_views_that_no_masking_can_work_on_are_one_sentence(size):
    settings = with_wrong(["view_size"], size)
    with suppress(UserError, ValueError):
        build_masking(settings)


FILL = {"_target_": "salmask_plugin.MeanFill"}


@pytest.mark.parametrize(
    ("place", "start", "wanted"),
    [
        ("data", build_splits, "type MeanFill; .* of type ImageSplits is needed"),
        ("data", lambda settings: checked_data(settings.data), "of type ImageSplits"),
        ("masking", build_masking, "of type SaliencyMasking"),
        ("backbone", build_backbone, "of type tuple"),
        ("method", lambda settings: build_module(settings, None, None), "MeanFill"),
        ("views", transform_of, "MeanFill cannot make views of a picture"),
        ("trainer", check_trainer, "MeanFill"),
    ],
)
def test_a_node_that_builds_something_else_is_one_sentence(place, start, wanted):
    with pytest.raises(UserError, match=wanted):
        start(with_wrong([place], FILL))


@pytest.mark.parametrize("name", ["data", "schedule", "test", "model"])
@pytest.mark.parametrize("root", ["detect", "depth"])
def test_a_part_of_a_downstream_task_that_builds_something_else_is_one_sentence(name, root):
    kind = {"detect": DETECTION, "depth": DEPTH}[root]
    few = [f"depth.data.{name}" for name in ("train_sequences=1", "test_sequences=1", "height=32")]
    few += ["depth.data.width=48", "depth.schedule.batch_size=2"]
    few = ["detection.data.train_images=4"] if root == "detect" else few
    settings = compose_settings([f"{kind.name}=quick", *few], root=root)
    node = settings[kind.name]
    if name not in node:
        return
    other = {**node, name: {**FILL, "masks": False} if name == "model" else FILL}
    with pytest.raises(UserError, match="MeanFill"):
        kind.build(kind.plan(other, settings.trainer, settings), narrow_backbone())


def test_features_are_of_a_network_with_a_dimension():
    with pytest.raises(UserError, match="an encoder and the dimension of its features"):
        build_backbone(with_wrong(["backbone"], PAIR))


PAIR = {"_target_": "salmask_plugin.filters.kernel_for_view", "kernel_size": 3, "sigma": 1.0}
PAIR["view_size"] = 32


@pytest.mark.parametrize(
    "content", [{}, {"epoch": 1}, {"state_dict": 3}, [1], {"state_dict": {1: 2}}]
)
def test_a_checkpoint_without_weights_is_one_sentence(content, tmp_path):
    torch.save(content, tmp_path / "epoch-0000.ckpt")
    settings = tiny()
    with pytest.raises(
        UserError, match=r"epoch-0000\.ckpt (is no checkpoint of a run|does not fit)"
    ):
        load_module(settings, build_splits(settings), None, tmp_path / "epoch-0000.ckpt")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    assert main(["pretrain", *TINY, f"out={out}", "name=run"]) == 0
    return out / "run"


SWEEPS = {
    "settings.json": ["evaluate", "variance", "audit", "transfer", "export", "embed"],
    "record.json": ["evaluate", "transfer", "export", "embed", "report"],
    "data.json": ["evaluate"],
}
AROUND = ("compare", "choices", "config", "environment")
"""Parts that are read as one: only their own place is tried."""


def tried_places(content):
    for path in places(content):
        outer = [path.index(name) for name in AROUND if name in path]
        if not outer or len(path) <= min(outer) + 2:
            yield path


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("file", "command"), [(f, c) for f, cs in SWEEPS.items() for c in cs])
def test_every_value_of_a_foreign_run(file, command, run, tmp_path, save_picture, capsys):
    """About 1,500 values of settings.json and as many of record.json, with each command."""
    pictures = [save_picture(tmp_path / "pictures" / f"{value}.png", value) for value in range(3)]
    arguments = {
        "evaluate": [],
        "variance": ["--views", "2", "--images", "4"],
        "transfer": ["data=generated", *(text for text in TINY if text.startswith(WANTED))],
        "export": [str(tmp_path / "export")],
        "embed": [str(pictures[0].parent), str(tmp_path / "export"), "--projection", "pca"],
        "audit": ["--images", "3"],
        "report": [],
    }[command]
    names = [name for name in SWEEPS if (run / name).is_file()]
    kept = {name: (run / name).read_bytes() for name in names}
    content = json.loads(kept[file])
    folder = run.parent if command == "report" else run
    typed = ["audit", "--run"] if command == "audit" else [command]
    bad = []
    for path in tried_places(content):
        for value in WRONG:
            (run / file).write_text(json.dumps(changed(content, path, value)))
            try:
                code = main([*typed, str(folder), *arguments])
            except Exception as error:
                code = repr(error)
            said = capsys.readouterr().err
            if code not in (0, 2) or "Traceback" in said or len(said) > 20 * LONGEST:
                bad.append((".".join(map(str, path)), value, code, said[-200:]))
            for name, before in kept.items():
                (run / name).write_bytes(before)
            shutil.rmtree(tmp_path / "export", ignore_errors=True)
    assert bad == []
