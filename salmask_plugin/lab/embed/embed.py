"""``salmask embed``: the features of a folder of pictures, and pictures of what they say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from salmask_plugin.adapters.lightly.evaluation import extract_features
from salmask_plugin.encoders import PretrainedBackbone, load_backbone
from salmask_plugin.encoders.export_folder import clear_unfinished, whole_folder
from salmask_plugin.lab.data import ImageFiles, evaluation_transform, list_images
from salmask_plugin.lab.data.two_view import OneViewDataset, Transform
from salmask_plugin.lab.data.worker_loader import worker_loader
from salmask_plugin.lab.embed.neighbours import draw_neighbours
from salmask_plugin.lab.embed.picture import draw_embedding
from salmask_plugin.lab.embed.projection import Method, Projection, chosen_method, project
from salmask_plugin.lab.embed.shown_images import ShownImages
from salmask_plugin.lab.embed.tables import write_tables
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.probes.encoder_channels import channels_of_encoder
from salmask_plugin.lab.probes.transfer import run_of, side_of_views
from salmask_plugin.lab.results.escaping import shown
from salmask_plugin.lab.results.late_pictures import is_drawn
from salmask_plugin.lab.results.store import write_atomically
from salmask_plugin.lab.results.terminal import filled
from salmask_plugin.lab.runs.writable import check_writable

BATCH = 64
LEAST = 3
"""Fewer pictures have no neighbours to look at."""


@dataclass(frozen=True)
class Embedded:
    """What an embedding wrote.

    Attributes:
        encoder: whose features these are.
        pictures: how many were read.
        unreadable: the files that were passed over.
        projection: of the picture.
        files: what was written.
    """

    encoder: PretrainedBackbone
    pictures: int
    unreadable: tuple[Path, ...]
    projection: Projection
    files: tuple[Path, ...]


def embed(
    source: Path,
    folder: Path,
    out: Path,
    *,
    architecture: str | None = None,
    part: str | None = None,
    view_size: int | None = None,
    projection: Method = "auto",
    workers: int = 0,
) -> Embedded:
    """Write the features of every picture below a folder, and two pictures of them.

    Pictures are resized and cropped in the middle, as for evaluations; the encoder is in eval mode,
    behind the filter that it was trained with. Files that cannot be read are passed over and named.

    Args:
        source: a run's folder, a checkpoint or an export.
        folder: of pictures, in any layout.
        out: an empty folder, or one that is not there yet.
        architecture: where the weights do not tell, such as "resnet18_cifar".
        part: where in the file the encoder is, such as "model_state_dict.base_encoder".
        view_size: side of the views in pixels; None: the run's, or 224.
        projection: "pca", "umap" (which needs umap-learn), or "auto": UMAP where it is installed
            and there are pictures enough, else PCA.
        workers: processes that read pictures.

    Raises:
        UserError: if ``out`` is not empty or cannot be written, there are fewer than three
            pictures, or the encoder cannot take views of that size.
        FileNotFoundError, ValueError: if the encoder or the folder cannot be read.
        ImportError: for UMAP without umap-learn, before any picture is looked at.
        OSError: if the disk refuses; ``out`` is then as it was.
    """
    clear_unfinished(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} is not an empty folder; embeddings do not mix.")
    check_writable(out)
    paths = list_images(folder)
    backbone = load_backbone(source, architecture=architecture, part=part)
    own = run_of(source)
    size = side_of_views(backbone, view_size, own)
    channels = channels_of_encoder(source, own, backbone)
    images = ImageFiles(paths, [0] * len(paths), "skip", channels=channels.count)
    if len(images) < LEAST:
        raise UserError(f"{folder} has {len(images)} pictures; an embedding needs {LEAST}.")
    chosen_method(projection, len(images))
    features = _features(backbone, images, evaluation_transform(size, channels), workers)
    to_show = ShownImages(images, channels)
    found = project(features, projection)
    root = folder.expanduser()
    names = [path.relative_to(root).as_posix() for path in images.paths]
    with whole_folder(out) as unfinished:
        written = write_tables(unfinished, names, features, found, backbone.fingerprint)
        title = f"{backbone.architecture}, {len(images):,} pictures: {found.words}"
        pictures = {
            "embedding.png": partial(draw_embedding, to_show, names, found.points, title),
            "neighbours.png": partial(draw_neighbours, to_show, names, features),
        }
        drawn = [
            name
            for name, draw in pictures.items()
            if is_drawn(out / name, partial(_written, unfinished / name, draw))
        ]
    files = tuple(out / name for name in (*drawn, *written))
    return Embedded(backbone, len(images), images.unreadable, found, files)


def _written(path: Path, draw: Callable[[], bytes]) -> None:
    write_atomically(path, draw())


def _features(
    backbone: PretrainedBackbone, images: ImageFiles, transform: Transform, workers: int
) -> NDArray[np.float32]:
    loader = worker_loader(
        OneViewDataset(images, transform),
        None,
        batch_size=BATCH,
        workers=workers,
    )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    features, _ = extract_features(backbone.filtered(), loader, device=device)
    matrix: NDArray[np.float32] = features.numpy()
    return matrix


def said(embedded: Embedded, most: int = 5) -> Sequence[str]:
    """Return what a reader is told, line by line."""
    lines = [filled(f"Encoder: {embedded.encoder}", "  "), f"Pictures: {embedded.pictures:,}"]
    lines += [f"unreadable, passed over: {shown(str(path))}" for path in embedded.unreadable[:most]]
    if len(embedded.unreadable) > most:
        lines.append(f"... and {len(embedded.unreadable) - most} more")
    return [*lines, *(str(path) for path in embedded.files)]
