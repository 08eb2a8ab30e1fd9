"""Masks move along the flow, are linked with those they move onto, and keep their ids."""

import pytest
import torch

from harness.ops.linking import MOST_IDS, Tracks, id_map, link, mask_iou
from harness.ops.warping import warp_masks

SIZE = (12, 16)


def square(y, x, side=4):
    mask = torch.zeros(SIZE, dtype=torch.bool)
    mask[max(y, 0) : y + side, max(x, 0) : x + side] = True
    return mask


def masks(*places):
    return torch.stack([square(*place) for place in places]) if places else torch.zeros(0, *SIZE, dtype=torch.bool)


def even_flow(dx, dy):
    return torch.tensor([dx, dy], dtype=torch.float32)[:, None, None].expand(2, *SIZE).clone()


def test_a_mask_moves_by_whole_pixels():
    assert torch.equal(warp_masks(masks((2, 3)), even_flow(5, 4)), masks((6, 8)))


def test_first_is_across_second_is_down():
    assert torch.equal(warp_masks(masks((2, 3)), even_flow(2, 0)), masks((2, 5)))


def test_what_leaves_the_frame_is_gone():
    """Of the two columns at 14 and 15 the first moves to -1."""
    assert warp_masks(masks((2, 14)), even_flow(-15, 0))[0].nonzero().tolist() == [[y, 0] for y in range(2, 6)]
    assert not warp_masks(masks((2, 3)), even_flow(100, 0)).any()


def test_half_a_pixel_takes_the_pixels_more_than_half_of_which_is_covered():
    """At the ends exactly half is covered: those are out. One column fewer is left."""
    moved = warp_masks(masks((2, 3)), even_flow(0.5, 0))
    assert torch.equal(moved[0].any(0).nonzero()[:, 0], torch.tensor([4, 5, 6]))
    nearer = warp_masks(masks((2, 3)), even_flow(0.25, 0))
    assert torch.equal(nearer, masks((2, 3)))


def test_a_mask_that_grows_twofold_has_no_holes():
    x = torch.arange(SIZE[1], dtype=torch.float32)
    flow = torch.stack([(x - 4).expand(SIZE) * 0.9, torch.zeros(SIZE)])
    moved = warp_masks(masks((2, 4)), flow)[0]
    columns = moved.any(0).nonzero()[:, 0].tolist()
    assert columns == list(range(columns[0], columns[-1] + 1))
    assert len(columns) >= 6


def test_flow_to_nowhere_takes_its_pixels_with_it():
    flow = even_flow(1, 0)
    flow[0, :, :5] = float("nan")
    flow[1, 0] = float("inf")
    assert torch.equal(warp_masks(masks((2, 3)), flow)[0].any(0).nonzero()[:, 0], torch.tensor([6, 7]))


def test_no_mask_moves_to_no_mask_and_sizes_must_agree():
    assert warp_masks(masks(), even_flow(1, 1)).shape == (0, *SIZE)
    with pytest.raises(ValueError, match="expected one size"):
        warp_masks(masks((1, 1)), torch.zeros(2, 3, 4))


def test_overlap_is_intersection_over_union_and_none_of_nothing():
    found = mask_iou(masks((0, 0), (0, 20)), masks((0, 2), (8, 8), (0, 20)))
    assert found.tolist() == [[8 / 24, 0, 0], [0, 0, 0]]


def test_crossing_objects_are_told_apart_by_the_flow():
    """Each ends where the other was: without the flow they would swap."""
    before, after = masks((2, 2), (2, 6)), masks((2, 6), (2, 2))
    flow = torch.zeros(2, *SIZE)
    flow[0, :, 2:6], flow[0, :, 6:10] = 4, -4
    assert link(before, after, flow, least=0.5) == [(0, 0), (1, 1)]
    assert link(before, after, None, least=0.5) == [(0, 1), (1, 0)]


def test_the_sum_counts_not_the_best_pair_first():
    """0 overlaps most with 0, and so does 1, which has no other: 0 takes the second best."""
    before, after = masks((4, 4), (4, 7)), masks((4, 5), (4, 2))
    assert link(before, after, None, least=0.1) == [(0, 1), (1, 0)]


def test_a_pair_below_the_least_takes_no_other_pairs_place():
    """The two pairs of less than .5 would sum to more than the one that may be."""
    before, after = masks((4, 4), (4, 7)), masks((4, 5), (4, 2))
    assert mask_iou(before, after).tolist() == [[12 / 20, 8 / 24], [8 / 24, 0]]
    assert link(before, after, None, least=0.5) == [(0, 0)]
    assert link(before, after, None, least=0.3) == [(0, 1), (1, 0)]


def test_an_overlap_of_exactly_the_least_is_a_pair():
    assert link(masks((0, 0)), masks((0, 2)), None, least=8 / 24) == [(0, 0)]
    assert link(masks((0, 0)), masks((0, 2)), None, least=8 / 24 + 1e-9) == []


def test_nothing_links_with_nothing():
    some, none = masks((0, 0)), masks()
    assert link(some, none, None, least=0.1) == link(none, some, even_flow(1, 1), least=0.1) == []
    assert link(none, none, None, least=0.1) == []
    empty = torch.zeros(2, *SIZE, dtype=torch.bool)
    assert link(empty, empty, None, least=0.1) == []
    assert link(torch.cat([empty, some]), torch.cat([some, empty]), None, least=0.1) == [(2, 0)]


def test_equal_masks_are_paired_in_their_order_every_time():
    same = masks(*[(3, 3)] * 5)
    for _ in range(3):
        assert link(same, same, None, least=0.5) == [(n, n) for n in range(5)]


@pytest.mark.parametrize("least", [0, -0.1, 1.1, float("nan")])
def test_a_least_that_is_no_overlap_is_refused(least):
    with pytest.raises(ValueError, match="expected an IoU"):
        link(masks((0, 0)), masks((0, 0)), None, least=float(least))


def test_masks_of_two_sizes_are_refused():
    with pytest.raises(ValueError, match="expected one size"):
        link(masks((0, 0)), torch.zeros(1, 3, 3, dtype=torch.bool), None, least=0.5)


def test_tracks_keep_their_ids_whatever_the_order_of_masks():
    tracks = Tracks(least=0.5)
    assert tracks.add(masks((0, 0), (6, 10))) == [1, 2]
    assert tracks.add(masks((6, 11), (0, 1))) == [2, 1]
    assert tracks.add(masks((6, 7)), even_flow(-4, 0)) == [2]


def test_an_id_that_ended_is_never_given_again():
    tracks = Tracks(least=0.5)
    assert tracks.add(masks((0, 0))) == [1]
    assert tracks.add(masks()) == []
    assert tracks.add(masks((0, 0))) == [2]


def test_a_patient_track_waits_where_the_flow_takes_it():
    tracks = Tracks(least=0.5, patience=2)
    tracks.add(masks((0, 0)))
    assert tracks.add(masks(), even_flow(3, 0)) == tracks.add(masks(), even_flow(3, 0)) == []
    assert tracks.add(masks((0, 9)), even_flow(3, 0)) == [1]
    for _ in range(3):
        tracks.add(masks())
    assert tracks.add(masks((0, 9))) == [2]


def test_of_more_than_twenty_the_best_are_kept_and_later_ones_come_too_late():
    every = torch.zeros(25, 5, 25, dtype=torch.bool)
    every[torch.arange(25), :, torch.arange(25)] = True
    scores = [float(n % 5) for n in range(25)]
    tracks = Tracks(least=0.5)
    ids = tracks.add(every, scores=scores)
    assert sorted(ids) == [0] * 5 + list(range(1, MOST_IDS + 1))
    assert [n for n, name in enumerate(ids) if not name] == [0, 5, 10, 15, 20]
    assert ids[4] == 1  # the first of the highest score
    assert tracks.add(every[:0]) == []
    assert tracks.add(every, scores=scores) == [0] * 25


def test_an_empty_mask_takes_no_id_and_each_mask_needs_a_score():
    tracks = Tracks(least=0.5)
    assert tracks.add(torch.cat([torch.zeros(1, *SIZE, dtype=torch.bool), masks((0, 0))])) == [0, 1]
    with pytest.raises(ValueError, match="found 2 scores of 1 masks"):
        tracks.add(masks((0, 0)), scores=[1.0, 2.0])


def test_in_the_map_the_lowest_id_lies_on_top():
    drawn = id_map(masks((0, 0), (0, 2), (8, 8)), [2, 1, 0])
    assert (int((drawn == 1).sum()), int((drawn == 2).sum()), int(drawn[8:, 8:].sum())) == (16, 8, 0)
    assert id_map(masks(), []).sum() == 0
