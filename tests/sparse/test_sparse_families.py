"""A network of each family of timm's ConvNets that is not refused."""

import pytest
import torch

from salmask_plugin import visible_only

timm = pytest.importorskip("timm")

pytestmark = pytest.mark.slow
SEEN = [
    "convmixer_768_32",
    "convnext_atto",
    "cs3darknet_focus_s",
    "densenet121",
    "dla46x_c",
    "dpn48b",
    "efficientnet_b0",
    "ese_vovnet19b_slim_dw",
    "fasternet_t0",
    "fastvit_t8",
    "focalnet_tiny_srf",
    "ghostnet_050",
    "hardcorenas_b",
    "hgnetv2_b0",
    "hrnet_w18_small",
    "inception_next_atto",
    "inception_resnet_v2",
    "inception_v3",
    "inception_v4",
    "lcnet_035",
    "legacy_seresnet18",
    "legacy_xception",
    "mobileone_s0",
    "nasnetalarge",
    "nf_regnet_b0",
    "pnasnet5large",
    "rdnet_tiny",
    "regnetx_002",
    "repghostnet_050",
    "repvit_m1",
    "resnest14d",
    "resnet10t",
    "resnetv2_18",
    "rexnet_100",
    "selecsls42",
    "skresnet18",
    "starnet_s050",
    "vgg11",
    "xception41p",
]
# They attend over places, take a norm over them, or move them to channels.
REFUSED = ["convnextv2_atto", "edgenext_xx_small", "mobilenetv5_base", "shvit_s1", "tresnet_m"]


def made(name):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return timm.create_model(name, num_classes=0)


def features(encoder, images, hidden):
    with torch.random.fork_rng(), visible_only(encoder, hidden):
        torch.manual_seed(1)  # of dropped paths
        return encoder(images)


@pytest.fixture
def hidden(generator):
    cells = torch.rand((2, 1, 6, 6), generator=generator) < 0.5
    return cells.repeat_interleave(16, -2).repeat_interleave(16, -1)


@pytest.mark.parametrize("name", SEEN)
@torch.no_grad()
def test_a_network_does_not_see_hidden_places_and_is_itself_without(name, hidden, generator):
    encoder = made(name)
    images = torch.randn((2, 3, 96, 96), generator=generator)
    other = torch.where(hidden, images.flip(0) * 5 + 1, images)
    for training in (False, True):
        encoder.train(training)
        assert torch.equal(features(encoder, images, hidden), features(encoder, other, hidden))
    encoder.eval()
    whole = features(encoder, images, torch.zeros_like(hidden))
    assert torch.equal(whole, features(encoder, images, None))
    assert not torch.equal(whole, features(encoder, images, hidden))


@pytest.mark.parametrize("name", REFUSED)
@torch.no_grad()
def test_a_network_that_mixes_places_is_refused(name, hidden, generator):
    with pytest.raises(ValueError, match="mix hidden places"):
        features(made(name), torch.randn((2, 3, 96, 96), generator=generator), hidden)
