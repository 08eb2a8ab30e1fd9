"""The whole rule of a frame, written anew in float64 as MAST's released code has it, gives the same masks."""

import dataclasses

import pytest
import torch
from torch.nn import functional

from harness import Prompts, Video
from harness.machine import work_on
from harness_selfsup.config import CORRECT, MAST, Config
from harness_selfsup.frames.lab import lab_by_table, to_lab
from harness_selfsup.method import SelfSup
from harness_selfsup.network import Encoder, build_encoder, for_inference

LENGTH, HEIGHT, WIDTH, RADIUS = 24, 30, 42, 2


def window(planes: torch.Tensor, dilation: int = 1) -> torch.Tensor:
    """(C, n, h, w): the zero-padded window around each cell."""
    side = 2 * RADIUS + 1
    found = functional.unfold(planes[None], side, dilation=dilation, padding=RADIUS * dilation)
    return found.view(len(planes), side**2, *planes.shape[1:])


def window_at(planes: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
    """(C, n, h, w): the window around cell + offset, bilinear, zeros outside; ``offset`` is (2, h, w) as x, y."""
    height, width = planes.shape[1:]
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    sampled = []
    for dy in range(-RADIUS, RADIUS + 1):
        for dx in range(-RADIUS, RADIUS + 1):
            x, y = columns + offset[0] + dx, rows + offset[1] + dy
            grid = torch.stack([2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1], -1)
            sampled.append(functional.grid_sample(planes[None], grid[None], align_corners=True)[0])
    return torch.stack(sampled, 1)


def coarse(query: torch.Tensor, key: torch.Tensor, dilation: int) -> torch.Tensor:
    weights = (query[:, None] * window(key, dilation)).sum(0).softmax(0)  # (n, h, w)
    reach = torch.arange(-RADIUS, RADIUS + 1).double()
    dy, dx = torch.meshgrid(reach, reach, indexing="ij")
    return torch.stack([(weights * step.flatten()[:, None, None]).sum(0) for step in (dx, dy)]) * dilation


def rule(features: list[torch.Tensor], first: torch.Tensor, config: Config) -> tuple[torch.Tensor, torch.Tensor]:
    """Every mask, of the features (C, h, w) of all frames, and by how much its class is ahead of the next one."""
    masks, leads = [first], [torch.ones(first.shape).double()]
    for t in range(1, len(features)):
        i = t - 1
        references = sorted({f for f in (0, 5) if f <= i} | {f for f in (i, i - 2, i - 4) if f > 0})
        labels = [functional.one_hot(masks[f][::4, ::4].long(), 7).permute(2, 0, 1).double() for f in references]
        offsets = [
            coarse(features[t], features[f], min(4, (t - f) // 15 + 1)) if t - f > 15 else None for f in references
        ]
        logits, sampled = [], []
        last = [offset for offset in offsets if offset is not None][-1:]
        for f, label, offset in zip(references, labels, offsets, strict=True):
            if offset is None:
                logits.append((features[t][:, None] * window(features[f])).sum(0))
                sampled.append(window(label))
            else:
                logits.append((features[t][:, None] * window_at(features[f], offset)).sum(0))
                sampled.append(window_at(label, offset if config.own_offsets else last[0]))
        scores = (torch.cat(logits).softmax(0) * torch.cat(sampled, 1)).sum(1)
        best, second = upsample(scores, config).topk(2, dim=0).values
        masks.append(upsample(scores, config).argmax(0).byte())
        leads.append(best - second)
    return torch.stack(masks), torch.stack(leads)


def upsample(scores: torch.Tensor, config: Config) -> torch.Tensor:
    if not config.aligned:
        return functional.interpolate(scores[None], size=(HEIGHT, WIDTH), mode="bilinear")[0]
    for axis, size in ((1, HEIGHT), (2, WIDTH)):
        place = torch.arange(size).double() / 4
        low = place.floor().long()
        high = (low + 1).clamp(max=scores.shape[axis] - 1)
        share = (place - low).view(-1, 1) if axis == 1 else place - low
        scores = scores.index_select(axis, low) * (1 - share) + scores.index_select(axis, high) * share
    return scores


def scene() -> tuple[list[torch.Tensor], torch.Tensor]:
    """A smooth background and two discs that drift; the camera moves too."""
    generator = torch.Generator().manual_seed(0)
    canvas = torch.rand(1, 3, 12, 20, generator=generator)
    canvas = functional.interpolate(canvas, size=(HEIGHT + 24, WIDTH + 24), mode="bicubic")[0].clamp(0, 1)
    rows, columns = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    frames, masks = [], []
    for t in range(LENGTH):
        frame = canvas[:, t // 4 : t // 4 + HEIGHT, t // 2 : t // 2 + WIDTH].clone()
        mask = torch.zeros(HEIGHT, WIDTH, dtype=torch.uint8)
        for value, (y, x) in enumerate(((10 + 0.2 * t, 10 + 0.4 * t), (20 - 0.2 * t, 31 - 0.3 * t)), start=1):
            mask[(rows - y) ** 2 + (columns - x) ** 2 < 49] = value
        frame[:, mask == 1] = torch.tensor([[0.9], [0.3], [0.1]]) + 0.2 * frame[:, mask == 1]
        frame[:, mask == 2] = torch.tensor([[0.1], [0.3], [0.8]]) + 0.2 * frame[:, mask == 2]
        frames.append((frame.clamp(0, 1) * 255).byte().permute(1, 2, 0).contiguous())
        masks.append(mask)
    return frames, masks[0]


def sharp_encoder(frame: torch.Tensor) -> Encoder:
    """An untrained encoder whose features are centred, and so long that matches matter."""
    encoder = build_encoder(1).eval().requires_grad_(False)
    head = encoder.post_convolution
    features = encoder(to_lab(frame[None]))
    gain = (40 / (features - features.mean((2, 3), keepdim=True)).square().sum(1).mean()).sqrt()
    head.weight *= gain
    head.bias.copy_((head.bias - features.mean((0, 2, 3))) * gain)
    return encoder.double()


@pytest.mark.slow
def test_masks_are_those_of_the_rule_written_anew():
    frames, first = scene()
    encoder = sharp_encoder(frames[0])
    folded = for_inference(encoder).double()
    folded.dtype = torch.float64
    video = Video(name="v", length=LENGTH, height=HEIGHT, width=WIDTH, read=frames.__getitem__)
    features = [encoder(to_lab(frame[None]).double())[0] for frame in frames]
    every = []
    for preset in (CORRECT, MAST, dataclasses.replace(CORRECT, own_offsets=False)):
        config = dataclasses.replace(preset, radius=RADIUS)
        found = torch.stack(list(SelfSup(folded, None, config).propagate(video, Prompts({0: first}))))
        expected, leads = rule(features, first, config)
        is_sure = leads > 1e-9  # half-way between cells with sure labels, two classes are often equal
        assert torch.equal(found[is_sure], expected[is_sure])
        assert is_sure.double().mean() > 0.98
        every.append(expected)
    assert set(every[0][-1].unique().tolist()) == {0, 1, 2}  # there was something to get wrong
    assert not torch.equal(every[0], every[1])
    assert not torch.equal(every[0], every[2])


def test_half_precision_gives_nearly_the_same_masks():
    frames, first = scene()
    encoder = sharp_encoder(frames[0]).float()
    video = Video(name="v", length=6, height=HEIGHT, width=WIDTH, read=frames.__getitem__)
    config = dataclasses.replace(CORRECT, radius=RADIUS, long_term=2)  # with a coarse search from frame 3 on
    exact, half = (
        torch.stack(
            list(SelfSup(for_inference(encoder, "cpu", kind), None, config).propagate(video, Prompts({0: first})))
        )
        for kind in ("fp32", "bf16")
    )
    assert (exact == half).float().mean() > 0.98


def masks_on(device: str, precision: str) -> torch.Tensor:
    """Of the scene, as a run has them: fp32 is not rounded to TF32."""
    frames, first = scene()
    there = [frame.to(device) for frame in frames]
    video = Video(name="v", length=LENGTH, height=HEIGHT, width=WIDTH, read=there.__getitem__)
    encoder = for_inference(sharp_encoder(frames[0]).float(), device, precision)
    model = SelfSup(encoder, None, dataclasses.replace(CORRECT, radius=RADIUS))
    with work_on(device):
        found = torch.stack(list(model.propagate(video, Prompts({0: first.to(device)}))))
    assert found.device.type == device
    return found.cpu()


def decide() -> tuple[torch.Tensor, torch.Tensor]:
    """The masks of the rule in double, and where their lead is beyond what single precision may change."""
    frames, first = scene()
    encoder = sharp_encoder(frames[0])
    features = [encoder(to_lab(frame[None]).double())[0] for frame in frames]
    masks, leads = rule(features, first, dataclasses.replace(CORRECT, radius=RADIUS))
    return masks, leads > 1e-3


@pytest.mark.parametrize("table", [pytest.param(False, marks=pytest.mark.slow), True])
def test_in_single_precision_masks_are_those_of_the_rule_but_for_ties(table, monkeypatch):
    if table:  # Lab as a GPU has it
        monkeypatch.setattr("harness_selfsup.frames.lab._by_opencv", lab_by_table)
    masks, is_sure = decide()
    assert is_sure.double().mean() > 0.95
    assert torch.equal(masks_on("cpu", "fp32")[is_sure], masks[is_sure])


@pytest.mark.gpu
def test_masks_of_a_gpu_are_those_of_the_rule_but_for_ties():
    masks, is_sure = decide()
    assert torch.equal(masks_on("cuda", "fp32")[is_sure], masks[is_sure])


@pytest.mark.gpu
def test_masks_of_a_gpu_in_half_precision_are_nearly_those_of_the_cpu():
    assert (masks_on("cpu", "fp32") == masks_on("cuda", "fp16")).float().mean() > 0.97


@pytest.mark.gpu
def test_lab_of_a_gpu_is_that_of_the_cpu():
    frames = torch.stack(scene()[0][:2])
    assert (to_lab(frames.cuda()).cpu() - to_lab(frames)).abs().max() < 1e-3
