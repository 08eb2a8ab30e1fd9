"""The constants of training: those of MAST as its code has them, and what the presets named after papers say."""

import math

from harness_selfsup.training.config import MAST_ITERATIONS, MAST_PAIRWISE, PAIRWISE, PRESETS


def test_the_constants_of_mast():
    assert MAST_PAIRWISE.iterations == 20 * (71_583 // 12) == 119_300
    assert (MAST_PAIRWISE.batch, MAST_PAIRWISE.size, MAST_PAIRWISE.radius, MAST_PAIRWISE.lr) == (12, 256, 6, 1e-3)
    assert (MAST_PAIRWISE.crop, MAST_PAIRWISE.shrink, MAST_PAIRWISE.norms) == ("whole", "linear", "apart")
    assert (MAST_PAIRWISE.drop, MAST_PAIRWISE.drop_scale, MAST_PAIRWISE.jitter) == (1.0, 1.5, 0.0)
    assert (MAST_PAIRWISE.feature_norm, MAST_PAIRWISE.feature_spread, MAST_PAIRWISE.is_aligned) == (False, 0.0, False)


def test_the_rate_of_mast_halves_after_so_many_samples():
    for halvings, samples in enumerate((400_000, 600_000, 800_000, 1_000_000)):
        last = math.floor(samples / 12)  # the code halves where 12 * iteration is above
        assert MAST_PAIRWISE.learning_rate(last) == 1e-3 * 0.5**halvings
        assert MAST_PAIRWISE.learning_rate(last + 1) == 1e-3 * 0.5 ** (halvings + 1)
    assert MAST_PAIRWISE.learning_rate(MAST_ITERATIONS - 1) == 1e-3 / 16


def test_the_paper_drops_a_channel_half_of_the_time():
    assert (PAIRWISE.drop, PRESETS["memory"].drop) == (0.5, 0.5)
    assert {PRESETS[name].drop for name in ("small-pairwise", "small-memory")} == {1.0}  # the shipped weights
