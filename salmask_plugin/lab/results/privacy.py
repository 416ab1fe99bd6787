"""What leaves a record before it is written: folders of the machine, and what looks secret."""

from __future__ import annotations

import re
from collections.abc import Collection
from itertools import pairwise
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

REMOVED = "(removed)"
"""Stands where a secret stood."""
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_SECRET_WORDS = frozenset(
    {
        *("token", "secret", "password", "passwd", "passphrase", "pwd", "credential"),
        *("auth", "authorization", "bearer", "apikey", "accesskey", "secretkey", "privatekey"),
    }
)
_SECRET_KEYS = frozenset(
    {"api", "access", "private", "secret", "signing", "encryption", "auth", "ssh", "account"}
)
"""What a "key" is secret after."""
_ASSIGNED = re.compile(r"(?<![\w.])([\w.@-]+)(=|: ?(?!/))((?:Bearer |Basic )?[^\s,;&=]+)")
_CREDENTIALS = re.compile(r"(\w[\w+.-]*://)[^\s/]+@|(?<![\w/.@:+-])[\w.+-]+:[^\s/:@][^\s/]*@(?=\w)")

_PART = r"[^\s\\/'\":,;()<>]"
_ADDRESS = re.compile(
    r"(?<!\w)(?:file|ssh|sftp|scp|rsync|nfs|smb|cifs|afp):/+(?:\(removed\)@)?"
    rf"(?:{_PART}+:?\d*[\\/])*",
    re.IGNORECASE,
)
"""An address that names a machine, or a folder on it."""
_REMOTE = re.compile(rf"(?<![\w/\\.])(?:[\w.-]+|\(removed\))@[\w.-]+:(?:{_PART}*[\\/])+")
_HOME = re.compile(rf"(?<![\w/\\.~])~(?:[A-Za-z_][\w.-]*)?[\\/](?:{_PART}+[\\/])*")
_ABSOLUTE = re.compile(rf"(?<![\w:/\\.~<])(?:~|[A-Za-z]:)?[\\/](?:{_PART}+[\\/])+({_PART}*)")
"""What precedes an absolute path in a sentence rules out URLs and plain fractions."""


Places = Collection[tuple[str, ...]]
"""Keys that lead to objects, "*" for any key."""


def shortened(value: Any, names: Places = ()) -> Any:
    """Return plain values as a record keeps them: no secrets, paths cut to their last part.

    Args:
        value: plain containers.
        names: as in :func:`without_secrets`.
    """
    # Secrets first: what is left of an address with a password is a path.
    return _shortened(without_secrets(value, names))


def _shortened(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shortened(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_shortened(item) for item in value]
    return shorten_text(value) if isinstance(value, str) else value


def shorten_text(text: str) -> str:
    """Replace the folders of paths on this or another machine by "...": they tell of it.

    Paths are absolute ones, those below a home (``~/``, ``~ann/``), those with a machine
    (``ann@host:/``) and addresses such as ``file://``. Web addresses stay.
    """
    for kind in (PurePosixPath, PureWindowsPath):
        path = kind(text)
        if path.is_absolute() and "\n" not in text and any(map(str.isalpha, text)):
            return f".../{path.name}"
    for pattern in (_ADDRESS, _REMOTE, _HOME):
        text = pattern.sub(".../", text)
    return _ABSOLUTE.sub(_cut, text)


def _cut(found: re.Match[str]) -> str:
    # Numbers alone are a fraction or a list, "/4/5".
    return f".../{found[1]}" if any(map(str.isalpha, found[0])) else found[0]


def without_secrets(value: Any, names: Places = (), place: tuple[str, ...] = ()) -> Any:
    """Return plain containers without the values that a key or an address marks as secret.

    Args:
        value: plain containers.
        names: of objects whose keys somebody has chosen as names, of a row or a data set, say. Such
            a key says nothing of its value, which is gone through as any other.
        place: of the value.
    """
    if isinstance(value, dict):
        named = any(_is(place, wanted) for wanted in names)
        return {
            key: REMOVED
            if not named and _hides(str(key), item)
            else without_secrets(item, names, (*place, str(key)))
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [without_secrets(item) for item in value]
    if not isinstance(value, str):
        return value
    return _ASSIGNED.sub(_hidden, _CREDENTIALS.sub(rf"\1{REMOVED}@", value))


def _is(place: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    return len(place) == len(wanted) and all(
        other in ("*", key) for key, other in zip(place, wanted, strict=True)
    )


def _hidden(found: re.Match[str]) -> str:
    """A setting in a text, "logger.api_key=..."."""
    value = found[3]
    secret = _hides(found[1], 1 if value.isdecimal() else value)
    return f"{found[1]}{found[2]}{REMOVED}" if secret else found[0]


def _hides(key: str, value: Any) -> bool:
    """Whether the value of a key is a secret: not if it is empty, a switch or a count."""
    if value is None or isinstance(value, bool) or value in ("", [], {}):
        return False
    words = [word.lower() for word in _WORDS.findall(key)]
    counted = isinstance(value, int | float)
    singular = {word.removesuffix("s") if not counted else word for word in words}
    pairs = pairwise(words)
    return bool(singular & _SECRET_WORDS) or any(
        second.removesuffix("s") == "key" and first in _SECRET_KEYS for first, second in pairs
    )
