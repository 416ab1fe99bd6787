"""Every host's checkpoint gives the features that its own host computes."""

from __future__ import annotations

import argparse
import json

import pytest
import torch
import torchvision
from torch import nn

from salmask_plugin import GridMask, Masking, MeanFill, SaliencyMasking, UniformLocalizer
from salmask_plugin.adapters.lightly import MaskedMoCoV2
from salmask_plugin.encoders import fingerprint, load_backbone
from salmask_plugin.encoders.architectures import build_network, infer_architecture
from salmask_plugin.encoders.layouts import find_encoder
from salmask_plugin.filters import HighPassFilter

IMAGES = torch.rand(2, 3, 16, 12, generator=torch.Generator().manual_seed(5))


def trained(network: nn.Module, seed: int = 1) -> nn.Module:
    """Give every tensor, running statistics too, values that no initialisation has."""
    generator = torch.Generator().manual_seed(seed)
    for value in [*network.parameters(), *network.buffers()]:
        if value.is_floating_point():
            value.data.uniform_(0.01, 0.1, generator=generator)
    for name, parameter in network.named_parameters():
        if parameter.ndim > 1 and "weight" in name:
            parameter.data.sub_(0.055)
    return network.eval()


def resnet18(small_padding: int | None = None, seed: int = 1) -> nn.Module:
    """A ResNet-18 by torchvision's own hand, independent of the package's builder."""
    network = torchvision.models.resnet18(weights=None)
    network.fc = nn.Identity()
    if small_padding is not None:
        network.conv1 = nn.Conv2d(3, 64, 3, padding=small_padding, bias=False)
        network.maxpool = nn.Identity()
    return trained(network, seed)


def prefixed(network: nn.Module, prefix: str) -> dict[str, torch.Tensor]:
    return {prefix + name: value for name, value in network.state_dict().items()}


@torch.no_grad()
def assert_same_features(loaded, network, images=IMAGES):
    features = loaded.filtered()(images)
    assert features.shape == (len(images), loaded.feature_dim)
    assert features.isfinite().all()
    assert (features[0] != features[1]).any()
    assert torch.equal(features, network(images).flatten(1))


@pytest.mark.parametrize(
    ("layout", "others"),
    [
        ("backbone.", {"projection_head.layers.0.weight": torch.ones(2), "key": "key_backbone."}),
        ("backbone.", {"projection_head.x": torch.ones(2), "key": "backbone_momentum."}),
        ("backbone.", {"projector.0.weight": torch.ones(2), "key": "momentum_backbone."}),
        ("module.encoder_q.", {"module.queue": torch.ones(2), "key": "module.encoder_k."}),
        ("_orig_mod.", {}),
        ("module.", {}),
        ("", {}),
    ],
)
def test_the_online_encoder_of_every_layout(tmp_path, layout, others):
    network, momentum = resnet18(), resnet18(seed=2)
    state = prefixed(network, layout) | {k: v for k, v in others.items() if k != "key"}
    if "key" in others:
        state = prefixed(momentum, others["key"]) | state
    if "encoder_q" in layout:
        state["module.encoder_q.fc.0.weight"] = torch.ones(4, 512)
    torch.save({"state_dict": state, "epoch": 3, "arch": "resnet18"}, tmp_path / "x.ckpt")
    loaded = load_backbone(tmp_path / "x.ckpt")
    assert (loaded.architecture, loaded.feature_dim, loaded.view_filter) == ("resnet18", 512, None)
    assert_same_features(loaded, network)
    assert loaded.fingerprint == fingerprint(network) == fingerprint(loaded.network)


def test_a_backbone_cut_into_a_sequential(tmp_path):
    network = resnet18()
    module = nn.Module()
    module.backbone = nn.Sequential(*list(network.children())[:-1])
    torch.save({"state_dict": module.state_dict()}, tmp_path / "x.ckpt")
    assert_same_features(load_backbone(tmp_path / "x.ckpt"), network)


@pytest.mark.parametrize("depth", ["resnet-18", "resnet-34"])
def test_lightlys_small_resnet(tmp_path, depth):
    from lightly.models import ResNetGenerator

    children = list(ResNetGenerator(depth).children())[:-1]
    module = nn.Module()
    module.backbone = nn.Sequential(*children, nn.AdaptiveAvgPool2d(1))
    trained(module)
    torch.save({"state_dict": module.state_dict()}, tmp_path / "x.ckpt")
    loaded = load_backbone(tmp_path / "x.ckpt")
    assert loaded.architecture == depth.replace("-", "") + "_cifar_lightly"
    assert_same_features(loaded, module.backbone)


def test_the_small_stems_padding_follows_its_host(tmp_path):
    """solo-learn's momentum methods are known by their names alone; its folders by args.json."""
    solo = resnet18(small_padding=2)
    beside = {"classifier.weight": torch.ones(2)} | prefixed(solo, "momentum_backbone.")
    torch.save({"state_dict": prefixed(solo, "backbone.") | beside}, tmp_path / "solo.ckpt")
    assert_same_features(load_backbone(tmp_path / "solo.ckpt"), solo)


def test_a_small_stem_that_two_hosts_could_have_written_is_asked_for(tmp_path):
    """A module of one's own with a projector was read with solo-learn's padding, without a word."""
    own = resnet18(small_padding=1)
    state = prefixed(own, "backbone.") | {"projector.0.weight": torch.ones(2)}
    torch.save({"state_dict": state}, tmp_path / "own.ckpt")
    with pytest.raises(ValueError, match=r"padding no weight tells.*resnet18_cifar_solo"):
        load_backbone(tmp_path / "own.ckpt")
    named = load_backbone(tmp_path / "own.ckpt", architecture="resnet18_cifar")
    assert_same_features(named, own)
    with pytest.raises(ValueError, match=r"network=ResNet\(\.\.\.\) must be \(network, f"):
        load_backbone(tmp_path / "own.ckpt", network=own, view_filter=None)


@pytest.mark.parametrize(
    ("prefix", "beside", "stem"),
    [
        ("backbone.", (), None),
        ("backbone.", ("projector.0.weight",), None),
        ("backbone.", ("projector.0.weight", "classifier.weight", "predictor.0.weight"), None),
        ("backbone.", ("projection_head.layers.0.weight", "backbone_momentum.x"), None),
        ("backbone.", ("momentum_backbone.conv1.weight", "momentum_projector.0.weight"), None),
        ("backbone.", ("momentum_backbone.conv1.weight", "classifier.weight"), "_cifar_solo"),
        ("encoder.", ("projector.0.weight", "classifier.weight"), None),
        ("encoder.", ("momentum_encoder.conv1.weight", "classifier.weight"), "_cifar_solo"),
        ("", (), None),
    ],
)
def test_which_names_tell_the_stem(prefix, beside, stem):
    names = (f"{prefix}conv1.weight", f"{prefix}layer1.0.conv1.weight", *beside)
    found = find_encoder({name: torch.ones(2) for name in names})
    assert found.small_stem == stem
    assert set(found.state) == {"conv1.weight", "layer1.0.conv1.weight"}


@torch.no_grad()
def test_solo_learns_filter_comes_with_the_weights(tmp_path):
    network = resnet18(small_padding=2)
    state = prefixed(network, "backbone.")
    state["backbone.highpass_kernel"] = torch.tensor([5, 1.5])
    (tmp_path / "args.json").write_text(
        json.dumps({"backbone": {"name": "resnet18_highpass"}, "data": {"dataset": "cifar10"}})
    )
    torch.save({"state_dict": state}, tmp_path / "x-ep=3.ckpt")
    for place in (tmp_path, tmp_path / "x-ep=3.ckpt"):
        loaded = load_backbone(place)
        expected = network(HighPassFilter(kernel_size=5, sigma=1.5)(IMAGES))
        assert torch.equal(loaded.filtered()(IMAGES), expected)
        assert torch.equal(loaded.network(IMAGES), network(IMAGES))
        assert loaded.fingerprint != fingerprint(network), "the filter is part of the encoder"


def run_folder(folder, network, view_filter):
    """A run folder of ours, as far as the loader reads it."""
    (folder / "checkpoints").mkdir(parents=True)
    values = {
        "masking": {"view_filter": view_filter},
        "backbone": {"name": "resnet18", "stem": "cifar"},
    }
    (folder / "settings.json").write_text(json.dumps({"values": values, "choices": {}}))
    state = {"state_dict": prefixed(network, "backbone."), "salmask_batches_seen": 3}
    torch.save(state, folder / "checkpoints" / "epoch-0001.ckpt")
    (folder / "checkpoints" / "epoch-0002.ckpt").write_bytes(b"damaged")


@torch.no_grad()
def test_a_run_folder_says_architecture_and_filter(tmp_path):
    network = resnet18(small_padding=1)
    run_folder(tmp_path, network, {"_target_": "x", "kernel_size": 3, "sigma": 0.7})
    with pytest.warns(UserWarning, match="damaged"):
        loaded = load_backbone(tmp_path)
    assert loaded.architecture == "resnet18_cifar"
    filtered = HighPassFilter(kernel_size=3, sigma=0.7)
    assert torch.equal(loaded.filtered()(IMAGES), network(filtered(IMAGES)))
    file = tmp_path / "checkpoints" / "epoch-0001.ckpt"
    assert load_backbone(file).fingerprint == loaded.fingerprint
    with pytest.raises(ValueError, match=r"contradicts .*0\.7"):
        load_backbone(file, view_filter=None)
    with pytest.raises(ValueError, match=r"contradicts .*resnet18_cifar"):
        load_backbone(file, architecture="resnet18_cifar_solo")


@pytest.mark.parametrize("where", ["module", "callback"])
def test_a_checkpoint_alone_says_its_filter(tmp_path, where):
    network = resnet18()
    file = tmp_path / "alone.ckpt"

    def write(**said):
        inner = {"batches_seen": 1, "salmask_batches_seen": 1, **said}
        outer = inner if where == "module" else {"callbacks": {"SaliencyMaskingCallback": inner}}
        torch.save({"state_dict": prefixed(network, "backbone."), **outer}, file)

    write(salmask_view_filter=[11, 5.0])
    loaded = load_backbone(file)
    assert (loaded.view_filter.kernel_size, loaded.view_filter.sigma) == (11, 5.0)
    write(salmask_view_filter=None)
    assert load_backbone(file).view_filter is None
    write()
    with pytest.raises(ValueError, match=r"say view_filter=HighPassFilter"):
        load_backbone(file)
    given = load_backbone(file, view_filter=HighPassFilter(kernel_size=5, sigma=2.0))
    assert given.view_filter.kernel_size == 5


@torch.no_grad()
def test_our_module_s_checkpoint_alone_gives_the_module_s_features(tmp_path):
    masking = SaliencyMasking(
        UniformLocalizer(grid=(4, 4)),
        query=Masking(GridMask(), MeanFill()),
        view_filter=HighPassFilter(kernel_size=5, sigma=1.5),
    )
    module = MaskedMoCoV2(
        resnet18(), feature_dim=512, masking=masking, queue_size=8, split_batch_size=2
    ).eval()
    trained(module.key_backbone, seed=9)
    checkpoint = {"state_dict": module.state_dict()}
    module.on_save_checkpoint(checkpoint)
    torch.save(checkpoint, tmp_path / "x.ckpt")
    loaded = load_backbone(tmp_path / "x.ckpt")
    assert torch.equal(loaded.filtered()(IMAGES), module(IMAGES))


def test_missing_and_unexpected_names_are_listed(tmp_path):
    state = prefixed(resnet18(), "backbone.") | {"projection_head.x": torch.ones(1)}
    del state["backbone.layer3.1.bn2.running_var"]
    state["backbone.layer9.weight"] = torch.ones(1)
    torch.save({"state_dict": state}, tmp_path / "x.ckpt")
    with pytest.raises(ValueError, match=r"layer3\.1\.bn2\.running_var.*layer9\.weight"):
        load_backbone(tmp_path / "x.ckpt")


def test_another_architecture_is_refused(tmp_path):
    torch.save(resnet18().state_dict(), tmp_path / "x.pth")
    with pytest.raises(ValueError, match="does not fit ResNet"):
        load_backbone(tmp_path / "x.pth", architecture="resnet50")
    with pytest.raises(ValueError, match=r"neither one of .* near: .*resnet50"):
        load_backbone(tmp_path / "x.pth", architecture="resnet5o")
    torch.save({"layer1.weight": torch.ones(2, 2)}, tmp_path / "mlp.pth")
    with pytest.raises(ValueError, match=r"none of resnet18.*say architecture"):
        load_backbone(tmp_path / "mlp.pth")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load_backbone(tmp_path / "nothing.pth")
    with pytest.raises(FileNotFoundError, match="is none of: a run folder"):
        load_backbone(tmp_path)


def test_nothing_in_a_file_is_executed(tmp_path):
    torch.save({"state_dict": {"conv1.weight": print}}, tmp_path / "x.ckpt")
    with pytest.raises(ValueError, match="no readable weights"):
        load_backbone(tmp_path / "x.ckpt")


def test_a_timm_model_by_name_with_or_without_its_classifier(tmp_path):
    import timm
    from safetensors.torch import save_file

    network = trained(timm.create_model("test_convnext", num_classes=7))
    save_file(network.state_dict(), tmp_path / "x.safetensors")
    loaded = load_backbone(tmp_path / "x.safetensors", architecture="test_convnext")
    network.reset_classifier(0)
    assert_same_features(loaded, network, torch.rand(2, 3, 64, 96))


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", "resnet101"])
def test_the_depth_is_inferred(name):
    with torch.device("meta"):
        state = torchvision.models.get_model(name, weights=None).state_dict()
    assert infer_architecture(state, small_stem=None) == name


@pytest.mark.parametrize("name", ["wide_resnet50_2", "resnext50_32x4d", "vgg11"])
def test_other_networks_are_not_taken_for_a_resnet(name):
    with torch.device("meta"):
        state = torchvision.models.get_model(name, weights=None).state_dict()
    with pytest.raises(ValueError, match="none of resnet18"):
        infer_architecture(state, small_stem=None)


def test_the_fingerprint_sees_every_tensor_but_counters():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(2, 3))
    before = fingerprint(network)
    for name, value in network.state_dict().items():
        kept = value.clone()
        value.add_(1)
        assert (fingerprint(network) == before) == name.endswith("num_batches_tracked"), name
        value.copy_(kept)
    assert fingerprint(network) == before


def test_building_a_network_draws_nothing():
    state = torch.get_rng_state()
    build_network("resnet18_cifar")
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("content", "found", "part"),
    [
        (lambda s: {"model_state_dict": s, "epoch": 3}, "model_state_dict", "model_state_dict"),
        (
            lambda s: {"state_dict": prefix(s, "module.base_encoder.") | prefix(s, "predictor.")},
            "module.base_encoder, predictor",
            "module.base_encoder",
        ),
        (lambda s: {"student": s, "teacher": s}, "student, teacher", "teacher"),
        (lambda s: prefix(s, "net.one.") | prefix(s, "net.two."), "net.one, net.two", "net.two"),
        (lambda s: {"state": {"ema": prefix(s, "f.")}, "lr": 0.1}, "state.ema.f", "state.ema.f"),
    ],
)
def test_where_names_do_not_choose_the_parts_are_listed_and_one_is_said(
    tmp_path, content, found, part
):
    network = resnet18()
    file = tmp_path / "x.pth"
    torch.save(content(network.state_dict()), file)
    with pytest.raises(ValueError, match=r"part=") as caught:
        load_backbone(file)
    for name in found.split(", "):
        assert f"{name} (120 tensors)" in str(caught.value)
    loaded = load_backbone(file, part=part)
    assert loaded.architecture == "resnet18"
    assert loaded.fingerprint == fingerprint(network)
    with pytest.raises(ValueError, match=rf"part='{part}x'.* near: {part}.*Found: "):
        load_backbone(file, part=f"{part}x")


def prefix(state, start):
    return {start + name: value for name, value in state.items()}


def test_a_network_without_its_first_block_is_named(tmp_path):
    state = resnet18().state_dict()
    del state["layer1.0.conv1.weight"]
    torch.save(state, tmp_path / "x.pth")
    with pytest.raises(ValueError, match=r"none of resnet18.*say architecture"):
        load_backbone(tmp_path / "x.pth")


def test_what_stands_beside_the_tensors_is_named(tmp_path):
    content = {"state_dict": {"conv1.weight": torch.ones(1)}, "args": argparse.Namespace(lr=0.1)}
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(ValueError, match=r"besides tensors it holds argparse\.Namespace") as caught:
        load_backbone(tmp_path / "x.pth")
    assert len(str(caught.value)) < 500
    torch.save({"net": {"a": torch.ones(1)}, "epoch": 3}, tmp_path / "y.pth")
    with pytest.raises(ValueError, match=r"found: net \(1 tensors\), epoch \(int\)"):
        load_backbone(tmp_path / "y.pth")
