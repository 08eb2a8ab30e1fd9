"""Options of GPUs: refused elsewhere, a frame as a graph gives the masks of a frame as it is, TF32 stays inside."""

import dataclasses
import functools
import subprocess
import sys

import pytest
import torch

from harness import BuildContext, Prompts, Stopwatch, Video
from harness.api.errors import UsageError
from harness_tvos import acceleration, harness_methods
from harness_tvos.acceleration import Replayed, products_in_tf32, refuse_what_needs_cuda
from harness_tvos.config import OFFICIAL, PRESETS, Config
from harness_tvos.memory import Memory
from harness_tvos.method import TVOS
from harness_tvos.network import build_network, for_inference
from harness_tvos.references import frames_kept, reference_frames, sigmas

(CARD,) = harness_methods()


def context(config: Config, device: str = "cpu") -> BuildContext:
    return BuildContext("one-shot", config, device=device, precision="fp32", weights=None, seed=0)


@pytest.mark.parametrize("asked", [("tf32",), ("cuda_graph",), ("tf32", "cuda_graph")])
def test_a_cpu_refuses_what_only_a_gpu_has(asked):
    config = Config(**dict.fromkeys(asked, True))
    with pytest.raises(UsageError, match=f"asked for {' and '.join(asked)} on device 'cpu'") as refusal:
        CARD.build(context(config))
    assert "--device cuda:0" in refusal.value.hint


def test_a_graph_needs_triton_and_tf32_does_not():
    with pytest.raises(UsageError, match="Triton is not installed"):
        refuse_what_needs_cuda(Config(cuda_graph=True), "cuda:0", has_triton=False)
    refuse_what_needs_cuda(Config(cuda_graph=True, tf32=True), "cuda:0", has_triton=True)
    refuse_what_needs_cuda(Config(tf32=True), "cuda:0", has_triton=False)


def test_tf32_holds_inside_and_is_put_back_even_after_an_error():
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    for allowed in (True, False):
        with products_in_tf32(allowed, torch.device("cuda")):
            assert (matmul.allow_tf32, cudnn.allow_tf32) == (allowed, allowed)
    with pytest.raises(KeyError), products_in_tf32(not before[1], torch.device("cuda")):
        raise KeyError
    assert (matmul.allow_tf32, cudnn.allow_tf32) == before


def frames_and_prompt(count: int) -> tuple[list[torch.Tensor], torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    frames = [torch.randint(256, (24, 32, 3), dtype=torch.uint8, generator=generator) for _ in range(count)]
    prompt = torch.zeros(24, 32, dtype=torch.uint8)
    prompt[4:20, 4:20] = 3
    return frames, prompt


def masks_of(model: TVOS, frames: list[torch.Tensor], prompts: dict[int, torch.Tensor]) -> list[torch.Tensor]:
    height, width, _ = frames[0].shape
    video = Video(name="v", length=len(frames), height=height, width=width, read=frames.__getitem__)
    return list(model.propagate(video, Prompts(prompts)))


@pytest.mark.parametrize("preset", ["official", "youtube-vos"])
def test_frames_on_fixed_buffers_give_the_same_masks(preset):
    config = dataclasses.replace(PRESETS[preset], short_side=None if preset == "official" else 16)
    network = for_inference(build_network("r18", seed=2))
    frames, prompt = frames_and_prompt(20)
    later = torch.zeros_like(prompt)
    later[:8, 24:] = 9  # another class: shapes change, and buffers are made anew
    prompts = {0: prompt, 13: later}
    plain = masks_of(TVOS(network, config, "cpu"), frames, prompts)
    graphs = masks_of(TVOS(network, dataclasses.replace(config, cuda_graph=True), "cpu"), frames, prompts)
    assert all(torch.equal(a, b) for a, b in zip(plain, graphs, strict=True))
    assert len({id(mask) for mask in graphs}) == 20


def test_a_frame_is_captured_once_two_in_a_row_have_the_same_shapes(monkeypatch):
    made = []
    keep = acceleration.FrameGraph.__init__

    def note(self, frame, image, references):
        made.append(references)
        keep(self, frame, image, references)

    monkeypatch.setattr(acceleration.FrameGraph, "__init__", note)
    frames, prompt = frames_and_prompt(14)
    masks_of(TVOS(for_inference(build_network("r18")), Config(cuda_graph=True), "cpu"), frames, {0: prompt})
    assert made == [9]  # frames 1 to 9 have 1 to 9 references, frame 10 has 9 again


def test_memory_is_filled_at_a_slot_known_on_the_device_alone():
    frames, prompt = frames_and_prompt(3)
    model = TVOS(for_inference(build_network("r18")), OFFICIAL, "cpu")
    memories: list[Memory] = [model.begun(frames[0], prompt, 3) for _ in range(2)]
    for memory, own in zip(memories, (1, torch.tensor([1])), strict=True):
        model.frame(memory, frames[1], torch.tensor([0]), torch.tensor([8.0]), own)
    assert torch.equal(memories[0].features[:2], memories[1].features[:2])
    assert torch.equal(memories[0].labels, memories[1].labels)


def test_the_network_is_compiled_where_the_config_says_so(monkeypatch):
    handed = []
    monkeypatch.setattr(torch, "compile", lambda network: (handed.append(network), network)[1])
    method = CARD.build(context(Config(compile=True, untrained_architecture="r18")))
    assert handed == [method.network.network]
    CARD.build(context(Config(untrained_architecture="r18")))
    assert len(handed) == 1


@pytest.mark.slow
def test_a_compiled_network_gives_the_same_features(tmp_path):
    # Apart, because the checks of arrays that pytest puts into harness.models cannot be traced; without the C++
    # compiler, which takes a minute.
    script = tmp_path / "compiled.py"
    script.write_text(
        "import functools, torch\n"
        "torch.compile = functools.partial(torch.compile, backend='aot_eager')\n"
        "from harness_tvos.network import build_network, for_inference\n"
        "network = build_network('r18', seed=1)\n"
        "images = torch.randn(1, 3, 48, 64, generator=torch.Generator().manual_seed(0))\n"
        "with torch.inference_mode():\n"
        "    plain, compiled = for_inference(network)(images), for_inference(network, compiled=True)(images)\n"
        "print(float((plain - compiled).abs().max() / plain.abs().max()))\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 1e-5


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_a_captured_frame_gives_the_masks_of_a_frame_as_it_is(precision):
    frames, prompt = frames_and_prompt(60)
    network = for_inference(build_network("r50", seed=2), "cuda", precision)
    frames, prompt = [frame.cuda() for frame in frames], prompt.cuda()
    plain = masks_of(TVOS(network, OFFICIAL, "cuda"), frames, {0: prompt})
    graphs = masks_of(TVOS(network, Config(cuda_graph=True), "cuda"), frames, {0: prompt})
    assert all(torch.equal(a, b) for a, b in zip(plain, graphs, strict=True))


@pytest.mark.gpu
def test_a_stopwatch_survives_a_capture():
    frames, prompt = frames_and_prompt(14)
    model = TVOS(for_inference(build_network("r18"), "cuda"), Config(cuda_graph=True), "cuda")
    memory = model.begun(frames[0].cuda(), prompt.cuda(), 14)
    follow = Replayed(functools.partial(model.frame, memory), memory)
    watch = Stopwatch("cuda")
    with torch.inference_mode():
        for target in range(1, 14):
            references = reference_frames(target, OFFICIAL)
            with watch.lap():
                follow(
                    frames[target].cuda(),
                    [reference % frames_kept(OFFICIAL) for reference in references],
                    sigmas(target, len(references), OFFICIAL),
                    target,
                )
    reading = watch.read()
    assert len(reading.laps) == 13
    assert reading.stages["backbone"][0] == 9  # what is replayed has no stages
