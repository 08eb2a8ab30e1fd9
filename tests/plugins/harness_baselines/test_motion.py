"""What moves against the camera: which frames are looked at, what is taken away, and what stays when nothing moves."""

import pytest
import torch

from harness.api.errors import UsageError
from harness.api.video import Horizon, Video
from harness.models.flow import flow_provider
from harness_baselines.config import FlowConfig, OnlineFlowConfig
from harness_baselines.motion import FlowThreshold, FlowWatch, build, remove

ALL = torch.ones(8, 8, dtype=torch.uint8)


def still(first, second):
    return torch.zeros(2, 8, 8)


def panning(first, second):
    return torch.full((2, 8, 8), 3.0 * (second - first))


def one_pixel(first, second):
    flow = panning(first, second)
    flow[:, 2, 5] += 5
    return flow


def masks_of(flow_of, known_flow, video, less="camera", ways="both"):
    return list(FlowThreshold(FlowWatch(known_flow(flow_of), less, ways)).segment_object(video))


@pytest.mark.parametrize("less", ["camera", "median", "none"])
@pytest.mark.parametrize("ways", ["both", "forward", "backward"])
@pytest.mark.parametrize(("length", "flow_of"), [(1, panning), (4, still)])
def test_one_frame_and_a_still_video_have_nothing_that_moves(known_flow, numbered_video, less, ways, length, flow_of):
    masks = masks_of(flow_of, known_flow, numbered_video(length), less, ways)

    assert [mask.tolist() for mask in masks] == [[[0] * 8] * 8] * length


@pytest.mark.parametrize("less", ["camera", "median"])
def test_a_camera_that_moves_is_no_object(known_flow, numbered_video, less):
    assert not any(mask.any() for mask in masks_of(panning, known_flow, numbered_video(3), less))


def test_everything_moves_where_the_camera_is_not_taken_away(known_flow, numbered_video):
    masks = masks_of(panning, known_flow, numbered_video(3), "none")

    assert all(torch.equal(mask, ALL) for mask in masks)


@pytest.mark.parametrize("ways", ["both", "forward"])
def test_one_pixel_that_moves_by_itself_is_the_object(known_flow, numbered_video, ways):
    for mask in masks_of(one_pixel, known_flow, numbered_video(3), ways=ways):
        assert mask.nonzero().tolist() == [[2, 5]]


def test_what_moves_in_one_direction_of_time_alone_is_not_the_object(known_flow, numbered_video):
    """A pixel that is wrong in the flow ahead alone: an uncovered background."""

    def ahead_alone(first, second):
        return one_pixel(first, second) if second > first else panning(first, second)

    assert not masks_of(ahead_alone, known_flow, numbered_video(3))[1].any()
    assert masks_of(ahead_alone, known_flow, numbered_video(3), ways="forward")[1].any()


@pytest.mark.parametrize(
    ("ways", "asked"),
    [
        ("both", [(0, 1), (1, 2), (1, 0), (2, 1)]),
        ("forward", [(0, 1), (1, 2), (2, 1)]),
        ("backward", [(1, 0), (2, 1)]),
    ],
)
def test_each_way_asks_for_its_flows_and_every_frame_is_read_once(known_flow, numbered_video, ways, asked):
    provider, video = known_flow(still), numbered_video(3)
    list(FlowWatch(provider, "camera", ways).views(video))

    assert provider.asked == asked
    assert video.reads == [0, 1, 2]


def test_the_online_form_never_reads_ahead_and_begins_with_nothing(known_flow):
    horizon = Horizon(0)
    frames = torch.arange(3, dtype=torch.uint8)[:, None, None, None].expand(3, 8, 8, 3)
    video = Video(name="v", length=3, height=8, width=8, read=lambda t: frames[t], horizon=horizon)
    found = []
    for mask in FlowThreshold(FlowWatch(known_flow(one_pixel), "camera", "backward")).segment_object(video):
        found.append(mask.nonzero().tolist())
        horizon.last += 1

    assert found == [[], [[2, 5]], [[2, 5]]]


def test_the_median_is_taken_from_both_parts_of_the_flow():
    flow = torch.tensor([[[1.0, 1.0, 5.0]], [[2.0, 2.0, 2.0]]])

    assert remove(flow, "median").tolist() == [[[0, 0, 4]], [[0, 0, 0]]]
    assert remove(flow, "none") is flow


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1)])
@pytest.mark.parametrize("less", ["camera", "median", "none"])
def test_frames_of_one_row_or_column_have_masks(shown, size, less):
    frames = list(torch.randint(0, 256, (3, *size, 3), generator=torch.Generator().manual_seed(0)).to(torch.uint8))
    watch = FlowWatch(flow_provider("dis"), less, "both")

    assert all(view.motion.isfinite().all() for view in watch.views(shown(frames)))
    assert [mask.shape for mask in FlowThreshold(watch).segment_object(shown(frames))] == [size] * 3


def test_a_square_that_moves_over_a_picture_is_found(shown):
    """By real flow: 12 pixels a side, 2 pixels a frame, the ground stands still."""
    noise = torch.rand(2, 1, 68, 68, generator=torch.Generator().manual_seed(0))
    ground, skin = (255 * torch.nn.functional.avg_pool2d(noise, 5, stride=1)[:, 0, :, :, None]).byte()
    frames = []
    for t in range(3):
        frame = ground.expand(-1, -1, 3).clone()
        frame[20:36, 20 + 2 * t : 36 + 2 * t] = skin[:16, :16]
        frames.append(frame)
    mask = list(build_default().segment_object(shown(frames)))[1]
    truth = torch.zeros(64, 64, dtype=torch.bool)
    truth[20:36, 22:38] = True

    assert (mask.bool() & truth).sum() > 0.7 * (mask.bool() | truth).sum()


def build_default():
    return FlowThreshold(FlowWatch(flow_provider("dis"), "camera", "both"))


def test_the_card_decides_what_may_be_looked_at(context):
    assert build(context(FlowConfig(), flow="dis")).watch.ways == "both"
    assert build(context(FlowConfig(ways="forward"), flow="dis")).watch.ways == "forward"
    assert build(context(OnlineFlowConfig(), flow="dis")).watch.ways == "backward"


def test_the_datasets_own_flow_and_none_at_all_are_refused(context):
    with pytest.raises(UsageError, match="never the dataset's own flow"):
        build(context(FlowConfig(flow="truth-flow"), flow="truth-flow"))
    with pytest.raises(UsageError, match="found no flow provider"):
        build(context(FlowConfig(flow="")))
