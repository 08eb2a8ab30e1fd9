"""All pairs of a board at once are those of each pair alone."""

from itertools import combinations

import numpy as np
import pytest

from harness.ranking.pairs import MOST_HELD, compare_all
from harness.ranking.significance import Shares, assess


def compare(runs, average="objects"):
    return compare_all(
        [Shares.of_rows(rows, average=average) for rows in runs], lambda i, j: assess(runs[i], runs[j], average=average)
    )


@pytest.mark.parametrize("average", ["objects", "sequences"])
def test_leads_are_those_of_each_pair_alone(average):
    draw = np.random.default_rng(0)
    runs = [
        {f"v{n}": list(0.5 + level + draw.normal(0, 0.02, 1 + n % 2)) for n in range(9)}
        for level in np.linspace(0.03, 0.0, 14)  # from clear leads to none
    ]
    runs[3] = {**runs[3], "v2": [None]}
    runs[7] = {**runs[0]}
    found = compare(runs, average)
    for i, j in combinations(range(len(runs)), 2):
        alone = assess(runs[j], runs[i], average=average)
        assert found.leads[i, j] == (alone.is_shown and alone.low > 0), (i, j)
    assert 10 < found.leads.sum() < 80
    assert not np.tril(found.leads).any()
    assert found.shown == found.leads.sum()
    assert found.shown_together == 0  # 2 of 512 flips at least, times 91 pairs: nine videos cannot show so much
    assert (found.count, found.videos) == (14 * 13 / 2, 9)


def test_a_bound_in_place_of_an_exact_p_changes_no_lead():
    draw = np.random.default_rng(1)
    few = [{f"v{n}": [0.5 + level + draw.normal(0, 0.05)] for n in range(8)} for level in np.linspace(0.1, 0, 12)]
    many = few + [{f"v{n}": [0.0] for n in range(8)}] * (MOST_HELD - 11)
    held, unheld = compare(few), compare(many)
    assert unheld.shown_together is None
    assert np.array_equal(held.leads, unheld.leads[:12, :12])


def test_a_board_says_in_words_what_its_videos_can_tell():
    runs = [{f"v{n}": [0.9 - level + n % 2 / 100] for n in range(8)} for level in (0, 0.2)]
    runs[1]["v0"] = [0.5]
    told = compare(runs).describe("J&F")
    assert told.startswith("What 8 videos can tell: a true difference of 8.2 points J&F between two rows like these")
    assert told.endswith("Shown to differ: 1 of 1 pair, each asked alone at 5 %, 1 when all are asked at once (Holm).")
    few = compare([{"a": [0.9], "b": [0.8]}, {"a": [0.1], "b": [0.2]}]).describe("AP")
    assert few.startswith("2 videos are too few to show a difference")
    assert "in 50 of 100 cases (6 videos are the fewest)" in few
    assert compare([]).describe("AP") == ""


def test_nobody_is_compared_with_a_run_that_has_no_figure_or_no_second_video():
    assert compare([{"a": [1.0]}, {"a": [0.0]}]).count == 0
    found = compare_all([None, Shares.of_rows({"a": [1.0], "b": [0.5]}, average="objects")], lambda i, j: None)
    assert (found.count, found.detectable, found.shown) == (0, None, 0)
    assert compare([]).leads.shape == (0, 0)
