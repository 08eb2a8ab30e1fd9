"""The loop of a training: it learns, it tells, it stops when it must, and goes on as if it had not stopped."""

import os
import signal

import pytest
import torch


def test_a_training_learns_tells_and_leaves_its_files(tiny):
    trained = tiny.train(log_every=4, validate_every=6)
    names = {path.name for path in tiny.folder.iterdir()}
    assert names == {
        "lock",
        "train.json",
        "log.jsonl",
        "curve.png",
        "last.safetensors",
        "best.safetensors",
        "checkpoint.pt",
    }
    lines = [line for line in trained.lines if line["kind"] == "train"]
    assert [line["iteration"] for line in lines] == [4, 8, 12]
    assert lines[-1]["losses"]["loss"] < 0.7 * lines[0]["losses"]["loss"]
    assert lines[0]["losses"]["share"] == pytest.approx(9 / 64)
    scores = [(line["iteration"], line["score"]) for line in trained.lines if line["kind"] == "validation"]
    assert [iteration for iteration, _ in scores] == [0, 6, 12]
    assert scores[-1][1] > scores[0][1]
    assert (trained.iterations, trained.best) == (12, max(score for _, score in scores))


def runs_until(tiny, iteration, **asked):
    """Train, and press Ctrl-C in the middle of one iteration."""

    class Stopped(tiny.Learner):
        def loss(self, batch, now):
            if now == iteration:
                os.kill(os.getpid(), signal.SIGINT)
            return super().loss(batch, now)

    with pytest.raises(KeyboardInterrupt):
        tiny.train(tiny.card(Stopped), out="broken", **asked)


@pytest.mark.parametrize("iteration", [0, 3, 6])
def test_an_interrupted_training_goes_on_to_the_same_bits_and_lines(tiny, tmp_path, iteration):
    asked = {"log_every": 5, "validate_every": 4, "checkpoint_every": 4}
    whole = tiny.train(**asked)
    runs_until(tiny, iteration, **asked)
    again = tiny.train(out="broken", **asked)
    for name in ("last", "best"):
        path = f"{name}.safetensors"
        assert (tiny.folder / path).read_bytes() == (tmp_path / "broken" / path).read_bytes()
    assert [_without_time(line) for line in again.lines] == [_without_time(line) for line in whole.lines]
    assert again.best_iteration == whole.best_iteration
    there, here = (torch.load(tmp_path / out / "checkpoint.pt", weights_only=True) for out in ("training", "broken"))
    assert torch.equal(there["networks"]["average"]["weight"], here["networks"]["average"]["weight"])


def _without_time(line):
    return {key: value for key, value in line.items() if "second" not in key and key != "peak_memory_mib"}
