"""Mutated files of flow, saliency and proposals: what fits the frame, or a refusal that names the file."""

import json
import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from harness.api.errors import DataError
from harness.api.mask_files import RunLength
from harness.models.flow import flow_provider
from harness.models.flow.files import write_flo
from harness.models.frame_files import Place
from harness.models.proposals import proposal_provider
from harness.models.saliency import saliency_provider

FUZZ = settings.get_profile(os.environ.get("HARNESS_FUZZ", "fuzz"))
FRAME = torch.zeros(5, 6, 3, dtype=torch.uint8)
HERE, NEXT = Place("dog", "0"), Place("dog", "1")
MUTATIONS = st.lists(st.tuples(st.integers(0, 400), st.binary(min_size=0, max_size=4)), max_size=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("files")
    (place / "dog").mkdir()
    return place


def mutate(content: bytes, mutations: list[tuple[int, bytes]]) -> bytes:
    """``content`` with bytes put over it here and there; empty ones cut it."""
    for at, put in mutations:
        content = content[:at] + put + content[at + len(put) :] if put else content[:at]
    return content


def only(path, content: bytes):
    """The folder's one file of the video."""
    for other in path.parent.iterdir():
        other.unlink()
    path.write_bytes(content)
    return path


def original(path, write) -> bytes:
    write(path)
    return path.read_bytes()


@pytest.mark.parametrize("suffix", [".flo", ".npy"])
@settings(FUZZ)
@given(mutations=MUTATIONS)
def test_mutated_flow_is_flow_of_the_frame_or_refused(folder, value_or_refusal, suffix, mutations):
    write = write_flo if suffix == ".flo" else np.save
    path = folder / "dog" / f"0_1{suffix}"
    only(path, mutate(original(path, lambda path: write(path, np.ones((2, 5, 6), np.float32))), mutations))
    provider = flow_provider(f"files:{folder}")
    flow = value_or_refusal(lambda: provider.between(FRAME, FRAME, (HERE, NEXT)), path, DataError)
    assert flow is None or (flow.shape == (2, 5, 6) and flow.dtype == torch.float32 and flow.isfinite().all())


@pytest.mark.parametrize("suffix", [".png", ".npy"])
@settings(FUZZ)
@given(mutations=MUTATIONS)
def test_mutated_saliency_is_in_0_to_1_or_refused(folder, value_or_refusal, suffix, mutations):
    grey = np.full((5, 6), 100, np.uint8)
    path = folder / "dog" / f"0{suffix}"
    write = (
        (lambda path: Image.fromarray(grey).save(path)) if suffix == ".png" else lambda path: np.save(path, grey / 255)
    )
    only(path, mutate(original(path, write), mutations))
    provider = saliency_provider(f"files:{folder}")
    rated = value_or_refusal(lambda: provider.rate(FRAME, HERE), path, DataError)
    assert rated is None or (rated.shape == (5, 6) and 0 <= rated.min() <= rated.max() <= 1)


@settings(FUZZ)
@given(mutations=MUTATIONS)
def test_mutated_proposals_are_masks_of_the_frame_or_refused(folder, value_or_refusal, mutations):
    code = RunLength.encode(np.eye(5, 6, dtype=bool))
    entry = {"score": 0.5, "segmentation": {"size": [5, 6], "counts": code.counts.decode()}}
    path = only(folder / "dog" / "0.json", mutate(json.dumps([entry, entry]).encode(), mutations))
    provider = proposal_provider(f"files:{folder}")
    found = value_or_refusal(lambda: provider.propose(FRAME, place=HERE), path, DataError)
    assert found is None or all(each.mask.shape == (5, 6) and np.isfinite(each.score) for each in found)
