"""Connected parts of what moves keep their ids, at most twenty of them, and become tracks of one category."""

import torch

from harness_baselines.components import MovingComponents
from harness_baselines.config import ComponentConfig
from harness_baselines.motion import FlowWatch


def moving_at(places):
    """Flow of blocks, 8 rows high, that move down by 2: ``places(t)`` lists (row, column, width) of each in frame t."""

    def flow_of(first, second):
        flow = torch.zeros(2, 40, 40)
        for row, column, width in places(first):
            flow[1, row : row + 8, column : column + width] = 2.0
        return flow

    return flow_of


def method_of(known_flow, places, **constants):
    watch = FlowWatch(known_flow(moving_at(places)), "camera", "both")
    return MovingComponents(watch, ComponentConfig(**constants))


def instances(known_flow, video, places, **constants):
    return list(method_of(known_flow, places, **constants).segment_instances(video))


def test_parts_keep_their_ids_the_larger_the_first(known_flow, numbered_video):
    def places(t):
        return [(2 * t, 4, 3), (2 * t, 20, 6)]

    masks = instances(known_flow, numbered_video(3, (40, 40)), places)

    assert [int(mask[2 * t, 4]) for t, mask in enumerate(masks)] == [2, 2, 2]
    assert [int(mask[2 * t, 20]) for t, mask in enumerate(masks)] == [1, 1, 1]
    assert [int((mask > 0).sum()) for mask in masks] == [8 * 9] * 3


def test_parts_are_linked_along_the_flow(known_flow, numbered_video):
    """Where it was, a block overlaps itself by 6 of 10 rows; along the flow by 6 of 8: two are the ground's as well."""

    def places(t):
        return [(2 * t, 4, 3)]

    video = numbered_video(2, (40, 40))

    assert [int(mask.max()) for mask in instances(known_flow, video, places, least_overlap=0.7)] == [1, 1]
    assert [int(mask.max()) for mask in instances(known_flow, video, places, least_overlap=0.8)] == [1, 2]


def test_an_id_is_never_given_twice(known_flow, numbered_video):
    """What comes back after its patience is another track."""

    def places(t):
        return [(10, 10, 4)] if t in (0, 4) else []

    masks = instances(known_flow, numbered_video(5, (40, 40)), places, patience=0)

    assert [int(mask.max()) for mask in masks] == [1, 0, 0, 0, 2]


def test_a_track_that_is_out_of_sight_for_a_while_goes_on(known_flow, numbered_video):
    def places(t):
        return [(8 + 2 * t // 2, 10, 4)] if t in (0, 2) else []

    masks = instances(known_flow, numbered_video(3, (40, 40)), places, patience=2)

    assert [int(mask.max()) for mask in masks] == [1, 0, 1]


def test_there_are_at_most_twenty_tracks(known_flow, numbered_video):
    """28 parts in each frame, all elsewhere in the second: the first twenty take all ids."""

    def places(t):
        return [(10 * row + t, 5 * column + 2 * t, 2) for row in range(4) for column in range(7)]

    masks = instances(known_flow, numbered_video(2, (40, 40)), places, least_overlap=1.0)

    assert masks[0].unique().tolist() == list(range(21))
    assert not masks[1].any()


def test_a_still_video_and_one_frame_have_no_tracks(known_flow, numbered_video):
    for length in (1, 3):
        method = method_of(known_flow, lambda t: [])
        assert not any(mask.any() for mask in method.segment_instances(numbered_video(length, (40, 40))))
        assert len(method.segment_tracks(numbered_video(length, (40, 40)))) == 0


def test_tracks_are_the_instances_with_one_category_and_the_share_they_cover(known_flow, numbered_video):
    def places(t):
        return [(20 + 2 * t, 30, 6)] + ([(2, 10, 4)] if t == 1 else [])

    method = method_of(known_flow, places)
    masks = list(method.segment_instances(numbered_video(2, (40, 40))))
    tracks = list(method.segment_tracks(numbered_video(2, (40, 40))))

    assert [track.category for track in tracks] == [1, 1]
    assert [track.score for track in tracks] == [2 * 48 / 3200, 32 / 3200]
    for name, track in enumerate(tracks, 1):
        shown = [(mask == name) for mask in masks]
        assert [code is not None for code in track.masks] == [bool(mask.any()) for mask in shown]
        assert all((code.decode() == mask.numpy()).all() for code, mask in zip(track.masks, shown, strict=True) if code)
