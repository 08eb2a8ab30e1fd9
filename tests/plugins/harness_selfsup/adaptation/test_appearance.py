"""What the U-Net learns from, with what weight and loss, and that it learns without touching what is not its own."""

import math

import pytest
import torch

from harness import BuildContext, Video
from harness.ops.labels import VOID
from harness_selfsup.adaptation.appearance import Lessons, adaptation_loss, class_map, learning_rate, weight_of
from harness_selfsup.adaptation.config import AdaptedConfig
from harness_selfsup.adaptation.method import new_model

SMALL = AdaptedConfig(unet_size=32, unet_width=4, unet_batch=2, iterations=2)


def mask_of(*boxes: tuple[int, slice, slice], height: int = 32, width: int = 32) -> torch.Tensor:
    mask = torch.zeros(height, width, dtype=torch.uint8)
    for value, rows, columns in boxes:
        mask[rows, columns] = value
    return mask


SQUARE = mask_of((1, slice(8, 24), slice(8, 24)))


def picture(mask: torch.Tensor) -> torch.Tensor:
    """A dim, noisy frame on which each object is bright in its own channel."""
    frame = torch.randint(60, (*mask.shape, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for channel, value in enumerate(mask.unique()[1:].tolist()):
        frame[..., channel % 3] = torch.where(mask == value, 230, frame[..., channel % 3])
    return frame


def video_of(*masks: torch.Tensor) -> Video:
    frames = [picture(mask) for mask in masks]
    height, width = masks[0].shape
    return Video(name="v", length=len(frames), height=height, width=width, read=frames.__getitem__)


def lessons_of(*masks: torch.Tensor, size: int = 32, most: int = 512) -> Lessons:
    """The first mask is prompted, the others were propagated."""
    lessons = Lessons(size, most)
    for frame, mask in enumerate(masks):
        lessons.add(frame, mask, mask if frame == 0 else None)
    return lessons


def model_for(lessons: Lessons, config: AdaptedConfig = SMALL, precision: str = "fp32", seed: int = 0):
    fields = {"task": "one-shot", "config": config, "device": "cpu", "precision": precision}
    return new_model(lessons, BuildContext(**fields, weights=None, seed=seed))


def test_the_loss_of_four_pixels_by_hand():
    # Two classes of even odds at each pixel, then class 1 three times as likely as class 0.
    logits = torch.tensor([[[0.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [math.log(3), math.log(3)]]])[None]
    classes = torch.tensor([[[0, 1], [1, 1]]], dtype=torch.uint8)
    entropy = (math.log(2) + math.log(2) + 2 * math.log(4 / 3)) / 4
    overlap, sizes = 0.5 + 0.75 + 0.75, (0.5 + 0.5 + 0.75 + 0.75) + 3
    dice = 1 - (2 * overlap + 1) / (sizes + 1)
    found = adaptation_loss(logits, classes, torch.tensor([2.0]), smoothing=1.0)
    assert float(found) == pytest.approx(2 * (entropy + dice))


def test_void_pixels_count_in_neither_loss():
    logits = torch.randn(1, 2, 2, 2, generator=torch.Generator().manual_seed(0))
    classes = torch.tensor([[[0, 1], [VOID, 1]]], dtype=torch.uint8)
    changed = logits.clone()
    changed[0, :, 1, 0] = torch.tensor([9.0, -9.0])
    one = torch.ones(1)
    found, other = (adaptation_loss(given, classes, one, smoothing=1.0) for given in (logits, changed))
    assert float(found) == pytest.approx(float(other))
    entropy = torch.nn.functional.cross_entropy(logits, classes.long(), ignore_index=VOID)
    shares = logits.softmax(1)[0, 1]
    sizes = shares[0, 0] + shares[0, 1] + shares[1, 1] + 2
    dice = 1 - (2 * (shares[0, 1] + shares[1, 1]) + 1) / (sizes + 1)
    assert float(found) == pytest.approx(float(entropy + dice))


def test_the_loss_is_the_mean_of_images_by_their_weights():
    logits = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    classes = torch.randint(3, (2, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    alone = [float(adaptation_loss(logits[i, None], classes[i, None], torch.ones(1), smoothing=1.0)) for i in (0, 1)]
    both = adaptation_loss(logits, classes, torch.tensor([2.0, 0.3]), smoothing=1.0)
    assert float(both) == pytest.approx((2 * alone[0] + 0.3 * alone[1]) / 2)


def test_an_image_that_is_void_throughout_teaches_nothing():
    logits = torch.zeros(1, 2, 2, 2, requires_grad=True)
    adaptation_loss(logits, torch.full((1, 2, 2), VOID, dtype=torch.uint8), torch.ones(1), smoothing=1.0).backward()
    assert float(logits.grad.abs().sum()) == 0


def test_early_frames_weigh_more():
    config = AdaptedConfig()
    assert [weight_of(frame, 10, config) for frame in (0, 1, 5, 9)] == pytest.approx([2, 0.93, 0.65, 0.37])
    assert weight_of(9, 10, AdaptedConfig(weight_slope=0.9)) == 0.3


def test_weights_count_from_the_first_prompted_frame():
    lessons = Lessons(32, 512)
    lessons.add(0, torch.zeros_like(SQUARE), None)
    lessons.add(1, torch.zeros_like(SQUARE), torch.zeros_like(SQUARE))  # a prompt in which there is nothing
    for frame in (2, 3):
        lessons.add(frame, SQUARE, SQUARE if frame == 2 else None)
    assert lessons.first == 2
    assert lessons.weights(4, SMALL).tolist() == pytest.approx([2, 0.65])


def test_the_rate_halves_every_fifty_iterations_and_then_stays():
    config = AdaptedConfig()
    rates = [learning_rate(iteration, config) for iteration in (0, 49, 50, 199, 1000)]
    assert rates == pytest.approx([2e-4, 2e-4, 1e-4, 2.5e-5, 2.5e-5])


def test_classes_are_ids_in_the_order_in_which_they_enter():
    mask = torch.tensor([[0, 200, VOID], [7, 2, 9]], dtype=torch.uint8)
    assert class_map(mask, (200, 2, 7)).tolist() == [[0, 1, VOID], [3, 2, 0]]
    lessons = Lessons(32, 512)
    lessons.add(0, SQUARE * 7, SQUARE * 7)
    lessons.add(3, SQUARE * 7, mask_of((2, slice(0, 4), slice(0, 4))))
    assert [lessons.ids_at(frame) for frame in (0, 2, 3)] == [(7,), (7,), (7, 2)]


def test_given_masks_take_the_place_of_propagated_ones():
    lessons = lessons_of(SQUARE)
    corner = mask_of((2, slice(0, 12), slice(0, 12)), (VOID, slice(30, 32), slice(0, 32)))
    wrong = mask_of((1, slice(8, 24), slice(8, 24)), (2, slice(28, 30), slice(28, 30)))
    lessons.add(1, wrong, corner)
    expected = mask_of(
        (1, slice(8, 24), slice(8, 24)), (2, slice(0, 12), slice(0, 12)), (VOID, slice(30, 32), slice(0, 32))
    )
    assert torch.equal(lessons.maps[1], expected)


def test_lessons_of_a_long_video_are_bounded_and_keep_the_prompted():
    lessons = Lessons(32, 8)
    for frame in range(101):
        lessons.add(frame, SQUARE, SQUARE if frame in (3, 50) else None)
        assert len(lessons.maps) <= 8
    assert {3, 50} < set(lessons.maps)
    assert set(lessons.maps) - {3, 50} == set(range(16, 101, 16))


def test_learning_leaves_modes_and_random_numbers_as_they_were():
    lessons, video = lessons_of(SQUARE), video_of(SQUARE)
    model = model_for(lessons)
    before = torch.random.get_rng_state()
    with torch.inference_mode():
        model.learn(video, lessons, 1, frames=1)
        assert torch.is_inference_mode_enabled()
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.is_grad_enabled()
    assert model.iteration == 1
    assert not model.network.training


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_on_a_cpu_low_precision_learns_in_full(precision):
    weights = []
    for asked in ("fp32", precision):
        lessons, video = lessons_of(SQUARE), video_of(SQUARE)
        model = model_for(lessons, precision=asked)
        model.learn(video, lessons, 1, frames=1)
        weights.append(model.network.head.weight.detach())
    assert torch.equal(*weights)


def test_an_object_cannot_win_before_it_is_named():
    lessons = Lessons(32, 512)
    lessons.add(0, SQUARE * 5, SQUARE * 5)
    lessons.add(1, SQUARE * 5, SQUARE * 9)
    model = model_for(lessons)
    with torch.no_grad():
        model.network.head.bias[2] = 100
    frame = picture(SQUARE)
    assert model.segment(frame, lessons.ids_at(1)).unique().tolist() == [9]
    assert 9 not in model.segment(frame, lessons.ids_at(0))


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_gpu_learns_in_every_precision(precision):
    mask, size = mask_of((1, slice(20, 70), slice(30, 80)), height=96, width=96), 96
    frame = picture(mask).cuda()
    video = Video(name="v", length=1, height=size, width=size, read=lambda t: frame)
    lessons = Lessons(size, 512)
    lessons.add(0, mask.cuda(), mask.cuda())
    fields = {"task": "one-shot", "config": AdaptedConfig(unet_size=size), "device": "cuda", "precision": precision}
    model = new_model(lessons, BuildContext(**fields, weights=None, seed=0))
    model.learn(video, lessons, 200, frames=1)
    found = model.segment(video[0], (1,))
    assert found.is_cuda
    assert overlap(found.cpu() == 1, mask == 1) > 0.95


@pytest.mark.slow
@pytest.mark.parametrize("objects", [1, 3])
def test_one_image_and_its_mask_are_learnt_within_200_iterations(objects):
    boxes = [
        (1, slice(6, 34), slice(6, 30)),
        (2, slice(20, 58), slice(36, 60)),
        (3, slice(40, 60), slice(4, 30)),
    ]
    mask = mask_of(*boxes[:objects], height=64, width=64)
    lessons, video = lessons_of(mask, size=64), video_of(mask)
    model = model_for(lessons, AdaptedConfig(unet_size=64, unet_batch=2))
    worst = 0.0
    while worst <= 0.95 and model.iteration < 200:
        model.learn(video, lessons, 20, frames=1)
        found = model.segment(video[0], tuple(range(1, objects + 1)))
        worst = min(overlap(found == value, mask == value) for value in range(1, objects + 1))
    assert worst > 0.95


def overlap(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a & b).sum() / (a | b).sum())
