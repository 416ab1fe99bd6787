"""A key that no setting has: said with the settings that are most like it."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence

SHOWN, LISTED, ALIKE = 3, 15, 0.65


def unknown_setting(
    path: str, siblings: Collection[str], known: Sequence[str], target: str | None = None
) -> str:
    """Return one sentence about a key that nothing reads.

    Args:
        path: of the setting.
        siblings: the keys that its node has.
        known: all settings.
        target: what its node builds.
    """
    place = path.rpartition(".")[0]
    near = nearest(path, [*(joined(place, str(key)) for key in siblings), *known])
    where = f" of {target}" if target else ""
    few = 0 < len(siblings) <= LISTED and (target or place)
    listed = f". There are {', '.join(siblings)}" if few else ""
    return (
        f"'{path}' is no setting{where}{'. Nearest: ' + ', '.join(near) if near else ''}{listed}. "
        "Unknown keys are errors; `salmask explain --all` prints those of a run."
    )


def nearest(path: str, known: Sequence[str]) -> list[str]:
    """Return the settings whose path or last name is most like this one's."""
    name = path.rpartition(".")[2]
    whole, last = difflib.SequenceMatcher(b=path), difflib.SequenceMatcher(b=name)
    likeness: dict[str, float] = {}
    for other in set(known) - {path}:
        whole.set_seq1(other)
        last.set_seq1(other.rpartition(".")[2])
        score = max(whole.quick_ratio(), last.quick_ratio())
        if score >= ALIKE:  # an upper bound, and cheap
            score = max(whole.ratio(), last.ratio())
        if score >= ALIKE:
            likeness[other] = score + whole.ratio() / 10
    ranked = sorted(likeness, key=lambda other: (-likeness[other], other))
    # One of those that are called the same: the others say nothing new.
    first = {other.rpartition(".")[2]: other for other in reversed(ranked)}.values()
    return [other for other in ranked if other in first][:SHOWN]


def no_choice(group: str, name: str, choices: Sequence[str]) -> str:
    """Return one sentence about a choice that a group does not have.

    Args:
        group: such as "data".
        name: what was chosen.
        choices: what there is.
    """
    near = difflib.get_close_matches(name, choices, n=SHOWN, cutoff=0.5)
    hint = f"did you mean {' or '.join(f'{group}={other}' for other in near)}? " if near else ""
    return f"{group}={name} is none of the choices: {hint}There are {', '.join(choices)}."


def joined(path: str, key: str) -> str:
    """Return the path of a node's key."""
    return f"{path}.{key}" if path else key
