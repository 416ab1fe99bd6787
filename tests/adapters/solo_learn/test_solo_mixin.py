"""Masking inside a host's steps, on the smallest host that has solo-learn's hooks."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from omegaconf import OmegaConf
from torch import nn

import salmask_plugin
from salmask_plugin import (
    GridMask,
    HighPassFilter,
    Masking,
    MeanFill,
    MomentumLocalizer,
    SaliencyMasking,
    UniformLocalizer,
    step_generator,
)
from salmask_plugin.adapters.solo_learn.generic import masked
from salmask_plugin.adapters.solo_learn.held_keys import HeldKeys
from salmask_plugin.adapters.solo_learn.localizer import IMAGENET
from salmask_plugin.adapters.solo_learn.mixin import _normalised_by
from salmask_plugin.adapters.solo_learn.registration import register_backbones

GROUP = Path(salmask_plugin.__file__).parent / "configs" / "solo_learn" / "salmask"


class TinyNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x):
        return self.conv1(x).mean((2, 3))


def backbone(name):
    registry = {name: lambda method=None: TinyNet() for name in ("resnet18", "resnet50")}
    register_backbones(registry)
    return registry[name]("any")


class Host(nn.Module):
    """One training step per batch, one call of base_training_step per view, as in solo-learn."""

    def __init__(self, cfg):
        super().__init__()
        self.cfg = cfg
        self.backbone = backbone(cfg.backbone.name)
        self.global_rank, self.logged = 0, {}

    def setup(self, stage):
        self.stage = stage

    def on_train_start(self):
        self.started = True

    def on_fit_start(self):
        self.trainer = type("Trainer", (), {"is_global_zero": True})()

    def log_dict(self, values, **_):
        self.logged |= values

    def base_training_step(self, images, targets):
        return self.backbone(images)

    def training_step(self, batch, batch_idx):
        return [self.base_training_step(x, batch[2]) for x in batch[1]]

    def on_save_checkpoint(self, checkpoint):
        checkpoint["host"] = True

    def on_load_checkpoint(self, checkpoint):
        assert checkpoint["host"]


class MomentumHost(Host):
    def __init__(self, cfg):
        super().__init__(cfg)
        self.momentum_backbone = backbone(cfg.backbone.name)

    def _shared_step_momentum(self, images, targets):
        return self.momentum_backbone(images)

    def training_step(self, batch, batch_idx):
        outputs = super().training_step(batch, batch_idx)
        return outputs + [self._shared_step_momentum(x, batch[2]) for x in batch[1]]


def make(host=Host, recipe="random", seed=5, **changes):
    node = yaml.safe_load((GROUP / f"{recipe}.yaml").read_text())
    node.update({"localizer": "uniform", "negative": None} | changes)
    cfg = OmegaConf.create(
        {
            "method": "salmask_host",
            "backbone": {"name": "resnet18_highpass" if node["view_filter"] else "resnet18"},
            "seed": seed,
            "data": {"dataset": "custom"},
            "augmentations": [{"crop_size": 56}],
            "salmask": node,
        }
    )
    return masked(host)(cfg)


@pytest.fixture
def batch(make_images):
    first, second = make_images(batch=4, height=56, width=49), make_images(4, 56, 49)
    return [torch.arange(4), [first, second + 1], torch.zeros(4)]


def inputs_of(network):
    seen = []
    network.conv1.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    return seen


def test_view_0_masked_and_view_1_clean_without_a_momentum_encoder(batch):
    model = make()
    seen = inputs_of(model.backbone)
    model.training_step(batch, 0)
    first, second = batch[1]
    assert torch.equal(seen[1], second)
    changed = (seen[0] != first).any(1)
    # Cells of 8 x 7 px change whole or not at all, to one colour per image and channel.
    cells = changed.view(4, 7, 8, 7, 7)
    assert torch.equal(cells.amax((2, 4)), cells.float().amin((2, 4)).bool())
    assert float(model.logged["mask_ratio"]) == pytest.approx(float(changed.float().mean()))
    assert float(model.logged["foreground_share"]) == 1.0
    for image in range(4):
        assert len(seen[0][image, 0][changed[image]].unique()) == 1


@pytest.mark.parametrize(
    ("branch", "online", "momentum"),
    [("query", True, False), ("key", False, True), ("both", True, True)],
)
def test_both_views_of_a_momentum_method(batch, branch, online, momentum):
    model = make(MomentumHost, branch=branch)
    seen, keys = inputs_of(model.backbone), inputs_of(model.momentum_backbone)
    model.training_step(batch, 0)
    for view in (0, 1):
        assert (not torch.equal(seen[view], batch[1][view])) == online
        assert (not torch.equal(keys[view], batch[1][view])) == momentum


def test_label_free_masks_come_from_the_momentum_encoder_after_the_warm_up(batch):
    model = make(MomentumHost, "label_free_warmup", localizer="momentum", momentum_layer="conv1")
    model.trainer = SimpleNamespace(max_epochs=2, num_training_batches=10, max_steps=-1)
    model.on_train_start()
    recipe = Masking(GridMask(), MeanFill())
    own = SaliencyMasking(MomentumLocalizer(model.momentum_backbone, "conv1"), recipe)
    anywhere = SaliencyMasking(UniformLocalizer((7, 7)), recipe)
    seen = inputs_of(model.backbone)
    for step in range(3):  # of 20 batches the first two are a tenth
        model.training_step(batch, step)
        expected = (own if step == 2 else anywhere)(*batch[1], step_generator(5, 0, step))
        assert torch.equal(seen[2 * step], expected.query)
        assert ("foreground_share" in model.logged) == (step == 2)


def test_a_warm_up_does_not_put_off_what_the_localizer_refuses():
    model = make(MomentumHost, "label_free_warmup", localizer="momentum", momentum_layer="conv1")
    for encoder in (model.backbone, model.momentum_backbone):
        encoder.conv1.stride = (56, 56)
    model.trainer = SimpleNamespace(max_epochs=2, num_training_batches=10, max_steps=-1)
    with pytest.raises(ValueError, match=r"map is 1 x 1.* at 56 x 56 px"):
        model.on_train_start()


@pytest.mark.parametrize(
    ("dataset", "given", "expected"),
    [
        ("custom", {}, IMAGENET),
        ("custom", {"mean": [0.5, 0.5, 0.5]}, ((0.5, 0.5, 0.5), IMAGENET[1])),
        ("custom", {"std": [0.3, 0.3, 0.3]}, (IMAGENET[0], (0.3, 0.3, 0.3))),
        ("imagenet100", {"std": [0.3, 0.3, 0.3]}, IMAGENET),
    ],
)
def test_views_are_normalised_as_solo_learn_reads_its_own_keys(dataset, given, expected):
    augmentations = [{"crop_size": 56} | given]
    cfg = OmegaConf.create({"data": {"dataset": dataset}, "augmentations": augmentations})
    assert _normalised_by(cfg) == expected


def test_rho_rises_after_a_warm_up(batch):
    model = make(MomentumHost, warm_up={"uniform": 0.2, "ramp": 0.4})
    model.trainer = SimpleNamespace(max_epochs=1, num_training_batches=10, max_steps=-1)
    with pytest.raises(RuntimeError, match="on_train_start"):
        model.step_settings()
    model.on_train_start()
    rhos = []
    for step in range(8):
        rhos.append(model.step_settings()[0].rho)
        model.training_step(batch, step)
    assert rhos == pytest.approx([0, 0, 0, 0.5, 1, 1.5, 2, 2])


@pytest.mark.parametrize(
    ("warm_up", "error", "message"),
    [
        ({"uniform": 1.5}, ValueError, "salmask.warm_up.uniform=1.5"),
        ({"uniform": "a"}, TypeError, "salmask.warm_up.uniform='a'"),
        ({"unifrom": 0.1}, ValueError, "Did you mean 'uniform'"),
        (3, TypeError, "salmask.warm_up=3"),
    ],
)
def test_a_wrong_warm_up_is_named(warm_up, error, message):
    with pytest.raises(error, match=message):
        make(warm_up=warm_up)


def test_a_baseline_has_nothing_to_warm_up():
    with pytest.raises(ValueError, match="needs a masking to lead to"):
        make(recipe="none", warm_up={"uniform": 0.1, "ramp": 0.1})


def test_hard_negatives_in_every_second_step_of_the_optimizer(batch):
    negative = yaml.safe_load((GROUP / "mean.yaml").read_text())["negative"]
    model = make(MomentumHost, negative=negative, negative_encoding={"every": 2})
    settings = model.salmask, make(MomentumHost, negative=negative).salmask
    found = []
    for step in (0, 0, 1, 1, 2):  # two batches a step
        model.trainer = type("Trainer", (), {"global_step": step})()
        views = []
        for each in settings:
            model.salmask = each
            views.append(model.make_views(batch[1]))
        made, plain = views
        found.append([views.negatives is not None for views in made.directions])
        assert all(views.negatives is not None for views in plain.directions)
        assert torch.equal(made.online[0], plain.online[0])
    assert found == [[True] * 2, [True] * 2, [False] * 2, [False] * 2, [True] * 2]


@pytest.mark.parametrize(
    ("encoding", "error", "message"),
    [
        ({"side": 2.0}, ValueError, "salmask.negative_encoding.side=2.0 must be above 0"),
        ({"every": True}, TypeError, "salmask.negative_encoding.every=True must be float or int"),
        ({"evry": 2}, ValueError, "Did you mean 'every'"),
        (0.5, TypeError, "salmask.negative_encoding=0.5"),
    ],
)
def test_a_wrong_encoding_of_negatives_is_named(encoding, error, message):
    with pytest.raises(error, match=message):
        make(negative_encoding=encoding)


def test_without_hard_negatives_there_is_nothing_to_encode():
    with pytest.raises(ValueError, match="negative_encoding needs hard negatives"):
        make(recipe="random", negative_encoding={"side": 0.5})


def test_masks_lie_behind_the_filter_which_is_applied_once(batch):
    model = make(MomentumHost, recipe="highpass")
    seen, keys = inputs_of(model.backbone), inputs_of(model.momentum_backbone)
    model.training_step(batch, 0)
    for view in (0, 1):
        clean = HighPassFilter()(batch[1][view])
        assert torch.equal(keys[view], clean)
        same = seen[view] == clean
        assert 0.5 < float(same.float().mean()) < 1.0
        assert float(seen[view][~same].std()) == pytest.approx(0.18, rel=0.1)  # raw noise


def test_steps_differ_and_a_resumed_run_goes_on(batch):
    model = make()
    seen = inputs_of(model.backbone)
    model.training_step(batch, 0)
    model.training_step(batch, 1)
    assert not torch.equal(seen[0], seen[2])
    checkpoint = {}
    model.on_save_checkpoint(checkpoint)
    assert checkpoint["host"]
    assert checkpoint["salmask"]["batches_seen"] == 2
    model.training_step(batch, 2)
    resumed = make()
    resumed.on_load_checkpoint(checkpoint)
    again = inputs_of(resumed.backbone)
    resumed.training_step(batch, 0)
    assert torch.equal(again[0], seen[4])


def test_checkpoints_hold_no_function_that_torch_would_not_load(batch, tmp_path):
    """solo-learn's SimSiam gives its scheduler another ``get_lr``, which is part of the state."""
    states = [{"last_epoch": 3, "get_lr": partial(print)}, {"last_epoch": 4}]
    checkpoint = {"lr_schedulers": states}
    make().on_save_checkpoint(checkpoint)
    torch.save(checkpoint, tmp_path / "x.ckpt")
    kept = torch.load(tmp_path / "x.ckpt", weights_only=True)["lr_schedulers"]
    assert kept == [{"last_epoch": 3}, {"last_epoch": 4}]


def test_refuses_to_resume_other_masking(batch):
    checkpoint = {}
    make().on_save_checkpoint(checkpoint)
    with pytest.raises(ValueError, match=r"salmask\.branch \('query' there, 'both' here\)"):
        make(branch="both").on_load_checkpoint(checkpoint)
    with pytest.raises(ValueError, match="trained without salmask"):
        make().on_load_checkpoint({"host": True})


@pytest.mark.parametrize("other", [{"seed": 6}, {"rank": 1}])
def test_seeds_and_ranks_draw_apart(batch, other):
    one, two = make(), make(seed=other.get("seed", 5))
    two.global_rank = other.get("rank", 0)
    views = [model.make_views(batch[1]).online[0] for model in (one, two)]
    assert not torch.equal(*views)


def test_nothing_is_left_behind_when_a_step_fails(batch):
    model = make()
    model.backbone.conv1.register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model.training_step(batch, 0)
    assert model._pending == {}
    assert model._step is None


def test_masking_adds_nothing_to_parameters_and_state():
    model = make(MomentumHost)
    assert model.masking is not None
    assert list(model.state_dict()) == list(MomentumHost(model.cfg).state_dict())


def test_says_so_at_the_start(capsys):
    model = make()
    model.setup("fit")
    model.on_fit_start()
    assert "masking is active: branch=query localizer=uniform" in capsys.readouterr().out
    assert model.stage == "fit"


@pytest.mark.parametrize("where", ["query", "negative"])
def test_the_logged_foreground_has_the_recipes_tolerance(batch, where):
    """By 0.6 deviations a true mask is foreground everywhere, whatever the samplers say."""
    model = make(recipe="mean")
    sharp = Masking(GridMask(tolerance=0), MeanFill())
    loose = Masking(GridMask(), MeanFill())
    parts = (sharp, None) if where == "query" else (loose, sharp)
    spot = torch.zeros(1, 7, 7)
    spot[:, :3, :3] = 1
    model._masking = SaliencyMasking(lambda views: spot.expand(len(views), -1, -1), *parts)
    model.training_step(batch, 0)
    assert float(model.logged["foreground_share"]) == pytest.approx(9 / 49)


class Queue:
    """The part of solo-learn's MoCo that keeps keys, and a step of an optimizer."""

    def __init__(self, cfg):
        self.accumulate_grad_batches, self.events = cfg, []

    def _dequeue_and_enqueue(self, keys):
        self.events.append(keys.tolist())

    def optimizer_step(self, *arguments, **named):
        self.events.append((*arguments, *named))


class HeldQueue(HeldKeys, Queue):
    pass


@pytest.mark.parametrize("batches", [None, 1])
def test_keys_enter_the_queue_in_the_step_without_accumulation(batches):
    model = HeldQueue(batches)
    model._dequeue_and_enqueue(torch.ones(2))
    assert model.events == [[1, 1]]
    model.optimizer_step(3, closure=None)
    assert model.events == [[1, 1], (3, "closure")]


def test_keys_of_batches_that_share_a_step_enter_the_queue_after_it():
    model = HeldQueue(2)
    for first in (0, 2):
        model._dequeue_and_enqueue(torch.tensor([first]))
        model._dequeue_and_enqueue(torch.tensor([first + 1]))
        model.optimizer_step(first)
    assert model.events == [(0,), [0], [1], (2,), [2], [3]]


@pytest.mark.parametrize("host", [Host, MomentumHost])
def test_places_that_are_not_seen_are_hidden_from_the_online_encoder_alone(batch, host):
    model = make(host, recipe="sparse")
    seen, found = inputs_of(model.backbone), []
    model.backbone.conv1.register_forward_hook(lambda *given: found.append(given[-1]))
    momentum = hasattr(model, "momentum_backbone")
    keys = inputs_of(model.momentum_backbone) if momentum else seen[1:]
    model.training_step(batch, 0)
    hidden = (seen[0] == 0).all(1, keepdim=True)
    assert 0.05 < float(hidden.float().mean()) < 0.25
    assert (found[0][hidden.expand_as(found[0])] == 0).all()
    with torch.no_grad():  # visible places see zeros, and their bias, around them
        plain = torch.nn.functional.conv2d(seen[0], *model.backbone.conv1.parameters(), padding=1)
    assert torch.equal(found[0], plain * ~hidden)
    other = (seen[1] == 0).all(1)
    assert bool(other.any()) == momentum
    assert not any((key == 0).all(1).any() for key in keys)
