"""What a method returns is checked before anything of it is stored or measured."""

from types import SimpleNamespace

import numpy as np
import pytest

from harness.api.errors import ContractError
from harness.api.mask_files import RunLength
from harness.api.video import Track, Tracks
from harness.hosting.answers import check_tracks

PLAN = SimpleNamespace(method=SimpleNamespace(name="ours"))


def test_a_code_that_does_not_cover_its_mask_is_named_with_track_and_frame(tests_tools):
    sample = tests_tools.tiny_sample("square", 2)
    good = RunLength.encode(np.eye(8, dtype=bool))
    assert check_tracks(Tracks([Track(1, 0.5, [good, None])]), sample, PLAN).tracks[0].masks == [good, None]
    for counts in (b"", b"0", b"\xff", good.counts[:-1], b"P1"):
        tracks = Tracks([Track(1, 0.5, [good, RunLength((8, 8), counts)])])
        with pytest.raises(ContractError, match="ours, video square, track 0, frame 1: a run-length code"):
            check_tracks(tracks, sample, PLAN)
