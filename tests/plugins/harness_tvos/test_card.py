"""The card is cheap to read, says where weights come from, and builds what it promises."""

import subprocess
import sys

import pytest
import torch

from harness import BuildContext, OneShotVOS, Prompts, Video
from harness_tvos import harness_methods
from harness_tvos.network import build_network

(CARD,) = harness_methods()


def context(**changes) -> BuildContext:
    fields = {"task": "one-shot", "config": CARD.presets["official"], "device": "cpu", "precision": "fp32"}
    return BuildContext(**{**fields, "weights": None, "seed": 0, **changes})


def test_reading_the_card_imports_no_torch():
    code = "import sys, harness_tvos; harness_tvos.harness_methods(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_default_weights_are_shipped_and_their_checksum_holds(tmp_path):
    import hashlib

    shipped = CARD.weights_named(CARD.default_weights)
    assert shipped.path.stat().st_size < 14 * 2**20
    assert hashlib.sha256(shipped.path.read_bytes()).hexdigest() == shipped.sha256


def test_published_weights_say_where_they_are():
    published = [entry for entry in CARD.weights if entry.path is None]
    assert len(published) == 3
    assert all(entry.url.startswith("https://") and entry.licence for entry in published)


def test_builds_the_default_weights():
    method = CARD.build(context(weights=CARD.weights_named(CARD.default_weights).path))
    assert isinstance(method, OneShotVOS)


def test_weights_decide_the_architecture(tmp_path):
    torch.save(build_network("r101").state_dict(), tmp_path / "weights.pth")
    method = CARD.build(context(weights=tmp_path / "weights.pth"))
    assert method.network.network.architecture == "r101"


def test_without_weights_the_network_is_untrained_and_follows_the_seed():
    first, again, other = (CARD.build(context(seed=seed)) for seed in (0, 0, 1))
    image = torch.randint(256, (16, 24, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert first.network.network.architecture == "r50"
    assert torch.equal(first.embed(image), again.embed(image))
    assert not torch.equal(first.embed(image), other.embed(image))


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_features_are_a_row_a_pixel_in_the_asked_precision(precision):
    method = CARD.build(context(precision=precision))
    features = method.embed(torch.zeros(17, 24, 3, dtype=torch.uint8))
    assert features.shape == (3 * 3, 256)
    assert features.dtype == {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_halves_give_nearly_the_masks_of_single_precision(precision):
    frames = torch.randint(256, (4, 32, 48, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    prompt = torch.zeros(32, 48, dtype=torch.uint8)
    prompt[8:24, 8:32] = 1
    masks = {}
    for asked in ("fp32", precision):
        weights = CARD.weights_named(CARD.default_weights).path
        method = CARD.build(context(precision=asked, weights=weights))
        video = Video(name="v", length=4, height=32, width=48, read=frames.__getitem__)
        masks[asked] = torch.stack(list(method.propagate(video, Prompts({0: prompt}))))
    assert masks[precision].dtype == torch.uint8
    assert (masks[precision] == masks["fp32"]).float().mean() > 0.95


def test_kernels_are_listed():
    assert [kernel.name for kernel in CARD.kernels()] == ["embed", "propagate", "upsample"]
