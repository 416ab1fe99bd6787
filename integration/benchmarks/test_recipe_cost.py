"""The benchmark runs; its figures are no test's business on a machine that others use."""

from pathlib import Path

from bench_rows import Setting
from recipe_cost import RECIPES, table

WITHOUT_MASKS = {"none"}
ELSEWHERE = {  # measured under another name, or made of parts that are
    "label_free",  # the masks of `mean`; its localizer is the momentum row of step_time.py
    "label_free_warmup",
    "mean_permuted",
    "released_mean",
    "released_blur",
    "released_highpass",
}


def test_every_recipe_has_a_line():
    lines = table(Setting("small", "", 16, 4, 16, ()), rounds=1, minutes=1)
    assert [line.split("|")[1].strip() for line in lines] == list(RECIPES)
    assert all(float(line.split("|")[2].split()[0]) > 0 for line in lines)


def test_no_recipe_of_the_command_is_left_out():
    folder = Path(__file__).resolve().parents[2] / "configs" / "masking"
    named = {part for given in RECIPES.values() for part in given}
    measured = {each.removeprefix("masking=") for each in named if each.startswith("masking=")}
    assert {path.stem for path in folder.glob("*.yaml")} == measured | WITHOUT_MASKS | ELSEWHERE
