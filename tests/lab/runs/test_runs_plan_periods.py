"""What a step costs on average where hard negatives come in some steps alone."""

from types import SimpleNamespace

import pytest

from salmask_plugin import NegativeEncoding
from salmask_plugin.lab.runs.plan import period_of, whole_periods


def module(encoding):
    return SimpleNamespace(hard_negatives=SimpleNamespace(encoding=encoding))


def test_periods_of_batches():
    assert period_of(SimpleNamespace(), {}) == 1
    assert period_of(module(NegativeEncoding(share=0.5)), {"accumulate_grad_batches": 4}) == 1
    assert period_of(module(NegativeEncoding(every=3)), {}) == 3
    assert period_of(module(NegativeEncoding(every=3)), {"accumulate_grad_batches": 2}) == 6


def test_dear_and_cheap_steps_are_averaged():
    dear, cheap = 5.0, 3.0
    seconds = [dear, cheap, dear, cheap, dear]
    assert whole_periods(seconds, 1) == seconds
    assert whole_periods(seconds, 2) == [4.0, 4.0]
    assert whole_periods(seconds[1:], 2) == [4.0, 4.0]
    assert whole_periods(seconds, 5) == pytest.approx([4.2])
