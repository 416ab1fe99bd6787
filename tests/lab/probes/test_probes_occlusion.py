"""`logistic` and `occlusion` as tasks of the command, from settings to record."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset

from salmask_plugin.adapters.lightly.evaluation.logistic_regression import choose_logistic
from salmask_plugin.cli.main import main
from salmask_plugin.lab.data.channels import RGB
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.probes import classification_check, features, guesses
from salmask_plugin.lab.probes.evaluate import evaluate_run
from salmask_plugin.lab.probes.tasks import TASKS as TASKS_BY_KIND
from salmask_plugin.lab.probes.tasks import check_tasks, requested_tasks
from salmask_plugin.lab.results import read_record, write_record
from salmask_plugin.lab.results.display import display_view
from salmask_plugin.lab.results.guess_gallery import GuessRow, draw_guesses
from salmask_plugin.lab.results.report_files import png_of
from salmask_plugin.lab.settings.compose import compose_settings
from salmask_plugin.lab.settings.paper_values import HIDDEN
from salmask_plugin.lab.study.report_folder import report_folder

TINY = ["data=generated", "data.train_images=24", "data.val_images=12", "data.classes=3"]
TINY += ["data.size=32", "view_size=32", "backbone=small", "backbone.widths=[4,4,6,8]"]
TINY += ["method=simclr_quick", "masking=none", "loader.batch_size=8", "loader.workers=0"]
TINY += ["trainer.max_epochs=1", "trainer.accelerator=cpu"]
TASKS = ["evaluation.tasks=[logistic,occlusion,knn]", "evaluation.knn.k=3"]
TASKS += ["evaluation.occlusion.grid=[2,4]", "evaluation.occlusion.k=3"]
TASKS += ["evaluation.occlusion.classifiers=[linear,knn]"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    assert main(["pretrain", "--evaluate", *TINY, *TASKS, f"out={out}", "name=run"]) == 0
    return out / "run"


@pytest.fixture(scope="module")
def record(run):
    return read_record(run)


def test_a_picture_shows_what_is_hidden_and_said_and_the_report_has_it(run):
    assert png_of(run / HIDDEN)
    report = report_folder(run.parent, title="t", baseline="none").markdown
    assert "partly hidden" in report.read_text()
    assert [path.name for path in (report.parent / "figures").glob("gallery-*hidden.png")]
    (run / HIDDEN).write_text("no picture")
    assert "is left out: it is not a PNG" in report_folder(
        run.parent, title="t", baseline="none"
    ).markdown.read_text().replace("\n", " ")


def test_results_say_what_was_hidden(record):
    found = record.evaluations["occlusion"]
    assert found.metrics["top1_linear"] == record.evaluations["logistic"].metrics["top1"]
    assert found.metrics["top1_knn"] == record.evaluations["knn"].metrics["top1"]
    assert found.protocol["grid"] == "2 x 4"
    assert found.protocol["metrics_at"] == 0.3
    # 15, 30 and 50 % of 8 cells, rounded: 1, 2 and 4.
    hidden = [found.protocol[f"hidden anywhere {share}"] for share in (0.15, 0.3, 0.5)]
    assert hidden == [0.125, 0.25, 0.5]
    for classifier in ("linear", "knn"):
        for fill in ("mean", "black", "noise", "picture"):
            curve = found.curves[f"{classifier} anywhere {fill}"]
            assert curve[0] == found.metrics[f"top1_{classifier}"]
            assert curve[2] == found.metrics[f"top1_{classifier}_anywhere_{fill}"]
            assert len(curve) == 4


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("evaluation.occlusion.shares=[0.2,2]", "shares"),
        ("evaluation.occlusion.fills=[grey]", "fills"),
        ("evaluation.occlusion.places=[object]", "places"),
        ("evaluation.occlusion.grid=[4]", "grid"),
        ("evaluation.occlusion.grid=[4,100000000000]", "grid=.*from 1 to the views' .* pixels"),
        ("evaluation.logistic.weight_decays=[-1]", "weight_decays"),
        ("evaluation.logistic.weight_decays=[1e-3,1e308]", r"weight_decays=.*at most 1e\+06"),
        ("evaluation.logistic.held_out=2", "held_out"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_trained(setting, words):
    with pytest.raises(UserError, match=words):
        check_tasks(compose_settings([*TINY, *TASKS, setting]))


@pytest.mark.parametrize("key", ["model", "device", "probe", "unheard_of"])
@pytest.mark.parametrize("kind", ["knn", "linear", "logistic", "occlusion", "finetune"])
def test_a_foreign_run_sets_nothing_but_settings(kind, key):
    request = requested_tasks(compose_settings([*TINY, *TASKS, f"evaluation.tasks=[{kind}]"]))[0]
    wrong = replace(request, options={**request.options, key: None})
    with pytest.raises(ValueError, match=rf"'evaluation\.{kind}\.{key}' is no setting"):
        classification_check.check(wrong)


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        ("linear", "head_std", "x"),
        ("linear", "head_std", -1),
        ("linear", "held_out", "x"),
        ("linear", "learning_rates", ["a"]),
        ("linear", "learning_rate", -1),
        ("linear", "learning_rate", float("nan")),
        ("linear", "milestones", ["a"]),
        ("linear", "milestones", [60, 100]),
        ("linear", "epochs", 0),
        ("finetune", "nesterov", "no"),
        ("finetune", "learning_rate", -1),
        ("finetune", "batch_size", 1),
        ("knn", "temperature", -1),
        ("knn", "k", 1000),
        ("occlusion", "temperature", 0),
        ("occlusion", "k", 1000),
        ("occlusion", "shares", [0.5, 0.5]),
        ("occlusion", "fills", ["mean", "mean"]),
        ("occlusion", "places", ["anywhere", "anywhere"]),
        ("occlusion", "classifiers", ["knn", "knn"]),
        ("occlusion", "localizer", 3),
        ("occlusion", "grid", ["a", 2]),
        ("logistic", "weight_decays", ["a"]),
    ],
)
def test_a_setting_that_cannot_work_is_named_before_any_training(kind, key, value):
    request = requested_tasks(compose_settings([*TINY, *TASKS, f"evaluation.tasks=[{kind}]"]))[0]
    usable = replace(request, options={**request.options, "batch_size": 8, "k": 3})
    known = {name: usable.options[name] for name in request.options}
    TASKS_BY_KIND[kind].check(replace(request, options=known))
    with pytest.raises(ValueError, match=key):
        TASKS_BY_KIND[kind].check(replace(request, options={**known, key: value}))


def test_a_run_of_before_localizers_of_occlusion_is_evaluated():
    request = requested_tasks(compose_settings([*TINY, *TASKS]))[1]
    options = {key: value for key, value in request.options.items() if key != "localizer"}
    assert request.kind == "occlusion"
    assert len(options) < len(request.options)
    TASKS_BY_KIND["occlusion"].check(replace(request, options=options))


@pytest.mark.parametrize(
    "setting", ["evaluation.knn.task=[1]", "evaluation.knn.task={a:1}", "evaluation.knn.task=7"]
)
def test_the_kind_of_a_task_is_a_text(setting):
    with pytest.raises(UserError, match=r"evaluation\.knn\.task"):
        check_tasks(compose_settings([*TINY, "evaluation.tasks=[knn]", setting]))


@pytest.mark.parametrize("setting", ["evaluation.tasks.9=knn", "evaluation.tasks.x=knn"])
def test_a_place_in_a_list_is_no_setting_that_can_change(setting, run, capsys):
    assert main(["evaluate", str(run), setting]) == 2
    assert f"'{setting}' fits no setting of this run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "fits"),
    [([], 1), (["evaluation.occlusion.held_out=0.25"], 2), (["evaluation.knn.k=2"], 1)],
)
def test_tasks_on_one_encoder_share_the_linear_probe(changes, fits, run, monkeypatch, capsys):
    fitted = []

    def choose(*given, **options):
        fitted.append(options["held_out"])
        return choose_logistic(*given, **options)

    monkeypatch.setattr(features, "choose_logistic", choose)
    monkeypatch.setattr(features, "_PROBES", {})
    before = read_record(run).evaluations
    assert main(["evaluate", str(run), *changes]) == 0
    after = read_record(run).evaluations
    assert len(fitted) == fits
    assert after["logistic"].metrics == before["logistic"].metrics
    if fits == 1:
        assert after["occlusion"].metrics == before["occlusion"].metrics


def test_another_encoder_has_another_probe(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(24) % 3
    request = requested_tasks(compose_settings([*TINY, *TASKS]))[0]
    probes = []
    for name in ("one", "other"):
        found = torch.randn(24, 5, generator=generator), labels
        monkeypatch.setattr(features, "features_of", lambda *_, found=found: found)
        probes.append(features.probe_of(request, SimpleNamespace(fingerprint=name)))
    assert not torch.equal(probes[0].weight, probes[1].weight)
    alone = choose_logistic(*found, num_classes=3)
    assert torch.equal(probes[1].weight, alone.weight)


def test_the_picture_says_what_was_guessed_of_each(monkeypatch, tmp_path):
    count, classes = 12, ("ant", "bee", "cat")
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % 3
    pixels = torch.rand(count, 3, 8, 8, generator=generator)
    loader = DataLoader(TensorDataset(pixels, labels), batch_size=5)
    conditions = [None, *[("anywhere", fill, 0.3) for fill in ("mean", "black")]]
    said = {
        key: torch.randint(3, (count,), generator=generator).roll(place)
        for place, key in enumerate(conditions)
    }
    options = {"shares": [0.5, 0.3, 0.1], "places": ["anywhere"], "fills": ["mean", "black"]}
    request = SimpleNamespace(
        folder=tmp_path, is_transfer=False, options={**options, "grid": [2, 2], "seed": 4}
    )
    drawn = []
    monkeypatch.setattr(guesses, "draw_guesses", lambda *given, **_: drawn.append(given) or b"PNG")
    guesses.write_guesses(
        request,
        SimpleNamespace(network=torch.nn.Conv2d(3, 1, 1)),
        loader,
        SimpleNamespace(classes=classes, channels=RGB),
        SimpleNamespace(guesses={"linear": said}),
        None,
    )
    ((columns, rows),) = drawn
    assert columns == ["whole", "mean colour", "black"]
    for row, at in zip(rows, (0, 2, 4, 6, 8, 10), strict=True):
        assert row.label == classes[at % 3]
        assert row.guesses == [classes[int(said[key][at])] for key in conditions]
        whole, _, black = row.pictures
        assert np.array_equal(whole, display_view(pixels[at].numpy()))
        assert ((black == 0).all(2) | (black == whole).all(2)).all()
        assert (black == 0).all(2).mean() == 0.25  # 30 % of 4 cells: one
    assert any(row.guesses[0] != row.label for row in rows)
    assert (tmp_path / HIDDEN).read_bytes() == b"PNG"


def test_a_picture_that_cannot_be_written_loses_no_result(run, record, tmp_path, capsys):
    there = tmp_path / "run"
    shutil.copytree(run, there)
    (there / HIDDEN).unlink()
    (there / HIDDEN).mkdir()
    write_record(there, replace(record, evaluations={}))
    with pytest.warns(UserWarning, match=rf"{HIDDEN} could not be drawn"):
        found = evaluate_run(there, ["evaluation.tasks=[occlusion]"]).evaluations["occlusion"]
    assert found.metrics == record.evaluations["occlusion"].metrics
    assert read_record(there).evaluations["occlusion"].metrics == found.metrics
    assert "top1_linear" in capsys.readouterr().out


def test_object_masks_of_the_data_say_where_the_object_is(tmp_path):
    given = ["+localizer@evaluation.occlusion.localizer=given", "evaluation.tasks=[occlusion]"]
    given += [
        "evaluation.occlusion.places=[object,background]",
        "evaluation.occlusion.shares=[1.0]",
    ]
    given += ["evaluation.occlusion.fills=[black]"]
    assert (
        main(["pretrain", "--evaluate", *TINY, *TASKS, *given, f"out={tmp_path}", "name=run"]) == 0
    )
    protocol = read_record(tmp_path / "run").evaluations["occlusion"].protocol
    settings = compose_settings(TINY)
    splits = instantiate(settings.data)
    cells = []
    for index in range(len(splits.val)):
        _, mask, _ = splits.val.with_mask(index)
        # As views are made: the shorter side to 256/224 of 32 px, of which the centre is cut.
        resized = np.asarray(mask.resize((37, 37), Image.Resampling.NEAREST)) > 127
        seen = resized[2:34, 2:34].reshape(2, 16, 4, 8).mean((1, 3))
        cells.append((seen >= 0.5).mean())
    assert protocol["hidden object 1"] == pytest.approx(np.mean(cells), abs=0.03)
    assert protocol["hidden object 1"] + protocol["hidden background 1"] == pytest.approx(
        1, abs=2e-3
    )
    assert 0.1 < protocol["hidden object 1"] < 0.9


def test_masks_that_are_not_there_are_missed_before_anything_is_trained(tmp_path, make_classes):
    make_classes(tmp_path / "train", {"a": 4, "b": 4})
    make_classes(tmp_path / "val", {"a": 2, "b": 2})
    given = ["data=imagefolder", f"data.root={tmp_path}", "evaluation.tasks=[occlusion]"]
    given += ["+localizer@evaluation.occlusion.localizer=given", "evaluation.occlusion.k=2"]
    with pytest.raises(
        UserError, match="localizer=given needs object masks; image_folder has none"
    ):
        check_tasks(compose_settings([*given, "evaluation.occlusion.places=[object]"]))
    masks = tmp_path.with_name("masks")
    for path in tmp_path.rglob("*.*"):
        of_it = (masks / path.relative_to(tmp_path)).with_suffix(".png")
        of_it.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(path) as picture:
            Image.new("L", picture.size).save(of_it)
    given += ["evaluation.occlusion.places=[object]", f"data.masks={masks}"]
    check_tasks(compose_settings(given))
    last = sorted((masks / "val").rglob("*.png"))[-1]
    Image.new("L", (7, 5)).save(last)
    with pytest.raises(UserError, match=f"task occlusion: The mask '{last}' is 7x5 pixels"):
        check_tasks(compose_settings(given))


def test_a_localizer_that_needs_more_than_views_is_refused_before_anything_is_trained():
    given = [*TINY, *TASKS, "+localizer@evaluation.occlusion.localizer=momentum"]
    words = r"occlusion\.localizer needs an encoder in training, and here are views alone"
    with pytest.raises(UserError, match=words):
        check_tasks(compose_settings(given))
    check_tasks(compose_settings([*given[:-1], given[-1].replace("momentum", "center")]))


def test_guesses_without_rows_or_with_too_few_pictures_are_refused():
    picture = np.zeros((4, 5, 3), np.uint8)
    with pytest.raises(ValueError, match="at least one picture"):
        draw_guesses(["whole"], [])
    with pytest.raises(ValueError, match="1 pictures and 2 guesses; there are 2 columns"):
        draw_guesses(["whole", "black"], [GuessRow([picture], ["a", "b"], "a")])
