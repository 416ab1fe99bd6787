"""Features as files that other programs read."""

from __future__ import annotations

import csv
import importlib
import importlib.util
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salmask_plugin.lab.data.text_files import shown
from salmask_plugin.lab.embed.projection import Projection
from salmask_plugin.lab.results.escaping import csv_cell
from salmask_plugin.lab.results.store import write_atomically


def write_tables(
    folder: Path,
    names: Sequence[str],
    features: NDArray[Any],
    projection: Projection,
    fingerprint: str,
) -> list[str]:
    """Write features.npz and features.csv, and features.parquet where pandas can; return names.

    A row is a picture: its file relative to the folder, its place (x, y) in the picture of the
    embedding, and its features. In the CSV an apostrophe stands before names that a spreadsheet
    would take for a formula.

    Args:
        folder: to write into.
        names: of the files, relative to the pictures' folder.
        features: (N, D).
        projection: of the features.
        fingerprint: of the encoder.
    """
    files = [shown(name) for name in names]
    packed = io.BytesIO()
    np.savez_compressed(
        packed,
        files=np.asarray(files),
        features=features,
        points=projection.points,
        projection=np.asarray(projection.method),
        fingerprint=np.asarray(fingerprint),
    )
    header = ["file", "x", "y", *(f"f{index}" for index in range(features.shape[1]))]
    numbers = np.concatenate([projection.points, features], axis=1).astype(np.float32)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for file, row in zip(files, numbers, strict=True):
        # Nine digits bring a float32 back exactly.
        writer.writerow([csv_cell(file), *(f"{value:.9g}" for value in row)])
    content = {"features.npz": packed.getvalue(), "features.csv": text.getvalue().encode()}
    if all(importlib.util.find_spec(name) for name in ("pandas", "pyarrow")):
        content["features.parquet"] = _parquet(files, header, numbers)
    for name, data in content.items():
        write_atomically(folder / name, data)
    return list(content)


def _parquet(files: Sequence[str], header: Sequence[str], numbers: NDArray[Any]) -> bytes:
    pandas = importlib.import_module("pandas")
    columns: dict[str, Any] = {"file": files}
    columns |= {name: numbers[:, index] for index, name in enumerate(header[1:])}
    out = io.BytesIO()
    pandas.DataFrame(columns).to_parquet(out, index=False)
    packed: bytes = out.getvalue()
    return packed
