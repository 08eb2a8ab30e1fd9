"""TVOS from prompt to masks, on tiny videos whose objects are told apart by their colours."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from harness import BuildContext, CausalityError, Prompts, Video
from harness.api.video import Horizon
from harness_tvos import harness_methods, method
from harness_tvos.config import OFFICIAL, PAPER, Config
from harness_tvos.frames.references import frames_kept, reference_frames, sigmas
from harness_tvos.memory import Memory
from harness_tvos.method import TVOS
from harness_tvos.network import IMAGENET_MEAN, IMAGENET_STD

COLOURS = torch.tensor([[120 * (i % 3), 120 * (i // 3 % 3), 120 * (i // 9)] for i in range(13)], dtype=torch.uint8)


class ColourNetwork(nn.Module):
    """Channel k of the features says how much 8 x 8 pixels look like colour k; like products are 25, others 0."""

    def forward(self, images):
        palette = (COLOURS / 255 - torch.tensor(IMAGENET_MEAN)) / torch.tensor(IMAGENET_STD)
        colours = nn.functional.avg_pool2d(images, 8, ceil_mode=True)
        squared = (colours[:, None] - palette[None, :, :, None, None]).square().sum(2)  # (1, 13, h, w)
        return 5 * (-20 * squared).softmax(1)


def tvos(config: Config = OFFICIAL) -> TVOS:
    return TVOS(ColourNetwork(), config, "cpu")


def paint(mask: torch.Tensor) -> torch.Tensor:
    """A (H, W, 3) frame that shows each id in its own colour."""
    return COLOURS[mask.long() % len(COLOURS)]


def video_of(frames: list[torch.Tensor], horizon: Horizon | None = None) -> Video:
    height, width, _ = frames[0].shape
    return Video(name="v", length=len(frames), height=height, width=width, read=frames.__getitem__, horizon=horizon)


def squares(ids: list[int], height: int = 48, width: int = 64) -> torch.Tensor:
    """Objects of 16 x 16 pixels on the 8-pixel grid, side by side."""
    mask = torch.zeros(height, width, dtype=torch.uint8)
    for place, value in enumerate(ids):
        row, column = divmod(place, width // 16)
        mask[16 * row : 16 * row + 16, 16 * column : 16 * column + 16] = value
    return mask


def masks_of(model: TVOS, frames: list[torch.Tensor], prompts: dict[int, torch.Tensor]) -> list[torch.Tensor]:
    return list(model.propagate(video_of(frames), Prompts(prompts)))


def overlap(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (1, (0,)),
        (9, (0, 1, 2, 3, 4, 5, 6, 7, 8)),
        (10, (0, 1, 2, 3, 4, 6, 7, 8, 9)),
        (18, (0, 2, 5, 8, 11, 14, 15, 16, 17)),
        (50, (6, 14, 22, 30, 38, 46, 47, 48, 49)),
    ],
)
def test_references_are_those_of_the_released_code(target, expected):
    assert reference_frames(target, OFFICIAL) == expected


def test_references_are_the_truncated_linspace_of_the_released_code():
    for target in range(10, 200):
        spread = np.linspace(max(target - 44, 0), target - 4, 6).astype(int).tolist()
        assert reference_frames(target, OFFICIAL) == (*spread, target - 3, target - 2, target - 1)


def test_frame_0_drops_out_for_good_from_frame_45_on():
    assert reference_frames(44, OFFICIAL)[0] == 0
    assert all(0 not in reference_frames(target, OFFICIAL) for target in range(45, 300))


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (PAPER, (20, 28, 37, 46, 55, 56, 57, 58, 59)),  # 5 of t-40..t-5, then the last 4
        (Config(dense=3, sparse=0), (57, 58, 59)),
        (Config(dense=0, sparse=9, reach=40), (20, 24, 29, 34, 39, 44, 49, 54, 59)),
        (Config(dense=1, sparse=1, reach=40), (20, 59)),
    ],
)
def test_references_of_other_strategies_at_frame_60(config, expected):
    assert reference_frames(60, config) == expected


@pytest.mark.parametrize("config", [OFFICIAL, PAPER, Config(dense=0, sparse=9, reach=40), Config(dense=9, sparse=0)])
def test_references_are_distinct_earlier_frames_that_memory_still_holds(config):
    for target in range(1, 120):
        references = reference_frames(target, config)
        assert len(references) == min(target, config.sparse + config.dense)
        assert list(references) == sorted(set(references))
        assert max(0, target - frames_kept(config)) <= references[0] <= references[-1] < target


def test_priors_are_narrow_until_frame_15_and_wide_for_far_references_after():
    assert sigmas(15, 9, OFFICIAL) == (8,) * 9
    assert sigmas(16, 9, OFFICIAL) == (21,) * 5 + (8,) * 4
    assert sigmas(5, 5, PAPER) == (21,) + (8,) * 4
    assert sigmas(30, 3, Config(dense=3, sparse=0)) == (8,) * 3


def test_a_static_video_returns_the_first_mask_up_to_the_grid():
    mask = torch.zeros(64, 96, dtype=torch.uint8)
    mask[16:48, 24:72] = 1
    masks = masks_of(tvos(), [paint(mask)] * 20, {0: mask})
    assert torch.equal(masks[0], mask)
    assert all(overlap(found, mask) > 0.9 for found in masks)


def test_an_object_is_followed():
    def at(frame: int) -> torch.Tensor:
        return torch.roll(squares([1], 64, 96), (8, 8 * frame), (0, 1))

    masks = masks_of(tvos(), [paint(at(frame)) for frame in range(8)], {0: at(0)})
    assert all(overlap(found, at(frame)) > 0.8 for frame, found in enumerate(masks))


def test_masks_are_uint8_of_the_videos_size_even_when_odd():
    mask = squares([1], 37, 51)
    masks = masks_of(tvos(), [paint(mask)] * 3, {0: mask})
    assert [(found.shape, found.dtype) for found in masks] == [((37, 51), torch.uint8)] * 3
    assert overlap(masks[2], mask) > 0.8


@pytest.mark.parametrize(("size", "short_side", "grid"), [((96, 128), 48, 48), ((37, 51), 74, 130)])
def test_masks_come_back_at_the_videos_size_from_another_one(size, short_side, grid):
    mask = squares([0, 1, 2], *size)
    model = tvos(Config(short_side=short_side))
    masks = masks_of(model, [paint(mask)] * 3, {0: mask})
    assert len(model.embed(paint(mask))) == grid
    assert [(found.shape, found.dtype) for found in masks] == [(size, torch.uint8)] * 3
    assert all(overlap(masks[2] == value, mask == value) > 0.8 for value in (1, 2))


@pytest.mark.parametrize("length", [1, 2])
def test_the_shortest_videos(length):
    mask = squares([1])
    assert len(masks_of(tvos(), [paint(mask)] * length, {0: mask})) == length


def test_twelve_objects_at_once():
    mask = squares(list(range(1, 13)))
    masks = masks_of(tvos(), [paint(mask)] * 3, {0: mask})
    assert all(overlap(masks[2] == value, mask == value) > 0.7 for value in range(1, 13))


def test_ids_with_gaps_are_kept():
    mask = squares([0, 9, 0, 200])
    masks = masks_of(tvos(), [paint(mask)] * 3, {0: mask})
    assert masks[2].unique().tolist() == [0, 9, 200]
    assert overlap(masks[2] == 200, mask == 200) > 0.7


def test_void_in_a_prompt_is_background():
    mask = squares([1, 0, 255])
    masks = masks_of(tvos(), [paint(mask)] * 2, {0: mask})
    assert [found.unique().tolist() for found in masks] == [[0, 1], [0, 1]]


def test_an_empty_prompt_gives_background_without_looking():
    empty = torch.zeros(48, 64, dtype=torch.uint8)
    model = TVOS(nn.Sequential(nn.Linear(1, 1)), OFFICIAL, "cpu")  # would fail on an image
    masks = masks_of(model, [paint(squares([1]))] * 3, {0: empty})
    assert all(torch.equal(found, empty) for found in masks)


def test_background_before_the_first_prompt():
    mask = squares([0, 1])
    masks = masks_of(tvos(), [paint(mask)] * 5, {2: mask})
    assert [int(found.any()) for found in masks] == [0, 0, 1, 1, 1]
    assert overlap(masks[4], mask) > 0.8


def test_a_later_object_joins_those_followed():
    both = squares([1, 0, 2])
    frames = [paint(squares([1]))] * 3 + [paint(both)] * 3
    masks = masks_of(tvos(), frames, {0: squares([1]), 3: squares([0, 0, 2])})
    assert 2 not in masks[2]
    assert torch.equal(masks[3] == 2, both == 2)
    assert overlap(masks[3] == 1, both == 1) > 0.8
    assert all(overlap(masks[5] == value, both == value) > 0.8 for value in (1, 2))


def test_an_object_prompted_again_is_taken_as_prompted():
    moved = squares([0, 0, 0, 1])
    frames = [paint(squares([1]))] * 2 + [paint(squares([1]) + moved)] * 3
    masks = masks_of(tvos(), frames, {0: squares([1]), 2: moved})
    assert torch.equal(masks[2], moved)


def test_the_prompt_stays_soft_and_history_is_hard(monkeypatch):
    written = {}
    keep = Memory.write
    monkeypatch.setattr(
        Memory,
        "write",
        lambda self, slot, features, labels: (
            written.update({slot: labels.clone()}),
            keep(self, slot, features, labels),
        )[1],
    )
    mask = torch.zeros(16, 16, dtype=torch.uint8)
    mask[:4, :8] = 1  # the centre rows 3 and 4 of the first block: one of two is object
    masks_of(tvos(), [paint(mask)] * 2, {0: mask})
    assert written[0].tolist() == [[[1 / 2, 1], [1, 1]], [[1 / 2, 0], [0, 0]]]
    assert set(written[1].unique().tolist()) <= {0.0, 1.0}
    assert written[1].sum(0).unique().tolist() == [1.0]


def test_scores_sum_to_at_most_one_and_to_one_where_renormalised():
    mask = squares([1])
    sums = {}
    for name, config in (("official", OFFICIAL), ("paper", PAPER)):
        model = tvos(config)
        features = model.embed(paint(mask))
        memory = Memory(9, (6, 8), features)
        memory.write(0, features, torch.ones(1, 6, 8))
        sums[name] = model.scores(memory, features, (0,), (8.0,)).sum(0)
    assert sums["official"].max() <= 1
    assert sums["official"].min() < 0.9
    assert torch.allclose(sums["paper"], torch.ones(6, 8))


def test_no_future_frame_is_read_and_none_is_held_back():
    mask = squares([1])
    horizon = Horizon(0)
    video, prompts = video_of([paint(mask)] * 4, horizon), Prompts({0: mask, 2: mask}, horizon=horizon)
    masks = tvos().propagate(video, prompts)
    for frame in range(4):
        horizon.last = frame
        next(masks)
    assert next(masks, None) is None


def test_frames_are_read_only_when_asked_for():
    horizon = Horizon(0)
    masks = tvos().propagate(video_of([paint(squares([1]))] * 3, horizon), Prompts({0: squares([1])}, horizon=horizon))
    next(masks)
    with pytest.raises(CausalityError):
        next(masks)


def test_the_ring_forgets_only_what_is_never_asked_for(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    frames = [torch.randint(256, (16, 24, 3), dtype=torch.uint8, generator=generator) for _ in range(60)]
    prompt = squares([1], 16, 24)
    found = masks_of(tvos(), frames, {0: prompt})
    monkeypatch.setattr(method, "frames_kept", lambda config: 1000)
    kept = masks_of(tvos(), frames, {0: prompt})
    assert frames_kept(OFFICIAL) == 44
    assert all(torch.equal(a, b) for a, b in zip(found, kept, strict=True))


@pytest.mark.data
def test_shipped_weights_beat_a_copied_first_mask_on_a_moving_car(shared):
    (card,) = harness_methods()
    names = [f"480p/car-shadow/{frame:05d}" for frame in range(8)]
    images = [Image.open(shared / f"data/DAVIS/JPEGImages/{name}.jpg").resize((427, 240)) for name in names]
    truths = [Image.open(shared / f"data/DAVIS/Annotations/{name}.png").resize((427, 240), 0) for name in names]
    frames = [torch.from_numpy(np.array(image)) for image in images]
    masks = [torch.from_numpy((np.array(truth) > 0).astype(np.uint8)) for truth in truths]
    weights = card.weights_named(card.default_weights).path
    context = BuildContext(task="one-shot", config=OFFICIAL, device="cpu", precision="fp32", weights=weights, seed=0)
    found = masks_of(card.build(context), frames, {0: masks[0]})
    assert overlap(found[7], masks[7]) > overlap(masks[0], masks[7]) + 0.1
