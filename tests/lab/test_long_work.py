"""Progress in a pipe: when lines come, and what they promise."""

import io

import pytest

from salmask_plugin.lab.durations import in_words
from salmask_plugin.lab.long_work import progress


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_the_first_part_says_how_long_all_takes_and_lines_follow_every_half_minute():
    clock, out = Clock(), io.StringIO()
    with progress(1000, stream=out, clock=clock) as tell:
        for _ in range(10):
            clock.now += 12  # 120 s in all
            tell(100)
    assert out.getvalue().splitlines() == [
        "100 of 1000 images, about 1 min 48 s left",
        "400 of 1000 images, about 1 min 12 s left",
        "700 of 1000 images, about 36 s left",
    ]


def test_what_is_done_at_once_says_nothing():
    out = io.StringIO()
    with progress(8, stream=out, clock=Clock()) as tell:
        tell(8)
    assert out.getvalue() == ""


def test_a_terminal_has_a_bar():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    out = Terminal()
    with progress(10, stream=out) as tell:
        tell(10)
    assert "10/10" in out.getvalue()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (85, "1 min 25 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h"),
        (7530, "2 h 6 min"),
        (7199, "2 h"),
    ],
)
def test_durations_are_said_as_people_do(seconds, words):
    assert in_words(seconds) == words
