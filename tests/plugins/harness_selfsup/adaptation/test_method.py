"""The adapted forms on tiny videos, over a propagation that the tests make."""

import pytest
import torch

from harness import BuildContext, CausalityError, Prompts, Snapshot, Video
from harness.api.learning import LearnsAtTestTime
from harness.api.timing import Stopwatch
from harness.api.video import Horizon
from harness.ops.labels import VOID
from harness_selfsup.adaptation.config import ADAPTED_PRESETS, CAUSAL_PRESETS, AdaptedConfig
from harness_selfsup.adaptation.method import Adapted, CausallyAdapted


class Shifting:
    """Propagation that moves what it was given one column a frame, and knows nothing else."""

    def propagate(self, video, prompts):
        mask = torch.zeros(video.size, dtype=torch.uint8)
        for frame in range(len(video)):
            video[frame]
            mask, prompt = mask.roll(1, 1), prompts.get(frame)
            if prompt is not None:
                mask = torch.where((prompt > 0) & (prompt != VOID), prompt, mask)
            yield mask


def context(form: type, **changes) -> BuildContext:
    presets = ADAPTED_PRESETS if form is Adapted else CAUSAL_PRESETS
    fields = {"task": "one-shot", "config": presets["smoke"], "device": "cpu", "precision": "fp32", "weights": None}
    return BuildContext(**{**fields, "seed": 0, **changes})


def adapt(form: type = Adapted, **changes):
    return form(Shifting(), context(form, **changes))


def prompt_of(ids: tuple[int, ...], height: int, width: int) -> torch.Tensor:
    """The objects as columns side by side, and nothing else."""
    mask = torch.zeros(height, width, dtype=torch.uint8)
    for place, value in enumerate(ids):
        mask[2 : height - 2, 4 * place : 4 * place + 3] = value
    return mask


def video_of(length: int, height: int = 24, width: int = 32, horizon: Horizon | None = None) -> Video:
    frames = torch.randint(
        256, (length, height, width, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    return Video(name="v", length=length, height=height, width=width, read=frames.__getitem__, horizon=horizon)


def masks_of(method, length: int, prompts: dict[int, torch.Tensor], size: tuple[int, int] = (24, 32)):
    return list(method.propagate(video_of(length, *size), Prompts(prompts)))


@pytest.mark.parametrize("form", [Adapted, CausallyAdapted])
@pytest.mark.parametrize(("ids", "size"), [((1,), (24, 32)), ((2, 7, 200), (33, 57))])
def test_masks_have_the_size_and_the_ids_of_the_prompt(form, ids, size):
    prompt = prompt_of(ids, *size)
    masks = masks_of(adapt(form), 3, {0: prompt}, size)
    assert torch.equal(masks[0], prompt)
    for mask in masks:
        assert mask.shape == size
        assert mask.dtype is torch.uint8
        assert set(mask.unique().tolist()) <= {0, *ids}


@pytest.mark.parametrize("form", [Adapted, CausallyAdapted])
def test_a_video_of_one_frame_is_its_prompt_without_void(form):
    prompt = prompt_of((3,), 24, 32)
    given = prompt.clone()
    given[-1] = VOID
    (mask,) = masks_of(adapt(form), 1, {0: given})
    assert torch.equal(mask, prompt)


@pytest.mark.parametrize("form", [Adapted, CausallyAdapted])
def test_nothing_named_nothing_found(form):
    masks = masks_of(adapt(form), 3, {0: torch.zeros(24, 32, dtype=torch.uint8)})
    assert [int(mask.max()) for mask in masks] == [0, 0, 0]


@pytest.mark.parametrize("form", [Adapted, pytest.param(CausallyAdapted, marks=pytest.mark.slow)])
def test_a_later_object_is_not_there_before_and_is_as_prompted_then(form):
    late = prompt_of((0, 0, 9), 24, 32)
    masks = masks_of(adapt(form), 4, {0: prompt_of((1,), 24, 32), 2: late})
    assert [int((mask == 9).sum()) for mask in masks[:2]] == [0, 0]
    assert torch.equal(masks[2] == 9, late == 9)


@pytest.mark.slow
def test_equal_seeds_give_equal_masks_also_after_another_video():
    prompt = {0: prompt_of((1, 2), 24, 32)}
    first, second = adapt(), adapt()
    masks_of(second, 2, {0: prompt_of((4,), 33, 57)}, (33, 57))
    assert all(torch.equal(a, b) for a, b in zip(masks_of(first, 3, prompt), masks_of(second, 3, prompt), strict=True))


@pytest.mark.slow
def test_snapshots_begin_with_what_is_learnt_and_end_with_the_answer():
    method = adapt()
    assert isinstance(method, LearnsAtTestTime)
    video, prompts = video_of(3), Prompts({0: prompt_of((1, 2), 24, 32)})
    shots = list(method.snapshots(video, prompts, 1))
    assert [shot.iteration for shot in shots] == [0, 1, 2]
    assert all(isinstance(shot, Snapshot) and len(shot.masks) == 3 for shot in shots)
    propagated = list(Shifting().propagate(video, prompts))
    for shot, expected in ((shots[0], propagated), (shots[-1], list(method.propagate(video, prompts)))):
        assert all(torch.equal(a, b) for a, b in zip(shot.masks, expected, strict=True))
    assert [shot.iteration for shot in method.snapshots(video, prompts, 5)] == [0, 2]


def test_snapshots_of_a_video_in_which_nothing_is_named_are_empty():
    shots = adapt().snapshots(video_of(2), Prompts({0: torch.zeros(24, 32, dtype=torch.uint8)}), 1)
    assert {int(mask.max()) for shot in shots for mask in shot.masks} == {0}


def test_adaptation_is_a_stage_of_the_first_mask():
    watch = Stopwatch("cpu")
    masks = adapt().propagate(video_of(3), Prompts({0: prompt_of((1,), 24, 32)}))
    readings = []
    for _ in range(3):
        with watch.lap():
            next(masks)
        readings.append(watch.read())
    assert [set(reading.stages) for reading in readings] == [{"adapt", "segment"}, {"segment"}, {"segment"}]


def test_the_causal_form_reads_no_later_frame():
    horizon = Horizon(last=0)
    video = video_of(3, horizon=horizon)
    prompts = Prompts({0: prompt_of((1,), 24, 32), 2: prompt_of((0, 5), 24, 32)}, horizon=horizon)
    masks = adapt(CausallyAdapted).propagate(video, prompts)
    for frame in range(3):
        horizon.last = frame
        assert next(masks).shape == (24, 32)
    horizon.last = 0
    with pytest.raises(CausalityError):
        next(adapt().propagate(video, prompts))


def test_the_causal_form_learns_after_a_prompt_and_before_each_frame(monkeypatch):
    from harness_selfsup.adaptation.appearance import AppearanceModel

    learnt = []
    monkeypatch.setattr(
        AppearanceModel,
        "learn",
        lambda self, video, lessons, iterations, *, frames: learnt.append((iterations, sorted(lessons.maps), frames)),
    )
    masks_of(adapt(CausallyAdapted), 4, {0: prompt_of((1,), 24, 32), 2: prompt_of((0, 5), 24, 32)})
    assert learnt == [
        (2, [0], 1),
        (1, [0], 1),
        (1, [0, 1], 2),
        (2, [0, 1, 2], 3),
        (1, [0, 1, 2], 3),
    ]


class Flawed:
    """Propagation that loses a part of the object and gains a part of the background in each frame."""

    def __init__(self, truths: list[torch.Tensor]) -> None:
        self.masks = [truths[0]]
        chance = torch.Generator().manual_seed(0)
        for truth in truths[1:]:
            mask = truth.clone()
            for value, among in ((0, truth.nonzero()), (1, (truth == 0).nonzero())):
                row, column = among[int(torch.randint(len(among), (1,), generator=chance))].tolist()
                mask[max(0, row - 6) : row + 6, max(0, column - 6) : column + 6] = value
            self.masks.append(mask)

    def propagate(self, video, prompts):
        yield from self.masks


@pytest.mark.slow
def test_regularities_are_learnt_before_errors():
    """Zhu et al. 2020, section 4.2: the U-Net outdoes the masks that it learns from."""
    truths, frames = [], []
    noise = torch.randint(90, (12, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    for frame in range(12):
        truth = torch.zeros(64, 64, dtype=torch.uint8)
        truth[16:44, 4 + 2 * frame : 32 + 2 * frame] = 1
        truths.append(truth)
        frames.append(noise[frame] + 90 * truth[..., None] * torch.tensor([1, 0, 1], dtype=torch.uint8))
    video = Video(name="v", length=12, height=64, width=64, read=frames.__getitem__)
    config = AdaptedConfig(unet_size=64, unet_width=32, unet_batch=4, iterations=120)
    propagation = Flawed(truths)
    masks = list(Adapted(propagation, context(Adapted, config=config)).propagate(video, Prompts({0: truths[0]})))

    def agreement(found):
        pairs = zip(found[1:], truths[1:], strict=True)
        return sum(float((a & b).sum() / (a | b).sum()) for a, b in pairs) / 11

    assert agreement(masks) > agreement(propagation.masks) + 0.05
