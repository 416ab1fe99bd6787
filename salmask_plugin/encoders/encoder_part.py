"""Which part of a checkpoint is the encoder, where its names do not say or the user says it."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping

from torch import Tensor

from salmask_plugin.localizers.weights import UNPACKED

FIRST = "conv1.weight"
"""First tensor of a ResNet under torchvision's names; its beginning is where a network starts."""
NEXT = "layer1.0.conv1.weight"
SHOWN = 8


def tensors_by_path(content: object, path: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yield all tensors of nested mappings by their keys, joined by dots."""
    if isinstance(content, Mapping):
        for key, value in content.items():
            yield from tensors_by_path(value, f"{path}.{key}" if path else str(key))
    elif isinstance(content, Tensor) and path:
        yield path, content


def part_of(content: object, part: str, origin: str) -> dict[str, Tensor]:
    """Return the tensors below a part, by the rest of their names.

    Args:
        content: of a checkpoint.
        part: keys and the beginning of names, joined by dots: "model_state_dict.base_encoder".
        origin: the file, for the error.

    Raises:
        ValueError: if there is no such part; those that are there are listed.
    """
    tensors = dict(_unpacked(content))
    start = part.rstrip(".") + "."
    found = {k.removeprefix(start): value for k, value in tensors.items() if k.startswith(start)}
    if not found:
        known = sorted({name[:place] for name in tensors for place in _dots(name)})
        near = difflib.get_close_matches(part, known, n=3)
        raise ValueError(
            f"part={part!r}: {origin} has no tensors there"
            f"{'; near: ' + ', '.join(near) if near else ''}. {parts_in_words(content)}"
        )
    return found


def networks_in(content: object) -> list[str]:
    """Return the parts that hold a ResNet by torchvision's names."""
    names = {name for name, _ in _unpacked(content)}
    starts = (name.removesuffix(f".{FIRST}") for name in names if name.endswith(f".{FIRST}"))
    return sorted(start for start in starts if f"{start}.{NEXT}" in names)


def parts_in_words(content: object) -> str:
    """Say which parts there are and how one is chosen; "" for a content without parts.

    Networks by torchvision's names are named; where there is none, the outermost parts.
    """
    tensors = dict(_unpacked(content))
    outermost = {name.partition(".")[0] for name in tensors if "." in name}
    found = networks_in(content) or sorted(outermost)
    if not found:
        return ""
    counted = [
        f"{start} ({sum(name.startswith(f'{start}.') for name in tensors)} tensors)"
        for start in found[:SHOWN]
    ]
    more = ", ..." if len(found) > SHOWN else ""
    return f"Found: {', '.join(counted)}{more}. Say which part is the encoder: part={found[0]}."


def _unpacked(content: object) -> Iterator[tuple[str, Tensor]]:
    """The tensors by path; what is unpacked anyway adds no key to it."""
    for path, value in tensors_by_path(content):
        outer, _, inner = path.partition(".")
        yield (inner if outer in UNPACKED and inner else path), value


def _dots(name: str) -> list[int]:
    return [place for place, letter in enumerate(name) if letter == "."]
