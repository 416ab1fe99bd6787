"""From a file to a network's tensors: found, hash-checked, read without pickle's code, strict."""

from __future__ import annotations

import hashlib
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from urllib.error import URLError

import torch
from torch import Tensor, nn

UNPACKED = ("state_dict", "model")
"""Keys of a checkpoint under which its tensors are found by themselves."""
SHOWN = 8
EMBEDDED = (
    "or use the embedded localizer, which needs no download: add localizer=efficientnet_lite0 to "
    "the command, or SCDALocalizer(efficientnet_lite0()) in Python"
)


def read_weights(file: str | Path, sha256: str | None = None) -> dict[str, Tensor]:
    """Return the tensors of a ``.safetensors`` or PyTorch file, by name.

    PyTorch files are read with ``weights_only=True``; one that keeps its tensors under
    "state_dict" or "model" is unpacked.

    Args:
        file: its path.
        sha256: the digest the file must have, or its first digits (8 or more).

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the digest differs or the file does not hold named tensors.
    """
    return named_tensors(read_content(file, sha256), file)


def named_tensors(content: object, origin: str | Path) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint by name, unpacked if they lie under a key of ``UNPACKED``.

    Args:
        content: of :func:`read_content`.
        origin: the file, for the error.

    Raises:
        ValueError: if these are no named tensors and nothing else; what was found is listed.
    """
    state = content
    for key in UNPACKED:
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
            break
    if (
        not isinstance(state, Mapping)
        or not state
        or not all(isinstance(key, str) and isinstance(state[key], Tensor) for key in state)
    ):
        raise ValueError(
            f"{origin} holds no plain mapping from names to tensors, bare or under "
            f"{' or '.join(UNPACKED)}; found: {_found(content)}."
        )
    return dict(state)


def check_stored(path: Path) -> None:
    """Raise ValueError if a zip archive of tensors unpacks to more bytes than it has.

    torch writes its tensors uncompressed; a file that is not so may be a thousand times as large in
    memory. What is no zip archive passes.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    packed = [entry.filename for entry in entries if entry.compress_type != zipfile.ZIP_STORED]
    if packed:
        raise ValueError(f"{path} holds compressed entries ({packed[0]}): torch writes none.")
    unpacked, size = sum(entry.file_size for entry in entries), path.stat().st_size
    if unpacked > size:
        raise ValueError(f"{path} has {size} bytes and claims to hold {unpacked}.")


def read_content(file: str | Path, sha256: str | None = None) -> object:
    """Return whatever a ``.safetensors`` or PyTorch file holds, without running anything in it.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the digest differs or the file cannot be read without running code.
    """
    path = Path(file)
    if not path.is_file():
        raise FileNotFoundError(f"weights_file={str(path)!r} is no file.")
    if sha256 is not None:
        check_sha256(path, sha256)
    return _safetensors(path) if path.suffix == ".safetensors" else _pytorch(path)


def _found(content: object) -> str:
    if not isinstance(content, Mapping):
        return f"a {type(content).__name__}"
    shown = [f"{key} ({_kind(value)})" for key, value in list(content.items())[:SHOWN]]
    return ", ".join(shown + ["..."] * (len(content) > SHOWN)) or "nothing"


def _kind(value: object) -> str:
    if isinstance(value, Mapping):
        tensors = sum(isinstance(entry, Tensor) for entry in value.values())
        return f"{tensors} tensors" if tensors else f"a mapping of {len(value)}"
    return type(value).__name__


def _pytorch(path: Path) -> object:
    try:
        check_stored(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except pickle.UnpicklingError as error:
        objects = sorted(set(re.findall(r"GLOBAL ([\w.]+) was not", str(error))))
        if not objects:
            raise ValueError(f"{path} holds no readable weights: {error}") from error
        raise ValueError(
            f"{path} holds no readable weights: besides tensors it holds {', '.join(objects)}, and "
            "making such objects may run code. If you trust its origin, take the tensors out "
            "where that code is installed: torch.save(torch.load(FILE, weights_only=False)"
            "['state_dict'], NEW_FILE)."
        ) from error
    except Exception as error:
        # A damaged file trips torch's reader anywhere: ten kinds of exception were seen.
        raise ValueError(f"{path} holds no readable weights: {error}") from error


def _safetensors(path: Path) -> object:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise ImportError(
            f"{path.name} needs safetensors: pip install '.[embedded]' in its clone."
        ) from error
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} holds no readable weights: {error}") from error


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def check_sha256(path: Path, expected: str) -> None:
    """Raise ValueError unless the file's SHA-256 begins with ``expected``, 8 digits or more."""
    if len(expected) < 8:
        raise ValueError(f"sha256={expected!r} must have at least 8 hexadecimal digits.")
    actual = file_sha256(path)
    if not actual.startswith(expected.lower()):
        raise ValueError(
            f"{path} is not the expected file: its SHA-256 is {actual}, expected {expected}. "
            "Delete it if it is a broken download."
        )


def downloaded(url: str) -> Path:
    """Return the local copy of a torchvision weights file, downloaded if it is not there.

    torchvision's names end in the first digits of the file's SHA-256; a copy that is there already
    is held to them too.

    Raises:
        FileNotFoundError: if the file is not there and cannot be downloaded.
        ValueError: if the copy's digest differs.
    """
    name = url.rsplit("/", 1)[-1]
    digits = Path(name).stem.rsplit("-", 1)[-1]
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(path), hash_prefix=digits)
        except (URLError, OSError) as error:
            raise FileNotFoundError(
                f"{name} is not there and cannot be downloaded ({error}). Put {url} at {path}, "
                f"or name a file with weights_file=..., {EMBEDDED}."
            ) from error
    check_sha256(path, digits)
    return path


def is_whole(value: Tensor) -> bool:
    """Whether every number of a tensor is in memory, each at a place of its own.

    A file of a few bytes may hold one that is not: without storage, sparse, or one number shown
    2**40 times. Such a shape says nothing of how much there is.
    """
    if value.is_meta or value.layout != torch.strided or value.is_quantized:
        return False
    return value.numel() * value.element_size() <= value.untyped_storage().nbytes()


def load_strictly(
    network: nn.Module, state: Mapping[str, Tensor], origin: str, *, shown: int = 3
) -> None:
    """Copy the tensors into the network.

    Args:
        network: takes exactly the names of ``state``; counters of BatchNorm may be absent.
        state: tensors by name.
        origin: where they come from, for the error.
        shown: names of each fault that the error lists.

    Raises:
        ValueError: if a name is missing or left over, a shape differs, or a tensor is not whole.
    """
    own = network.state_dict()
    counters = {name for name in {*own, *state} if name.endswith("num_batches_tracked")}
    missing = sorted(own.keys() - state.keys() - counters)
    unexpected = sorted(state.keys() - own.keys() - counters)
    shapes = [
        f"{name} {tuple(state[name].shape)} for {tuple(own[name].shape)}"
        for name in sorted(own.keys() & state.keys())
        if own[name].shape != state[name].shape
    ]
    partial = sorted(name for name in own.keys() & state.keys() if not is_whole(state[name]))
    faults = {
        "missing": missing,
        "unexpected": unexpected,
        "of another shape": shapes,
        "not stored number by number": partial,
    }
    if any(faults.values()):
        listed = "; ".join(
            f"{len(names)} {fault} "
            f"({', '.join(names[:shown])}{', ...' if len(names) > shown else ''})"
            for fault, names in faults.items()
            if names
        )
        raise ValueError(f"{origin} does not fit {type(network).__name__}: {listed}.")
    network.load_state_dict({name: state.get(name, own[name]) for name in own})
