"""Seeds have one range, wherever they are given or read; no two rows are one run."""

import json
import re

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.runs.folder import check_run, read_settings
from salmask_plugin.lab.settings.checks import judge
from salmask_plugin.lab.settings.compose import apply_overrides, compose_settings
from salmask_plugin.lab.settings.settings import Settings
from salmask_plugin.lab.study.compare import plan_rows

RUN = ["experiment=plumbing"]
TOO_LARGE = 2**31
WORDS = r"must be a whole number from 0, below 2\*\*31"


@pytest.fixture(scope="module")
def run():
    return compose_settings(RUN)


def test_a_seed_that_cannot_be_read_is_not_composed(run):
    with pytest.raises(UserError, match=f"^seed=3000000000 {WORDS}\\.$"):
        compose_settings([*RUN, "seed=3000000000"])
    with pytest.raises(
        UserError, match=r"^compare\.seeds=\[0, -1\] must be a list, each a whole number f"
    ):
        compose_settings([*RUN, "compare.seeds=[0,-1]"])
    with pytest.raises(UserError, match=rf"evaluation\.occlusion\.seed=-1 {WORDS}"):
        apply_overrides(run, ["evaluation.occlusion.seed=-1"], trust=False)


@pytest.mark.parametrize("seed", [-1, TOO_LARGE, 2**64, 1.0, True])
def test_the_range_is_one_where_seeds_are_given_and_read(seed, run, tmp_path):
    values = {**run.values, "seed": seed}
    (fault,) = judge(values, "run").faults
    assert re.search(f"^seed={seed} {WORDS}\\.$", fault.message)
    (fault,) = judge({**run.values, "compare": {**run["compare"], "seeds": [seed]}}, "run").faults
    assert fault.path == "compare.seeds"
    with pytest.raises(UserError, match=f"^seed={seed} {WORDS}"):
        _ = Settings(values, run.choices).seed
    content = {"values": values, "choices": run.choices}
    (tmp_path / "settings.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"seed must be a whole number from 0, below 2\*\*31, not"):
        read_settings(tmp_path)


@pytest.mark.parametrize("root", ["transfer", "detect", "depth"])
def test_the_range_is_that_of_every_command(root):
    with pytest.raises(UserError, match="seed=-1 must be a whole number from 0"):
        compose_settings(
            ["seed=-1", *(["data=generated"] if root == "transfer" else [])], root=root
        )


def test_the_largest_seed_is_taken_by_whatever_draws():
    seed = TOO_LARGE - 1
    settings = compose_settings([*RUN, f"seed={seed}", f"compare.seeds=[{seed}]"])
    check_run(settings, "x")
    assert (settings.seed, settings.compare.seeds) == (seed, [seed])
    with torch.random.fork_rng(devices=[]):
        assert pl.seed_everything(seed, verbose=False) == seed
        assert torch.initial_seed() == seed
    np.random.default_rng(seed)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("compare.seeds=[0,1,0]", r"compare\.seeds=\[0, 1, 0\] names one twice"),
        ("compare.only=[none,mean,none]", r"compare\.only=\['none', 'mean', 'none'\] names one"),
    ],
)
def test_no_two_rows_are_one_run(given, words):
    given = [*RUN, given]
    with pytest.raises(UserError, match=words):
        plan_rows(compose_settings(given), given)
