"""Facts about categories are believed where they fit the weights; names that the weights do not know are refused."""

import pytest

from harness import DataError
from harness.api.errors import UsageError
from harness_dtnet.discovery.categories import FACT, read_categories, write_fact
from harness_dtnet.network import GUIDANCE, guidance_of

TOLD = {FACT: write_fact({7: "train", 3: "dog"})}


def test_channels_are_called_as_the_fact_says_and_by_their_place_without_one():
    assert read_categories(TOLD, 2).numbers == (3, 7)
    assert read_categories({}, 2).numbers == (1, 2)
    assert read_categories({}, 0).numbers == ()


def test_only_wanted_categories_are_yielded_and_strange_ones_are_named():
    found = read_categories(TOLD, 2, wanted=("train",))
    assert [found.is_wanted(number) for number in (3, 7)] == [False, True]
    assert read_categories(TOLD, 2).is_wanted(3)
    with pytest.raises(UsageError, match="do not know the category 'cat'; they know dog, train"):
        read_categories(TOLD, 2, wanted=("dog", "cat"))


def test_a_number_of_categories_that_the_weights_do_not_have_is_refused():
    with pytest.raises(DataError, match="tell 2 categories apart; expected 40"):
        read_categories(TOLD, 2, expected=40)
    with pytest.raises(DataError, match="names 2 categories; their foreground head tells 6 apart"):
        read_categories(TOLD, 6)


@pytest.mark.parametrize(
    "fact", ["", "3", "[3]", '[[0, "a"]]', "[[1, 2]]", '[[1, "a"], [1, "b"]]', "[" * 5000, '["ab"]']
)
def test_a_malformed_fact_is_a_named_error(fact):
    with pytest.raises(DataError, match=r"expected \[\[number, name\]"):
        read_categories({FACT: fact}, 2)


def test_weights_say_which_guidance_they_were_trained_with():
    assert guidance_of("task", {GUIDANCE: "printed"}) == "printed"
    assert guidance_of("printed", {}) == "printed"
    assert guidance_of("off", {GUIDANCE: "task"}) == "off"
    with pytest.raises(DataError, match="expected one of task, printed, off"):
        guidance_of("task", {GUIDANCE: "none"})
