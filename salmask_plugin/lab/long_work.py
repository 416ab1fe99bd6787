"""Progress of work on many images: a bar on a terminal, lines elsewhere, and how long it takes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from tqdm import tqdm

from salmask_plugin.lab.durations import in_words

BETWEEN = 30.0
"""Seconds between two lines of progress, where there is no terminal."""


@contextmanager
def progress(
    total: int, *, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[int], None]]:
    """Give a function that is told how many images are done.

    The first call measures: it says how long all of them take. On a terminal a bar follows, in a
    pipe or a file a line every half minute.

    Args:
        total: images.
        stream: where to; None is standard error.
        clock: seconds.
    """
    target = sys.stderr if stream is None else stream
    started = said = clock()
    done = 0
    bar = tqdm(total=total, unit=" images", file=target) if target.isatty() else None

    def update(count: int) -> None:
        nonlocal done, said
        first = done == 0
        done += count
        if bar is not None:
            bar.update(count)
            return
        now = clock()
        if done == total or not (first or now - said >= BETWEEN):
            return
        said = now
        left = (now - started) / done * (total - done)
        words = f"{done} of {total} images, about {in_words(left)} left"
        target.write(f"{words}\n")
        target.flush()

    try:
        yield update
    finally:
        if bar is not None:
            bar.close()
