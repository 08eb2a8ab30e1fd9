"""A frame becomes a mask: which channel, by what decision, at what size."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from harness import BuildContext, DataError
from harness.api.video import Video
from harness_imas import WEIGHTS
from harness_imas.config import PRESETS, Config
from harness_imas.frames import resize_whole
from harness_imas.method import build
from harness_imas.network import build_segmenter

SMALL = Config(short_side=64, threshold=0.35)


def context(config=SMALL, weights=None):
    return BuildContext(task="object-zvos", config=config, device="cpu", precision="fp32", weights=weights, seed=0)


def weights_of(path, facts):
    save_file(
        dict(build_segmenter("lite0", 3, merging=True, seed=1).state_dict()),
        path,
        metadata={f"fact.{k}": v for k, v in facts.items()},
    )
    return path


def video_of(frames=2, height=50, width=70):
    images = torch.randint(0, 256, (frames, height, width, 3), dtype=torch.uint8)
    return Video(name="v", length=frames, height=height, width=width, read=lambda t: images[t])


class Painted(torch.nn.Module):
    """A network whose object is the left half: channel 1, and how sure it is."""

    def __init__(self, sure):
        super().__init__()
        self.sure = sure
        self.channels = 3

    def normalise(self, frames):
        return frames

    def forward(self, images):
        rows, columns = images.shape[-2] // 4, images.shape[-1] // 4
        logits = torch.zeros(1, 3, rows, columns)
        logits[:, 1, :, : columns // 2] = self.sure
        logits[:, 1, :, columns // 2 :] = -9.0
        return logits


def build_painted(sure, **changes):
    method = build(context(replace(SMALL, object_channel=1, **changes)))
    method.network = Painted(sure)
    return method


def test_each_frame_gives_a_mask_of_its_size():
    masks = list(build(context()).segment_object(video_of()))

    assert [mask.shape for mask in masks] == [(50, 70)] * 2
    assert all(mask.dtype == torch.uint8 for mask in masks)
    assert set(torch.stack(masks).unique().tolist()) <= {0, 1}


def test_an_object_of_40_per_cent_is_seen_by_the_threshold():
    """Logits 0.3, 0, 0: the object's share is .403, the largest; logits -.2: .290, neither."""
    frame = torch.zeros(64, 64, 3, dtype=torch.uint8)

    assert build_painted(0.3).mask(frame)[:, :24].all()
    assert not build_painted(0.3).mask(frame)[:, 40:].any()
    assert not build_painted(-0.2).mask(frame).any()


def test_argmax_takes_the_largest_and_the_threshold_the_likely():
    """Logits -.05: the share is .322; with a threshold of .3 it is the object, by argmax it is not."""
    frame = torch.zeros(64, 64, 3, dtype=torch.uint8)

    assert build_painted(-0.05, threshold=0.3).mask(frame)[:, :24].all()
    assert not build_painted(-0.05, decide="argmax").mask(frame).any()
    assert build_painted(0.05, decide="argmax").mask(frame)[:, :24].all()


def test_the_crf_follows_the_frame():
    """The mask ends at column 32, the red square at column 36."""
    frame = torch.full((64, 64, 3), 90, dtype=torch.uint8)
    frame[:, :36] = torch.tensor([210, 30, 30], dtype=torch.uint8)

    plain, found = build_painted(3.0).mask(frame), build_painted(3.0, crf=True).mask(frame)

    assert not plain[:, 34:].any()
    assert found[:, :35].all()
    assert not found[:, 36:].any()


def test_the_weights_say_which_mask_is_the_object(tmp_path):
    told = weights_of(tmp_path / "told.safetensors", {"object_channel": "2"})

    assert build(context(weights=told)).channel == 2
    assert build(context(replace(SMALL, object_channel=0), weights=told)).channel == 0


@pytest.mark.parametrize("facts", [{}, {"object_channel": "two"}, {"object_channel": "-1"}])
def test_weights_that_do_not_say_are_refused_with_the_next_step(tmp_path, facts):
    path = weights_of(tmp_path / "silent.safetensors", facts)

    with pytest.raises(DataError, match="does not say which of its 3 masks") as found:
        build(context(weights=path))
    assert "object_channel=N" in found.value.hint


def test_a_channel_beyond_the_network_is_refused(tmp_path):
    path = weights_of(tmp_path / "odd.safetensors", {"object_channel": "7"})

    with pytest.raises(DataError, match="object channel 7 of a network of 3 masks"):
        build(context(weights=path))


def test_the_tuner_is_given_shares_and_features():
    method = build(context())
    frame = torch.randint(0, 256, (48, 64, 3), dtype=torch.uint8)

    soft = method.channels(frame)

    torch.testing.assert_close(soft.sum(0), torch.ones(soft.shape[1:]))
    assert method.semantics(frame).ndim == 3


@pytest.mark.parametrize(
    ("size", "expected"), [((480, 854), (392, 697)), ((30, 20), (588, 392)), ((392, 500), (392, 500))]
)
def test_frames_are_resized_by_their_shorter_side(size, expected):
    assert resize_whole(torch.zeros(*size, 3, dtype=torch.uint8), 392, None).shape == (1, 3, *expected)


def test_frames_of_any_shape_are_brought_to_one():
    assert resize_whole(torch.zeros(30, 20, 3, dtype=torch.uint8), 240, (480, 854)).shape == (1, 3, 240, 427)


def test_the_shipped_weights_find_a_bus_and_a_bear(shared):
    method = build(context(PRESETS["small"], weights=WEIGHTS[0].path))
    assert method.channel == 3
    for name in ("bus", "bear"):
        folder = shared / "data/DAVIS-train-240p"
        frame = np.array(Image.open(folder / f"JPEGImages/240p/{name}/00005.jpg"))
        truth = np.asarray(Image.open(folder / f"Annotations/240p/{name}/00005.png")) > 0
        mask = method.mask(torch.from_numpy(frame)).numpy() > 0
        assert (mask & truth).sum() / (mask | truth).sum() > 0.7
