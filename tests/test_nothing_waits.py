"""Without a GPU: whole frames of every method on a pretended one, where nothing may wait for the device.

Methods are found through the catalog, so one that comes later is tried too. Needs Triton (extra gpu-dev): what is
looked at is the way a frame takes on CUDA.
"""

import importlib.util
import os
from pathlib import Path

import pytest
import torch

from harness.api.contracts import BuildContext
from harness.api.tasks import TASKS
from harness.api.video import Prompts, Video
from harness.catalog import Catalog
from harness.conformance.probes import TWENTY_FRAMES
from harness.planning.plan import resolve
from harness.planning.request import Request

pytest.importorskip("triton", reason="Triton is not installed (extra gpu-dev)")
if os.environ.get("TRITON_INTERPRET"):
    pytest.skip("kernels are interpreted here", allow_module_level=True)

if torch.cuda.is_available():
    pytest.skip("there is a GPU: harness check looks at the frames themselves", allow_module_level=True)

STEADY = 2
"""The first mask in which nothing may wait, as in ``harness check``."""
CATALOG = Catalog.load()
MASKS = ("one-shot", "object-zvos", "instance-zvos")
DECIDES_ON_THE_HOST = {"dtnet", "dnet", "mug-instances"}
"""Which proposals exist, and which track takes one, is read from the device in each frame: their README says so."""
COMPUTES_ON_THE_HOST = {"boundary-saliency", "flow-threshold", "flow-threshold-online", "moving-components"}
"""OpenCV and scikit-image, which know no device, find the flow and what stands out: their README says so."""
CARDS = {card.name: card for card in CATALOG.methods if not card.replays and set(card.tasks) & set(MASKS)}


def pretence_module():
    spec = importlib.util.spec_from_file_location("pretended_cuda", Path(__file__).parent / "pretended_cuda.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


pretended = pretence_module()


def play(build, task, monkeypatch):
    """What waited, mask by mask."""
    sample = TWENTY_FRAMES.sample()
    with pretended.pretend_cuda(monkeypatch) as pretence:
        built = build()
        frames = [pretended.OnDevice(torch.from_numpy(sample.read_frame(t))) for t in range(sample.length)]
        video = Video(name="v", length=20, height=sample.height, width=sample.width, read=frames.__getitem__)
        prompts = Prompts({0: pretended.OnDevice(torch.from_numpy(sample.read_prompt(0)))})
        entry = getattr(built, TASKS[task].entry)
        masks = iter(entry(video, prompts) if TASKS[task].prompted else entry(video))
        found = []
        for _ in range(sample.length):
            pretence.found.clear()
            try:
                mask = next(masks)
            except pretended.Learns:
                pytest.skip("it learns in its frames: gradients are beyond the pretence")
            assert mask.device.type == "cuda"
            assert mask.shape == video.size
            found.append(list(pretence.found))
        return found


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", sorted(set(CARDS) - DECIDES_ON_THE_HOST - COMPUTES_ON_THE_HOST))
def test_no_steady_frame_of_a_method_waits_for_the_device(name, precision, monkeypatch):
    card = CARDS[name]
    task = next(task for task in card.tasks if task in MASKS)
    preset = "smoke" if "smoke" in card.presets else ""
    plan = resolve(Request(plugin=name, bench="mini-small", task=task, precision=precision, preset=preset), CATALOG)
    context = BuildContext(task, plan.config, "cuda:0", precision, plan.weights_path, 0)
    waits = play(lambda: card.build(context), task, monkeypatch)
    assert {t: found for t, found in enumerate(waits) if found and t >= STEADY} == {}


class Careless:
    """Asks the device each frame, by the way named."""

    def __init__(self, ask):
        self.ask = ask

    def propagate(self, video, prompts):
        mask = prompts[0].clone()
        for t in range(len(video)):
            self.ask(video[t], mask)
            yield mask.clone()


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda frame, mask: frame.sum().item(), "item"),
        (lambda frame, mask: bool((mask > 0).any()), "bool"),
        (lambda frame, mask: frame.float().mean().cpu(), "copy to the host"),
        (lambda frame, mask: frame[mask > 0], "boolean indexing"),
        (lambda frame, mask: mask.unique(), "unique"),
        (lambda frame, mask: torch.tensor([1.0, 2.0], device=frame.device), "copy to the device"),
        (lambda frame, mask: torch.ones(3).to(frame.device, non_blocking=True), "copy to the device"),
    ],
    ids=["item", "bool", "cpu", "boolean-indexing", "unique", "tensor-of-a-list", "not-pinned"],
)
def test_what_waits_is_noticed_in_every_frame(ask, said, monkeypatch):
    waits = play(lambda: Careless(ask), "one-shot", monkeypatch)
    assert all(any(said in each for each in found) for found in waits)


def test_what_does_not_wait_is_not_noticed(monkeypatch):
    def ask(frame, mask):
        table = torch.tensor([1.0, 2.0]).pin_memory().to(frame.device, non_blocking=True)
        mask[0, 0] = 0
        return torch.where(mask > 0, frame.float().mean(-1), table[0])

    assert play(lambda: Careless(ask), "one-shot", monkeypatch) == [[]] * 20
