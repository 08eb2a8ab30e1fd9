"""Options of GPUs: refused elsewhere, a frame as a graph gives the masks of a frame as it is."""

import contextlib
import dataclasses
import subprocess
import sys
import types

import pytest
import torch

from harness import BuildContext, Prompts, Stopwatch, Video, stage
from harness.api.errors import UsageError
from harness_tvos import harness_methods
from harness_tvos.config import OFFICIAL, PRESETS, Config
from harness_tvos.frames.references import Schedule
from harness_tvos.memory import Memory
from harness_tvos.method import TVOS
from harness_tvos.network import build_network, for_inference
from harness_tvos.speed import acceleration
from harness_tvos.speed.acceleration import FrameGraph, refuse_what_needs_cuda

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


def frames_and_prompt(count: int, size: tuple[int, int] = (24, 32)) -> tuple[list[torch.Tensor], torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    frames = [torch.randint(256, (*size, 3), dtype=torch.uint8, generator=generator) for _ in range(count)]
    prompt = torch.zeros(size, dtype=torch.uint8)
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


def graphs_made(monkeypatch) -> list[tuple[tuple[int, ...], int]]:
    """Of each graph made from now on, size of its frames and number of classes."""
    made = []
    keep = FrameGraph.__init__

    def note(self, frame, memory, image, row, unpack):
        made.append((tuple(image.shape[:2]), len(memory.ids)))
        keep(self, frame, memory, image, row, unpack)

    monkeypatch.setattr(FrameGraph, "__init__", note)
    return made


@pytest.mark.slow
def test_one_graph_serves_all_frames_and_videos_of_a_size_and_class_count(monkeypatch):
    made = graphs_made(monkeypatch)
    network = for_inference(build_network("r18", seed=2))
    model = TVOS(network, Config(cuda_graph=True), "cpu")
    frames, prompt = frames_and_prompt(50)  # beyond the ring of 44
    two = prompt.clone()
    two[:4] = 5
    wide, wide_prompt = frames_and_prompt(3, (24, 40))
    plain = TVOS(network, OFFICIAL, "cpu")
    rings = set()
    for given, prompts in (
        (frames, {0: prompt}),
        (frames[5::-1], {0: two}),
        (wide, {0: wide_prompt}),
        (frames[:6], {2: two}),
    ):
        expected, found = masks_of(plain, given, prompts), masks_of(model, given, prompts)
        assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))
        rings.add(list(model.graphs.graphs.values())[-1].memory.features.data_ptr())
    assert made == [((24, 32), 2), ((24, 32), 3), ((24, 40), 2)]
    assert len(rings) == 2  # one a size


def test_a_video_that_goes_on_after_another_has_begun_is_refused_and_the_other_keeps_its_masks():
    """Both would write into the same tensors."""
    network = for_inference(build_network("r18", seed=2))
    model = TVOS(network, Config(cuda_graph=True), "cpu")
    frames, prompt = frames_and_prompt(6)
    expected = masks_of(model, frames, {0: prompt})
    video = Video(name="v", length=6, height=24, width=32, read=frames.__getitem__)
    first, second = (model.propagate(video, Prompts({0: prompt})) for _ in range(2))
    for _ in range(2):
        next(first)
    found = [next(second), next(second)]
    with pytest.raises(RuntimeError, match="expected one video at a time"):
        next(first)
    found += list(second)
    assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))


def test_a_rehearsal_leaves_no_graph_behind():
    model = TVOS(for_inference(build_network("r18")), Config(cuda_graph=True), "cpu")
    model.rehearse()
    assert not model.graphs.graphs


def test_the_graphs_used_last_are_kept(monkeypatch):
    monkeypatch.setattr(acceleration, "KEPT", 2)
    model = TVOS(for_inference(build_network("r18")), Config(cuda_graph=True), "cpu")
    for width in (24, 32, 24, 40):
        frames, prompt = frames_and_prompt(2, (24, width))
        masks_of(model, frames, {0: prompt})
    assert [kind[0][1] for kind in model.graphs.graphs] == [24, 40]


class PretendedCuda:
    """What a capture asks of torch.cuda, on a machine without a GPU; ``fails``: the capture's end raises."""

    def __init__(self, monkeypatch, *, fails: bool) -> None:
        self.asked: list[dict] = []
        self.fails = fails
        self.stream = self.main = types.SimpleNamespace(wait_stream=lambda other: None)
        side = types.SimpleNamespace(wait_stream=lambda other: None)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda *_: self.stream)
        monkeypatch.setattr(torch.cuda, "set_stream", lambda stream: setattr(self, "stream", stream))
        monkeypatch.setattr(torch.cuda, "Stream", lambda *_: side)
        monkeypatch.setattr(torch.cuda, "stream", self._on)
        monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: types.SimpleNamespace(replay=lambda: None))
        monkeypatch.setattr(torch.cuda, "graph", self._capture)

    @contextlib.contextmanager
    def _on(self, stream):
        self.stream = stream
        yield
        self.stream = self.main

    @contextlib.contextmanager
    def _capture(self, graph, **keywords):
        self.asked.append(keywords)
        self.stream = keywords["stream"]
        yield
        if self.fails:
            raise RuntimeError("operation not permitted when stream is capturing")  # as torch: its stream stays
        self.stream = self.main


def begin_graph() -> tuple[TVOS, Memory, torch.Tensor, Schedule, FrameGraph]:
    frames, prompt = frames_and_prompt(3)
    model = TVOS(for_inference(build_network("r18", seed=2)), Config(cuda_graph=True), "cpu")
    memory = model.begin(frames[0], prompt, 3)
    schedule = model.schedule(memory, 3)
    graph = FrameGraph(model.frame, memory, frames[1], schedule.row(1), schedule.unpack)
    return model, memory, frames[1], schedule, graph


def test_a_capture_minds_its_own_thread_alone_and_holds_no_marks(monkeypatch):
    cuda = PretendedCuda(monkeypatch, fails=False)
    *_, graph = begin_graph()
    watch = Stopwatch("cpu")
    with watch.lap():
        mask = graph._run_and_capture()
    assert [keywords["capture_error_mode"] for keywords in cuda.asked] == ["thread_local"]
    assert watch.read().stages["backbone"][0] == 1  # the frame that ran, not the one that was captured
    assert torch.equal(mask, graph.mask)
    assert graph.graph is not None


def test_a_capture_that_fails_leaves_frames_as_they_are_on_the_stream_they_were(monkeypatch):
    cuda = PretendedCuda(monkeypatch, fails=True)
    _, memory, image, schedule, graph = begin_graph()
    with pytest.warns(UserWarning, match="without a CUDA graph, its capture failed: operation not permitted"):
        mask = graph._run_and_capture()
    assert cuda.stream is cuda.main
    assert graph.graph is None
    assert torch.equal(graph.run(memory, image, schedule.row(1)), mask)


def test_nothing_is_untimed_after_an_untimed_part():
    from harness import untimed

    watch = Stopwatch("cpu")
    with watch.lap():
        with pytest.raises(KeyError), untimed(), stage("inside"):
            raise KeyError
        with stage("after"):
            pass
    assert set(watch.read().stages) == {"after"}


@pytest.mark.parametrize("preset", ["official", "paper", "youtube-vos", "table2-1", "table2-uniform"])
def test_a_schedule_on_the_device_says_what_its_numbers_say(preset):
    config = PRESETS[preset]
    schedule = Schedule(config, 100, 44, torch.device("cpu"), on_device=True)
    most = config.sparse + config.dense
    for target in range(1, 100):
        slots, widths, own = schedule.of(target)
        expected, expected_widths, expected_own = schedule.numbers(target)
        assert slots.tolist() == expected + [-1] * (most - len(expected))
        assert widths.tolist()[: len(expected)] == list(expected_widths)
        assert own.tolist() == [expected_own]
        assert slots.data_ptr() % 16 == widths.data_ptr() % 16 == 0  # or a kernel is compiled for each alignment


def test_memory_is_filled_at_a_slot_known_on_the_device_alone():
    frames, prompt = frames_and_prompt(3)
    model = TVOS(for_inference(build_network("r18")), OFFICIAL, "cpu")
    memories: list[Memory] = [model.begin(frames[0], prompt, 3) for _ in range(2)]
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
