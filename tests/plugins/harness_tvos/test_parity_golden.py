"""Golden vectors in double precision (golden/make.py made them): every form of the propagation and the masks."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from harness_tvos.config import PRESETS
from harness_tvos.frames.references import reference_frames, sigmas
from harness_tvos.kernels import propagate, propagate_plain, upsample

HERE = Path(__file__).parent / "golden"
SPEC = importlib.util.spec_from_file_location("make_golden", HERE / "make.py")
make = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(make)


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(HERE / "propagation.npz") as stored:
        return {name: stored[name] for name in stored.files}


def scores_by(form, golden, name, dtype):
    target = make.TARGETS[name]
    references = reference_frames(target, PRESETS["official"])
    widths = sigmas(target, len(references), PRESETS["official"])
    query, keys, labels = (torch.from_numpy(golden[part]).to(dtype) for part in ("query", "keys", "labels"))
    return form(query, keys, labels, references, widths, size=make.SIZE)


@pytest.mark.parametrize("name", make.TARGETS)
@pytest.mark.parametrize(
    ("form", "dtype", "most"),
    [(propagate_plain, torch.float64, 1e-14), (propagate, torch.float64, 1e-10), (propagate, torch.float32, 1e-4)],
)
def test_scores_are_the_golden_ones(golden, name, form, dtype, most):
    found = scores_by(form, golden, name, dtype)
    assert np.abs(found.numpy() - golden[f"{name}-scores"]).max() < most


@pytest.mark.parametrize("name", make.TARGETS)
def test_masks_are_the_golden_ones(golden, name):
    scores = scores_by(propagate, golden, name, torch.float32).unflatten(1, make.SIZE)
    found = upsample(scores, torch.from_numpy(golden["ids"]).byte(), make.VIDEO)
    assert np.array_equal(found.numpy(), golden[f"{name}-mask"])


def test_golden_scores_sum_to_less_than_one_and_use_both_priors(golden):
    for name in make.TARGETS:
        sums = golden[f"{name}-scores"].sum(0)
        assert 0.5 < sums.mean() < 0.999
        assert sums.max() <= 1
        assert set(golden[f"{name}-mask"].flatten().tolist()) == {0, 4, 9}
    assert set(sigmas(12, 9, PRESETS["official"])) == {8}
    assert set(sigmas(18, 9, PRESETS["official"])) == {8, 21}


def test_the_stored_vectors_are_those_the_script_makes(golden):
    made = make.outputs({name: golden[name] for name in ("query", "keys", "labels", "ids")})
    assert set(golden) == {"query", "keys", "labels", "ids", *made}
    assert all(np.allclose(golden[name], value, rtol=0, atol=1e-14) for name, value in made.items())
