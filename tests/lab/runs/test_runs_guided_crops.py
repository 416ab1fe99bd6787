"""Crops chosen by saliency, and less of the hard negatives, through the command's settings."""

import numpy as np
import pytest
import torch

from salmask_plugin import GuidedCrops, NegativeEncoding
from salmask_plugin.cli.main import main
from salmask_plugin.lab.data.fingerprint import pixel_digest
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.results import read_record
from salmask_plugin.lab.runs.build import build_parts
from salmask_plugin.lab.runs.cached_data import identity_of
from salmask_plugin.lab.runs.folder import run_folder
from salmask_plugin.lab.settings.compose import compose_settings
from salmask_plugin.lab.settings.explain import explain
from salmask_plugin.localizers.map_store import CacheManifest, MapStore

TINY = [
    "experiment=plumbing",
    "masking=none",
    "localizer=given",
    "data.train_images=16",
    "data.val_images=8",
    "data.classes=4",
    "view_size=32",
    "loader.batch_size=8",
    "loader.workers=0",
    "method.queue_size=16",
    "method.split_batch_size=8",
    "trainer.max_epochs=1",
]


def parts_of(*given, without=()):
    settings = compose_settings([*(each for each in TINY if each not in without), *given])
    with torch.random.fork_rng():
        return build_parts(settings)


def views_of(*given, without=()):
    parts = parts_of(*given, without=without)
    batch = next(iter(parts.data.train_loader()))
    made = parts.data.views(batch) if "loader.input=device" in given else batch
    return torch.stack(made[0])


def test_a_run_says_how_its_views_were_cut(tmp_path, capsys):
    given = [*TINY, "crops=most", "negative_encoding@method.negative_encoding=half_side"]
    given += ["masking=mean", f"out={tmp_path}", "name=run"]
    assert main(["pretrain", *given]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    cut = "of 8 boxes a view the one with the most foreground by localizer=given"
    assert f"Crops: {cut}; all candidates have the size that is drawn." in printed
    encoded = "Hard negatives are encoded at 0.5 of the side, in every step, for all images."
    assert encoded in printed
    record = read_record(tmp_path / "run")
    assert record.masking["crops"] == f"{cut} (trained on: the given masks)"
    assert record.masking["negative_encoding"] == "side 0.5, every 1, share 1"
    assert record.recipe == "mean_crops_most"
    assert any(note.startswith("crops are chosen") for note in record.notes)


def test_a_run_with_crops_alone_names_its_localizer(tmp_path):
    given = [*TINY, "crops=apart", "loader.input=device", f"out={tmp_path}", "name=run"]
    assert main(["pretrain", *given]) == 0
    record = read_record(tmp_path / "run")
    assert (record.recipe, record.localizer) == ("crops_apart", "given")
    assert record.localizer_trained_on == "the given masks"


@pytest.mark.parametrize("where", ["host", "device"])
def test_crops_without_saliency_are_those_of_masks_that_are_all_object(where, monkeypatch):
    path, own = f"loader.input={where}", ("localizer=given",)
    found = views_of(path, "crops=apart_anywhere", without=own)
    assert not torch.equal(found, views_of(path, without=own))
    monkeypatch.setattr(
        "salmask_plugin.crops.GuidedCrops.places",
        lambda crops, maps, boxes, ask=GuidedCrops.places: ask(crops, torch.ones_like(maps), boxes),
    )
    assert torch.equal(found, views_of(path, "crops=apart"))


def test_a_run_without_saliency_names_none(tmp_path, capsys):
    given = [each for each in TINY if each != "localizer=given"]
    given += ["crops=apart_anywhere", "loader.input=device", f"out={tmp_path}", "name=run"]
    assert main(["pretrain", *given]) == 0
    cut = "of 8 boxes a view the pair that overlaps least, wherever the object is"
    assert cut in " ".join(capsys.readouterr().out.split())
    record = read_record(tmp_path / "run")
    assert (record.recipe, record.localizer) == ("crops_apart_anywhere", "none")
    assert record.localizer_trained_on == "none"
    assert record.masking["crops"] == f"{cut} (trained on: none)"
    # A localizer beside it acts on nothing.
    assert main(["pretrain", *given, "localizer=center", "name=other"]) == 2
    assert "localizer" in capsys.readouterr().err


@pytest.mark.parametrize("where", ["host", "device"])
def test_one_candidate_is_a_run_without_crops(where):
    path = f"loader.input={where}"
    plain = views_of(path)
    assert torch.equal(views_of(path, "crops=most", "crops.candidates=1"), plain)
    assert not torch.equal(views_of(path, "crops=most"), plain)


def test_maps_of_masks_and_crops_are_read_once(tmp_path, monkeypatch):
    read = []
    faults = MapStore.faults
    monkeypatch.setattr(MapStore, "faults", lambda store: read.append(store) or faults(store))
    splits = parts_of().splits
    for folder in ("one", "other"):
        store = MapStore.create(
            tmp_path / folder,
            CacheManifest("x", "y", "z", grid=(4, 4), chunk=16, **identity_of(splits)),
        )
        digests = [pixel_digest(splits.train[index][0]) for index in range(16)]
        store.write(0, np.random.default_rng(0).random((16, 4, 4)), np.array(digests, np.uint64))
    given = ["masking=mean", "localizer=cached", f"localizer.folder={tmp_path / 'one'}"]
    parts = parts_of(*given, "crops=most")
    assert parts.crops.localizer is parts.masking.localizer
    assert len(read) == 1
    guided = next(iter(parts.data.train_loader()))[0]
    target = "{_target_:salmask_plugin.localizers.cached.open_cache,folder:%s}"
    own = f"crops.localizer={target % (tmp_path / 'other')}"
    apart = parts_of(*given, "crops=most", own)
    assert apart.crops.localizer is not apart.masking.localizer
    for one, other in zip(guided, next(iter(apart.data.train_loader()))[0], strict=True):
        assert torch.equal(one, other)


def test_folders_and_sentences_tell_runs_apart():
    plain, guided = (compose_settings([*TINY, *more]) for more in ([], ["crops=apart"]))
    assert run_folder(plain) != run_folder(guided)
    assert "crops_apart" in run_folder(guided).name
    said = " ".join(explain(guided))
    assert "the pair that overlaps least with 1 of the picture's foreground" in said
    assert "Crops" not in " ".join(explain(plain))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["crops=most", "localizer=center"], "crops.localizer=center is asked about views"),
        (["crops=most", "crops.candidates=0"], "candidates=0 must be at least 1"),
        (["crops=most", "crops.rule=least"], "rule='least' must be one of"),
        (
            ["negative_encoding@method.negative_encoding=half_side"],
            "negative_encoding needs hard negatives",
        ),
    ],
)
def test_what_cannot_be(given, message):
    with pytest.raises((UserError, ValueError), match=message):
        parts_of(*given)


def test_training_on_labels_has_one_view():
    given = [text for text in TINY if not text.startswith("method.")]
    settings = compose_settings([*given, "method=supervised_quick", "crops=most"])
    with pytest.raises(UserError, match="method=supervised trains on one"), torch.random.fork_rng():
        build_parts(settings)


def test_the_leaves_are_what_their_names_say():
    for leaf, expected in (
        ("half_side", NegativeEncoding(side=0.5)),
        ("every_second", NegativeEncoding(every=2)),
        ("half_batch", NegativeEncoding(share=0.5)),
    ):
        given = ["masking=mean", f"negative_encoding@method.negative_encoding={leaf}"]
        assert parts_of(*given).module.hard_negatives.encoding == expected


def test_an_audit_does_not_pretend_to_cut_its_views_so(capsys):
    given = ["crops=most", "localizer=given", "masking=mean", "data=generated"]
    assert main(["audit", *given]) == 2
    assert "leave out crops=" in " ".join(capsys.readouterr().err.split())
