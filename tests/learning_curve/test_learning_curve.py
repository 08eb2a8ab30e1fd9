"""The learning curve of methods made for these tests: what is scored, against what, and what is refused."""

import json

import pytest
import torch

from harness import Method, Snapshot
from harness.api.errors import ContractError, DataError, MethodFailed, UsageError
from harness.learning_curve.curve import Point, best_of
from harness.learning_curve.measure import learning_curve
from harness.learning_curve.picture import draw
from harness.planning.plan import resolve
from harness.planning.request import Request


class Fading:
    """Learns from masks that are right but for three rows: right after 2 iterations, empty after 4."""

    def __init__(self, context):
        self.seed = context.seed

    def propagate(self, video, prompts):
        raise AssertionError("a curve is made of snapshots alone")

    def snapshots(self, video, prompts, every):
        right = [prompts[0].roll(t, 1) for t in range(len(video))]
        flawed = [mask.clone() for mask in right]
        for mask in flawed[1:]:
            mask[:3] = 1
        empty = [torch.zeros_like(mask) for mask in right]
        yield Snapshot(0, flawed)
        for iteration in range(every, 5, every):
            yield Snapshot(iteration, right if iteration + self.seed < 4 else empty)


def plan_for(tools, method=Fading, benchmark=None, **changes):
    card = Method(name="fading", tasks=("one-shot",), build=method)
    catalog = tools.catalog_of(card, benchmark=benchmark)
    return resolve(Request(plugin="fading", bench="tiny", task="one-shot", **changes), catalog), catalog


def share_of(mask_is_right):
    """The mean share of right pixels that ``share_right`` gives for masks, frame by frame."""
    return sum(mask_is_right) / len(mask_is_right)


def test_snapshots_are_scored_against_truth_and_against_what_they_learn_from(tests_tools):
    plan, catalog = plan_for(tests_tools)
    curve = learning_curve(plan, catalog, every=2)
    points = curve.points()
    assert [point.iteration for point in points] == [0, 2, 4]
    flaw = share_of([0, *([3 * 8 - 3] * 4)]) / 64  # row 2 holds three pixels of the square
    size = 9 / 64
    assert [point.truth["share"] for point in points] == pytest.approx([1 - flaw, 1, 1 - size])
    learnt = [1, 1 - flaw, 1 - share_of([9, *([9 + 21] * 4)]) / 64]
    assert [point.learnt["share"] for point in points] == pytest.approx(learnt)
    assert best_of(points, curve.main).iteration == 2
    assert curve.videos == ("first", "second")
    assert [point.truth for point in curve.points("first")] == [point.truth for point in points]


def test_what_is_learnt_from_may_be_the_best():
    points = [Point(iteration, {"J&F": figure}, {}) for iteration, figure in ((0, 0.75), (2, 0.5), (4, 0.25))]
    assert best_of(points, "J&F").iteration == 0
    assert best_of(points[1:], "J&F").iteration == 2


def test_seeds_give_a_mean_and_a_spread(tests_tools):
    plan, catalog = plan_for(tests_tools)
    curve = learning_curve(plan, catalog, every=1, seeds=(0, 2))
    third = next(point for point in curve.points() if point.iteration == 3)
    assert third.truth["share"] == pytest.approx(1 - 9 / 128)  # right with seed 0, empty with seed 2
    assert third.spread["share"] == pytest.approx(9 / 64 / 2**0.5)
    assert [point.iteration for point in curve.points_of(2)] == [0, 1, 2, 3, 4]


def test_the_json_holds_every_video_and_seed_and_the_picture_is_a_png(tests_tools, tmp_path):
    plan, catalog = plan_for(tests_tools)
    curve = learning_curve(plan, catalog, every=2, seeds=(0, 1))
    written = json.loads(json.dumps(curve.to_json()))
    assert written["schema"] == "harness.learning-curve/1"
    assert written["plugin"]["name"] == "fading"
    assert written["main"] == "share"
    assert {name: sorted(seeds) for name, seeds in written["videos"].items()} == {
        "first": ["0", "1"],
        "second": ["0", "1"],
    }
    assert [point["iteration"] for point in written["points"]] == [0, 2, 4]
    assert set(written["points"][0]["spread"]) == {"share"}
    draw(tmp_path / "curve.png", curve, "fading")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_done_is_told_video_by_video(tests_tools):
    plan, catalog = plan_for(tests_tools)
    told, seen = [], []
    learning_curve(
        plan,
        catalog,
        every=4,
        on_snapshot=lambda measured: seen.append((measured.video, measured.iteration)),
        on_video=lambda curve: told.append(curve.videos),
    )
    assert told == [("first",), ("first", "second")]
    assert seen == [("first", 0), ("first", 4), ("second", 0), ("second", 4)]


def test_only_frames_with_a_truth_are_scored_also_against_what_is_learnt(tests_tools):
    def read_truth(frame):
        return tests_tools.moving_square(frame) if frame % 2 == 0 else None

    benchmark = tests_tools.tiny_benchmark([tests_tools.tiny_sample(read_truth=read_truth)])
    plan, catalog = plan_for(tests_tools, benchmark=benchmark)
    metric = catalog.metrics.get("share_right")
    start, judges = metric.start, []
    metric.start = lambda sample, rule: judges.append(sample) or start(sample, rule)
    learning_curve(plan, catalog, every=4)
    assert len(judges) == 4
    for judge in judges:
        assert [judge.read_truth(frame) is not None for frame in range(5)] == [True, False, True, False, True]
    against_truth, against_learnt = judges[:2]
    assert not against_truth.read_truth(2)[0].any()
    assert against_learnt.read_truth(2)[0].all()


def yields(*snapshots, error=None):
    """A method whose snapshots are these, and then ``error``."""

    class Yielding(Fading):
        def snapshots(self, video, prompts, every):
            yield from (made(prompts[0], len(video)) for made in snapshots)
            if error is not None:
                raise error

    return Yielding


def take_shot(iteration, change=lambda mask: mask, frames=None):
    return lambda prompt, length: Snapshot(iteration, [change(prompt)] * (frames or length))


@pytest.mark.parametrize(
    ("method", "error", "message"),
    [
        (yields(take_shot(3)), ContractError, "a snapshot of iteration 3, expected 0"),
        (
            yields(take_shot(0), take_shot(2), take_shot(2)),
            ContractError,
            "a snapshot of iteration 2, expected one after 2",
        ),
        (yields(take_shot(0)), ContractError, "no snapshot after iteration 0"),
        (yields(), ContractError, "no snapshot after iteration -1"),
        (yields(take_shot(0, frames=2)), ContractError, "iteration 0: 2 masks, expected one a frame"),
        (yields(take_shot(0, lambda mask: mask.float())), ContractError, "dtype torch.float32"),
        (yields(take_shot(0, lambda mask: mask * 7)), ContractError, "yielded ids"),
        (yields(lambda prompt, length: [prompt] * length), ContractError, "yielded list, expected harness.Snapshot"),
        (yields(take_shot(0), error=RuntimeError("no more")), MethodFailed, "after iteration 0: RuntimeError: no more"),
    ],
)
def test_a_method_that_breaks_its_promise_is_named(tests_tools, method, error, message):
    plan, catalog = plan_for(tests_tools, method)
    with pytest.raises(error, match=message) as caught:
        learning_curve(plan, catalog, every=1)
    assert "fading, video first" in str(caught.value)


def test_the_truth_and_the_name_are_not_shown(tests_tools):
    seen = []

    class Looking(Fading):
        def snapshots(self, video, prompts, every):
            seen.append((video.name, video.frame_names[0], list(prompts)))
            yield from super().snapshots(video, prompts, every)

    plan, catalog = plan_for(tests_tools, Looking)
    learning_curve(plan, catalog, every=4)
    assert seen == [("video-0000", "00000", [0]), ("video-0001", "00000", [0])]


class Plain:
    """Does not learn at test time."""

    def __init__(self, context):
        pass

    def propagate(self, video, prompts):
        yield from [prompts[0]] * len(video)


def test_a_method_that_does_not_learn_is_a_wrong_choice_not_a_broken_method(tests_tools):
    plan, catalog = plan_for(tests_tools, Plain)
    with pytest.raises(UsageError, match=r"fading has no snapshots\(\)") as caught:
        learning_curve(plan, catalog, every=1)
    assert caught.value.exit_code == 2


def test_nothing_between_points_and_no_truth_are_refused(tests_tools):
    plan, catalog = plan_for(tests_tools)
    with pytest.raises(UsageError, match="--every 0"):
        learning_curve(plan, catalog, every=0)
    hidden = tests_tools.tiny_benchmark([tests_tools.tiny_sample(read_truth=None)], scored=False)
    plan, catalog = plan_for(tests_tools, benchmark=hidden)
    with pytest.raises(DataError, match="no public truth"):
        learning_curve(plan, catalog, every=1)
