"""The benchmark runs; its figures are no test's business on a machine that others use."""

import pytest
from bench_rows import Setting
from negative_cost import FORMS, table


@pytest.mark.filterwarnings("ignore:The hard negatives dominate")
@pytest.mark.parametrize(
    ("method", "passes"),
    [("simclr", [1.0, 1.167, 1.042, 1.083, 1.083]), ("mocov2", [1.0, 1.25, 1.062, 1.125, 1.125])],
)
def test_every_form_has_a_line_and_its_passes(method, passes):
    lines = table(method, Setting("small", "", 16, 4, 16, ()), rounds=1, minutes=1)
    assert [line.split("|")[2].strip() for line in lines] == list(FORMS)
    counted = [float(line.split("|")[3]) for line in lines]
    assert counted == passes
    # MoCo's work is also that of its queue, which takes no negatives to the encoder.
    work = [float(line.split("|")[4]) for line in lines]
    assert work[0] == 1.0
    if method == "simclr":
        assert work == pytest.approx(passes, abs=0.02)
    assert all(1 < own <= most + 0.005 for own, most in zip(work[1:], passes[1:], strict=True))
    assert work[2] < work[3] < work[1]
