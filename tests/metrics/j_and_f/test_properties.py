"""What must hold for every mask: bounds, symmetries, independence of videos, and that fast equals plain."""

import dataclasses

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_dilation

from harness.api.contracts import DAVIS_2017, DAVIS_2017_UNSUPERVISED, VOS_BENCHMARK_ALL_FRAMES
from harness.api.mask_runs import MaskRuns
from harness.api.records import VideoScores
from harness.api.video import Sample
from harness.metrics.j_and_f import JAndF, compiled_counter, pair_counts
from harness.metrics.j_and_f.compiled_counter import CompiledCounter
from harness.metrics.j_and_f.pair_counts import PlainCounter, Slots

ALL_FRAMES = dataclasses.replace(DAVIS_2017, frames="all")
TOP_ID = 3
quick = settings(deadline=None, max_examples=40)


@st.composite
def label_maps(draw, *, count=2, top=TOP_ID, low=1, high=40, margin=0):
    """``count`` id maps of one size: noise or blocks, ids 0..top, with a background margin where asked."""
    height, width = draw(st.integers(low, high)), draw(st.integers(low, 2 * high))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    maps = []
    for _ in range(count):
        block = draw(st.sampled_from([1, 2, 5, 11]))
        coarse = rng.integers(0, top + 1, (height // block + 1, width // block + 1), np.uint8)
        fine = np.kron(coarse, np.ones((block, block), np.uint8))[:height, :width]
        maps.append(np.pad(fine, margin))
    return maps


def sample_of(length, read_truth) -> Sample:
    """A sample of which only the name, the length and the truth matter."""
    return Sample(
        name="toy",
        length=length,
        height=1,
        width=1,
        frame_names=(),
        read_frame=lambda t: np.zeros((1, 1, 3), np.uint8),
        read_truth=read_truth,
        digest=lambda: "0" * 64,
    )


def with_first_truth(predictions, truths) -> VideoScores:
    """Measure all frames with ids 1..TOP_ID, whatever the first truth holds."""
    first = np.full_like(truths[0], TOP_ID)
    sample = sample_of(len(truths) + 1, lambda t: first if t == 0 else None)
    measurement = JAndF().start(sample, ALL_FRAMES)
    for frame, (prediction, truth) in enumerate(zip(predictions, truths, strict=True), 1):
        measurement.add(frame, prediction, truth)
    return measurement.finish()


def figures_of(prediction, truth):
    """(J, F) of objects 1..TOP_ID of one frame."""
    scores = with_first_truth([prediction], [truth])
    return [(scores.series["J"][str(id_)][0], scores.series["F"][str(id_)][0]) for id_ in range(1, TOP_ID + 1)]


def plain_boundary(mask):
    """A pixel is boundary when it differs from the one right, below or below right; last row and column doubled."""
    padded = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    return (mask != padded[:-1, 1:]) | (mask != padded[1:, :-1]) | (mask != padded[1:, 1:])


def plain_figures(prediction, truth):
    """J and F of two boolean masks, word for word from docs/metrics.md."""
    union = np.sum(prediction | truth)
    J = 1.0 if union == 0 else np.sum(prediction & truth) / union
    radius = int(np.ceil(0.008 * np.sqrt(truth.shape[0] ** 2 + truth.shape[1] ** 2)))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    near = x**2 + y**2 <= radius**2
    predicted, true = plain_boundary(prediction), plain_boundary(truth)
    if not predicted.any() or not true.any():
        return J, float(predicted.any() == true.any())
    precision = np.sum(predicted & binary_dilation(true, near)) / np.sum(predicted)
    recall = np.sum(true & binary_dilation(predicted, near)) / np.sum(true)
    return J, 0.0 if precision + recall == 0 else 2 * precision * recall / (precision + recall)


@quick
@given(label_maps())
def test_figures_equal_the_plain_definition(maps):
    prediction, truth = maps
    expected = [plain_figures(prediction == id_, truth == id_) for id_ in range(1, TOP_ID + 1)]
    np.testing.assert_allclose(figures_of(prediction, truth), expected, rtol=0, atol=1e-15)


@settings(deadline=None, max_examples=10)
@given(label_maps(low=90, high=330))
def test_figures_equal_the_plain_definition_at_larger_radii(maps):
    prediction, truth = maps
    expected = [plain_figures(prediction == id_, truth == id_) for id_ in range(1, TOP_ID + 1)]
    np.testing.assert_allclose(figures_of(prediction, truth), expected, rtol=0, atol=1e-15)


def check_counts(prediction, truth, slots, *, crossed, compiled=None):
    """The compiled form, this one or a new one, counts as the plain one does."""
    runs = MaskRuns.of(prediction), MaskRuns.of(truth)
    found = (compiled or CompiledCounter()).count_pairs(*runs, slots, crossed=crossed)
    np.testing.assert_array_equal(found, PlainCounter().count_pairs(*runs, slots, crossed=crossed))


def identity_slots(count):
    slots = np.arange(256, dtype=np.uint8)
    slots[count + 1 :] = 0
    return slots


@quick
@given(label_maps(count=4, top=7), st.integers(0, 7), st.integers(0, 7), st.booleans())
def test_compiled_counts_equal_plain_counts_and_leave_nothing_behind(maps, proposals, objects, crossed):
    proposals = proposals if crossed else objects
    slots = Slots(identity_slots(proposals), identity_slots(objects), proposals, objects)
    compiled = CompiledCounter()
    for pair in (maps[:2], maps[2:], maps[:2]):
        check_counts(*pair, slots, crossed=crossed, compiled=compiled)


@quick
@given(label_maps(top=7), st.permutations(range(1, 8)), st.integers(1, 7))
def test_compiled_counts_equal_plain_counts_where_ids_share_slots(maps, numbers, count):
    table = np.zeros(256, np.uint8)
    table[1:8] = [number if number <= count else number % 2 for number in numbers]
    slots = Slots(table, table, count, count)
    check_counts(*maps, slots, crossed=False)


@pytest.mark.parametrize(
    ("height", "width", "objects"),
    [(64, 96, 255), (3, 7872, 2), (2, 8200, 2)],
    ids=["every id", "the largest radius, 63", "radius 66, done plainly"],
)
def test_compiled_counts_equal_plain_counts_at_the_limits(height, width, objects):
    maps = np.random.default_rng(0).integers(0, objects + 1, (2, height, width), np.uint8)
    maps[..., 90:-90] = 0
    maps[0, :, 90:] = 0
    slots = Slots(identity_slots(objects), identity_slots(objects), objects, objects)
    check_counts(*maps, slots, crossed=False)


OF_480_TO_2160_LINES = (8, 9, 12, 18, 24, 36)
EVERY_RADIUS = [
    pytest.param(radius, marks=() if radius in OF_480_TO_2160_LINES else pytest.mark.slow) for radius in range(1, 64)
]


@pytest.mark.parametrize("radius", EVERY_RADIUS)
def test_a_boundary_at_any_edge_grows_without_a_gap(radius, monkeypatch):
    for module in (compiled_counter, pair_counts):
        monkeypatch.setattr(module, "boundary_radius", lambda height, width: radius)
    height, width = 2 * radius + 9, 128 + 2 * radius
    truth = np.ones((height, width), np.uint8)
    truth[::3] = 2  # boundaries everywhere: each row and column that was grown into counts
    slots = Slots(identity_slots(2), identity_slots(2), 2, 2)
    for y in (0, height // 2, height - 1):
        for x in (0, 1, 62, 63, 64, 65, width - 2, width - 1):
            prediction = np.zeros((height, width), np.uint8)
            prediction[y, x] = 1
            check_counts(prediction, truth, slots, crossed=True)


def test_one_counter_serves_frames_of_changing_size_and_number_of_objects():
    rng, compiled = np.random.default_rng(1), CompiledCounter()
    for shape, count in (((9, 130), 3), ((9, 130), 5), ((130, 9), 5), ((130, 9), 1), ((9, 130), 3)):
        maps = rng.integers(0, 7, (2, *shape), np.uint8)
        slots = Slots(identity_slots(count), identity_slots(count), count, count)
        check_counts(*maps, slots, crossed=True, compiled=compiled)


@quick
@given(label_maps())
def test_figures_are_fractions_and_the_same_masks_score_one(maps):
    prediction, truth = maps
    assert all(0 <= value <= 1 for pair in figures_of(prediction, truth) for value in pair)
    assert figures_of(truth, truth) == [(1.0, 1.0)] * TOP_ID


@quick
@given(label_maps())
def test_prediction_and_truth_can_change_places(maps):
    prediction, truth = maps
    np.testing.assert_allclose(figures_of(prediction, truth), figures_of(truth, prediction), rtol=0, atol=1e-15)


@quick
@given(label_maps(), st.permutations(range(1, TOP_ID + 1)))
def test_permuting_ids_permutes_the_figures(maps, numbers):
    table = np.array([0, *numbers], np.uint8)
    before, after = figures_of(*maps), figures_of(*(table[masks] for masks in maps))
    assert [after[number - 1] for number in numbers] == before


@quick
@given(label_maps(count=4), st.permutations(range(1, TOP_ID + 1)))
def test_permuting_proposals_changes_no_unsupervised_figure(maps, numbers):
    table = np.array([0, *numbers], np.uint8)
    predictions, truths = maps[:2], maps[2:]
    # The highest id says how many proposals there are, and one more empty one may fit an empty object.
    assume(np.max(predictions) == table[np.array(predictions)].max())

    def overall(masks):
        sample = sample_of(2, lambda t: truths[t])
        measurement = JAndF().start(sample, DAVIS_2017_UNSUPERVISED)
        for frame in range(2):
            measurement.add(frame, masks[frame], truths[frame])
        return JAndF().summarise([measurement.finish()], DAVIS_2017_UNSUPERVISED)["J&F"]

    permuted = overall([table[masks] for masks in predictions])
    assert overall(predictions) == pytest.approx(permuted, abs=1e-12, nan_ok=True)


@quick
@given(label_maps())
def test_transposing_changes_nothing(maps):
    assert figures_of(*(masks.T for masks in maps)) == figures_of(*maps)


@quick
@given(label_maps(), st.sampled_from([0, 1, (0, 1)]))
def test_flipping_never_changes_J(maps, axis):
    flipped = figures_of(*(np.flip(masks, axis) for masks in maps))
    assert [J for J, _ in flipped] == [J for J, _ in figures_of(*maps)]


@quick
@given(label_maps(margin=1), st.sampled_from([0, 1, (0, 1)]))
def test_flipping_changes_F_only_for_objects_at_the_image_frame(maps, axis):
    assert figures_of(*(np.flip(masks, axis) for masks in maps)) == figures_of(*maps)


def test_an_object_at_the_image_frame_shows_that_F_is_not_flip_invariant():
    truth = np.zeros((5, 8), np.uint8)
    truth[2:, :] = 1  # its top edge is boundary up to the last column, its bottom edge none
    prediction = truth.copy()
    prediction[2, 0] = 0
    prediction[4, 7] = 0
    upright, flipped = figures_of(prediction, truth)[0], figures_of(prediction[::-1], truth[::-1])[0]
    assert upright[0] == flipped[0]
    assert upright[1] != flipped[1]


@quick
@given(label_maps(), st.tuples(*[st.integers(0, 9)] * 4))
def test_padding_with_background_never_changes_J(maps, sides):
    top, bottom, left, right = sides
    padded = figures_of(*(np.pad(masks, ((top, bottom), (left, right))) for masks in maps))
    assert [J for J, _ in padded] == [J for J, _ in figures_of(*maps)]


@quick
@given(label_maps(margin=1, high=30), st.tuples(*[st.integers(0, 9)] * 4))
def test_padding_changes_F_only_by_the_radius_or_for_objects_at_the_image_frame(maps, sides):
    top, bottom, left, right = sides  # the diagonal stays below 125 pixels, so the radius stays 1
    assert figures_of(*(np.pad(masks, ((top, bottom), (left, right))) for masks in maps)) == figures_of(*maps)


@quick
@given(label_maps(count=6))
def test_videos_measured_side_by_side_do_not_touch_each_other(maps):
    truths, firsts, seconds = maps[:2], maps[2:4], maps[4:]
    sample = sample_of(2, lambda t: truths[t])
    one, two = (JAndF().start(sample, VOS_BENCHMARK_ALL_FRAMES) for _ in range(2))
    for frame in range(2):
        one.add(frame, firsts[frame], truths[frame])
        two.add(frame, seconds[frame], truths[frame])
    alone = JAndF().start(sample, VOS_BENCHMARK_ALL_FRAMES)
    for frame in range(2):
        alone.add(frame, firsts[frame], truths[frame])
    assert one.finish() == alone.finish()
    assert two.finish().frames == [0, 1]


@quick
@given(st.lists(label_maps(high=12), min_size=2, max_size=5), st.data())
def test_splitting_a_run_by_videos_changes_no_overall_figure(pairs, data):
    videos = [with_first_truth([prediction], [truth]) for prediction, truth in pairs]
    cut = data.draw(st.integers(1, len(videos) - 1))
    whole = JAndF().summarise(videos, ALL_FRAMES)
    parts = [JAndF().summarise(part, ALL_FRAMES) for part in (videos[:cut], videos[cut:])]
    for name, value in whole.items():
        joined = (parts[0][name] * cut + parts[1][name] * (len(videos) - cut)) / len(videos)
        assert value == pytest.approx(joined, abs=1e-12)
