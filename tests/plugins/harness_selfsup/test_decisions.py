"""Local attention decides as double precision does: all cells of 480p, flat to very sharp, both forms of a CPU.

Scores may differ in the seventh digit; what is compared is the class of the largest, and the pixel that an offset leads
to, wherever single precision can tell. The tiled form in double precision judges: it needs no 8 GB, and here it is held
to the plain one over the whole grid.
"""

import subprocess
import sys

import pytest
import torch
from torch.nn import functional

from harness.ops.local_attention_compiled import attend_compiled, coarse_offsets_compiled
from harness.ops.local_attention_plain import attend_plain, coarse_offsets_plain
from harness.ops.local_attention_tiled import attend_tiled, coarse_offsets_tiled

FULL = (120, 214)  # cells: 854 x 480 pixels at a 4th
HALF = (60, 107)
# The grid, and how many references are searched for around offsets.
GRIDS = [
    pytest.param((20, 30), 2, id="20x30"),
    pytest.param(HALF, 2, id="60x107, around offsets", marks=pytest.mark.slow),
    pytest.param(FULL, 0, id="120x214", marks=pytest.mark.slow),
]
FORMS = {"compiled": attend_compiled, "tiled": attend_tiled}
SEARCHES = {"compiled": coarse_offsets_compiled, "tiled": coarse_offsets_tiled}
SHARPNESS = {"flat": 0.5, "as they come": 60.0, "sharp": 600.0, "very sharp": 6000.0}
"""What a feature's product with itself is; with the shipped weights about 60."""
CHANNELS, CLASSES, REFERENCES, RADIUS = 64, 3, 4, 12
ROUNDING = 1e-6
"""The relative error of a product of two features in single precision."""


def scene(grid, sharpness):
    """A query, and references that have drifted by a pixel each; ids in patches; two offsets."""
    height, width = grid
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(1, CHANNELS, height // 4, width // 4, generator=generator)
    query = functional.interpolate(coarse, size=grid, mode="bilinear")[0].permute(1, 2, 0)
    query = query * (sharpness / query.square().sum(2).mean()).sqrt()
    noise = 0.1 * query.std() * torch.randn(REFERENCES, *query.shape, generator=generator)
    keys = torch.stack([query.roll((r, -r), (0, 1)) for r in range(REFERENCES)]) + noise
    ids = torch.randint(CLASSES, (REFERENCES, height // 8 + 1, width // 8 + 1), generator=generator)
    ids = ids.repeat_interleave(8, 1).repeat_interleave(8, 2)[:, :height, :width]
    values = functional.one_hot(ids, CLASSES).float().permute(0, 3, 1, 2).contiguous()
    drift = 6 * torch.randn(2, 2, height // 8 + 1, width // 8 + 1, generator=generator)
    offsets = functional.interpolate(drift, size=grid, mode="bilinear").permute(0, 2, 3, 1).contiguous()
    return query.contiguous(), keys.contiguous(), values, offsets


def widen(*tensors):
    return [tensor.double() for tensor in tensors]


def look(attend, query, keys, values, offsets, around):
    """Attend to all references, the first ``around`` of them at offsets."""
    centres = (*offsets[:around], *[None] * (REFERENCES - around))
    return attend(query, keys, values, range(REFERENCES), offsets=centres)


def find_wrong(scores, exact, tolerance):
    """At how many pixels another class is the largest, of those where the best is ahead by more than ``tolerance``
    of itself; and the share of those pixels."""
    best, second = exact.topk(2, dim=0).values
    told = best - second > tolerance * best
    wrong = (scores.max(0).indices != exact.max(0).indices) & told
    return int(wrong.sum()), float(told.float().mean())


def tolerance_of(query, keys):
    """What rounding may change of a score, as a share: its logits are products of these features."""
    largest = float(query.float().norm(dim=2).max() * keys.float().norm(dim=3).max())
    return 2e-5 + 2 * ROUNDING * largest


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize("sharpness", SHARPNESS.values(), ids=SHARPNESS)
@pytest.mark.parametrize(("grid", "around"), GRIDS)
def test_classes_of_pixels(grid, around, sharpness, dtype):
    """No class is another one; features in bf16 are judged as they are rounded, since products with them are exact."""
    query, keys, values, offsets = scene(grid, sharpness)
    query, keys = query.to(dtype), keys.to(dtype)
    exact = look(attend_tiled, *widen(query, keys, values, offsets), around)
    for attend in FORMS.values():
        scores = look(attend, query, keys, values, offsets, around)
        wrong, told = find_wrong(scores, exact, tolerance_of(query, keys))
        assert scores.isfinite().all()
        assert wrong == 0
        assert told > 0.95


@pytest.mark.parametrize("sharpness", SHARPNESS.values(), ids=SHARPNESS)
@pytest.mark.parametrize(("grid", "around"), GRIDS)
def test_what_rounding_features_to_bf16_decides_otherwise(grid, around, sharpness):
    """A product of features is off by 2^-9 of itself: where matches are sharp, other pixels are taken."""
    query, keys, values, offsets = scene(grid, sharpness)
    exact = look(attend_tiled, *widen(query, keys, values, offsets), around)
    rounded = look(attend_compiled, query.bfloat16(), keys.bfloat16(), values, offsets, around)
    assert (rounded.max(0).indices != exact.max(0).indices).float().mean() < 0.02


@pytest.mark.parametrize("sharpness", SHARPNESS.values(), ids=SHARPNESS)
@pytest.mark.parametrize(
    ("grid", "dilation"), [((20, 30), 2), ((20, 30), 4), pytest.param(FULL, 4, marks=pytest.mark.slow)]
)
def test_pixels_that_offsets_lead_to(grid, dilation, sharpness):
    """The nearest whole pixel; the method widens features before, so there is one precision."""
    query, keys, _, _ = scene(grid, sharpness)
    exact = coarse_offsets_tiled(*widen(query, keys[3]), dilation=dilation)
    is_half = ((exact - exact.floor()) - 0.5).abs() < 0.01
    assert is_half.float().mean() < 0.05
    for search in SEARCHES.values():
        found = search(query, keys[3], dilation=dilation)
        assert torch.equal(found.round()[~is_half].double(), exact.round()[~is_half])


@pytest.mark.slow
def test_the_judge_of_classes_is_the_plain_form_over_the_whole_grid():
    """A block of rows at a time, with what their windows see above and below."""
    query, keys, values, _ = widen(*scene(FULL, 60.0))
    exact = attend_tiled(query, keys, values, (3,))
    for top in range(0, FULL[0], 20):
        above, below = max(0, top - RADIUS), min(FULL[0], top + 20 + RADIUS)
        seen = slice(above, below)
        plain = attend_plain(query[seen], keys[:, seen], values[:, :, seen], (3,))[:, top - above :][:, :20]
        assert (plain - exact[:, top : top + 20]).abs().max() < 1e-12


@pytest.mark.slow
def test_the_judge_of_windows_around_offsets_is_the_plain_form():
    given = widen(*scene(HALF, 60.0))
    assert (look(attend_plain, *given, 2) - look(attend_tiled, *given, 2)).abs().max() < 1e-10


@pytest.mark.slow
def test_the_judge_of_offsets_is_the_plain_form_over_the_whole_grid():
    """Pixels ``dilation`` apart see each other only, so each phase of the grid is a small frame of its own."""
    query, keys, _, _ = widen(*scene(FULL, 60.0))
    exact = coarse_offsets_tiled(query, keys[3], dilation=4)
    for phase in ((row, column) for row in range(4) for column in range(4)):
        each = tuple(slice(first, None, 4) for first in phase)
        plain = 4 * coarse_offsets_plain(query[each].contiguous(), keys[3][each].contiguous(), dilation=1)
        assert (plain - exact[each]).abs().max() < 1e-10


def test_a_form_that_drops_small_weights_fails_these_checks():
    query, keys, values, offsets = scene((20, 30), 600.0)
    exact = look(attend_tiled, *widen(query, keys, values, offsets), 2)
    cut = torch.where(exact < 0.3, 0.0, exact)
    cut[0] += 0.2  # as if what was dropped had been of class 0
    assert find_wrong(cut, exact, tolerance_of(query, keys))[0] > 0


INTERPRETED = """
import pathlib, torch
from harness.ops.local_attention_cuda import attend_fused, coarse_offsets_fused
here = pathlib.Path(__file__).parent
query, keys, values, offsets = torch.load(here / "given.pt")
around = (*offsets, None, None)
torch.save((attend_fused(query, keys, values, range(4), offsets=around, radius=3),
            coarse_offsets_fused(query.float(), keys[3].float(), dilation=2, radius=3)), here / "found.pt")
"""


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize("sharpness", SHARPNESS.values(), ids=SHARPNESS)
def test_the_triton_kernels_in_their_interpreter(tmp_path, triton_interpreter, sharpness, dtype):
    """16-bit features multiply 16-bit weights there: a weight is off by 2^-9 of itself, and so is what is told."""
    query, keys, values, offsets = scene((12, 22), sharpness)
    query, keys = query.to(dtype), keys.to(dtype)
    torch.save((query, keys, values, offsets), tmp_path / "given.pt")
    script = tmp_path / "interpreted.py"
    script.write_text(INTERPRETED)
    done = subprocess.run([sys.executable, script], env=triton_interpreter, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    scores, found = torch.load(tmp_path / "found.pt")
    wide = widen(query, keys, values, offsets)
    exact = attend_plain(*wide[:3], range(REFERENCES), offsets=(*wide[3], None, None), radius=3)
    weights = 2**-8 if dtype == torch.bfloat16 else 0.0
    wrong, told = find_wrong(scores, exact, weights + tolerance_of(query, keys))
    assert wrong == 0
    assert told > 0.9
    pixels = coarse_offsets_plain(wide[0], wide[1][3], dilation=2, radius=3)
    is_half = ((pixels - pixels.floor()) - 0.5).abs() < 0.01
    assert torch.equal(found.round()[~is_half].double(), pixels.round()[~is_half])
