"""TVOS where there is a CUDA device: graphs give the masks of frames as they are, and no frame waits for the device."""

import contextlib
import dataclasses
import warnings
from collections.abc import Iterator

import pytest
import torch

from harness import BuildContext, Prompts, Stopwatch, Video
from harness.machine import work_on
from harness_tvos import harness_methods
from harness_tvos.config import OFFICIAL, PRESETS, Config
from harness_tvos.method import TVOS
from harness_tvos.network import build_network, for_inference, load_checkpoint, network_for

pytestmark = pytest.mark.gpu

(CARD,) = harness_methods()


def scene(frames: int, size: tuple[int, int], *, seed: int = 0, device: str = "cuda") -> tuple[list, torch.Tensor]:
    """A texture that drifts to the left, and a first mask of objects 3 and 5."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randint(256, (1, 3, size[0] // 8, size[1] // 8 + 20), generator=generator).float()
    texture = torch.nn.functional.interpolate(coarse, scale_factor=8, mode="bilinear")[0].permute(1, 2, 0).byte()
    images = [texture[: size[0], t // 2 : t // 2 + size[1]].contiguous().to(device) for t in range(frames)]
    prompt = torch.zeros(size, dtype=torch.uint8)
    prompt[8:40, 8:40], prompt[32:60, 48:88] = 3, 5
    return images, prompt.to(device)


def masks_of(model: TVOS, frames: list[torch.Tensor], prompts: dict[int, torch.Tensor]) -> list[torch.Tensor]:
    height, width, _ = frames[0].shape
    video = Video(name="v", length=len(frames), height=height, width=width, read=frames.__getitem__)
    return list(model.propagate(video, Prompts(prompts)))


def model_of(config: Config, precision: str = "fp32", device: str = "cuda") -> TVOS:
    """With the shipped weights, which follow the texture."""
    network = network_for(load_checkpoint(CARD.weights[0].path))
    return TVOS(for_inference(network, device, precision), config, device)


def share_of_equal(found: list[torch.Tensor], expected: list[torch.Tensor]) -> float:
    return float(torch.stack([(a == b).float().mean() for a, b in zip(found, expected, strict=True)]).mean())


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_graphs_over_videos_of_two_sizes_and_class_counts_give_the_masks_of_frames_as_they_are(precision):
    plain, graphs = (model_of(dataclasses.replace(OFFICIAL, cuda_graph=graph), precision) for graph in (False, True))
    frames, prompt = scene(60, (96, 160))
    wide, wide_prompt = scene(12, (96, 200), seed=1)
    fewer = prompt.masked_fill(prompt == 5, 0)
    for given, prompts in (
        (frames, {0: prompt}),
        (wide, {0: wide_prompt}),
        (frames, {0: fewer, 20: prompt}),  # a class enters
        (frames[::-1], {3: prompt}),
    ):
        expected, found = masks_of(plain, given, prompts), masks_of(graphs, given, prompts)
        assert share_of_equal(found, expected) == 1.0
        assert 3 in found[min(24, len(found) - 1)]
        assert set(torch.stack(found).unique().tolist()) == {0, 3, 5}
    assert len(graphs.graphs.graphs) == 3
    assert all(graph.graph is not None for graph in graphs.graphs.graphs.values())


@pytest.mark.parametrize("preset", ["paper", "youtube-vos", "table2-1"])
def test_graphs_of_other_presets(preset):
    frames, prompt = scene(50, (96, 160))
    config = dataclasses.replace(PRESETS[preset], short_side=None)
    plain, graphs = (model_of(dataclasses.replace(config, cuda_graph=graph), "bf16") for graph in (False, True))
    assert share_of_equal(masks_of(graphs, frames, {0: prompt}), masks_of(plain, frames, {0: prompt})) == 1.0


def test_a_graph_holds_no_marks_of_a_stopwatch():
    frames, prompt = scene(14, (96, 160))
    model = model_of(Config(cuda_graph=True))
    video = Video(name="v", length=14, height=96, width=160, read=frames.__getitem__)
    watch = Stopwatch("cuda")
    masks = model.propagate(video, Prompts({0: prompt}))
    for _ in range(14):
        with watch.lap():
            next(masks)
    reading = watch.read()
    assert len(reading.laps) == 14
    assert reading.stages["backbone"][0] == 2  # the first two frames run as they are; what is replayed has no stages


@contextlib.contextmanager
def no_waiting() -> Iterator[None]:
    """RuntimeError where the host waits for the device."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "a prototype feature"
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_no_frame_waits_for_the_device(graph, precision):
    frames, prompt = scene(60, (96, 160))
    model = model_of(Config(cuda_graph=graph), precision)
    video = Video(name="v", length=60, height=96, width=160, read=frames.__getitem__)
    masks = model.propagate(video, Prompts({0: prompt}))
    first = [next(masks) for _ in range(3)]
    with no_waiting():
        rest = [next(masks) for _ in range(57)]  # past the ring's 44 frames
    with pytest.raises(RuntimeError), no_waiting():
        rest[-1].sum().item()
    assert len(first) + len(rest) == 60


def test_a_device_that_is_named_by_its_number():
    frames, prompt = scene(6, (96, 160), device="cuda:0")
    context = BuildContext(
        "one-shot",
        Config(untrained_architecture="r18", cuda_graph=True),
        device="cuda:0",
        precision="bf16",
        weights=None,
        seed=0,
    )
    with torch.inference_mode():
        masks = masks_of(CARD.build(context), frames, {0: prompt})
    assert {mask.device for mask in masks} == {torch.device("cuda:0")}


@pytest.mark.skipif("torch.cuda.device_count() < 2", reason="needs two CUDA devices")
def test_a_device_that_is_not_the_current_one():
    frames, prompt = scene(12, (96, 160), device="cuda:1")
    plain, graphs = (model_of(Config(cuda_graph=graph), "bf16", "cuda:1") for graph in (False, True))
    assert share_of_equal(masks_of(graphs, frames, {0: prompt}), masks_of(plain, frames, {0: prompt})) == 1.0


@pytest.mark.parametrize("architecture", ["r18", "r50"])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_convolutions_that_add_and_clip_themselves_give_the_same_features(precision, architecture):
    network = build_network(architecture, seed=1).train()
    with torch.no_grad():
        network(torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    plain, fused = (for_inference(network, "cuda", precision, fused=each, tf32=True) for each in (False, True))
    images = torch.randn(1, 3, 120, 214, generator=torch.Generator().manual_seed(1)).cuda()
    with work_on("cuda", tf32=True), torch.inference_mode():
        expected, found = plain(images).float(), fused(images).float()
    error = float((found - expected).abs().max() / expected.abs().max())
    assert error < {"fp32": 1e-2, "fp16": 1e-2, "bf16": 5e-2}[precision]
