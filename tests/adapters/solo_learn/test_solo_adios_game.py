"""ADIOS' two turns in solo-learn's trainer, on a host that has no more than they use."""

import importlib
import sys
import types

import pytest
import torch
from torch import nn

from salmask_plugin.adios.game import OcclusionGame
from salmask_plugin.seeding import step_generator

ADAPTER = "salmask_plugin.adapters.solo_learn.adios_mixin"
IMAGES, MASKS, SEED = 5, 3, 7


class Slots(nn.Module):
    """Mask n hides (n + 1) / 6 of every pixel: what is left says which was played."""

    def __init__(self):
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(()))

    def forward(self, images):
        shares = torch.arange(1, MASKS + 1).view(1, -1, 1, 1) / 6
        return (shares + self.shift).expand(len(images), MASKS, *images.shape[2:])


@pytest.fixture
def host(monkeypatch):
    """Return host(masks_per_step, batches seen): the mixin without solo-learn's own step."""
    base = types.ModuleType("solo.methods.base")
    base.BaseMethod = object
    for name, module in {"solo": None, "solo.methods": None, "solo.methods.base": base}.items():
        monkeypatch.setitem(sys.modules, name, module or types.ModuleType(name))
    monkeypatch.delitem(sys.modules, ADAPTER, raising=False)
    mixin = importlib.import_module(ADAPTER).OcclusionMixin
    monkeypatch.delitem(sys.modules, ADAPTER)

    class Host(mixin):
        def __init__(self, masks_per_step, seen):
            self.game = OcclusionGame(
                masks_per_step=masks_per_step, mean_over_masks=False, sparsity=0.0, entropy=0.0
            )
            self.occluder = Slots()
            self.backbone = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 2))
            self.projector = nn.Identity()
            self.cfg = types.SimpleNamespace(seed=SEED)
            self.global_rank, self._batches_seen, self._ddp = 0, seen, False
            self.trainer = None
            players = (self.backbone, self.occluder)
            self.players = [torch.optim.SGD(part.parameters(), 0.1) for part in players]
            self.manual_backward = torch.autograd.backward

        def optimizers(self):
            return self.players

        def log(self, *given, **named):
            pass

        log_dict = log

    return Host


def played(occluded):
    """Which mask hid each image of ones."""
    return (6 * (1 - occluded[:, 0, 0, 0].detach())).round().long() - 1


@pytest.mark.parametrize("seen", [0, 1, 2, 5])
def test_another_mask_updates_the_statistics_in_every_batch(host, seen):
    """One masked forward a batch does, and each mask in its turn."""
    model, counted = host("all", seen), []
    images = torch.ones(IMAGES, 3, 2, 2)

    def term(clean, occluded):
        before = int(model.backbone[0].num_batches_tracked)
        value = (model.backbone(occluded) * clean).mean()
        (slot,) = set(played(occluded).tolist())
        counted.append((slot, int(model.backbone[0].num_batches_tracked) - before))
        return value

    clean = torch.ones(IMAGES, 2, requires_grad=True)
    loss = clean.sum() * 0
    model.encoder_turn(images, clean, term, loss, model.generator(images.device))
    assert counted == [(slot, int(slot == seen % MASKS)) for slot in range(MASKS)]
    assert model.occluder.shift.grad is None


def test_both_turns_draw_from_one_generator_the_encoders_first(host):
    seen = 4
    model, draws = host("one", seen), []
    images = torch.ones(IMAGES, 3, 2, 2)

    def term(*given):
        draws.append(played(given[-1]))
        # BatchNorm takes a shift out again but for rounding; the pixels keep it.
        return (model.backbone(given[-1]) ** 2).mean() + given[-1].mean()

    generator = model.generator(images.device)
    clean = torch.ones(IMAGES, 2, requires_grad=True)
    model.encoder_turn(images, clean, term, clean.sum() * 0, generator)
    still = [part.clone() for part in model.backbone.parameters()]
    model.salmask = types.SimpleNamespace(occluder_updates_statistics=False)
    with model.networks_still():
        model.occluder_turn(images, term, generator)
    expected = step_generator(SEED, 0, seen)
    for found in draws:
        assert found.tolist() == torch.randint(MASKS, (IMAGES,), generator=expected).tolist()
    assert draws[0].tolist() != draws[1].tolist()
    assert all(torch.equal(*pair) for pair in zip(still, model.backbone.parameters(), strict=True))
    assert model.occluder.shift != 0
    assert int(model.backbone[0].num_batches_tracked) == 1  # the encoder's turn alone
