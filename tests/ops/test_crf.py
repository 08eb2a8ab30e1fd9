"""Dense CRF: all backends against the exact form and the authors' program, what they must not depend on, and errors.

Where a comparison names a tolerance of probabilities, decisions are compared too: they are what a mask is made of.
"""

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from harness.api.machine_code import Entry
from harness.machine import work_on
from harness.ops import crf as module
from harness.ops.crf import (
    CLASSIC,
    IMAS,
    MATNET,
    Bilateral,
    DenseCRF,
    Smooth,
    choose_backend,
    describe_backend,
    lattice_loops,
    refine,
    unary_of,
    unary_of_labels,
)
from harness.ops.crf.exact import refine_exactly

SETTINGS = [IMAS, MATNET, CLASSIC, DenseCRF(None, Smooth(3, 3), 5)]
NAMES = ["imas", "matnet", "classic", "smooth"]
IS_COMPILED = lattice_loops.place_pixels.is_compiled
HAS_ORACLE = importlib.util.find_spec("pydensecrf") is not None
needs_oracle = pytest.mark.skipif(not HAS_ORACLE, reason="pydensecrf is not installed (extra crf)")
needs_machine_code = pytest.mark.skipif(not IS_COMPILED, reason="no Numba here: plain loops would take minutes")
FAST = pytest.mark.parametrize("backend", [pytest.param("compiled", marks=needs_machine_code), "torch"])
DAVIS = Path(__file__).resolve().parents[3] / "shared" / "data" / "DAVIS"
"""Real frames beside the clone; ../shared."""


def scene(size, labels, seed=0):
    """A frame of coloured patches under noise, and the energies of patches that lie a little aside."""
    generator = torch.Generator().manual_seed(seed)
    cells = torch.rand(1, 3, 3, 4, generator=generator)
    frame = 255 * torch.nn.functional.interpolate(cells, size=size, mode="nearest")
    frame += 8 * torch.randn(1, 3, *size, generator=generator)
    soft = torch.nn.functional.interpolate(
        torch.rand(1, labels, 4, 5, generator=generator), size=size, mode="bilinear", align_corners=False
    )
    frames = frame.clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
    return frames, unary_of_labels((6 * soft).softmax(1))


def compare(one, other):
    """(largest difference of probabilities, share of pixels of another label)."""
    return float((one - other).abs().max()), float((one.argmax(1) != other.argmax(1)).double().mean())


@FAST
@pytest.mark.parametrize("labels", [2, 3, 5, 11])
@pytest.mark.parametrize("crf", SETTINGS, ids=NAMES)
def test_it_is_near_the_sums_over_all_pairs(crf, labels, backend):
    """The lattice is no exact Gaussian: single pixels in doubt differ more, and so they do in the authors' program."""
    frames, unary = scene((24, 32), labels)
    exact = refine_exactly(frames[0], unary[0], crf)[None].float()
    found = refine(frames, unary, crf, backend)
    mean, start = ((q - exact).abs().mean() for q in (found, unary.neg().softmax(1)))
    assert mean < 0.04
    assert mean < start / 8
    assert compare(found, exact)[1] < 0.06


@needs_machine_code
@pytest.mark.parametrize("labels", [2, 3, 6, 11])
@pytest.mark.parametrize("crf", SETTINGS, ids=NAMES)
def test_the_compiled_form_is_the_plain_one(crf, labels):
    frames, unary = scene((41, 53), labels)
    largest, changed = compare(refine(frames, unary, crf, "compiled"), refine(frames, unary, crf, "torch"))
    assert largest < 2e-4
    assert changed <= 1e-4


@FAST
@needs_oracle
@pytest.mark.parametrize("labels", [2, 3, 5, 11])
@pytest.mark.parametrize("crf", SETTINGS, ids=NAMES)
def test_it_is_the_authors_program(crf, labels, backend):
    frames, unary = scene((41, 53), labels, seed=1)
    largest, changed = compare(refine(frames, unary, crf, backend), refine(frames, unary, crf, "pydensecrf"))
    assert largest < 1e-3
    assert changed <= 1e-4


@pytest.mark.slow
@pytest.mark.data
@needs_oracle
@needs_machine_code
@pytest.mark.skipif(not DAVIS.is_dir(), reason="../shared/data is not there")
@pytest.mark.parametrize("sequence", ["dog", "bmx-trees", "kite-surf"])
@pytest.mark.parametrize("labels", [2, 3, 5, 11])
@pytest.mark.parametrize("crf", [IMAS, MATNET, CLASSIC], ids=NAMES[:3])
def test_on_real_frames_at_most_one_pixel_in_ten_thousand_differs_from_the_authors_program(crf, labels, sequence):
    folder = DAVIS / "JPEGImages" / "480p" / sequence
    frame = np.array(Image.open(sorted(folder.glob("*.jpg"))[10]))
    mask = np.array(Image.open(sorted((DAVIS / "Annotations" / "480p" / sequence).glob("*.png"))[10])) > 0
    bands = torch.from_numpy(mask * (1 + np.arange(mask.shape[1]) * (labels - 1) // mask.shape[1]))
    planes = torch.nn.functional.one_hot(bands, labels).permute(2, 0, 1)[None].float()
    small = torch.nn.functional.interpolate(planes, size=(60, 107), mode="area")
    small += 0.15 * torch.randn(small.shape, generator=torch.Generator().manual_seed(0))
    soft = torch.nn.functional.interpolate(small, size=mask.shape, mode="bilinear", align_corners=False).clamp(min=1e-3)
    frames, unary = torch.from_numpy(frame)[None], unary_of_labels(soft / soft.sum(1, keepdim=True))
    ours, theirs = refine(frames, unary, crf, "compiled"), refine(frames, unary, crf, "pydensecrf")
    assert compare(ours, theirs)[1] <= 1e-4


@pytest.mark.gpu
@pytest.mark.parametrize("labels", [2, 5])
@pytest.mark.parametrize("sharpness", [0.1, 1.0, 4.0])
@pytest.mark.parametrize("crf", SETTINGS, ids=NAMES)
def test_a_cuda_device_decides_as_the_cpu(crf, sharpness, labels):
    """At the size of a real frame, from flat energies to sharp ones, wherever a label leads by a thousandth."""
    frames, unary = scene((240, 427), labels)
    here = refine(frames, sharpness * unary, crf)
    with work_on("cuda"):
        there = refine(frames.cuda(), sharpness * unary.cuda(), crf)
    assert there.is_cuda
    best, second = here.topk(2, dim=1).values.unbind(1)
    told = best - second > 1e-3
    assert torch.equal(there.cpu().argmax(1)[told], here.argmax(1)[told])
    assert told.float().mean() > 0.95


@FAST
@pytest.mark.parametrize("crf", SETTINGS, ids=NAMES)
def test_the_order_of_labels_does_not_matter(crf, backend):
    """The compiled form filters all labels but the last one: any may be the last."""
    frames, unary = scene((37, 41), 4)
    order = [2, 0, 3, 1]
    found = refine(frames, unary, crf, backend)
    largest, changed = compare(refine(frames, unary[:, order].contiguous(), crf, backend), found[:, order])
    assert largest < 1e-4
    assert changed == 0


@FAST
def test_a_mirrored_frame_has_a_mirrored_answer(backend):
    """The lattice lies elsewhere under a mirrored frame, so probabilities differ a little."""
    frames, unary = scene((60, 80), 2)
    found = refine(frames, unary, MATNET, backend)
    mirrored = refine(frames.flip(2).contiguous(), unary.flip(3).contiguous(), MATNET, backend).flip(3)
    assert compare(found, mirrored)[1] < 0.005
    assert float((found - mirrored).abs().mean()) < 0.005


@FAST
def test_in_a_frame_of_one_colour_only_position_counts(backend):
    frames, unary = scene((40, 50), 3)
    frames[:] = 77
    by_colour = refine(frames, unary, DenseCRF(Bilateral(6, 5, 3), None, 5), backend)
    narrow_colour = refine(frames, unary, DenseCRF(Bilateral(6, 1, 3), None, 5), backend)
    by_place = refine_exactly(frames[0], unary[0], DenseCRF(None, Smooth(6, 3), 5))[None].float()
    assert float((by_colour - by_place).abs().mean()) < 0.02
    assert compare(by_colour, narrow_colour)[1] < 0.01


@FAST
def test_without_a_step_or_a_kernel_the_answer_is_the_softmax_of_the_energies(backend):
    frames, unary = scene((9, 11), 3)
    for crf in (DenseCRF(IMAS.bilateral, None, 0), DenseCRF(None, None, 4)):
        assert torch.allclose(refine(frames, unary, crf, backend), unary.neg().softmax(1), atol=1e-6)


@FAST
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 1), (3, 3), (13, 29)])
@pytest.mark.parametrize("labels", [1, 2, 4])
def test_every_size_has_probabilities(size, labels, backend):
    frames, unary = scene(size, labels)
    found = refine(frames, unary, MATNET, backend)
    assert found.shape == unary.shape
    assert found.min() >= 0
    assert torch.allclose(found.sum(1), torch.ones(1, *size), atol=1e-5)


@FAST
def test_one_pixel_alone_hears_itself_as_loud_as_the_kernel_says(backend):
    """Normalised, the kernel of one pixel is 1: mean field is a fixed-point equation of one number."""
    frames, unary = torch.zeros(1, 1, 1, 3, dtype=torch.uint8), torch.tensor([0.0, 0.5]).view(1, 2, 1, 1)
    q = 1 / (1 + math.exp(-0.5))
    for _ in range(3):
        q = 1 / (1 + math.exp(-0.5 - 2 * (2 * q - 1)))
    found = refine(frames, unary, DenseCRF(None, Smooth(3, 2), 3), backend)
    assert found[0, 0, 0, 0].item() == pytest.approx(q, abs=1e-5)


@FAST
def test_a_batch_is_its_frames_one_by_one(backend):
    """Three frames, one of which settles earlier than the others."""
    parts = [scene((20, 26), 3, seed) for seed in range(3)]
    parts[1] = (parts[1][0], parts[1][1] * 40)
    frames, unary = (torch.cat(each) for each in zip(*parts, strict=True))
    crf = DenseCRF(Bilateral(10, 20, 5), Smooth(3, 3), 50, stop_at=1e-3)
    alone = torch.cat([refine(*part, crf, backend) for part in parts])
    assert compare(refine(frames, unary, crf, backend), alone) == (pytest.approx(0, abs=1e-6), 0)
    assert refine(frames[:0], unary[:0], crf, backend).shape == (0, 3, 20, 26)


@FAST
def test_it_stops_where_nothing_changes_any_more(backend):
    frames, unary = scene((20, 26), 2)
    full, two = (refine(frames, unary, DenseCRF(None, Smooth(3, 3), steps), backend) for steps in (50, 2))
    stopped = refine(frames, unary, DenseCRF(None, Smooth(3, 3), 50, stop_at=1e-4), backend)
    assert compare(stopped, full)[0] < 1e-2
    at_once = refine(frames, unary, DenseCRF(None, Smooth(3, 3), 50, stop_at=1.0), backend)
    once = refine(frames, unary, DenseCRF(None, Smooth(3, 3), 1), backend)
    assert torch.equal(at_once, once)
    assert not torch.equal(two, once)


@FAST
@pytest.mark.parametrize("labels", [2, 5])
def test_an_infinite_energy_forbids_a_label_and_shifted_ones_change_nothing(labels, backend):
    frames, unary = scene((20, 26), labels)
    shifted = refine(frames, unary - 37.5, MATNET, backend)
    assert compare(shifted, refine(frames, unary, MATNET, backend))[0] < 1e-4
    unary[:, 0, :10] = torch.inf
    found = refine(frames, unary, MATNET, backend)
    assert found.isfinite().all()
    assert found[:, 0, :10].max() < 1e-30


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_answer_has_the_dtype_of_the_energies(dtype):
    frames, unary = scene((20, 26), 3)
    found = refine(frames, unary.to(dtype), MATNET)
    assert found.dtype == dtype
    assert torch.allclose(found.float(), refine(frames, unary.to(dtype).float(), MATNET), atol=1e-2)


def test_plain_pytorch_computes_in_double_precision_where_energies_are():
    frames, unary = scene((20, 26), 3)
    double = refine(frames, unary.double(), MATNET, "torch")
    assert 0 < (double - refine(frames, unary, MATNET, "torch")).abs().max() < 1e-3
    assert double.sum(1).sub(1).abs().max() < 1e-12


@pytest.mark.parametrize("value", [math.nan, -math.inf])
def test_an_energy_that_is_none_is_named(value):
    frames, unary = scene((20, 26), 3)
    unary[0, 1, 4, 7] = value
    with pytest.raises(ValueError, match="frame 0, row 4, column 7"):
        refine(frames, unary, MATNET)


def test_a_pixel_that_may_have_no_label_is_named():
    frames, unary = scene((20, 26), 3)
    unary[0, :, 19, 25] = torch.inf
    with pytest.raises(ValueError, match=r"row 19, column 25: found energies \[inf, inf, inf\]"):
        refine(frames, unary, MATNET)


def test_what_cannot_be_refined_is_refused():
    frames, unary = scene((4, 6), 2)
    with pytest.raises(TypeError, match=r"found frames of torch\.float32"):
        module.check(frames.float(), unary)
    with pytest.raises(TypeError, match=r"unary of torch\.int64"):
        module.check(frames, unary.long())
    for wrong in (frames[:, :3], frames[..., :2], frames[0], frames.expand(2, 4, 6, 3)):
        with pytest.raises(ValueError, match="of the same B, H and W"):
            module.check(wrong, unary)
    with pytest.raises(ValueError, match="at least one label and one pixel"):
        module.check(frames, unary[:, :0])
    with pytest.raises(ValueError, match="on meta; expected one device"):
        module.check(frames, unary.to("meta"))


@pytest.mark.parametrize("backend", ["compiled", "pydensecrf"])
def test_a_backend_of_the_cpu_refuses_another_device(backend):
    with pytest.raises(ValueError, match="works on the CPU alone"):
        choose_backend("cuda:0", backend)


def test_backends_are_chosen_by_device_and_told_with_their_version(monkeypatch):
    assert choose_backend("cuda") == "torch"
    assert choose_backend("cpu") == ("compiled" if IS_COMPILED else "torch")
    assert describe_backend("cuda") == f"torch (torch {torch.__version__})"
    with pytest.raises(ValueError, match="found backend 'gpu'"):
        choose_backend("cpu", "gpu")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"vos-harness\[crf\]"):
        choose_backend("cpu", "pydensecrf")


@FAST
def test_kernels_too_narrow_to_number_their_cells_are_refused(backend):
    frames, unary = scene((20, 26), 2)
    with pytest.raises(ValueError, match="expected wider ones"):
        refine(frames, unary, DenseCRF(Bilateral(1e-3, 1e-3, 5), None, 1), backend)


def test_settings_that_are_none_are_refused():
    for wrong in (lambda: Bilateral(0, 5, 5), lambda: Bilateral(5, math.nan, 5), lambda: Smooth(3, -1)):
        with pytest.raises(ValueError, match="expected a number"):
            wrong()
    for iterations in (-1, True):
        with pytest.raises(ValueError, match="expected a whole number"):
            DenseCRF(None, None, iterations)
    with pytest.raises(ValueError, match="stop_at"):
        DenseCRF(None, None, 1, stop_at=-0.1)


@needs_machine_code
def test_more_vertices_than_there_was_room_for_change_nothing(monkeypatch):
    from harness.ops.crf import compiled

    frames, unary = scene((40, 50), 3)
    expected = refine(frames, unary, MATNET, "compiled")
    monkeypatch.setattr(compiled, "FIRST_ROOM", 64)
    assert torch.equal(refine(frames, unary, MATNET, "compiled"), expected)


@pytest.mark.parametrize("labels", [2, 4])
def test_the_loops_run_as_they_stand(monkeypatch, labels):
    from harness.ops.crf import compiled, step_loops

    frames, unary = scene((6, 9), labels)
    crf = DenseCRF(Bilateral(4, 30, 3), Smooth(2, 2), 3)
    expected = refine(frames, unary, crf, "torch")
    for loops in (lattice_loops, step_loops):
        for name, entry in vars(loops).items():
            if isinstance(entry, Entry):
                monkeypatch.setattr(loops, name, entry.function)
    compiled.kept_smooth_lattice.cache_clear()
    assert compare(refine(frames, unary, crf, "compiled"), expected) == (pytest.approx(0, abs=1e-5), 0)


def test_a_soft_mask_is_divided_stretched_and_held_off_its_ends():
    """.4 / .8 is .5, and twice that where the highest is stretched to 1; an empty map stays empty."""
    soft = torch.tensor([[[0.4, 0.0]], [[0.0, 0.0]]])
    plain = unary_of(soft, divide=0.8)
    assert plain.shape == (2, 2, 1, 2)
    assert plain[0, :, 0, 0].exp().tolist() == pytest.approx([2, 2])
    stretched = unary_of(soft, divide=0.8, stretch=True, floor=1e-3)
    assert stretched[0, :, 0, 0].neg().exp().tolist() == pytest.approx([1e-3, 1 - 1e-3])
    assert stretched[1, :, 0, 0].neg().exp().tolist() == pytest.approx([1 - 1e-3, 1e-3])


def test_the_benched_examples_agree_on_the_smallest():
    example = refine.example("cpu")[0]
    found = refine.function(*example.args)
    assert compare(found, refine.reference(*example.args))[0] < refine.tolerance
