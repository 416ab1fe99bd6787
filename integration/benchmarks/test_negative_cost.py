"""The benchmark runs; its figures are no test's business on a machine that others use."""

import pytest
from bench_rows import Setting
from negative_cost import FORMS, table


@pytest.mark.filterwarnings("ignore:The hard negatives dominate")
def test_every_form_has_a_line_and_its_passes():
    lines = table("simclr", Setting("small", "", 16, 4, 16, ()), rounds=1, minutes=1)
    assert [line.split("|")[2].strip() for line in lines] == list(FORMS)
    counted = [float(line.split("|")[3]) for line in lines]
    assert counted == [1.0, 1.167, 1.042, 1.083, 1.083]
