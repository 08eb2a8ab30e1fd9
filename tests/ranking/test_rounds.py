"""Ratios of what was measured in turns: what they are, how sure, and that they are the same years later."""

import pytest

from harness.ranking.rounds import Peaks, Ratio, ratio_of_rounds, typical_ms

STEADY = {"a": [10.0] * 8, "b": [20.0] * 8}


def slower(rounds, by):
    return {video: [by * value for value in values] for video, values in rounds.items()}


def test_equal_rounds_have_the_ratio_one_and_are_not_clear():
    found = ratio_of_rounds(STEADY, STEADY)
    assert found == Ratio(1.0, 1.0, 1.0, longer_by_ms=0.0, rounds=8)
    assert not found.is_clear


def test_a_slowdown_of_every_turn_is_found_whole_and_clear():
    found = ratio_of_rounds(STEADY, slower(STEADY, 1.15))
    assert (found.value, found.low, found.high) == pytest.approx((1.15, 1.15, 1.15))
    assert found.longer_by_ms == pytest.approx(0.15 * 200**0.5)  # of the mean over videos, by their product
    assert found.is_clear


def test_what_meets_both_sides_of_a_round_cancels():
    load = [1.0, 3.0, 1.0, 7.0]
    base = {"a": [10 * share for share in load]}
    assert ratio_of_rounds(base, slower(base, 1.1)).value == pytest.approx(1.1)


def test_the_times_shown_beside_a_ratio_are_those_it_is_made_of():
    base, head = {"a": [10.0, 10.0, 90.0], "b": [40.0, 40.0, 41.0]}, {"a": [20.0, 80.0, 20.0], "b": [40.0, 40.0, 40.0]}
    assert typical_ms(base) == pytest.approx(20.0)  # of 10 and 40, by their product: one turn of 90 is not in it
    assert typical_ms(head) / typical_ms(base) == pytest.approx(ratio_of_rounds(base, head).value)


def test_one_turn_that_something_else_held_up_changes_nothing():
    head = {"a": [10.0] * 7 + [90.0], "b": [20.0] * 8}
    assert ratio_of_rounds(STEADY, head).value == 1.0


def test_half_of_the_turns_held_up_on_one_side_change_nothing():
    head = {"a": [10.0, 35.0, 10.0, 90.0, 10.0, 12.0, 10.0, 11.0], "b": [20.0] * 8}
    assert ratio_of_rounds(STEADY, head).value == pytest.approx(1.0)


def test_videos_weigh_the_same_and_their_ratios_are_multiplied():
    head = {"a": [20.0] * 8, "b": [10.0] * 8}  # twice as long, and half as long
    found = ratio_of_rounds(STEADY, head)
    assert found.value == pytest.approx(1.0)
    assert (found.low, found.high) == pytest.approx((0.5, 2.0))
    assert not found.is_clear


def test_the_interval_is_over_the_rounds_of_one_video_too():
    base, head = {"a": [10.0] * 6}, {"a": [9.0, 10.0, 11.0, 12.0, 13.0, 14.0]}
    found = ratio_of_rounds(base, head)
    assert found.value == pytest.approx(1.0)  # 9, 10 and 11 are the quicker half
    assert 0.89 < found.low < 1.0 < found.high <= 1.4


def test_one_round_of_several_videos_has_the_interval_of_the_videos():
    found = ratio_of_rounds({"a": [10.0], "b": [10.0]}, {"a": [11.0], "b": [12.0]})
    assert (found.low, found.high) == pytest.approx((1.1, 1.2))


def test_the_interval_is_the_same_years_later():
    head = {"a": [10.0, 11.0, 9.0, 12.0], "b": [20.0, 24.0, 19.0, 21.0]}
    base = {video: rounds[:4] for video, rounds in STEADY.items()}
    found = ratio_of_rounds(base, head)
    assert (found.low, found.high) == pytest.approx((0.8999999999999999, 1.0723805294763602), abs=1e-12)


def test_other_videos_or_numbers_of_rounds_are_refused():
    with pytest.raises(ValueError, match="same videos"):
        ratio_of_rounds({"a": [1.0]}, {"b": [1.0]})
    with pytest.raises(ValueError, match="number of rounds"):
        ratio_of_rounds({"a": [1.0]}, {"a": [1.0, 1.0]})


def test_memory_is_clear_where_no_process_of_both_sides_took_as_much():
    assert Peaks((20.0, 21.0, 19.0), (22.0, 25.0, 23.0)).is_clear
    assert Peaks((20.0, 21.0, 19.0), (18.0, 17.0, 18.5)).is_clear
    assert not Peaks((20.0, 21.0), (32.0, 35.0)).is_clear  # of so few every order may be chance
    assert not Peaks((20.0, 21.0, 19.0), (21.0, 25.0, 23.0)).is_clear
    assert Peaks((20.0, 40.0, 19.0), (22.0, 25.0, 23.0)).medians == (20.0, 23.0)


def test_what_takes_no_time_at_all_is_as_long_as_itself():
    assert ratio_of_rounds({"v": [0.0, 0.0]}, {"v": [0.0, 0.0]}).value == 1.0
