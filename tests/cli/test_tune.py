"""``harness tune`` as a user types it: what is picked, what truth says beside it, wrong calls."""

import json

import pytest

from harness.cli import main

PLUGIN = """
import numpy as np
import torch
from harness import DAVIS_2016_ZERO_SHOT, Benchmark, Method, Sample, Weights, hookimpl

def truth(t):
    mask = np.zeros((16, 20), np.uint8)
    mask[4:12, 5 + t : 13 + t] = 1
    return mask

class Competing:
    '''Channel 2 is the bright square, but for what the weights' name leaves out of it.'''

    def __init__(self, context):
        self.whole = context.weights is None or "half" not in context.weights.name

    def segment_object(self, video):
        for frame in video:
            yield (frame[..., 0] > 100).byte()

    def channels(self, frame):
        square = (frame[..., 0] > 100).float()
        if not self.whole:
            square[:8] = 0
        left = torch.zeros_like(square)
        left[:, :3] = 1
        return torch.stack([left * (1 - square), (1 - left) * (1 - square), square])

    def semantics(self, frame):
        square = (frame[..., 0] > 100).float()
        return torch.stack([square, 1 - square])

class Plain:
    def segment_object(self, video):
        for frame in video:
            yield frame[..., 0] * 0

@hookimpl
def harness_methods():
    return [Method(name="competing", tasks=("object-zvos",), build=Competing),
            Method(name="plain", tasks=("object-zvos",), build=lambda context: Plain())]

def samples(root, partial):
    frames = tuple(f"{t:05d}" for t in range(4))
    return [Sample(name=name, length=4, height=16, width=20, frame_names=frames, read_truth=truth,
                   read_frame=lambda t: np.repeat(truth(t)[..., None] * 200, 3, axis=2), digest=lambda: "0" * 64)
            for name in ("one", "two")]

@hookimpl
def harness_benchmarks():
    return [Benchmark(name="moving", title="Moving", rules={"object-zvos": DAVIS_2016_ZERO_SHOT}, open=samples,
                      needs_root=False)]
"""


@pytest.fixture
def candidates(tmp_path, monkeypatch):
    """The method on the path, and two files of weights: one gives the whole object, one its lower half."""
    site = tmp_path / "site"
    (site / "competing-1.0.dist-info").mkdir(parents=True)
    (site / "competing_plugin.py").write_text(PLUGIN)
    (site / "competing-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: competing\nVersion: 1.0\n")
    (site / "competing-1.0.dist-info/entry_points.txt").write_text("[harness]\ncompeting = competing_plugin\n")
    monkeypatch.syspath_prepend(site)
    half, whole = tmp_path / "half.bin", tmp_path / "whole.bin"
    half.write_bytes(b"half")
    whole.write_bytes(b"whole")
    return half, whole


def harness(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    found = capsys.readouterr()
    return ended.value.code, found.out, found.err


def test_the_whole_object_is_picked_over_its_half(capsys, candidates):
    half, whole = candidates
    code, out, _ = harness(
        capsys, "tune", "--plugin", "competing", "--bench", "moving", "--weights", f"{half},{whole}", "--json"
    )
    assert code == 0
    first, second = json.loads(out)["candidates"]
    assert "whole.bin" in first["weights"]
    assert first["channel"] == second["channel"] == 2
    assert first["alignment"][2] == 1.0
    assert second["alignment"][2] == 0.5
    assert "J" not in first


def test_truth_is_shown_beside_it_and_changes_nothing(capsys, candidates):
    half, whole = candidates
    code, out, _ = harness(
        capsys, "tune", "--plugin", "competing", "--bench", "moving", "--weights", f"{half},{whole}", "--against-truth"
    )
    assert code == 0
    assert "channel 2: alignment 1.0000" in out
    assert "nothing tells it from" not in out
    assert "Spearman's rho of alignment and J over 6 channels: " in out
    rows = [line.split() for line in out.splitlines() if line.split()[1:2] == ["2"]]
    assert [row[2:] for row in rows] == [["1.0000", "1.0000"], ["0.5000", "0.5000"]]


def test_a_method_whose_masks_do_not_compete_is_refused(capsys, candidates):
    code, _, err = harness(capsys, "tune", "--plugin", "plain", "--bench", "moving", "--weights", candidates[0])
    assert code == 2
    assert "plain has no channels() and semantics()" in err


def test_wrong_names_are_answered_as_everywhere(capsys, candidates):
    code, _, err = harness(capsys, "tune", "--plugin", "competin", "--bench", "moving", "--weights", candidates[0])
    assert code == 4
    assert "did you mean 'competing'" in err
    code, _, err = harness(capsys, "tune", "--plugin", "competing", "--bench", "moving", "--weights", "/nowhere.bin")
    assert code == 3
    assert "/nowhere.bin" in err


def test_features_that_are_all_alike_need_a_higher_threshold(capsys, candidates):
    asked = ("tune", "--plugin", "competing", "--bench", "moving", "--weights", candidates[1], "--json", "--threshold")
    _, low, _ = harness(capsys, *asked, "-0.5")
    assert json.loads(low)["candidates"][0]["alignment"] == [0.0, 0.0, 0.0]
    _, told, _ = harness(capsys, *[word for word in asked if word != "--json"], "-0.5")
    assert "nothing tells it from 2 others, whose alignment is the same" in told
    code, _, err = harness(capsys, *asked, "1.5")
    assert code == 2
    assert "1.5 is not in the range" in err
