"""Names of measurements that leave the files of others standing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import chain, count
from pathlib import Path
from typing import Any

from salmask_plugin.json_files import read_object
from salmask_plugin.lab.results.codec import encode
from salmask_plugin.lab.results.privacy import shortened

PROTOCOL = "protocol"
_OF_THE_MACHINE = "environment"


def measurement_json(protocol: Mapping[str, Any], rows: object) -> str:
    """Return a measurement as JSON: ``protocol``, what was measured and how, and its ``rows``."""
    content = {PROTOCOL: encode(protocol), "rows": encode(rows)}
    return json.dumps(shortened(content), indent=2) + "\n"


def apart_from_others(path: Path, protocol: Mapping[str, Any]) -> Path:
    """Return where a measurement's files go, so that one of something else is not lost.

    Args:
        path: without a suffix.
        protocol: of what was measured.

    Returns:
        ``path`` if it is free or holds the same measurement, else the first such of ``path-2``,
        ``path-3``, ...
    """
    names = chain([path.name], (f"{path.name}-{number}" for number in count(2)))
    paths = map(path.with_name, names)
    return next(
        target
        for target in paths
        if _may_be_written(target.with_name(f"{target.name}.json"), protocol)
    )


def _may_be_written(file: Path, protocol: Mapping[str, Any]) -> bool:
    """Whether the file is not there, or holds what the same protocol measured."""
    try:
        there = read_object(file)
    except FileNotFoundError:
        return True
    except ValueError:  # no JSON: not ours
        return False
    own = json.loads(measurement_json(protocol, ()))
    return _measured(there) == _measured(own)


def _measured(content: Mapping[str, Any]) -> object:
    protocol = content.get(PROTOCOL)
    if not isinstance(protocol, dict):
        return None
    return {key: value for key, value in protocol.items() if key != _OF_THE_MACHINE}
