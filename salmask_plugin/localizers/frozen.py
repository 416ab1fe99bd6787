"""A network that only looks: kept out of the module tree, in eval mode, without gradient."""

from __future__ import annotations

import hashlib
from copy import deepcopy
from typing import Literal

import torch
from torch import Tensor, nn

from salmask_plugin.checks import check_choice, check_flag, numbers
from salmask_plugin.localizers.folding import fold_batch_norm, same_features
from salmask_plugin.precision import autocast_off
from salmask_plugin.types import Images, check_images

Precision = Literal["float32", "bfloat16", "float16"]

CPU_SLICE = 16
"""Images per forward on a CPU, whose caches hold the activations of that many: half the time of a
forward of 256 at once. An accelerator takes the whole batch."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class FrozenNetwork:
    """Hold a pretrained network where training cannot reach it.

    A plain object: ``parameters()``, ``state_dict()``, SyncBN conversion, EMA and DDP of the module
    that holds it do not see the network. Views arrive normalised for the encoder; that is undone
    and the network's own normalisation applied, as one scale and shift. The network moves to the
    images' device at the first call. Copies and pickles carry the weights along.

    The network is owned: its parameters lose ``requires_grad``, and it is put in eval mode again
    before every call. Never hand over a module that is also trained.

    Args:
        network: the module. Moved, frozen and set to eval in place.
        mean: per channel, what the network subtracts from images in [0, 1].
        std: per channel, what it then divides by, > 0.
        view_mean: the mean the host subtracted from its views.
        view_std: the deviation the host divided them by, > 0.
        method: the network's method that returns the features, (B, D, h, w).
        precision: of the forward on CUDA, by autocast; elsewhere it is float32. Whether the host
            itself runs under autocast changes nothing.
        channels_last: memory layout of the network and its input; faster for most ConvNets.
        name: how reprs and records call it.
        trained_on: the data and labels behind the weights, in words, for reprs and records.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        mean: tuple[float, ...] = IMAGENET_MEAN,
        std: tuple[float, ...] = IMAGENET_STD,
        view_mean: tuple[float, ...] = IMAGENET_MEAN,
        view_std: tuple[float, ...] = IMAGENET_STD,
        method: str = "forward",
        precision: Precision = "float32",
        channels_last: bool = True,
        name: str | None = None,
        trained_on: str = "unknown",
    ) -> None:
        if not isinstance(network, nn.Module):
            raise ValueError(f"network={network!r:.80} must be an nn.Module with its weights.")
        check_choice(precision, "precision", Precision)
        check_flag(channels_last, "channels_last")
        mean, view_mean = numbers(mean, "mean"), numbers(view_mean, "view_mean")
        std, view_std = numbers(std, "std", above=0), numbers(view_std, "view_std", above=0)
        if not len(mean) == len(std) == len(view_mean) == len(view_std):
            raise ValueError("mean, std, view_mean and view_std must have one value per channel.")
        if not callable(getattr(network, method, None)):
            raise ValueError(f"method={method!r} is no method of {type(network).__name__}.")
        layout = torch.channels_last if channels_last else torch.contiguous_format
        self.network = network.requires_grad_(False).eval().to(memory_format=layout)
        self.method = method
        self.precision = precision
        self.channels_last = channels_last
        self.name = name if name is not None else type(network).__name__
        self.trained_on = trained_on
        self._sha256: str | None = None
        # ((view * view_std + view_mean) - mean) / std, folded in float64.
        wide = [torch.tensor(v, dtype=torch.float64) for v in (mean, std, view_mean, view_std)]
        self._scale = (wide[3] / wide[1]).float().view(1, -1, 1, 1)
        self._shift = ((wide[2] - wide[0]) / wide[1]).float().view(1, -1, 1, 1)

    @torch.no_grad()
    def __call__(self, images: Images) -> Tensor:
        """Return the features of views (B, C, H, W): float32, (B, D, h, w).

        Raises:
            ValueError: if the images are not floating point or have the wrong number of channels.
        """
        check_images(images)
        if images.shape[1] != self._scale.shape[1]:
            raise ValueError(
                f"images have {images.shape[1]} channels; {self.name} takes "
                f"{self._scale.shape[1]}. BandsLocalizer (localizer=bands) shows it some of them."
            )
        self._follow(images.device)
        # Somebody may hold the module too and have called train() on it.
        self.network.eval()
        inputs = torch.addcmul(self._shift, images.float(), self._scale)
        if self.channels_last:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        low = self.precision != "float32" and images.device.type == "cuda"
        own = torch.autocast("cuda", getattr(torch, self.precision)) if low else None
        with own or autocast_off(images.device):
            forward = getattr(self.network, self.method)
            if inputs.device.type != "cpu":
                return torch.as_tensor(forward(inputs)).float()
            return torch.cat([forward(part).float() for part in torch.split(inputs, CPU_SLICE)])

    def folded(self) -> FrozenNetwork:
        """Fold batch normalisation into the convolutions, and return this object.

        Features change by rounding alone; the forward takes about two thirds of the time on a CPU.
        A network whose features would change by more stays as it is. The digest of
        :meth:`weights_sha256` stays that of the weights as they were given.
        """
        digest = self.weights_sha256()
        folded = fold_batch_norm(deepcopy(self.network))
        if same_features(self.network, folded, self.method):
            self.network = folded
            self._sha256 = digest
        return self

    def weights_sha256(self) -> str:
        """Return a digest of every tensor of the network: names, types, shapes and bytes."""
        if self._sha256 is not None:
            return self._sha256
        digest = hashlib.sha256()
        for name, tensor in self.network.state_dict().items():
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def __repr__(self) -> str:
        return f"FrozenNetwork({self.name!r}, trained_on={self.trained_on!r})"

    def _follow(self, device: torch.device) -> None:
        if self._scale.device != device:
            self.network.to(device)
            self._scale, self._shift = self._scale.to(device), self._shift.to(device)
