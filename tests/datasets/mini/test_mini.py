"""`mini` is the same everywhere, its masks and flow are exact, and its stories happen as they are named."""

from __future__ import annotations

import hashlib
import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from harness.api.errors import DataError
from harness.datasets import mini
from harness.datasets.mini import MINI, SMALL, TRAIN, MiniVideo, harness_benchmarks
from harness.datasets.mini import textures as mini_textures
from harness.datasets.mini.motion import Curve, invert, product, turn_about
from harness.datasets.mini.picture import picture
from harness.datasets.mini.scene import Scene, soft_edge
from harness.datasets.mini.stories import KINDS, tell

BENCHMARKS = {benchmark.name: benchmark for benchmark in harness_benchmarks()}
SMALL_SAMPLES = [pytest.param(video.sample(), id=video.name) for video in SMALL]


def video_named(name: str) -> MiniVideo:
    return next(video for video in SMALL if video.name == name)


def areas(video: MiniVideo, object_id: int) -> list[int]:
    sample = video.sample()
    return [int((sample.read_truth(frame) == object_id).sum()) for frame in range(sample.length)]


def test_no_benchmark_needs_a_folder_and_three_score_four_tasks():
    assert list(BENCHMARKS) == ["mini", "mini-small", "mini-train", "mini-frames"]
    assert BENCHMARKS["mini-frames"].tasks == ("vis",)
    for benchmark in BENCHMARKS.values():
        assert not benchmark.needs_root
        if benchmark.name != "mini-frames":
            assert benchmark.tasks == ("one-shot", "instance-zvos", "object-zvos", "vis")
            assert benchmark.rules["object-zvos"].objects == "single"
        assert tuple(sample.name for sample in benchmark.open(None, False)) == benchmark.expected


def test_true_tracks_are_the_masks_of_the_objects_with_their_kinds():
    video = video_named("small-return")
    sample = video.sample()
    tracks = sample.extra["tracks"]
    names = [sample.extra["category_names"][track["category_id"]] for track in tracks]
    assert names == ["biped", "bird", "cart"]
    for track in tracks:
        assert track["areas"] == [area or None for area in areas(video, track["id"])]
        for frame in (0, 11):
            assert np.array_equal(track["segmentations"][frame].decode(), sample.read_truth(frame) == track["id"])


def test_a_perfect_answer_has_an_ap_of_one_and_a_wrong_category_none():
    from harness.api.video import Track, Tracks
    from harness.metrics.precision.track_ap import TrackAP

    sample = video_named("small-cross").sample()
    metric, rule = TrackAP(), BENCHMARKS["mini-small"].rules["vis"]
    for category, ap in ((mini.CATEGORIES.index("quadruped") + 1, 1.0), (mini.CATEGORIES.index("fish") + 1, 0.0)):
        answer = Tracks([Track(category, 0.9, true["segmentations"]) for true in sample.extra["tracks"]])
        assert metric.summarise([metric.measure(sample, answer, rule)], rule)["AP"] == pytest.approx(ap)


def test_every_kind_of_body_is_a_category():
    assert set(mini.CATEGORIES) == set(KINDS)


def test_counting_true_tracks_makes_no_mask(monkeypatch):
    monkeypatch.setattr(mini, "_ids", None)
    assert [
        len(MiniVideo("x", story, "count", 9, 60, 107).sample().extra["tracks"]) for story in ("cross", "crowd")
    ] == [2, 4]


def test_training_videos_share_no_seed_with_the_benchmarks():
    assert len(TRAIN) >= 50
    assert not {(video.story, video.seed) for video in TRAIN} & {(video.story, video.seed) for video in MINI + SMALL}


@pytest.mark.parametrize("video", MINI, ids=lambda video: video.name)
def test_full_size_is_480p_with_all_objects_in_the_first_frame(video):
    sample = video.sample()
    truth = sample.read_truth(0)
    assert truth.shape == (480, 854)
    assert 30 <= sample.length <= 40
    ids = np.unique(truth)
    assert ids.tolist() == list(range(ids.size))
    assert 2 <= ids.max() <= 4
    assert np.bincount(truth.ravel()).min() > 1000


@pytest.mark.parametrize("sample", SMALL_SAMPLES)
def test_frames_and_masks_are_as_declared(sample):
    ids = set(np.unique(sample.read_truth(0)).tolist())
    assert ids in ({0, 1, 2}, {0, 1, 2, 3}, {0, 1, 2, 3, 4})
    for frame in range(sample.length):
        picture, truth = sample.read_frame(frame), sample.read_truth(frame)
        assert picture.shape == (sample.height, sample.width, 3)
        assert truth.shape == (sample.height, sample.width)
        assert picture.dtype == truth.dtype == np.uint8
        assert set(np.unique(truth).tolist()) <= ids
    assert len(sample.frame_names) == sample.length
    assert np.array_equal(sample.read_prompt(0), sample.read_truth(0))


@pytest.mark.parametrize("video", TRAIN, ids=lambda video: video.name)
def test_every_object_of_a_training_video_is_in_its_first_frame(video):
    scene = tell(video.story, video.seed, video.length, (60, 107))
    found = np.bincount(scene.ids(0).ravel(), minlength=5)
    for actor in scene.actors:
        if actor.id:
            assert found[actor.id] >= 30, f"object {actor.id} is hidden"


def test_frames_read_in_any_order_are_the_same():
    video = video_named("small-crowd")
    in_order = [video.sample().read_frame(frame) for frame in range(12)]
    mini._picture.cache_clear()
    mini._scene.cache_clear()
    for frame in (11, 3, 7, 0):
        assert np.array_equal(video.sample().read_frame(frame), in_order[frame])


def test_another_process_makes_the_same_bytes():
    video = video_named("small-deform")
    script = (
        "import hashlib; from harness.datasets.mini import SMALL, read_frame, read_truth, read_flow;"
        "v = next(v for v in SMALL if v.name == 'small-deform');"
        "print(hashlib.sha256(read_frame(v, 5).tobytes() + read_truth(v, 5).tobytes()"
        " + read_flow(v, 5).tobytes()).hexdigest())"
    )
    elsewhere = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.strip()
    sample = video.sample()
    here = sample.read_frame(5).tobytes() + sample.read_truth(5).tobytes() + sample.read_flow(5).tobytes()
    assert elsewhere == hashlib.sha256(here).hexdigest()


def test_the_bytes_are_those_of_this_version_of_the_generator():
    """Plain IEEE arithmetic only: the same on every machine. Who changes a pixel changes mini.GENERATOR too."""
    frames, truths, flows = hashlib.sha256(), hashlib.sha256(), hashlib.sha256()
    for video in SMALL:
        sample = video.sample()
        for frame in (0, 10, 20):
            frames.update(sample.read_frame(frame).tobytes())
            truths.update(sample.read_truth(frame).tobytes())
            flows.update(sample.read_flow(frame).astype("<f4").tobytes())
    found = mini.GENERATOR, truths.hexdigest()[:16], flows.hexdigest()[:16], frames.hexdigest()[:16]
    assert found == ("mini/1", "fee53fc7549d70dc", "afaa089dbe4bc31e", "ef63f658223a995e")


def test_a_video_and_its_readers_can_be_sent_to_another_process():
    sample = SMALL[0].sample()
    again = pickle.loads(pickle.dumps(sample))
    assert np.array_equal(again.read_frame(2), sample.read_frame(2))


def test_what_is_read_belongs_to_the_caller():
    sample = SMALL[0].sample()
    sample.read_frame(1)[:] = 0
    sample.read_truth(1)[:] = 9
    assert sample.read_frame(1).any()
    assert sample.read_truth(1).max() < 9


def coverage(scene: Scene, frame: int) -> dict[int, np.ndarray]:
    """Object id (0: scenery) -> share of each pixel seen of it, with the soft edges the picture is painted with."""
    placed = scene.place_all(frame)
    found = {actor.id: np.zeros(scene.size) for actor in scene.actors}
    for one in (placed[i] for i in scene.back_to_front(frame)):
        share = np.zeros(scene.size)
        for part in range(len(one.poses)):
            if box := one.box(part):
                edge = soft_edge(one.outline(part, box, np.float64)[2].distance, one.scale)
                share[box] = np.maximum(share[box], edge)
        for object_id in found:
            found[object_id] = found[object_id] * (1 - share) + share * (object_id == one.actor.id)
    return found


@pytest.mark.parametrize("video", SMALL, ids=lambda video: video.name)
@pytest.mark.parametrize("frame", [0, 9])
def test_masks_are_where_more_than_half_a_pixel_is_covered(video, frame):
    """Under the soft edges of two objects both may show less than half; everywhere else the mask is the alpha."""
    scene = mini._scene(video)
    truth, shares = scene.ids(frame), coverage(scene, frame)
    soft = 0
    for object_id, share in shares.items():
        alone = sum((other > 0).astype(int) for other in shares.values()) <= 1
        assert (
            np.array_equal((truth == object_id)[alone & (share > 0)], (share > 0.5)[alone & (share > 0)])
            or not object_id
        )
        soft += int((alone & (share > 0) & (share < 1)).sum())
    assert soft > 300
    assert not truth[sum(shares.values()) == 0].any()


@pytest.mark.parametrize("video", SMALL, ids=lambda video: video.name)
def test_a_part_lies_wholly_in_its_box(video):
    scene = mini._scene(video)
    everything = (slice(0, video.height), slice(0, video.width))
    for frame in (0, 11):
        for placed in scene.place_all(frame):
            for part in range(len(placed.poses)):
                inside = placed.outline(part, everything, np.float64)[2].distance < 0
                if box := placed.box(part):
                    inside[box] = False
                assert not inside.any()


@pytest.mark.parametrize("kind", KINDS)
def test_rest_and_picture_are_exact_inverses(kind):
    video = MiniVideo("x", "free", "inverse", 10, 60, 107)
    scene = tell(video.story, video.seed, video.length, (60, 107))
    from random import Random

    actor = replace(scene.actors[0], body=KINDS[kind](Random(3)))
    placed = scene.place(actor, scene.view(4), 4)
    x, y = np.array([-0.3, 0.1, 0.4]), np.array([-0.9, -0.5, -0.1])
    for part in range(len(placed.poses)):
        back = placed.at_rest(part, *placed.find_in_picture(part, x, y))
        np.testing.assert_allclose(back, (x, y), atol=1e-9)


def carry(sample, frame: int) -> tuple[np.ndarray, np.ndarray]:
    """Where flow lands on the next frame's pixel grid: the ids here, the ids there."""
    flow, here, there = sample.read_flow(frame), sample.read_truth(frame), sample.read_truth(frame + 1)
    rows, columns = np.mgrid[: sample.height, : sample.width]
    x, y = np.rint(columns + flow[..., 0]).astype(int), np.rint(rows + flow[..., 1]).astype(int)
    inside = (x >= 0) & (x < sample.width) & (y >= 0) & (y < sample.height)
    return here[inside], there[y[inside], x[inside]]


@pytest.mark.parametrize("sample", SMALL_SAMPLES)
def test_flow_carries_ids_to_the_next_frame_but_for_what_gets_covered(sample):
    for frame in range(0, sample.length - 1, 4):
        here, there = carry(sample, frame)
        assert (here == there).mean() > 0.94


def test_flow_alone_explains_an_unoccluded_object():
    """The soft body of `small-deform` is the nearest thing: flow loses only its outline pixels, by rounding."""
    sample = video_named("small-deform").sample()
    for frame in (2, 8, 15):
        here, there = carry(sample, frame)
        assert (there[here == 1] == 1).mean() > 0.93


def test_flow_explains_the_picture_better_than_no_motion():
    sample = MiniVideo("x", "cross", "flow", 36, 240, 427).sample()
    flow, now, then = sample.read_flow(10), sample.read_frame(10).astype(float), sample.read_frame(11).astype(float)
    rows, columns = np.mgrid[:240, :427]
    x = np.clip(np.rint(columns + flow[..., 0]), 0, 426).astype(int)
    y = np.clip(np.rint(rows + flow[..., 1]), 0, 239).astype(int)
    assert np.abs(then[y, x] - now).mean() < 0.75 * np.abs(then - now).mean()


def test_flow_is_not_defined_after_the_last_frame():
    sample = SMALL[0].sample()
    with pytest.raises(IndexError, match="no flow"):
        sample.read_flow(sample.length - 1)
    with pytest.raises(IndexError, match="frames 0"):
        sample.read_frame(sample.length)


@pytest.mark.parametrize("object_id", [1, 2])
def test_two_objects_leave_and_return(object_id):
    present = [area > 0 for area in areas(video_named("small-return"), object_id)]
    gone = [frame for frame, seen in enumerate(present) if not seen]
    assert len(gone) >= 2
    assert all(present[: gone[0]])
    assert all(present[gone[-1] + 1 :])
    assert gone == list(range(gone[0], gone[-1] + 1))
    assert gone[-1] < len(present) - 4


def test_crossing_look_alikes_change_sides_and_hide_each_other():
    video = video_named("small-cross")
    first, last = (video.sample().read_truth(frame) for frame in (0, video.length - 1))

    def side(truth: np.ndarray, object_id: int) -> float:
        return float(np.nonzero(truth == object_id)[1].mean())

    assert side(first, 1) < side(first, 2)
    assert side(last, 1) > side(last, 2)
    hidden = areas(video, 2)
    assert min(hidden) < 0.6 * hidden[0]


def test_an_obstacle_hides_nearly_all_of_someone_in_the_crowd():
    shares = [min(seen) / max(seen) for seen in (areas(video_named("small-crowd"), i) for i in (1, 2, 3, 4))]
    assert min(shares) < 0.2


def test_a_deforming_outline_changes_more_than_a_walking_one():
    """How little an object's mask overlaps itself three frames later when both are laid on their centres."""

    def change(name: str, object_id: int) -> float:
        video, lost = video_named(name), []
        for frame in range(0, 9):
            shapes = []
            for moment in (frame, frame + 3):
                rows, columns = np.nonzero(video.sample().read_truth(moment) == object_id)
                middle = round(float(rows.mean())), round(float(columns.mean()))
                shapes.append(set(zip((rows - middle[0]).tolist(), (columns - middle[1]).tolist(), strict=True)))
            lost.append(1 - len(shapes[0] & shapes[1]) / len(shapes[0] | shapes[1]))
        return sum(lost) / len(lost)

    assert change("small-deform", 1) > 1.3 * change("small-cross", 1)


def test_the_picture_moves_everywhere_and_has_noise():
    sample = SMALL[2].sample()
    first, second = sample.read_frame(0).astype(int), sample.read_frame(1).astype(int)
    assert (first != second).any(axis=2).mean() > 0.8


def test_each_frame_has_sensor_noise_of_its_own():
    scene = replace(tell("cross", "noise", 10, (60, 107)), noise=2.0)
    silent = replace(scene, noise=0.0)
    noise = [picture(scene, frame).astype(float) - picture(silent, frame) for frame in (1, 2)]
    for one in noise:
        assert abs(one.mean()) < 0.1
        assert 1.8 < one.std() < 2.3  # 2, and what rounding adds
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.03


def test_the_digest_follows_every_parameter_and_the_generator(monkeypatch):
    video = SMALL[0]
    changed = [replace(video, **{name: value}) for name, value in (("seed", "1"), ("length", 9), ("width", 200))]
    digests = {video.sample().digest(), *(other.sample().digest() for other in changed)}
    monkeypatch.setattr(mini, "GENERATOR", "mini/other")
    digests.add(video.sample().digest())
    assert len(digests) == 5
    assert all(len(digest) == 64 for digest in digests)


def test_the_photographs_are_the_ones_named():
    for name in mini_textures.PHOTOGRAPHS:
        assert mini_textures.photograph(name).ndim == 3


def test_a_missing_or_changed_photograph_is_named(monkeypatch, tmp_path):
    mini_textures.photograph.cache_clear()
    monkeypatch.setattr(mini_textures, "photograph_folder", lambda: tmp_path)
    with pytest.raises(DataError, match=r"grass\.png is missing"):
        mini_textures.photograph("grass.png")
    (tmp_path / "grass.png").write_bytes(b"another lawn")
    with pytest.raises(DataError, match="expected b6b60224"):
        mini_textures.photograph("grass.png")


def test_curves_pass_their_knots_and_do_not_overshoot():
    curve = Curve(((0.0, 0.0), (0.5, 2.0), (1.0, 1.0)))
    values = [curve(i / 100) for i in range(101)]
    assert (values[0], values[50], values[100]) == (0.0, 2.0, 1.0)
    assert max(values) == 2.0
    assert curve(-1.0) == 0.0
    assert curve(2.0) == 1.0


def test_a_map_times_its_inverse_is_the_identity():
    turn = turn_about(0.1, 2.0, -1.0)
    np.testing.assert_allclose(product(turn, invert(turn)), np.eye(3), atol=1e-9)


def test_importing_the_benchmark_imports_nothing_heavy():
    script = (
        "import sys, harness.datasets.mini;"
        "print(sorted(m for m in ('numpy', 'torch', 'cv2', 'skimage', 'PIL') if m in sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()
    assert found == "[]"


def test_making_a_frame_imports_no_torch_and_no_network_client():
    script = (
        "import sys; from harness.datasets.mini import SMALL, read_frame; read_frame(SMALL[0], 0);"
        "print(sorted(m for m in ('torch', 'cv2', 'skimage', 'pooch', 'requests') if m in sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()
    assert found == "[]"
