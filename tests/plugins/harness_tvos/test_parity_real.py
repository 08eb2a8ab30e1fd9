"""Real frames at 480p through a seeded ResNet-50: masks are those of the released form, in single precision.

Where features are thirty times sharper than trained ones, scores of both come to the end of what it holds. Every
cell is decided as float64 decides it, also where the released form does not.
"""

import itertools

import cv2
import pytest
import torch

from harness_tvos.config import OFFICIAL
from harness_tvos.frames.references import Schedule
from harness_tvos.kernels import propagate, upsample
from harness_tvos.method import TVOS
from harness_tvos.network import IMAGENET_MEAN, IMAGENET_STD, EmbeddingNetwork, build_network, for_inference

FRAMES = 4
GRID, SIZE = (60, 107), (480, 854)


def settle_network(image: torch.Tensor, sharpness: float) -> EmbeddingNetwork:
    """Batch norms have seen the image; products of features with themselves are ``sharpness`` on average."""
    network = build_network("r50", seed=0).train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (IMAGENET_MEAN, IMAGENET_STD))
    pixels = (image.permute(2, 0, 1)[None] / 255 - mean) / std
    with torch.no_grad():
        network(pixels)
        scale = (sharpness / network.eval()(pixels)[0].square().sum(0).mean()).sqrt()
        network.bn256.weight.mul_(scale)
        network.bn256.bias.mul_(scale)
    return network


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize(("sharpness", "most"), [(92.0, 1e-4), (3_000.0, 3e-3)])
def test_masks_of_real_frames_are_those_of_the_released_form(shared, sharpness, most):
    folder = shared / "data" / "DAVIS" / "JPEGImages" / "480p" / "motocross-jump"
    files = sorted(folder.glob("*.jpg"))[:FRAMES]
    if len(files) < FRAMES:
        pytest.skip(f"{folder} has not the frames of DAVIS 2016 at 480p")
    frames = [torch.from_numpy(cv2.imread(str(file))[..., ::-1].copy()) for file in files]
    truth = cv2.imread(str(files[0]).replace("JPEGImages", "Annotations").replace(".jpg", ".png"), cv2.IMREAD_GRAYSCALE)
    model = TVOS(for_inference(settle_network(frames[0], sharpness)), OFFICIAL, "cpu")
    other = found = 0
    with torch.inference_mode():
        memory = model.begin(frames[0], torch.from_numpy(truth).gt(0).byte(), FRAMES)
        schedule = Schedule(OFFICIAL, FRAMES, FRAMES, torch.device("cpu"), on_device=False)
        for target in range(1, FRAMES):
            slots, widths, own = schedule.numbers(target)
            features = model.embed(frames[target])
            given = features, memory.features, memory.labels, slots, widths
            fast, released = (form(*given, size=GRID).unflatten(1, GRID) for form in (propagate, propagate.reference))
            wide = (each.double() for each in given[:3])
            exact = propagate.reference(*wide, slots, widths, size=GRID).unflatten(1, GRID)
            assert torch.equal(fast.argmax(0), exact.argmax(0))
            masks = [upsample(scores, memory.ids, SIZE) for scores in (fast, released)]
            other += int((masks[0] != masks[1]).sum())
            found += int(masks[1].sum())
            memory.write(own, features, torch.stack([released.argmax(0) == k for k in range(len(released))]).float())
    assert found > 10_000
    assert other <= most * (FRAMES - 1) * SIZE[0] * SIZE[1]


def test_a_cell_whose_released_scores_are_all_zero_is_decided_by_its_match():
    # One row of 200 cells; cell 0 looks like cell 190 alone, e^-564 away: below every number of the released form.
    query = 30 * torch.eye(200)
    keys = query.clone()[None]
    keys[0, [0, 190]] = query[[190, 0]]
    labels = torch.zeros(1, 2, 200)
    labels[0, 0], labels[0, 0, 190], labels[0, 1, 190] = 1, 0, 1
    given = query, keys, labels, (0,), (8.0,)
    assert propagate.reference(*given, size=(1, 200))[:, 0].tolist() == [0, 0]
    assert propagate(*given, size=(1, 200))[:, 0].argmax() == 1
    exact = propagate.reference(query.double(), keys.double(), labels.double(), (0,), (8.0,), size=(1, 200))
    assert exact[:, 0].argmax() == 1
    assert all(a != b for a, b in itertools.pairwise(exact[:, 0].tolist()))
