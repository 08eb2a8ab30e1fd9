"""The masks that are kept: byte for byte on the machine they were made on, within a bound elsewhere."""

import json

import masks
import pytest

FIGURES = {"a": {"1 J-mean": 0.5}, "b": {"1 J-mean": 0.75}}
HERE = "x86_64 one torch-2"


def videos_with(digest="d", j=0.5):
    return {
        "a": {"masks": digest, "figures": {"1 J-mean": j}},
        "b": {"masks": "e", "figures": FIGURES["b"]},
    }


@pytest.fixture
def kept():
    return masks.keep_videos(None, videos_with(), HERE)


def test_masks_that_are_kept_are_right(kept):
    assert masks.compare_videos(kept, videos_with(), HERE) == ([], "byte for byte")


def test_another_mask_on_the_same_machine_is_wrong_whatever_it_scores(kept):
    wrong, how = masks.compare_videos(kept, videos_with("f"), HERE)
    assert wrong == ["a: the masks are others than those kept"]
    assert how == "byte for byte"


@pytest.mark.parametrize(("j", "is_wrong"), [(0.5, False), (0.504, False), (0.494, True), (None, True)])
def test_on_another_machine_the_figures_decide(kept, j, is_wrong):
    wrong, how = masks.compare_videos(kept, videos_with("f", j), "aarch64 other torch-2")
    assert bool(wrong) is is_wrong
    assert how.startswith("within 0.005 of each figure")


def test_some_of_the_videos_may_be_compared_and_none_that_is_not_kept(kept):
    some = {"b": videos_with()["b"]}
    assert masks.compare_videos(kept, some, HERE)[0] == []
    assert masks.compare_videos(kept, {"c": some["b"]}, HERE)[0] == ["c: not kept"]


def test_another_machine_is_added_to_those_kept(kept):
    again = masks.keep_videos(kept, videos_with("f", 0.501), "other")
    assert set(again["machines"]) == {HERE, "other"}
    assert again["figures"] == FIGURES  # of the machine that came first: bounds do not wander


def test_masks_that_changed_are_kept_for_this_machine_alone(kept):
    both = masks.keep_videos(kept, videos_with("f"), "other")
    changed = masks.keep_videos(both, videos_with("new", 0.6), HERE)
    assert set(changed["machines"]) == {HERE}
    assert changed["figures"]["a"] == {"1 J-mean": 0.6}


def test_what_is_kept_covers_every_method_and_video_that_the_gate_plays():
    kept = json.loads(masks.KEPT.read_text())
    assert tuple(sorted(kept)) == tuple(sorted(masks.METHODS))
    gate = (masks.KEPT.parent / "gate").read_text()
    assert {line.split()[1] for line in gate.splitlines() if line.startswith("play ")} == set(masks.METHODS)
    assert {video for entry in kept.values() for video in entry["figures"]} == {
        *("small-cross", "small-crowd", "small-deform", "small-return")
    }
    assert all(set(digests) == set(e["figures"]) for e in kept.values() for digests in e["machines"].values())
