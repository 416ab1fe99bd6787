import itertools

import numpy as np
import pytest
import torch

from salmask_plugin import step_generator

FROZEN = 7896617691693857887


def first_draw(seed: int, rank: int, step: int) -> float:
    return torch.rand((), generator=step_generator(seed, rank, step)).item()


def test_same_arguments_same_draws():
    assert first_draw(3, 1, 900) == first_draw(3, 1, 900)


def test_seed_rank_and_step_are_hashed_not_summed():
    draws = [first_draw(*place) for place in itertools.product(range(6), repeat=3)]
    assert len(set(draws)) == 6**3


def test_global_generator_is_left_alone():
    state = torch.get_rng_state()
    first_draw(0, 0, 0)
    assert torch.equal(torch.get_rng_state(), state)


def test_frozen_number():
    """A run resumed on another version must draw the same masks."""
    assert step_generator(0, 0, 0).initial_seed() == FROZEN
    assert step_generator(1, 2, 3).initial_seed() != FROZEN


def test_large_values():
    assert 0 <= step_generator(2**32, 4096, 10**9).initial_seed() < 2**63


@pytest.mark.parametrize("place", [(-1, 0, 0), (0, -1, 0), (0, 0, -1)])
def test_negative_arguments_are_errors(place):
    with pytest.raises(ValueError, match="=-1 must be at least 0"):
        step_generator(*place)


@pytest.mark.parametrize("kind", [torch.tensor, np.int64, np.int32, np.uint8])
def test_a_counter_of_another_kind_is_the_number_that_it_holds(kind):
    assert first_draw(kind(1), kind(2), kind(77)) == first_draw(1, 2, 77)


@pytest.mark.parametrize("step", [3.0, "3", torch.tensor(3.0), None, torch.tensor([3, 4])])
def test_what_is_no_whole_number_is_an_error(step):
    with pytest.raises(ValueError, match=r"step=.* must be a whole number"):
        step_generator(0, 0, step)


def test_numbers_of_two_words_are_no_other_place():
    """2**32 is the words (0, 1): a seed of that was rank 1 of seed 0."""
    places = [(2**32, 0, 0), (0, 2**32, 0), (0, 0, 2**32), (0, 1, 0), (0, 0, 1), (0, 0, 0)]
    places += [(2**32 + 5, 1, 0), (5, 1, 1), (5, 1, 0), (2**33, 0, 0), (2**63, 0, 0)]
    assert len({first_draw(*place) for place in places}) == len(places)


def test_places_of_one_word_each_are_hashed_as_ever():
    """Against NumPy's own sequence of the three numbers: old runs resume with their masks."""
    for place in [(0, 0, 0), (7, 3, 10**9), (2**32 - 1, 2**20, 5)]:
        state = np.random.SeedSequence(place).generate_state(1, np.uint64)[0]
        assert step_generator(*place).initial_seed() == int(state) >> 1


def test_too_large_is_an_error():
    with pytest.raises(ValueError, match=r"seed=18446744073709551616 must be below 2\*\*64"):
        step_generator(2**64, 0, 0)
