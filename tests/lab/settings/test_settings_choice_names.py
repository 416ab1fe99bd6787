"""What runs on own pictures and on a library's networks are called."""

from dataclasses import replace

import pytest

from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.runs.folder import default_name, keep_settings
from salmask_plugin.lab.runs.refusals import check_trainer
from salmask_plugin.lab.settings.choice_names import (
    backbone_name,
    crops_localizer,
    data_name,
    localizer_name,
)
from salmask_plugin.lab.settings.compose import compose_settings
from salmask_plugin.lab.settings.departures import departures_from_paper
from salmask_plugin.lab.settings.explain import explain

CACHED = ("localizer=cached", "localizer.folder=maps")


def test_names_of_a_library_network_and_of_a_folder(tmp_path):
    (tmp_path / "pets").mkdir()
    chosen = [str(tmp_path / "pets"), "backbone=timm", "backbone.name=convnext_tiny"]
    settings = compose_settings([*chosen, "masking=none"])
    assert (backbone_name(settings), data_name(settings)) == ("timm/convnext_tiny", "folder-pets")
    assert default_name(settings).startswith("folder-pets-timm_convnext_tiny-mocov2-none-")
    assert "on timm/convnext_tiny," in "\n".join(explain(settings))


def test_other_names_are_the_choices():
    settings = compose_settings(["backbone=small", "masking=none", "data=generated"])
    assert (backbone_name(settings), data_name(settings)) == ("small", "generated")


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_a_library_needs_a_name(library):
    with pytest.raises(UserError, match=r"backbone\.name=VALUE"):
        compose_settings([f"backbone={library}"])


def test_a_run_from_before_channels_could_be_said_goes_on(tmp_path):
    settings = compose_settings(["method=adios_s_simclr", "backbone=resnet18", "data=generated"])
    assert settings.method["in_channels"] == settings.backbone["in_channels"] == 3
    older = {
        group: {key: value for key, value in settings[group].items() if key != "in_channels"}
        for group in ("backbone", "method")
    }
    keep_settings(tmp_path, replace(settings, values={**settings.values, **older}))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "epoch-0000.ckpt").write_bytes(b"work")
    keep_settings(tmp_path, settings)
    other = {**settings.backbone, "in_channels": 4}
    with pytest.raises(UserError, match=r"backbone\.in_channels: None there, 4 here"):
        keep_settings(tmp_path, replace(settings, values={**settings.values, "backbone": other}))


def test_encoder_and_pictures_have_the_same_channels(tmp_path):
    small = ["backbone=small", f"out={tmp_path}"]
    settings = compose_settings([*small, "in_channels=4", "data=generated"])
    with pytest.raises(UserError, match=r"in_channels=4, and data=generated gives .* 3 channels"):
        check_trainer(settings)
    own = [*small, "data=folder", f"data.root={tmp_path}", "in_channels=4"]
    assert compose_settings(own).data["channels"] == 4
    check_trainer(compose_settings(own))
    with pytest.raises(UserError, match=r"loader\.input=device makes views of RGB alone"):
        check_trainer(compose_settings([*own, "loader.input=device"]))
    supervised = ["method=supervised", "masking=none"]
    with pytest.raises(UserError, match="method=supervised trains on RGB, not on 4 channels"):
        check_trainer(compose_settings([*own, *supervised]))


@pytest.mark.parametrize(
    ("chosen", "name", "said", "departs"),
    [
        (["masking=label_free"], "momentum", "the run's own encoder at layer4", True),
        (["masking=mean", "localizer=momentum_quick"], "momentum", "encoder at layer2", True),
        (["masking=released_mean", "localizer=momentum"], "momentum", "Saliency: momentum", True),
        (["masking=mean_permuted", "localizer=coco"], "coco", "Saliency: coco", True),
        *(
            ([f"masking={name}", *CACHED], "cached", "Saliency: of whole images, cached", True)
            for name in ("mean", "mean_permuted", "released_mean")
        ),
        (["masking=mean_permuted"], "resnet50", "masked by the map of another image", False),
        (["masking=mean"], "resnet50", "Saliency: resnet50", False),
        (["masking=mean", "localizer=given"], "given", "none; the data set's object masks", True),
        (["masking=random"], "uniform", "Saliency: none", False),
        (["masking=mean", "localizer=uniform"], "uniform", "Saliency: none", True),
        (["masking=none"], "none", "Masking: none", False),
    ],
)
def test_the_localizer_that_a_recipe_asks(chosen, name, said, departs):
    settings = compose_settings(["data=generated", *chosen])
    assert localizer_name(settings) == name
    assert said in "\n".join(explain(settings))
    sentences = [text for text in departures_from_paper(settings) if text.startswith("localizer")]
    assert bool(sentences) is departs
    assert all(f"localizer is {name};" in text for text in sentences)


@pytest.mark.parametrize(
    ("chosen", "parts"),
    [
        (["masking=label_free"], "-label_free-momentum-e200-"),
        (["masking=random"], "-random-e200-"),
        (["masking=mean", "localizer=uniform"], "-mean-uniform-e200-"),
        (["masking=mean"], "-mean-resnet50-e200-"),
        (["masking=none", "crops=most", "localizer=given"], "-none-crops_most-given-e200-"),
    ],
)
def test_a_folder_is_called_after_whom_its_run_asks(chosen, parts):
    assert parts in default_name(compose_settings(["data=generated", *chosen]))


def test_a_localizer_that_nobody_asks_is_no_departure():
    # A study chooses one for all of its rows; this row asks another.
    study = ["experiment=small_block_simclr/random", "data=generated", "localizer.folder=maps"]
    assert not [text for text in departures_from_paper(compose_settings(study)) if "cached" in text]


def test_a_departure_is_written_as_a_person_reads_it():
    chosen = ["data=generated", "masking=mean", "warm_up@method.warm_up=saliency"]
    said = departures_from_paper(compose_settings(chosen))
    warm_up = "SaliencyWarmUp(uniform=0.1, ramp=0.1, grid=[7, 7])"
    assert f"method.warm_up is {warm_up}; the paper's is none" in said


GIVEN = "{_target_: salmask_plugin.GivenLocalizer}"


def test_a_localizer_of_ones_own_is_not_called_what_was_chosen_beside_it():
    asked = ["data=generated", "masking=mean", "localizer=efficientnet_lite0"]
    crops = compose_settings([*asked, "crops=most", f"crops.localizer={GIVEN}"])
    assert localizer_name(crops) == "efficientnet_lite0"
    assert crops_localizer(crops) == "GivenLocalizer"
    assert "by localizer=GivenLocalizer" in "\n".join(explain(crops))
    masks = compose_settings([*asked, f"masking.localizer={GIVEN}"])
    assert localizer_name(masks) == "GivenLocalizer"
    assert "efficientnet" not in default_name(masks)


def test_a_localizer_that_is_wrapped_keeps_its_name():
    wrapped = compose_settings(["data=generated", "masking=mean_permuted", "localizer=given"])
    assert localizer_name(wrapped) == "given"
