"""Networks: shapes, what is frozen, what the filter sees, and that the loss falls."""

import copy

import pytest
import torch
from oracles.narrow_resnet import CHANNELS, narrow_backbone
from torchvision.models import resnet18

from salmask_plugin.encoders import PretrainedBackbone, fingerprint
from salmask_plugin.filters import HighPassFilter
from salmask_plugin.lab.downstream.depth import DepthSchedule, Monodepth, ResNetMaps, motion_matrix
from salmask_plugin.lab.downstream.depth.batches import DepthBatch, DepthSamples
from salmask_plugin.lab.downstream.depth.generated_sequences import generated_sequences
from salmask_plugin.lab.downstream.depth.module import DepthModule

SMALL = {"height": 64, "width": 96, "decoder_channels": (8, 8, 8, 8, 8), "pose_channels": 16}


def small_model(**changes):
    torch.manual_seed(1)
    backbone = narrow_backbone(changes.pop("view_filter", None))
    return Monodepth(backbone, **{**SMALL, **changes}), backbone


def test_maps_and_disparities_have_their_strides(generator):
    model, _ = small_model()
    assert model.encoder.channels == CHANNELS
    images = torch.rand(2, 3, 64, 96, generator=generator)
    assert [tuple(m.shape[1:]) for m in model.encoder(images)] == [
        (channels, 64 // stride, 96 // stride)
        for channels, stride in zip(CHANNELS, (2, 4, 8, 16, 32), strict=True)
    ]
    found = model(images)
    assert [tuple(d.shape) for d in found] == [(2, 1, 64 >> s, 96 >> s) for s in range(4)]
    assert all(((d > 0) & (d < 1)).all() for d in found)
    inverse = model.inverse_depth(images)
    assert inverse.shape == (2, 64, 96)
    assert torch.allclose(inverse, 0.01 + 9.99 * found[0][:, 0])


def test_the_maps_are_those_of_the_network(generator):
    torch.manual_seed(0)
    network = resnet18().eval()
    images = torch.rand(1, 3, 64, 96, generator=generator)
    classes = network(images)
    head = copy.deepcopy(network.fc)
    maps = ResNetMaps(network)
    assert maps.channels == (64, 64, 128, 256, 512)
    assert torch.allclose(head(maps(images)[-1].mean((2, 3))), classes, atol=1e-5)


def test_motions_follow_time(generator):
    """The pair before is seen in the order of time, and inverted."""
    model, _ = small_model()
    model.eval()
    frames = torch.rand(1, 3, 3, 64, 96, generator=generator)
    seen = []
    model.pose.register_forward_hook(lambda module, inputs, output: seen.append((inputs, output)))
    back, ahead = model.motions(frames)
    scaled = (frames - 0.45) / 0.225
    for (inputs, _), places in zip(seen, ((0, 1), (1, 2)), strict=True):
        for given, place in zip(inputs, places, strict=True):
            assert torch.allclose(given, scaled[:, place])
    assert torch.equal(ahead, motion_matrix(seen[1][1]))
    assert torch.allclose(back @ motion_matrix(seen[0][1]), torch.eye(4)[None], atol=1e-6)
    assert float(seen[0][1].detach().abs().max()) < 0.1, "training begins with nearly no motion"


def test_the_pose_network_knows_nothing_of_the_encoder():
    model, backbone = small_model()
    mine = dict(model.pose.encoder.network.named_parameters())
    for name, value in backbone.network.named_parameters():
        if "bn" in name or "downsample.1" in name:
            continue
        assert mine[name].shape[1] == (6 if name == "conv1.weight" else value.shape[1])
        if name != "conv1.weight":
            assert not torch.equal(mine[name], value), name
    assert all(p.requires_grad for p in mine.values())


@pytest.mark.parametrize("normalization", ["imagenet", "monodepth2"])
def test_the_filter_comes_after_the_normalisation(generator, normalization):
    kernel = HighPassFilter(5, 2.0)
    model, _backbone = small_model(view_filter=kernel, normalization=normalization)
    images = torch.rand(1, 3, 64, 96, generator=generator)
    mean, std = {
        "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        "monodepth2": ((0.45,) * 3, (0.225,) * 3),
    }[normalization]
    seen = []
    model.encoder.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    model(images)
    normalised = (images - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    assert torch.allclose(seen[0], kernel(normalised), atol=1e-6)


def one_batch():
    rides = generated_sequences(1, 1, frames=6, width=96, height=64, seed=1).train
    samples = DepthSamples(rides, height=64, width=96, seed=0)
    return DepthBatch(
        *(torch.stack(x) for x in zip(*(samples[0, i] for i in range(2)), strict=True))
    )


@pytest.mark.parametrize("frozen", [True, False])
def test_the_loss_falls_and_a_frozen_encoder_stays(frozen):
    model, _backbone = small_model(freeze_backbone=frozen)
    before = fingerprint(model.encoder)
    module = DepthModule(model.train(), DepthSchedule(learning_rate=2e-3), seed=0)
    module.log_dict = lambda *args, **kwargs: None
    optimizer = module.configure_optimizers()["optimizer"]
    batch, losses = one_batch(), []
    for step in range(10):
        loss = module.training_step(batch, step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-3:]) < 0.97 * sum(losses[:3]), losses
    assert (fingerprint(model.encoder) == before) is frozen
    assert model.pose.training
    assert model.encoder.training is not frozen


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"height": 32}, "height=32 must be a multiple of 32"),
        ({"width": 100}, "width=100 must be a multiple of 32, 64 at least"),
        ({"normalization": "none"}, "normalization='none'"),
        ({"min_depth": 0}, "min_depth=0"),
        ({"decoder_channels": (8, 8)}, "must be five numbers"),
        ({"pose_channels": 0}, "pose_channels=0"),
    ],
)
def test_arguments_out_of_range_are_refused(changes, words):
    with pytest.raises(ValueError, match=words.replace("(", r"\(")):
        small_model(**changes)


def test_networks_without_the_maps_are_refused():
    network = resnet18()
    network.maxpool = torch.nn.Identity()
    cifar = PretrainedBackbone(network, "resnet18_cifar", 512, None, "", "a test")
    with pytest.raises(ValueError, match="standard stem"):
        Monodepth(cifar, **SMALL)
    other = PretrainedBackbone(torch.nn.Linear(2, 2), "mlp", 2, None, "", "a test")
    with pytest.raises(ValueError, match="needs a ResNet"):
        Monodepth(other, **SMALL)


@pytest.mark.parametrize("name", ["epochs", "batch_size", "decay_every", "learning_rate"])
def test_schedules_out_of_range_are_refused(name):
    with pytest.raises(ValueError, match=f"{name}=0"):
        DepthSchedule(**{name: 0})


def test_the_rate_falls_by_ten_every_fifteen_epochs():
    model, _ = small_model()
    optimizer, rates = DepthSchedule().optimizer_of(model)
    found = []
    for _ in range(20):
        found.append(rates.get_last_lr()[0])
        optimizer.step()
        rates.step()
    assert found == pytest.approx([1e-4] * 15 + [1e-5] * 5)
    trained = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert not trained & {id(p) for p in model.encoder.parameters()}
