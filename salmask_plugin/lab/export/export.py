"""A backbone in other libraries' formats, with a model card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from salmask_plugin.encoders import PretrainedBackbone, load_backbone
from salmask_plugin.encoders.description import describe
from salmask_plugin.encoders.export import FORMATS, check_format, export_backbone
from salmask_plugin.encoders.export_folder import clear_unfinished, whole_folder
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.export.model_card import model_card
from salmask_plugin.lab.probes.encoder_channels import channels_of_encoder
from salmask_plugin.lab.probes.transfer import run_of, side_of_views
from salmask_plugin.lab.results import read_record
from salmask_plugin.lab.results.store import write_atomically

CARD = "README.md"


@dataclass(frozen=True)
class Exported:
    """What an export wrote.

    Attributes:
        encoder: that was written.
        files: format -> its file.
        card: the model card.
    """

    encoder: PretrainedBackbone
    files: dict[str, Path]
    card: Path


def export(
    source: Path,
    folder: Path,
    *,
    formats: Sequence[str] = ("safetensors",),
    architecture: str | None = None,
    part: str | None = None,
    view_size: int | None = None,
    filter_outside: bool = False,
    license: str | None = None,
) -> Exported:
    """Write every format that is asked for, and the card.

    Args:
        source: checkpoint or run folder.
        folder: empty, or not there yet.
        formats: "safetensors", "timm", "torchvision", "detectron2", "onnx".
        architecture: where the weights do not tell, such as "resnet18_cifar".
        part: where in the file the encoder is, such as "model_state_dict.base_encoder".
        view_size: side of ONNX's images in pixels; None: the run's, or 224.
        filter_outside: write bare weights of a high-pass encoder in a format that cannot hold the
            filter.
        license: of the weights, for the card.

    Raises:
        UserError: if the folder is not empty, or the encoder cannot take views of that size.
        OSError: if the disk refuses; the folder is then as it was.
        ValueError: before anything is written, if a format cannot hold the encoder.
    """
    clear_unfinished(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} is not an empty folder; exports do not mix.")
    backbone = load_backbone(source, architecture=architecture, part=part)
    formats = list(dict.fromkeys(formats))
    for name in formats:
        check_format(backbone, name, filter_outside=filter_outside)
    own = run_of(source)
    view_size = side_of_views(backbone, view_size, own)
    channels = channels_of_encoder(source, own, backbone)
    normalisation = {"mean": list(channels.mean), "std": list(channels.std)}
    bare = backbone.view_filter is not None and any(not FORMATS[x].holds_filter for x in formats)
    record = None if own is None else read_record(own)
    files = []
    with whole_folder(folder) as unfinished:
        for name in formats:
            # A format alone needs no folder of its own.
            place = unfinished if len(formats) == 1 else unfinished / name
            file = export_backbone(
                backbone,
                place,
                format=name,
                view_size=view_size,
                filter_outside=filter_outside,
                normalisation=normalisation,
            )
            shown = (place / file).relative_to(unfinished)
            usage = (
                FORMATS[name]
                .usage.replace("FILE", str(shown))
                .replace("FOLDER", str(shown.parent))
                .replace("ARCHITECTURE", backbone.architecture)
            )
            files.append((name, str(shown), usage))
        card = model_card(
            describe(backbone, view_size, normalisation),
            files,
            record,
            license=license,
            filter_outside=bare,
        )
        write_atomically(unfinished / CARD, card.encode())
    written = {name: folder / path_inside for name, path_inside, _ in files}
    return Exported(backbone, written, folder / CARD)
