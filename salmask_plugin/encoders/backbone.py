"""Any checkpoint -> a plain backbone that knows the filter it was trained behind."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import isclose
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from salmask_plugin.encoders.architectures import build_network, check_widths, infer_architecture
from salmask_plugin.encoders.convnets import channels_of, heads_of, own_network, take_channels
from salmask_plugin.encoders.encoder_part import networks_in, part_of, parts_in_words
from salmask_plugin.encoders.layouts import KERNEL, Encoder, find_encoder
from salmask_plugin.encoders.recorded_filter import recorded_filter
from salmask_plugin.encoders.sources import Source, find_source
from salmask_plugin.filters import HighPassFilter
from salmask_plugin.localizers.weights import load_strictly, named_tensors, read_content

Auto = Literal["auto"]
SHOWN_NAMES = 20


class FilteredBackbone(nn.Module):
    """A backbone behind its high-pass filter; images are normalised before both.

    The kernel is a buffer beside the network, so that a state dict tells how to use the weights.

    Args:
        network: filtered images -> features.
        view_filter: the first layer.
    """

    def __init__(self, network: nn.Module, view_filter: HighPassFilter) -> None:
        super().__init__()
        self.view_filter = view_filter
        self.network = network
        kernel = torch.tensor([view_filter.kernel_size, view_filter.sigma], dtype=torch.float32)
        self.register_buffer(KERNEL, kernel)

    def forward(self, images: Tensor) -> Tensor:
        """Return the features (B, D) of normalised images (B, C, H, W)."""
        features: Tensor = self.network(self.view_filter(images))
        return features


@dataclass(frozen=True)
class PretrainedBackbone:
    """An encoder out of a checkpoint, in eval mode on the CPU.

    Attributes:
        network: normalised images -> features (B, D); without the filter.
        architecture: a name of :func:`~salmask_plugin.encoders.architectures.build_network`.
        feature_dim: D.
        view_filter: what images must pass, after normalisation, before ``network``; or None.
        fingerprint: of :meth:`filtered`, see :func:`fingerprint`.
        source: who wrote the file, its layout and its name, for people.
    """

    network: nn.Module
    architecture: str
    feature_dim: int
    view_filter: HighPassFilter | None
    fingerprint: str
    source: str

    def filtered(self) -> nn.Module:
        """Return the network with its filter as first layer; the network itself without one.

        The weights are shared, not copied.
        """
        if self.view_filter is None:
            return self.network
        return FilteredBackbone(self.network, self.view_filter).train(self.network.training)

    def __str__(self) -> str:
        """Say in one line what was loaded."""
        kernel = self.view_filter
        behind = f", behind HighPassFilter({kernel.extra_repr()})" if kernel is not None else ""
        return (
            f"{self.architecture} ({self.feature_dim} features){behind} from {self.source}, "
            f"fingerprint {self.fingerprint[:16]}"
        )


def load_backbone(
    path: str | Path,
    *,
    architecture: str | None = None,
    view_filter: HighPassFilter | Auto | None = "auto",
    network: tuple[nn.Module, int] | None = None,
    sha256: str | None = None,
    part: str | None = None,
) -> PretrainedBackbone:
    """Load the online encoder of a checkpoint, whoever wrote it. Nothing in the file is executed.

    Read are: runs of this package (folder or ``.ckpt``), lightly's and solo-learn's checkpoints,
    MoCo's official ones, state dicts of torchvision and timm, and this package's exports.

    Args:
        path: a file, or a folder that this package or solo-learn wrote.
        architecture: such as "resnet50", "resnet18_cifar" or a model of timm. None: what the files
            beside the weights say, or the ResNet that the weights fit.
        view_filter: what the encoder was trained behind. "auto": what the checkpoint or the files
            beside it say, and no filter where a host without filters wrote it.
        network: your own (network without a classifier, its feature dimension) to load the weights
            into, where it is none that ``architecture`` can name.
        sha256: the digest the file must have, or its first digits (8 or more).
        part: where in the file the encoder is, where none of the layouts above says it: keys and
            the beginning of names, such as "model_state_dict.base_encoder".

    Raises:
        FileNotFoundError: if there is no such file, or no weights in the folder.
        ValueError: if there is no such part, or several could be meant, which are then listed; if
            the architecture or the filter cannot be told or contradicts the checkpoint,
            or a tensor is missing, left over or of another shape; the names are listed.
    """
    source = find_source(path)
    content = read_content(source.file, sha256)
    encoder = _encoder(content, source, part)
    recorded = recorded_filter(source.file) if source.kernel == "" else ""
    kernel = _kernel(source, encoder, recorded, view_filter)
    if network is not None:
        built, feature_dim = own_network(network)
        name = architecture or source.architecture or type(built).__name__
    else:
        # Our modules take any stem, so that their checkpoints alone do not tell a small one.
        small_stem = encoder.small_stem if recorded == "" else None
        with _parts_told(content, encoder, part):
            name = _architecture(source, encoder, architecture, small_stem)
            check_widths(name, encoder.state, str(source.file))
        built, feature_dim = build_network(name)
        take_channels(built, channels_of(encoder.state, built))
    with _parts_told(content, encoder, part):
        load_strictly(built, _without_head(encoder, built), str(source.file), shown=SHOWN_NAMES)
    built.eval()
    loaded = PretrainedBackbone(
        built,
        name,
        feature_dim,
        None if kernel is None else HighPassFilter(*kernel),
        "",
        f"{source.kind} ({encoder.layout}): {source.file.name}",
    )
    # Frozen: the fingerprint of the filtered network needs the rest to be there first.
    object.__setattr__(loaded, "fingerprint", fingerprint(loaded.filtered()))
    return loaded


def _encoder(content: object, source: Source, part: str | None) -> Encoder:
    if part is not None:
        return find_encoder(part_of(content, part, str(source.file)))
    try:
        return find_encoder(named_tensors(content, source.file))
    except ValueError as error:
        raise ValueError(f"{error} {parts_in_words(content)}".rstrip()) from error


@contextmanager
def _parts_told(content: object, encoder: Encoder, part: str | None) -> Iterator[None]:
    """Add to an error which parts could have been meant, where the names did not choose one."""
    try:
        yield
    except ValueError as error:
        if part is None and encoder.layout == "plain" and networks_in(content):
            raise ValueError(f"{error} {parts_in_words(content)}") from error
        raise


def fingerprint(module: nn.Module) -> str:
    """SHA-256 over all parameters and buffers, with their names, types and shapes.

    BatchNorm's batch counters are left out: no output depends on them, and some formats drop them.
    Equal before and after an evaluation, it proves that nothing was trained, running statistics
    included. The device does not matter.
    """
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        if name.endswith("num_batches_tracked") or not isinstance(value, Tensor):
            continue
        digest.update(f"{name} {value.dtype} {tuple(value.shape)};".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _kernel(
    source: Source,
    encoder: Encoder,
    recorded: tuple[int, float] | str | None,
    asked: HighPassFilter | Auto | None,
) -> tuple[int, float] | None:
    """What the weights bring along, or what the files beside them say, or what is asked for."""
    if asked not in ("auto", None) and not isinstance(asked, HighPassFilter):
        raise ValueError(f"view_filter={asked!r} must be 'auto', None or a HighPassFilter.")
    known = source.kernel
    if known == "":
        known = encoder.kernel if encoder.kernel is not None else recorded
    elif encoder.kernel is not None and not _agree(encoder.kernel, known):
        raise ValueError(
            f"{source.file} brings the filter {encoder.kernel} (taps, sigma) along, and the files "
            f"beside it say {known}."
        )
    if isinstance(asked, str):
        if isinstance(known, str) and known:
            raise ValueError(known)
        return None if isinstance(known, str) else known
    wanted = None if asked is None else (asked.kernel_size, asked.sigma)
    same = known == wanted or (encoder.kernel is not None and _agree(encoder.kernel, wanted))
    if not isinstance(known, str) and not same:
        raise ValueError(
            f"view_filter={asked!r} contradicts {source.file}, which was trained with "
            f"{known or 'none'} (taps, sigma); use .network for the weights without a filter."
        )
    return wanted


def _agree(buffer: tuple[int, float], known: tuple[int, float] | str | None) -> bool:
    """Whether a float32 buffer is the filter of a description."""
    return (
        isinstance(known, tuple)
        and buffer[0] == known[0]
        and isclose(buffer[1], known[1], rel_tol=1e-6)
    )


def _architecture(
    source: Source, encoder: Encoder, asked: str | None, small_stem: str | None
) -> str:
    if asked is not None and source.architecture not in (None, asked):
        raise ValueError(
            f"architecture={asked!r} contradicts {source.file}, which is a {source.architecture}."
        )
    known = asked or source.architecture
    if known is not None:
        return known
    try:
        return infer_architecture(encoder.state, small_stem=small_stem)
    except ValueError as error:
        raise ValueError(f"{source.file}: {error}") from error


def _without_head(encoder: Encoder, network: nn.Module) -> dict[str, Tensor]:
    """Leave out the classifier, which the network is built without."""
    heads = heads_of(network)
    return {k: v for k, v in encoder.state.items() if k.rpartition(".")[0] not in heads}
