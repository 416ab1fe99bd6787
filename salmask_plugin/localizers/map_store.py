"""Maps of a data set on disk: written in chunks, each with its digest, so that a kill costs one."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from salmask_plugin.file_names import refuse_link_out
from salmask_plugin.json_files import COUNT, LIST, SIZE, TEXT, Shape, check_shape, read_object
from salmask_plugin.localizers.array_file import mapped, mend, replace_text, to_disk, write_rows

MANIFEST, MAPS, IMAGES, CHUNKS = "manifest.json", "maps.npy", "images.npy", "chunks.jsonl"
DTYPES = ("float16", "float32")
LINE: Shape = {"chunk": SIZE, "sha256": TEXT}
"""One of ``chunks.jsonl``, whoever wrote it."""
Maps = npt.NDArray[np.floating[Any]]
Digests = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class CacheManifest:
    """What a store of maps was made with; compared when it is opened.

    Attributes:
        localizer: its repr.
        trained_on: the data and labels behind it.
        weights_sha256: digest of its network, or "none".
        dataset: whatever the user calls the images.
        count: images.
        grid: (h, w) of the stored maps.
        name: of the localizer in records, short.
        labels_sha256: digest of the images' labels in their order, or "unknown". It changes when
            images are added, left out or reordered across classes.
        dtype: of the stored maps, "float16" or "float32".
        chunk: images per digest; what a kill or a damaged byte costs at most.
    """

    localizer: str
    trained_on: str
    weights_sha256: str
    dataset: str
    count: int
    grid: tuple[int, int]
    name: str = "unnamed"
    labels_sha256: str = "unknown"
    dtype: str = "float16"
    chunk: int = 256

    @property
    def bytes_per_image(self) -> int:
        """What one image takes on disk: its map and 8 bytes of digest."""
        return self.grid[0] * self.grid[1] * np.dtype(self.dtype).itemsize + 8

    def check(self, expected: dict[str, object], folder: Path) -> None:
        """Raise ValueError unless the fields named in ``expected`` have these values."""
        for name, value in expected.items():
            if getattr(self, name) != value:
                raise ValueError(
                    f"The cache in {folder} was made with {name}={getattr(self, name)!r}, not "
                    f"{value!r}: compute it anew, in another folder."
                )


class MapStore:
    """The files of a cache: ``manifest.json``, ``maps.npy``, ``images.npy``, ``chunks.jsonl``.

    A chunk is written in place and flushed; only then a line with its digest is appended. Whatever
    kills the program in between leaves a chunk without a line, which :meth:`faults` names. Two
    programs may fill one store at once: a chunk that they write differently fails its digest.

    Args:
        folder: where the files are.

    Raises:
        FileNotFoundError: if there is no manifest.
        ValueError: if a file is no part of such a store.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.manifest = _read_manifest(self.folder / MANIFEST)

    @classmethod
    def create(cls, folder: str | Path, manifest: CacheManifest) -> MapStore:
        """Make an empty store, or open and mend the one that is there, made with the same manifest.

        Mended are the files' headers and sizes, so that only what :meth:`faults` names is lost.

        Raises:
            ValueError: if the folder holds a store made with something else.
            OSError: if the disk refuses.
        """
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        for name in (MAPS, IMAGES, CHUNKS):
            refuse_link_out(target, target / name)
        fresh = not (target / MANIFEST).is_file()
        if fresh:
            (target / CHUNKS).unlink(missing_ok=True)
        else:
            expected = {**asdict(manifest), "grid": tuple(manifest.grid)}
            cls(target).manifest.check(expected, target)
        mend(target / MAPS, (manifest.count, *manifest.grid), manifest.dtype)
        mend(target / IMAGES, (manifest.count,), "uint64")
        if fresh:
            # Last, so that a manifest means that every file is there.
            replace_text(target / MANIFEST, json.dumps(asdict(manifest), indent=2) + "\n")
        return cls(target)

    @property
    def chunks(self) -> int:
        """Their number; the last one may hold fewer images."""
        return -(-self.manifest.count // self.manifest.chunk)

    def images_of(self, chunk: int) -> range:
        """Return the places in the data set of a chunk's images."""
        start = chunk * self.manifest.chunk
        return range(start, min(start + self.manifest.chunk, self.manifest.count))

    def maps(self) -> Maps:
        """Return the maps (N, h, w), memory-mapped and read-only."""
        expected = (self.manifest.count, *self.manifest.grid)
        return mapped(self.folder / MAPS, expected, self.manifest.dtype)

    def digests(self) -> Digests:
        """Return the images' digests (N,), 0 where none was given."""
        return np.array(mapped(self.folder / IMAGES, (self.manifest.count,), "uint64"))

    def faults(self) -> dict[int, str]:
        """Return chunk -> "missing" or "damaged", after reading every byte once."""
        maps, images, recorded = self.maps(), self.digests(), self._recorded()
        found = {}
        for chunk in range(self.chunks):
            rows = self.images_of(chunk)
            if chunk not in recorded:
                found[chunk] = "missing"
            elif recorded[chunk] != _digest(
                maps[rows.start : rows.stop], images[rows.start : rows.stop]
            ):
                found[chunk] = "damaged"
        return found

    def write(self, chunk: int, maps: Maps, digests: Digests | None = None) -> None:
        """Store a chunk; on return it has reached the disk.

        Args:
            chunk: its number.
            maps: (n, h, w) of its images.
            digests: (n,) of its images; None stores zeros.

        Raises:
            ValueError: if a shape is another one.
            OSError: if the disk refuses; the chunk is then missing.
        """
        rows, manifest = self.images_of(chunk), self.manifest
        images = np.zeros(len(rows)) if digests is None else digests
        if maps.shape != (len(rows), *manifest.grid) or images.shape != (len(rows),):
            raise ValueError(
                f"chunk {chunk} takes maps {(len(rows), *manifest.grid)} and {len(rows)} digests, "
                f"not {maps.shape} and {images.shape}."
            )
        stored = np.ascontiguousarray(maps, manifest.dtype)
        images = np.ascontiguousarray(images, np.uint64)
        write_rows(self.folder / MAPS, stored, rows.start)
        write_rows(self.folder / IMAGES, images, rows.start)
        line = json.dumps({"chunk": chunk, "sha256": _digest(stored, images)})
        with (self.folder / CHUNKS).open("a+b") as stream:
            stream.seek(0, os.SEEK_END)
            if stream.tell():
                stream.seek(-1, os.SEEK_END)
                # A line that a kill cut short must not swallow this one.
                line = line if stream.read(1) == b"\n" else "\n" + line
            stream.write(line.encode() + b"\n")
            to_disk(stream)

    def _recorded(self) -> dict[int, str]:
        """Return the last digest of each chunk; one whose line cannot be read is missing."""
        found: dict[int, str] = {}
        path = self.folder / CHUNKS
        for line in path.read_bytes().splitlines() if path.is_file() else ():
            try:
                entry = json.loads(line)
                check_shape({"line": entry}, {"line": LINE}, str(path))
            except (ValueError, RecursionError):
                continue
            found[entry["chunk"]] = entry["sha256"]
        return found


def _digest(maps: Maps, images: Digests) -> str:
    return hashlib.sha256(maps.tobytes() + images.tobytes()).hexdigest()


def _read_manifest(path: Path) -> CacheManifest:
    try:
        content = read_object(path, {"grid": LIST})
        manifest = CacheManifest(**{**content, "grid": tuple(content["grid"])})
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is no manifest of a cache: {error}.") from error
    for field in fields(CacheManifest):
        value = getattr(manifest, field.name)
        if field.type == "str" and not isinstance(value, str):
            raise ValueError(f"{path} is no manifest of a cache: {field.name}={value!r}.")
    numbers = (manifest.count, manifest.chunk, *manifest.grid)
    if len(numbers) != 4 or not all(COUNT.fits(number) for number in numbers):
        raise ValueError(f"{path} is no manifest of a cache: its counts are {numbers}.")
    if manifest.dtype not in DTYPES:
        raise ValueError(f"{path} is no manifest of a cache: dtype={manifest.dtype!r}.")
    return manifest
