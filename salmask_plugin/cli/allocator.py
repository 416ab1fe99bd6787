"""glibc's allocator keeps freed memory, so that training does not wait for pages to be zeroed."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import MutableMapping

SWITCH = "SALMASK_KEEP_MEMORY"
"""Environment variable: 0 leaves the allocator as it is."""
TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD = -1, -2, -3  # glibc's malloc.h
SETTINGS = {
    "MALLOC_TRIM_THRESHOLD_": (TRIM_THRESHOLD, 1 << 30),
    "MALLOC_MMAP_THRESHOLD_": (MMAP_THRESHOLD, 2**31 - 1),
    "MALLOC_TOP_PAD_": (TOP_PAD, 64 << 20),
}
"""glibc's variable -> (parameter of mallopt, bytes)."""


def keep_memory(environment: MutableMapping[str, str] = os.environ) -> bool:
    """Tell glibc to keep large blocks that are freed; return whether that was done.

    By default every large temporary is mapped anew, zeroed page by page and given back, which costs
    up to half of a CPU step (docs/benchmarks.md). This process is changed, with what it forks, and
    through the environment those that it starts. Nothing happens on another C library, where
    ``SALMASK_KEEP_MEMORY=0``, or where the user has set the allocator: a ``MALLOC_`` variable or
    ``GLIBC_TUNABLES`` of malloc.

    Args:
        environment: is read, and gets glibc's variables for processes that are started.
    """
    if environment.get(SWITCH, "1") == "0" or not _is_glibc():
        return False
    own = [name for name in environment if name.startswith("MALLOC_")]
    inherited = all(environment.get(name) == str(value) for name, (_, value) in SETTINGS.items())
    if (own and not inherited) or "glibc.malloc" in environment.get("GLIBC_TUNABLES", ""):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    mallopt.argtypes, mallopt.restype = [ctypes.c_int, ctypes.c_int], ctypes.c_int
    accepted = [mallopt(parameter, value) for parameter, value in SETTINGS.values()]
    environment.update({name: str(value) for name, (_, value) in SETTINGS.items()})
    return all(accepted)


def _is_glibc() -> bool:
    if not sys.platform.startswith("linux"):
        return False
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (ValueError, OSError):
        return False
