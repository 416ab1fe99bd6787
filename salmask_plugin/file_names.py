"""From texts of others to names of files and to paths that stay where they belong."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from pathlib import Path, PurePosixPath, PureWindowsPath

LONGEST = 120
"""Characters of a name that is made; file systems take 255 bytes, and suffixes come on top."""
_UNSAFE = re.compile(r"[^\w.+=@,()%-]|^[.-]|\.$")
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)($|\.)", re.IGNORECASE)
"""What Windows takes for a device, whatever follows the dot."""


def safe_name(text: object) -> str:
    """Return the text as the name of one file: what is unsafe on some system becomes "_".

    A name that had to be changed ends in digits of its digest, so that two texts do not share one.

    Args:
        text: from a record, a setting or a file.
    """
    wanted = unicodedata.normalize("NFC", str(text))
    name = _UNSAFE.sub("_", wanted)[:LONGEST]
    if name == wanted and name and not _DEVICES.match(name):
        return name
    digest = hashlib.sha256(wanted.encode(errors="surrogatepass")).hexdigest()[:8]
    return f"{name or '_'}-{digest}" if not _DEVICES.match(name) else f"_{name}-{digest}"


def path_below(folder: Path, name: object, what: str, *, follow_links: bool = False) -> Path:
    """Return ``folder / name``, which may have several parts but leads to no other place.

    Args:
        folder: that it stays in.
        name: relative, from a record, a setting or a file.
        what: the argument as its user knows it, for the error.
        follow_links: whether links on the way may lead elsewhere: for folders that the user names,
            not for what came inside of one.

    Raises:
        ValueError: if the name is absolute, empty or climbs, or a link on the way leads out.
    """
    text = str(name)
    posix, windows = PurePosixPath(text), PureWindowsPath(text)
    outside = posix.is_absolute() or windows.anchor or ".." in (*posix.parts, *windows.parts)
    if outside or not posix.name or "\0" in text:
        raise ValueError(f"{what}={text!r} must be a place below {folder}.")
    path = folder / text
    if not follow_links:
        refuse_link_out(folder, path)
    return path


def refuse_link_out(folder: Path, path: Path) -> None:
    """Raise ValueError if a path below a folder is, through a link, somewhere else."""
    try:
        leads = path.resolve()
    except (OSError, RuntimeError) as error:
        raise ValueError(f"{path} cannot be followed: {error}.") from error
    if not leads.is_relative_to(folder.resolve()):
        raise ValueError(
            f"{path} is or holds a link that leads out of {folder}, to {leads}: nothing is written "
            "or deleted there. Where another disk is wanted, link the whole folder."
        )
