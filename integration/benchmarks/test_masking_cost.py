"""The benchmark's first two targets with room for a noisy machine; the script has the real ones."""

from masking_cost import mean_fill_over_copy, recipes, sampling_over_loop


def test_sampling_is_much_faster_than_the_per_image_loop():
    assert sampling_over_loop(batch=128, rounds=7).typical >= 5


def test_mean_fill_costs_a_few_copies():
    assert mean_fill_over_copy(batch=32, size=224, rounds=9).typical <= 8


def test_all_recipes_of_the_paper_are_measured():
    assert list(recipes()) == ["mean", "blur", "high-pass"]
