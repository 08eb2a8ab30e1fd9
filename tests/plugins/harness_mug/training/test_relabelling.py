"""Labels between rounds: what the network rates, through the CRF, cut at the threshold, on the nearest cells."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from harness.ops.crf import MATNET, refine, unary_of
from harness_mug.method import Learned, References
from harness_mug.network import build_network
from harness_mug.training.clips import shrink
from harness_mug.training.config import SMALL
from harness_mug.training.files import label_path
from harness_mug.training.stages import prepare_round

HEIGHT, WIDTH = SIZE = (96, 144)
CONFIG = replace(SMALL, initial="none", frozen_stages=0, keep_maps=False, size=SIZE, patch=32, segments=3)


def ramp(t):
    """Probabilities that fall from the left to the right, in later frames later."""
    return torch.linspace(0.7 + 0.03 * t, 0.0, WIDTH).expand(SIZE)


@pytest.fixture
def second(toy, tmp_path):
    """The context of the second round of two videos of squares, after a network that knows nothing."""
    earlier = tmp_path / "stage-round-1.safetensors"
    save_file(build_network("small", seed=0).state_dict(), earlier)
    for name in ("round-1", "round-2"):
        (tmp_path / name).mkdir()
    return toy.training_context(CONFIG, 2, stage="round-2", artefacts=tmp_path / "round-2", earlier=earlier)


@pytest.fixture
def told(monkeypatch):
    """Have every network rate as ``ramp``; what it was shown is noted."""
    told = []

    def begin(self, video):
        told.append((self.config.stretch, self.config.references, video.name, len(video)))
        return References({0: ()})

    def rate(self, frame, place, references):
        assert frame.shape == (*SIZE, 3)
        return ramp(place)

    monkeypatch.setattr(Learned, "begin", begin)
    monkeypatch.setattr(Learned, "rate", rate)
    return told


@pytest.mark.parametrize("threshold", [0.3, 0.5])
def test_labels_are_what_the_crf_makes_of_the_network_s_answer_on_the_nearest_cells(second, told, threshold):
    context = replace(second, config=replace(CONFIG, label_threshold=threshold))
    prepare_round(context, lambda done, total: None, turn=2)
    changed = 0
    for sample in context.samples:
        found = np.load(label_path(context.artefacts, sample))
        assert found.shape == (8, 6, 9)
        assert found.dtype == np.uint8
        for t in range(8):
            frame = torch.from_numpy(shrink(sample.read_frame(t), SIZE))
            unary = unary_of(ramp(t)[None], divide=2 * threshold)  # the threshold is as likely object as not
            decided = refine(frame[None], unary, MATNET)[0, 1] >= 0.5
            assert np.array_equal(found[t], decided[8::16, 8::16].numpy())  # a cell's middle pixel
            changed += int((decided != (ramp(t) >= threshold)).sum())
        assert 0.1 < found.mean() < 0.9
    assert changed > 100  # the CRF has moved edges
    assert told == [(SIZE, 3, f"v{seed}", 8) for seed in range(2)]


def test_without_a_threshold_labels_cover_what_the_maps_did(second, told):
    """Maps on two thirds of the cells: the ramp is cut where it has fallen by about as much."""
    for sample in second.samples:
        labels = np.zeros((8, *CONFIG.grid), np.uint8)
        labels[:, :, :6] = 1
        np.save(label_path(second.artefacts_of("round-1"), sample), labels)
    prepare_round(second, lambda done, total: None, turn=2)
    for sample in second.samples:
        assert np.load(label_path(second.artefacts, sample))[0].mean() == pytest.approx(2 / 3, abs=0.12)


@pytest.mark.parametrize("turn", [1, 2])
def test_a_relabelling_that_was_killed_goes_on_with_the_videos_that_are_missing(second, turn):
    """Killed at a frame of the second video; the first one's labels are not made again."""
    # small, and cut at about what a network that knows nothing says
    config = replace(CONFIG, size=(32, 48), patch=16, label_threshold=0.499)
    folder = second.artefacts_of(f"round-{turn}")
    context = replace(second, config=config, stage=f"round-{turn}", artefacts=folder)
    if turn == 1:
        context = replace(context, earlier=None)
    kept, lost = (label_path(folder, sample) for sample in context.samples)
    prepare_round(context, lambda done, total: None, turn=turn)
    whole = lost.read_bytes()
    for path in (kept, lost):
        path.unlink()

    def kill(done, total):
        if done == 11:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare_round(context, kill, turn=turn)
    assert [path.name for path in folder.iterdir()] == [kept.name]
    mark = np.full((8, *config.grid), 1, np.uint8)
    np.save(kept, mark)
    prepare_round(context, lambda done, total: None, turn=turn)
    assert lost.read_bytes() == whole
    assert np.array_equal(np.load(kept), mark)
