"""Video, Prompts and Horizon: a method reads what has been reached and nothing later."""

import pytest
import torch

from harness.api.errors import CausalityError, ContractError
from harness.api.video import Horizon, Prompts, Track, Tracks, Video


def grey_video(length: int, horizon: Horizon | None = None) -> Video:
    def read(frame: int) -> torch.Tensor:
        return torch.full((4, 6, 3), frame, dtype=torch.uint8)

    return Video(name="video-000", length=length, height=4, width=6, read=read, horizon=horizon)


def test_a_video_knows_its_length_and_size():
    video = grey_video(5)
    assert (len(video), video.size, video.height, video.width) == (5, (4, 6), 4, 6)


def test_a_video_reads_lazily_and_only_what_was_asked_for():
    asked = []
    video = Video(name="v", length=9, height=1, width=1, read=asked.append)
    video[3], video[1]
    assert asked == [3, 1]


def test_iterating_gives_every_frame_once():
    assert [int(frame[0, 0, 0]) for frame in grey_video(4)] == [0, 1, 2, 3]


@pytest.mark.parametrize("frame", [-1, 5, 100])
def test_a_frame_outside_the_video_is_an_index_error(frame):
    with pytest.raises(IndexError, match=r"frames 0\.\.4"):
        grey_video(5)[frame]


@pytest.mark.parametrize("index", [slice(0, 2), "0", 1.0, (0, 1)])
def test_a_video_is_indexed_by_one_number(index):
    with pytest.raises(TypeError, match="one frame number"):
        grey_video(5)[index]


def test_reading_ahead_of_the_horizon_raises_and_says_what_to_declare():
    video = grey_video(5, Horizon(last=2))
    assert int(video[2][0, 0, 0]) == 2
    with pytest.raises(CausalityError) as refusal:
        video[3]
    assert "frame 3" in str(refusal.value)
    assert "up to 2" in str(refusal.value)
    assert "lookahead" in str(refusal.value)


def test_nothing_is_read_before_the_horizon_refuses():
    asked = []
    video = Video(name="v", length=9, height=1, width=1, read=asked.append, horizon=Horizon(last=0))
    with pytest.raises(CausalityError):
        video[1]
    assert asked == []


def test_iterating_stops_at_the_horizon_with_an_error_and_not_with_a_short_video():
    frames = iter(grey_video(5, Horizon(last=1)))
    assert [int(next(frames)[0, 0, 0]) for _ in range(2)] == [0, 1]
    with pytest.raises(CausalityError):
        next(frames)


def test_the_horizon_moves():
    horizon = Horizon(last=0)
    video = grey_video(3, horizon)
    horizon.last = 2
    assert int(video[2][0, 0, 0]) == 2


def test_reversing_an_online_video_is_refused():
    with pytest.raises(CausalityError):
        next(reversed(grey_video(3, Horizon(last=0))))


def test_a_causality_error_is_a_broken_contract_with_exit_code_4():
    assert issubclass(CausalityError, ContractError)
    assert CausalityError.exit_code == 4


def prompts_at_0_and_3(horizon: Horizon | None = None) -> Prompts:
    later, first = torch.tensor([[0, 5], [255, 2]]), torch.tensor([[0, 1], [1, 2]])
    return Prompts({3: later.to(torch.uint8), 0: first.to(torch.uint8)}, horizon=horizon)


def test_prompts_come_in_the_order_of_frames():
    assert list(prompts_at_0_and_3()) == [0, 3]


def test_ids_leave_out_background_and_void():
    assert prompts_at_0_and_3().ids == (1, 2, 5)


def test_ids_are_looked_for_once_a_prompt_and_not_where_they_are_known():
    class Counted(torch.Tensor):
        looked = 0

        def unique(self):
            Counted.looked += 1
            return super().unique()

    first, later = (torch.full((2, 2), id_, dtype=torch.uint8).as_subclass(Counted) for id_ in (3, 5))
    prompts = Prompts({0: first, 4: later}, ids={0: {0, 3, 255}})
    assert (prompts.ids, prompts.ids, Counted.looked) == ((3, 5), (3, 5), 1)


def test_a_later_prompt_is_invisible_until_its_frame_is_reached():
    horizon = Horizon(last=0)
    prompts = prompts_at_0_and_3(horizon)
    assert (list(prompts), len(prompts), prompts.ids, dict(prompts).keys()) == ([0], 1, (1, 2), {0})
    horizon.last = 3
    assert (list(prompts), len(prompts), prompts.ids) == ([0, 3], 2, (1, 2, 5))


@pytest.mark.parametrize("ask", [lambda p: p[3], lambda p: p.get(3), lambda p: 3 in p, lambda p: 2 in p])
def test_asking_for_a_prompt_ahead_of_the_horizon_is_refused(ask):
    with pytest.raises(CausalityError, match="prompt of frame"):
        ask(prompts_at_0_and_3(Horizon(last=1)))


def test_a_frame_without_prompt_is_a_key_error():
    with pytest.raises(KeyError):
        prompts_at_0_and_3()[1]


def test_changing_the_given_mapping_later_changes_no_prompts():
    masks = {0: torch.ones(1, 1, dtype=torch.uint8)}
    prompts = Prompts(masks)
    masks[1] = masks[0]
    assert list(prompts) == [0]


def test_tracks_are_counted_and_iterated():
    tracks = Tracks((Track(1, 0.9, [None]), Track(2, 0.1, [None])))
    assert (len(tracks), [track.category for track in tracks]) == (2, [1, 2])
