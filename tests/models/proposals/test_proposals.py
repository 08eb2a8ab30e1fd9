"""Proposals are masks of the frame's size, the surest first, and none where there is nothing."""

import json

import numpy as np
import pytest
import torch

from harness.api.errors import DataError
from harness.api.mask_files import RunLength
from harness.models.frame_files import Place, content_name
from harness.models.proposals import ProposalProvider, proposal_provider
from harness.models.proposals.edge_boxes import cut_out, find_boxes, gradient_edges, share_of_parts
from harness.models.proposals.proposal import Proposal, box_of, choose

NAMES = ("components", "edgebox+grabcut")
BLACK = torch.zeros(30, 40, 3, dtype=torch.uint8)


def foreground(*parts: tuple[slice, slice]) -> torch.Tensor:
    mask = torch.zeros(30, 40, dtype=torch.bool)
    for part in parts:
        mask[part] = True
    return mask


LARGE, SMALL = (slice(2, 12), slice(3, 13)), (slice(20, 25), slice(30, 34))


def scene(size: tuple[int, int] = (120, 160)) -> tuple[torch.Tensor, torch.Tensor]:
    """A red disc on blue noise, and its mask."""
    rows, columns = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
    disc = (rows - 60) ** 2 + (columns - 70) ** 2 < 25**2
    noise = torch.randint(0, 12, (*size, 3), generator=torch.Generator().manual_seed(0))
    frame = torch.tensor([40, 60, 160]) + noise
    frame[disc] = torch.tensor([200, 40, 30]) + noise[disc]
    return frame.to(torch.uint8), disc


def overlap(a: torch.Tensor, b: torch.Tensor) -> float:
    return ((a & b).sum() / (a | b).sum()).item()


def test_components_are_the_parts_of_the_foreground_the_largest_first():
    found = proposal_provider("components").propose(BLACK, foreground(LARGE, SMALL))
    assert [proposal.box for proposal in found] == [(3, 2, 13, 12), (30, 20, 34, 25)]
    assert [proposal.score for proposal in found] == [100 / 120, 20 / 120]
    assert torch.equal(found[0].mask, foreground(LARGE))
    assert torch.equal(found[1].mask, foreground(SMALL))


def test_a_probability_is_foreground_from_one_half_on_and_corners_touch():
    soft = torch.full((30, 40), 0.49)
    soft[5:10, 5:10] = 0.5
    soft[10:15, 10:15] = 0.9
    (one,) = proposal_provider("components").propose(BLACK, soft)
    assert one.mask.sum() == 50


def test_specks_are_no_proposal():
    large = torch.zeros(200, 200, dtype=torch.bool)
    large[10:12, 10:14] = True  # 8 pixels of 40000, where 10 are wanted
    large[50:52, 50:55] = True
    (one,) = proposal_provider("components").propose(torch.zeros(200, 200, 3, dtype=torch.uint8), large)
    assert one.box == (50, 50, 55, 52)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 3), (30, 40), (400, 5)])
def test_a_black_frame_without_foreground_has_no_proposal(name, size):
    frame = torch.zeros(*size, 3, dtype=torch.uint8)
    assert proposal_provider(name).propose(frame) == []
    assert proposal_provider(name).propose(frame, torch.zeros(size, dtype=torch.bool)) == []


@pytest.mark.parametrize("name", NAMES)
def test_no_more_than_wanted_are_given(name):
    frame, disc = scene()
    many = disc.clone()
    many[::20, ::20] = many[1::20, ::20] = many[2::20, ::20] = many[3::20, ::20] = many[4::20, ::20] = True
    assert len(proposal_provider(name).propose(frame, many, most=1)) == 1
    assert proposal_provider(name).propose(frame, many, most=0) == []


def test_by_edges_a_disc_is_found_and_cut_out():
    frame, disc = scene()
    found = proposal_provider("edgebox+grabcut").propose(frame)
    assert max(overlap(proposal.mask, disc) for proposal in found) > 0.95
    assert [proposal.score for proposal in found] == sorted((p.score for p in found), reverse=True)
    assert all(0 < proposal.score <= 1 and proposal.box == box_of(proposal.mask) for proposal in found)


def test_a_foreground_says_which_boxes_are_looked_at():
    frame, disc = scene()
    first, *_ = proposal_provider("edgebox+grabcut").propose(frame, disc)
    assert overlap(first.mask, disc) > 0.9
    elsewhere = torch.zeros_like(disc)
    elsewhere[:10, 140:] = True
    assert all(overlap(each.mask, disc) == 0 for each in proposal_provider("edgebox+grabcut").propose(frame, elsewhere))


def test_equal_frames_give_equal_proposals():
    frame, disc = scene()
    once, again = (proposal_provider("edgebox+grabcut").propose(frame.clone(), disc) for _ in range(2))
    assert [proposal.score for proposal in once] == [proposal.score for proposal in again]
    assert all(torch.equal(a.mask, b.mask) for a, b in zip(once, again, strict=True))


def test_a_large_frame_is_worked_on_at_half_size_and_answered_at_its_own():
    frame, disc = scene()
    large = frame.repeat_interleave(6, 0).repeat_interleave(6, 1)
    found = proposal_provider("edgebox+grabcut").propose(large)
    assert found[0].mask.shape == (720, 960)
    assert max(overlap(proposal.mask[::6, ::6], disc) for proposal in found) > 0.85


def test_an_edge_is_strongest_on_its_crest_and_its_direction_lies_across():
    image = np.zeros((20, 30, 3), np.uint8)
    image[:, 15:] = 200
    strength, across = gradient_edges(image)
    assert np.flatnonzero(strength[10]).tolist() in ([14], [15], [14, 15])
    assert across[10, 14] == pytest.approx(0, abs=1e-3)
    strength, across = gradient_edges(np.ascontiguousarray(image.transpose(1, 0, 2)))
    assert across[14, 10] == pytest.approx(np.pi / 2, abs=1e-3)


def test_boxes_lie_on_what_is_allowed_and_apart():
    frame, disc = scene()
    boxes = [box for box, _ in find_boxes(frame.numpy(), disc.numpy())]
    assert boxes
    assert all(disc[y : y + h, x : x + w].float().mean() >= 0.4 for x, y, w, h in boxes)


def test_a_box_that_leaves_no_background_or_no_object_is_cut_to_nothing():
    image = scene()[0].numpy()
    everywhere, nowhere = np.ones((120, 160), bool), np.zeros((120, 160), bool)
    assert not cut_out(image, (0, 0, 160, 120), everywhere).any()
    assert not cut_out(image, (10, 10, 20, 20), nowhere).any()


def test_a_box_counts_by_how_much_it_holds_of_the_parts_it_touches():
    parts = np.array([[1, 1, 1, 1, 0, 2], [0, 0, 0, 0, 0, 2]])
    areas = np.bincount(parts.ravel())
    assert share_of_parts((0, 0, 4, 2), parts, areas) == 1
    assert share_of_parts((0, 0, 1, 1), parts, areas) == 1 / 4
    assert share_of_parts((3, 0, 3, 1), parts, areas) == (1 + 1) / (4 + 2)
    assert share_of_parts((0, 1, 4, 1), parts, areas) == 0


def test_only_masks_with_a_pixel_are_chosen_and_the_surest_first():
    empty, full = torch.zeros(2, 3, dtype=torch.bool), torch.ones(2, 3, dtype=torch.bool)
    found = choose([(full, 0.2), (empty, 0.9), (full, 0.7), (full, 0.1)], 2)
    assert [(proposal.score, proposal.box) for proposal in found] == [(0.7, (0, 0, 3, 2)), (0.2, (0, 0, 3, 2))]


@pytest.mark.parametrize("name", NAMES)
def test_each_is_a_provider_with_a_fingerprint_of_its_own(name):
    provider = proposal_provider(name)
    assert isinstance(provider, ProposalProvider)
    assert provider.name == name
    assert provider.fingerprint("dog").startswith(name)


PLACE = Place("dog", "00001")


def write(folder, entries, name="dog/00001"):
    path = folder / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(entries if isinstance(entries, str) else json.dumps(entries))
    return proposal_provider(f"files:{folder}")


def code(mask: torch.Tensor) -> dict:
    made = RunLength.encode(mask.numpy())
    return {"size": list(made.size), "counts": made.counts.decode()}


def test_files_hold_scores_and_coco_masks(tmp_path):
    entries = [
        {"score": 0.25, "segmentation": code(foreground(SMALL)), "category_id": 3, "bbox": [0, 0, 1, 1]},
        {"score": 0.75, "segmentation": [[3, 2, 13, 2, 13, 12, 3, 12]]},
        {"score": 0.9, "segmentation": code(foreground())},
    ]
    found = write(tmp_path, entries).propose(BLACK, place=PLACE)
    assert [(proposal.score, proposal.box) for proposal in found] == [
        (0.75, (3, 2, 13, 12)), (0.25, (30, 20, 34, 25)),
    ]  # fmt: skip
    assert torch.equal(found[1].mask, foreground(SMALL))
    assert all(isinstance(proposal, Proposal) for proposal in found)
    assert len(write(tmp_path, entries).propose(BLACK, place=PLACE, most=1)) == 1


def test_a_file_of_none_is_none_and_a_missing_one_is_an_error(tmp_path):
    assert write(tmp_path, []).propose(BLACK, place=PLACE) == []
    assert write(tmp_path, [], f"content/{content_name(BLACK)}").propose(BLACK) == []
    with pytest.raises(DataError, match=r"dog: found nothing, expected one file 00002\.json"):
        write(tmp_path, []).propose(BLACK, place=Place("dog", "00002"))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("no json", "no readable JSON"),
        ("{}", "found dict, expected a list of"),
        ("[3]", "entry 0: found 3"),
        ('[{"score": 1}]', "entry 0: found {'score': 1}"),
        ('[{"score": NaN, "segmentation": null}]', "entry 0: found score nan"),
        ('[{"score": true, "segmentation": null}]', "entry 0: found score True"),
        ('[{"score": 1, "segmentation": {"size": [30, 41], "counts": [1230]}}]', "entry 0: "),
        ('[{"score": 1, "segmentation": {"size": [30, 40], "counts": [1]}}]', "entry 0: "),
        ('[{"score": 1, "segmentation": {"size": [30, 40], "counts": "??"}}]', "entry 0: "),
    ],
)
def test_a_file_that_is_no_proposals_is_refused_with_its_entry(tmp_path, content, told):
    with pytest.raises(DataError) as refused:
        write(tmp_path, content).propose(BLACK, place=PLACE)
    assert told in refused.value.message
    assert "00001.json" in refused.value.message
