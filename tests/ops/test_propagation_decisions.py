"""Propagation decides every cell as double precision does: full grid, flat to very sharp, matches near and far.

Scores may differ in the seventh digit; what is compared is the class of the largest, at cells where the two largest
are further apart than single precision can tell.
"""

import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn

from harness.machine import work_on
from harness.ops.propagation import propagate_streaming

SIZE = HEIGHT, WIDTH = 60, 107
CELLS = HEIGHT * WIDTH
CHANNELS, CLASSES, REFERENCES = 64, 3, 9
MIXED = (21.0,) * 5 + (8.0,) * 4
NEAR = (8.0,) * 9
# What a feature's product with itself is (TVOS: about 92), and how far to the right and down its match lies.
SCENES = {
    "flat": (0.01, MIXED, (0, 0)),
    "as they come": (90.0, MIXED, (0, 1)),
    "sharp": (3_000.0, MIXED, (2, 3)),
    "a sharp match 48 cells away": (3_000.0, NEAR, (0, 48)),
    "a very sharp match 60 cells away": (30_000.0, NEAR, (20, 57)),
    "a sharp match 74 cells away": (3_000.0, NEAR, (0, 74)),
    "a very sharp match across the frame": (30_000.0, NEAR, None),
}


def scene(sharpness: float, far: tuple[int, int] | None) -> tuple[Tensor, Tensor, Tensor]:
    """Query, keys and hard labels; the references lie ``far`` away from the query, or turned by half a turn."""
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(HEIGHT, WIDTH, CHANNELS, generator=generator)
    coarse = torch.randn(1, CHANNELS, HEIGHT // 6, WIDTH // 6, generator=generator)
    base += 2 * nn.functional.interpolate(coarse, size=SIZE, mode="bilinear")[0].permute(1, 2, 0)
    base *= (sharpness / base.square().sum(-1).mean()).sqrt()
    moved = base.flip(0, 1) if far is None else base.roll(far, (0, 1))
    noise = 0.05 * base.std() * torch.randn(REFERENCES, *moved.shape, generator=generator)
    ids = torch.randint(CLASSES, SIZE, generator=generator)
    ids = (ids.flip(0, 1) if far is None else ids.roll(far, (0, 1))).flatten().expand(REFERENCES, -1)
    labels = nn.functional.one_hot(ids, CLASSES).float().transpose(1, 2).contiguous()
    return base.flatten(0, 1), (moved + noise).flatten(1, 2), labels


def logarithms(query: Tensor, keys: Tensor, labels: Tensor, sigmas: tuple[float, ...], cells: Tensor) -> Tensor:
    """log of the scores (K, M) of these cells in double precision, without a shared factor: nothing can underflow."""
    every = torch.arange(CELLS, device=query.device)
    y, x = every // WIDTH, every % WIDTH
    squared = (y[cells, None] - y) ** 2 + (x[cells, None] - x) ** 2
    weights = [
        query[cells].double() @ key.double().t() - squared / sigma**2 for key, sigma in zip(keys, sigmas, strict=True)
    ]
    classes = labels.double().log().transpose(0, 1).flatten(1)  # (K, R*N)
    return torch.stack([(torch.cat(weights, 1) + own).logsumexp(1) for own in classes])


def wrong_and_told(scores: Tensor, given: tuple, sigmas: tuple[float, ...], tolerance: float) -> tuple[int, float]:
    """At how many of the cells that can be told ``scores`` decide wrongly, and the share of those that can."""
    spread = torch.randint(CELLS, (90,), generator=torch.Generator().manual_seed(1))
    corners = torch.tensor([0, WIDTH - 1, CELLS - WIDTH, CELLS - 1, CELLS // 2])
    cells = torch.cat([corners, spread]).to(scores.device)
    exact = logarithms(*given, sigmas, cells)
    best, second = exact.topk(2, dim=0).values
    told = best - second > tolerance
    is_wrong = scores[:, cells].argmax(0) != exact.argmax(0)
    return int((is_wrong & told).sum()), float(told.float().mean())


def check_decisions(
    scores: Tensor, given: tuple, sigmas: tuple[float, ...], rounding: float = 1e-6, weights: float = 1e-5
) -> None:
    """``rounding``: the relative error of a product of two features; ``weights``: that of a weight."""
    query, keys, _ = given
    largest = float((query.square().sum(1).max() * keys.square().sum(2).max()).sqrt())
    wrong, told = wrong_and_told(scores, given, sigmas, weights + rounding * largest + 1e-6 * 300)
    assert scores.isfinite().all()
    assert wrong == 0
    assert told > 0.8


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENES)
def test_the_form_of_pytorch(name):
    sharpness, sigmas, far = SCENES[name]
    given = scene(sharpness, far)
    scores = propagate_streaming(*given, range(REFERENCES), sigmas, size=SIZE)
    check_decisions(scores, given, sigmas)


@pytest.mark.slow
def test_features_in_bf16_are_decided_as_they_are_rounded():
    query, keys, labels = scene(3_000.0, (0, 48))
    given = query.bfloat16(), keys.bfloat16(), labels
    scores = propagate_streaming(*given, range(REFERENCES), NEAR, size=SIZE)
    check_decisions(scores, (query.bfloat16().float(), keys.bfloat16().float(), labels), NEAR)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, (_, _, far) in SCENES.items() if far is not None])
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_products_of_halves_are_rounded_below_their_peak(name, temperature):
    sharpness, sigmas, far = SCENES[name]
    query, keys, labels = scene(sharpness, far)
    given = query.bfloat16(), keys.bfloat16(), labels
    scores = propagate_streaming(*given, range(REFERENCES), sigmas, size=SIZE, temperature=temperature)
    exact = temperature * given[0].float(), given[1].float(), labels
    check_decisions(scores, exact, sigmas, weights=min(0.05, 2**-8 * sharpness))  # 2^-8 of a difference of logits


@pytest.mark.slow
def test_a_form_that_cuts_the_prior_off_fails_these_checks():
    given = scene(3_000.0, (0, 48))
    cut = propagate_streaming(*given, range(REFERENCES), NEAR, size=SIZE)
    wrong, _ = wrong_and_told(torch.where(cut < 1e-15, 0.0, cut), given, NEAR, 0.01)
    assert wrong > 20


@pytest.mark.slow
@pytest.mark.parametrize("name", ["as they come", "a very sharp match across the frame"])
def test_the_triton_kernel_in_its_interpreter(tmp_path, triton_interpreter, name):
    sharpness, sigmas, far = SCENES[name]
    given = scene(sharpness, far)
    torch.save((*given, sigmas, SIZE), tmp_path / "given.pt")
    script = tmp_path / "interpreted.py"
    script.write_text(
        "import pathlib, torch\n"
        "from harness.ops.propagation_cuda import propagate_fused\n"
        "here = pathlib.Path(__file__).parent\n"
        "query, keys, labels, sigmas, size = torch.load(here / 'given.pt', weights_only=True)\n"
        "scores = propagate_fused(query, keys, labels, range(9), sigmas, size=size)\n"
        "torch.save(scores, here / 'scores.pt')\n"
    )
    done = subprocess.run([sys.executable, script], env=triton_interpreter, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    check_decisions(torch.load(tmp_path / "scores.pt", weights_only=True), given, sigmas)


@pytest.mark.gpu
@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16", "fp16"])
def test_the_triton_kernel_on_a_gpu(precision, name):
    from harness.ops.propagation_cuda import propagate_fused

    sharpness, sigmas, far = SCENES[name]
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision, torch.float32)
    query, keys, labels = (tensor.cuda() for tensor in scene(sharpness, far))
    query, keys = query.to(dtype), keys.to(dtype)
    with work_on("cuda", tf32=precision == "tf32"):
        scores = propagate_fused(query, keys, labels, range(REFERENCES), sigmas, size=SIZE)
    rounding, weights = {"fp32": (2e-6, 2e-5), "tf32": (3e-4, 1e-3)}.get(precision, (2e-6, 1e-3))
    check_decisions(scores, (query.float(), keys.float(), labels), sigmas, rounding, weights)


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["as they come", "a very sharp match across the frame"])
def test_every_tile_on_a_gpu(name):
    from harness.ops.propagation_cuda import HELD, LOOPED, propagate_fused

    sharpness, sigmas, far = SCENES[name]
    query, keys, labels = (tensor.cuda() for tensor in scene(sharpness, far))
    query, keys = query.bfloat16(), keys.bfloat16()
    for tile in (*HELD, *LOOPED):
        for splits in (1, 5):
            scores = propagate_fused(
                query, keys, labels, range(REFERENCES), sigmas, size=SIZE, tile=tile, splits=splits
            )
            check_decisions(scores, (query.float(), keys.float(), labels), sigmas, 2e-6, 1e-3)


@pytest.mark.gpu
def test_the_form_of_pytorch_on_a_gpu():
    name = "a very sharp match across the frame"
    sharpness, sigmas, far = SCENES[name]
    given = tuple(tensor.cuda() for tensor in scene(sharpness, far))
    check_decisions(propagate_streaming(*given, range(REFERENCES), sigmas, size=SIZE), given, sigmas)
