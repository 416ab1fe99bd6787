"""Detection and depth go on with the data they began on, or say what changed."""

import pytest
from oracles.detection_layouts import paint, write_voc
from oracles.narrow_resnet import narrow_backbone

from salmask_plugin.lab.downstream import training
from salmask_plugin.lab.downstream.depth.training import DEPTH
from salmask_plugin.lab.downstream.detection.training import DETECTION
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.results.late_pictures import LatePictures
from salmask_plugin.lab.runs.folder import CHECKPOINTS
from salmask_plugin.lab.settings.compose import compose_settings

SMALL = ["loader.workers=0", "trainer.accelerator=cpu"]
DEPTHS = ["depth=quick", "depth.data.train_sequences=1", "depth.data.test_sequences=1", *SMALL]
DEPTHS += ["depth.data.height=32", "depth.data.width=48", "depth.model.width=64"]


class StartedError(Exception):
    """The training would begin now."""


@pytest.fixture(autouse=True)
def stopped(monkeypatch):
    def begin(*_):
        raise StartedError

    monkeypatch.setattr(training, "_trainer", begin)


def start(kind, folder, *given):
    root = "detect" if kind is DETECTION else "depth"
    settings = compose_settings([*given, *SMALL], root=root)
    plan = kind.plan(settings[kind.name], settings["trainer"], settings)
    kind.train_and_test(plan, narrow_backbone(), folder, LatePictures())


def begun(folder):
    (folder / CHECKPOINTS).mkdir(parents=True)
    (folder / CHECKPOINTS / "epoch-0000.ckpt").touch()


def write(root, *boxes):
    objects = {f"{i}": [("dog", box, False)] for i, box in enumerate(boxes)}
    write_voc(root, "2007_trainval", objects)
    write_voc(root, "2007_test", {"9": [("dog", (5, 9, 44, 47), False)]})


def another(root):
    write(root, (4, 10, 40, 50), (6, 10, 40, 50))


def another_box(root):
    write(root, (5, 10, 40, 50))


def other_pixels(root):
    paint([(50, 40, 70, 60)], (80, 64)).save(root / "VOC2007" / "JPEGImages" / "0.jpg")


def another_test(root):
    write_voc(root, "2007_test", {"8": [("dog", (5, 9, 44, 47), False)]})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (another, "2 training images, 1 before"),
        (another_box, "other labels among the training images; 1 of the 1 training images"),
        (other_pixels, "1 of the 1 training images that are compared show something else"),
        (another_test, "other files among the validation images"),
    ],
)
def test_a_detector_goes_on_with_its_pictures(tmp_path, change, words):
    root, folder = tmp_path / "voc", tmp_path / "work"
    given = ["detection=voc_c4", f"detection.data.root={root}"]
    given += ["detection.data.train=[2007_trainval]", "detection.schedule.batch_size=2"]
    write(root, (4, 10, 40, 50))
    with pytest.raises(StartedError):
        start(DETECTION, folder, *given)
    begun(folder)
    with pytest.raises(StartedError):
        start(DETECTION, folder, *given)
    change(root)
    with pytest.raises(UserError) as told:
        start(DETECTION, folder, *given)
    assert f"The data of {folder} changed since it began ({words}" in str(told.value)


def test_depth_goes_on_with_its_frames(tmp_path):
    given = [*DEPTHS, "depth.schedule.batch_size=2"]
    with pytest.raises(StartedError):
        start(DEPTH, tmp_path, *given)
    begun(tmp_path)
    with pytest.raises(StartedError):
        start(DEPTH, tmp_path, *given)
    with pytest.raises(UserError, match=r"began \(3 training images, 2 before; 5 test images, 4"):
        start(DEPTH, tmp_path, *given, "depth.data.frames=5")
    words = r"\(2 of the 2 training images that are compared .*; 4 of the 4 test images"
    with pytest.raises(UserError, match=words):
        start(DEPTH, tmp_path, *given, "depth.data.seed=1")
