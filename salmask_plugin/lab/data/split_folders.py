"""Which folders below a root are its splits, and which are classes."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from salmask_plugin.lab.data.folder_walk import has_images, some_of, subfolders

_LIKE_A_SPLIT = re.compile(
    r"(train|val|valid|validation|test)(ing)?[-_ ]?(set|split|data|images|\d+)?", re.IGNORECASE
)


class UnlabelledError(ValueError):
    """The folders are no layout with classes, so their pictures have no labels."""


def split_folders(root: Path, classes: Collection[str] = ()) -> tuple[Path, Path | None]:
    """Return the folders of the training and the validation classes.

    root/train and root/val; root/train alone; or root itself, whose sub-folders are classes. A
    class may be called train, if its pictures lie in it; what could be read both ways is an error.

    Args:
        root: of the data set.
        classes: names that are known to be classes.

    Raises:
        ValueError: if there is val without train, folders look like splits of another name, or
            there are classes beside a train folder that has class folders itself.
    """
    train, val = root / "train", root / "val"
    if train.is_dir() and val.is_dir():
        return train, val
    names = subfolders(root)
    if classes and not val.is_dir() and set(classes) <= set(names):
        return root, None
    splits = [name for name in names if _LIKE_A_SPLIT.fullmatch(name)]
    # Where names differ by their case alone, "Train" is the train folder on some file systems.
    odd = [name for name in splits if not any(_same(root / name, own) for own in (train, val))]
    beside = [name for name in names if name not in splits and has_images(root / name)]
    if train.is_dir():
        as_split = _has_classes(train)
        others = [name for name in odd if has_images(root / name)]
        if not as_split and beside and not others:
            return root, None
        odd = [name for name in odd if name.lower().startswith("val")]
        if (as_split or others) and beside and not val.is_dir():
            there = "class folders in 'train'" if as_split else f"'train' beside {some_of(others)}"
            raise ValueError(
                f"'{root}' has {there} and images beside it, in {some_of(beside)}: is train a "
                f"split or a class? For a split, move the others away, or give root='{train}'; for "
                "a class, name all classes in classes_file."
            )
    odd = [name for name in odd if not beside or _has_classes(root / name)]
    if odd:
        raise ValueError(
            f"{some_of(odd)} of '{root}' look like splits, not classes. Splits must be called "
            "train and val: rename or link them; if they are classes, name all in classes_file."
        )
    if val.is_dir():
        raise ValueError(f"'{root}' has a val folder but no train folder.")
    return (train if train.is_dir() else root), None


def refuse_splits_below(pictures: Collection[Path], root: Path) -> None:
    """Raise ValueError if pictures to learn from lie in a split ``train`` and in one beside it.

    Args:
        pictures: all that are learned from.
        root: a folder above them.
    """
    splits: dict[Path, set[str]] = {}
    for folder in {place for path in pictures for place in path.relative_to(root).parents}:
        if _LIKE_A_SPLIT.fullmatch(folder.name):
            splits.setdefault(folder.parent, set()).add(folder.name)
    for place, names in sorted(splits.items()):
        tests = sorted(name for name in names if not name.lower().startswith("train"))
        if tests and len(tests) < len(names):
            raise ValueError(
                f"'{root / place}' has splits, {some_of(sorted(names))}: the pictures of "
                f"{some_of(tests)} would be learned from. Name that folder, or one of its splits."
            )


def _has_classes(folder: Path) -> bool:
    return any(has_images(folder / name) for name in subfolders(folder))


def _same(folder: Path, other: Path) -> bool:
    return other.exists() and folder.samefile(other)
