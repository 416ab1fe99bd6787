"""What a step costs on average where hard negatives come in some steps alone."""

from types import SimpleNamespace

import pytest

from salmask_plugin import NegativeEncoding
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.runs import plan
from salmask_plugin.lab.runs.plan import period_of, whole_periods
from salmask_plugin.lab.study.compare import run_comparison


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


@pytest.mark.parametrize(("steps", "period"), [(0, 1), (1, 1), (2, 1), (3, 2), (4, 3)])
def test_too_few_steps_are_said(steps, period):
    with pytest.raises(UserError, match=f"has {steps} steps in all, and timing needs {2 + period}"):
        plan.timed([float(step) for step in range(steps)], period)


def test_the_steps_that_warm_up_do_not_count():
    ends = [9.0, 19.0, 20.0, 22.0, 23.0, 25.0]
    assert plan.timed(ends, 1) == [1.0, 2.0, 1.0, 2.0]
    assert plan.timed(ends, 2) == [1.5, 1.5]
    assert plan.timed(ends[:3], 1) == [1.0]


@pytest.mark.parametrize(
    ("command", "more"), [(plan.plan, []), (run_comparison, ["compare.only=[none]"])]
)
def test_a_length_that_is_none_is_refused_before_anything_is_built(command, more, tmp_path):
    given = ["experiment=plumbing", "trainer.max_epochs=0", *more]
    with pytest.raises(UserError, match="max_epochs=0 must be a whole number of at least 1"):
        command([*given, f"out={tmp_path / 'runs'}"])
    assert not (tmp_path / "runs").exists()
