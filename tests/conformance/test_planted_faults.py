"""Each promise has a planted plugin that breaks it and nothing else, and the check of that promise says so."""

import time
from importlib.metadata import EntryPoint

import numpy as np
import pytest
import torch

from harness import Method, Track, Tracks, stage
from harness.conformance import CHECKS, examine
from harness.conformance.probes import colour_of
from harness.conformance.subject import open_subjects

INLINE = EntryPoint("inline", "harness.executors.inline", "harness")


def show(video, prompts):
    """A sound method: every object stays where it was prompted."""
    for t in range(len(video)):
        frame = video[t]
        assert frame.dtype == torch.uint8
        if t == 0:
            mask = frame.new_zeros(video.size)
        if t in prompts:
            mask = torch.where((prompts[t] > 0) & (prompts[t] < 255), prompts[t], mask)
        yield mask.clone()


def offering(entry, **card):
    """A card of a method whose ``propagate`` is this function."""
    method = type("Planted", (), {"propagate": lambda self, video, prompts: entry(video, prompts)})
    return make_card(lambda context: method(), **card)


def make_card(build, **card):
    words = {"summary": "planted", "supervision": "none"}
    return Method(**{"name": "planted", "tasks": ("one-shot",), "build": build, **words, **card})


def judge(card, tests_tools, **asked):
    """Every outcome by the check's name."""
    module = tests_tools.plugin_module("planted", harness_methods=lambda: [card])
    subjects = open_subjects("planted", CHECKS, points=[tests_tools.point("planted", module), INLINE], **asked)
    return {outcome.check.name: outcome for outcome in examine(subjects)}


def list_failed(outcomes):
    return {name for name, outcome in outcomes.items() if outcome.status == "failed"}


def change_card(change):
    """The sound method with ``change(t, mask, video, prompts)`` yielded instead of each mask."""

    def propagate(video, prompts):
        for t, mask in enumerate(show(video, prompts)):
            yield change(t, mask, video, prompts)

    return propagate


def when(is_bad, error=ValueError):
    """The sound method, which raises where ``is_bad(t, mask, video, prompts)``."""

    def change(t, mask, video, prompts):
        if is_bad(t, mask, video, prompts):
            raise error("planted")
        return mask

    return change_card(change)


def with_corner(mask, value):
    """The mask with id 1 or 0 in its corner."""
    mask[-1, -1] = value
    return mask


# What a method gives ---------------------------------------------------------------------------------------------


def renumber(t, mask, video, prompts):
    return (mask[..., None] == torch.tensor(prompts.ids or (0,))).byte().argmax(-1).byte() + (mask > 0).byte()


def in_blocks(t, mask, video, prompts):
    height, width = (side // 8 * 8 for side in mask.shape)
    return mask[:height, :width]


def an_object_is_out_of_view(t, mask, video, prompts):
    return any(not (video[t] == torch.tensor(colour_of(i))).all(-1).any() for i in prompts.ids)


def spread_is_lost(t, mask, video, prompts):
    return any(int((prompts[0] == i).sum()) == 1 for i in prompts.ids)


def centre_is_empty(t, mask, video, prompts):
    return any(not (prompts[0][1:-1, 1:-1] == i).any() for i in prompts.ids if (prompts[0] == i).any())


def void_too(video, prompts):
    for mask in show(video, prompts):
        yield torch.where(prompts[0] == 255, prompts[0], mask)


GIVES = {
    "wrong-dtype": (change_card(lambda t, m, v, p: m.float()), {"ordinary"}),
    "wrong-size": (change_card(lambda t, m, v, p: m[::2]), {"ordinary"}),
    "not-a-tensor": (change_card(lambda t, m, v, p: m.numpy()), {"ordinary"}),
    "id-never-prompted": (change_card(lambda t, m, v, p: with_corner(m, 9)), {"ordinary"}),
    "crashes": (when(lambda t, m, v, p: t == 3), {"ordinary"}),
    "too-few": (lambda v, p: (m for m, _ in zip(show(v, p), range(1, len(v)), strict=False)), {"ordinary"}),
    "too-many": (lambda v, p: (m for m in show(v, p) for _ in range(2)), {"ordinary"}),
    "divides-by-steps": (when(lambda t, m, v, p: 1 / (len(v) - 1) < 0), {"one-frame"}),
    "divides-by-steps-between": (when(lambda t, m, v, p: 1 / (len(v) - 2) < -1), {"two-frames"}),
    "whole-blocks-only": (change_card(in_blocks), {"odd-size", "wide-and-low"}),
    "wants-height": (when(lambda t, m, v, p: v.height < 20), {"wide-and-low"}),
    "crops-the-border": (when(centre_is_empty), {"objects-on-the-border"}),
    "wants-a-spread": (when(spread_is_lost), {"one-pixel-objects"}),
    "wants-an-object": (when(lambda t, m, v, p: not p.ids), {"no-object", "only-late-objects"}),
    "wants-objects-in-view": (when(an_object_is_out_of_view), {"leaves-and-returns"}),
    "wants-one-prompt": (when(lambda t, m, v, p: len(p) > 1), {"late-objects", "only-late-objects"}),
    "late-over-nothing": (when(lambda t, m, v, p: t in p and t > 0 and len(p.ids) == 1), {"only-late-objects"}),
    "ten-objects-at-most": (when(lambda t, m, v, p: len(p.ids) > 10), {"twelve-objects"}),
    "renumbers": (change_card(renumber), {"ids-with-gaps", "late-objects"}),
    "yields-void": (void_too, {"void-in-the-prompt"}),
}


@pytest.mark.parametrize(("propagate", "expected"), GIVES.values(), ids=GIVES)
def test_a_method_that_gives_wrong_masks_is_caught(propagate, expected, tests_tools):
    outcomes = judge(offering(propagate), tests_tools, quick=True)
    assert list_failed(outcomes) == expected
    assert all("planted" in outcomes[name].message or "expected" in outcomes[name].message for name in expected)


# What a method may look at and depend on -----------------------------------------------------------------------


def reads_ahead(steps):
    def propagate(video, prompts):
        for t, mask in enumerate(show(video, prompts)):
            later = video[min(t + steps, len(video) - 1)]
            yield with_corner(mask, prompts.ids[0] if prompts.ids and int(later.sum()) % 2 else 0)

    return propagate


def future_of(t, video, read):
    return int(read(min(t + 1, len(video) - 1)).sum()) % 2


def peeks(reader):
    """The sound method with a corner that tells of the next frame, read in a way that is not refused."""
    return change_card(
        lambda t, m, v, p: with_corner(m, p.ids[0] if p.ids and future_of(t, v, reader(v)) else 0),
    )


def mark_if_named(t, mask, video, prompts):
    return with_corner(mask, prompts.ids[0] if prompts.ids and "41" in video.name else 0)


def noisy(t, mask, video, prompts):
    return with_corner(mask, prompts.ids[0] if prompts.ids and np.random.default_rng().random() < 0.5 else 0)


class Remembers:
    """Its masks depend on how many videos it has seen."""

    videos = 0

    def propagate(self, video, prompts):
        self.videos += 1
        for mask in show(video, prompts):
            yield with_corner(mask, prompts.ids[0] if prompts.ids and self.videos > 1 else 0)


class Trips:
    """It goes wrong on a video of another size than the last one."""

    last = None

    def propagate(self, video, prompts):
        for mask in show(video, prompts):
            self.last = mask if self.last is None else self.last + mask * 0
            yield mask


DEPENDS = {
    "reads-ahead": (offering(reads_ahead(1)), {"horizon"}),
    "reads-beyond-its-window": (offering(reads_ahead(3), causality="window", lookahead=2), {"horizon"}),
    "prompt-ahead": (offering(when(lambda t, m, v, p: t + 1 in p)), {"horizon"}),
    "peeks-past-the-guard": (offering(peeks(lambda v: object.__getattribute__(v, "_read"))), {"causality"}),
    "reads-what-is-private": (offering(peeks(lambda v: v._read)), {"causality", "names"}),
    "looks-into-vars": (offering(when(lambda t, m, v, p: "truth" in vars(v))), {"names"}),
    "looks-into-prompts": (offering(when(lambda t, m, v, p: not p._masks)), {"names"}),
    "goes-by-the-name": (offering(change_card(mark_if_named)), {"names"}),
    "unseeded": (offering(change_card(noisy)), {"determinism"}),
    "remembers-videos": (make_card(lambda context: Remembers()), {"fresh-start"}),
    "trips-over-the-last-video": (make_card(lambda context: Trips()), {"fresh-start"}),
}


@pytest.mark.parametrize(("card", "expected"), DEPENDS.values(), ids=DEPENDS)
def test_a_method_that_depends_on_what_it_may_not_is_caught(card, expected, tests_tools):
    outcomes = judge(card, tests_tools)
    assert list_failed(outcomes) == expected
    assert all("; to mend it: " in outcomes[name].message for name in expected)


# What is not the method's own -----------------------------------------------------------------------------------


def dims_frames(t, mask, video, prompts):
    video[t].floor_divide_(2)
    return mask


def turns_prompts(t, mask, video, prompts):
    if t in prompts:
        prompts[t].copy_(prompts[t].flip(0))
    return mask


def one_buffer(video, prompts):
    buffer = torch.zeros(video.size, dtype=torch.uint8)
    for t, mask in enumerate(show(video, prompts)):
        yield buffer.copy_(with_corner(mask, prompts.ids[0] if prompts.ids and t % 2 else 0))


def leaks_inference_mode(video, prompts):
    with torch.inference_mode():
        yield from show(video, prompts)


def takes_one_thread(context):
    torch.set_num_threads(3)
    return type("M", (), {"propagate": lambda self, video, prompts: show(video, prompts)})()


def works_before_the_clock(video, prompts):
    first = video[0]
    return (mask + first[0, 0, 0] * 0 for mask in show(video, prompts))


def hoards(keep):
    def propagate(video, prompts):
        kept = []
        for mask in show(video, prompts):
            kept.append(keep(mask))
            yield mask

    return propagate


def stage_across_a_yield(video, prompts):
    for mask in show(video, prompts):
        with stage("open"):
            yield mask


def nest_stages(t, mask, video, prompts):
    with stage("outer"), stage("inner"):
        time.sleep(0.002)
    return mask


def behaves_under_the_clock(t, mask, video, prompts):
    from harness.api.timing import _running

    is_timed = _running.get() is not None and _running.get()._marks
    return with_corner(mask, prompts.ids[0] if prompts.ids and is_timed else 0)


CARELESS = {
    "dims-frames": (offering(change_card(dims_frames)), {"frames-unchanged"}),
    "turns-prompts": (offering(change_card(turns_prompts)), {"frames-unchanged"}),
    "one-buffer": (offering(one_buffer), {"masks-unchanged"}),
    "leaks-inference-mode": (offering(leaks_inference_mode), {"modes"}),
    "sets-threads": (make_card(takes_one_thread), {"modes"}),
    "returns-a-list": (offering(lambda v, p: [p[0] * 0] * len(v)), {"lazy"}),
    "works-before-the-clock": (offering(works_before_the_clock), {"lazy"}),
    "hoards-masks": (offering(hoards(lambda mask: mask.clone())), {"memory"}),
    "hoards-arrays": (offering(hoards(lambda mask: mask.numpy().copy())), {"memory"}),
    "stage-across-a-yield": (offering(stage_across_a_yield), {"stages"}),
    "nested-stages": (offering(change_card(nest_stages)), {"stages"}),
    "behaves-under-the-clock": (offering(change_card(behaves_under_the_clock)), {"runs"}),
}


@pytest.mark.parametrize(("card", "expected"), CARELESS.values(), ids=CARELESS)
def test_a_careless_method_is_caught(card, expected, tests_tools):
    outcomes = judge(card, tests_tools)
    assert list_failed(outcomes) == expected
    assert all("; to mend it: " in outcomes[name].message for name in expected)


# Other tasks, and sound methods ---------------------------------------------------------------------------------


def zero_shot(entry, make, **card):
    def segment(self, video):
        for t in range(len(video)):
            yield make(video[t])

    return make_card(lambda context: type("M", (), {entry: segment})(), **card)


def bright(frame):
    return (frame.max(-1).values > 95).byte()


def finder(make):
    def segment_tracks(self, video):
        masks = [frame.max(-1).values > 95 for frame in video]
        return Tracks([Track(3, make(), masks)])

    return make_card(lambda c: type("M", (), {"segment_tracks": segment_tracks})(), tasks=("vis",), causality="offline")


SOUND = {
    "one-shot": offering(show),
    "object-zvos": zero_shot("segment_object", bright, tasks=("object-zvos",)),
    "instance-zvos": zero_shot("segment_instances", lambda f: bright(f) * 20, tasks=("instance-zvos",)),
    "vis": finder(lambda: 0.5),
    "window": offering(reads_ahead(0), causality="window", lookahead=2),
    "offline": offering(reads_ahead(3), causality="offline"),
}


@pytest.mark.parametrize("card", SOUND.values(), ids=SOUND)
def test_a_sound_method_keeps_every_promise(card, tests_tools):
    outcomes = judge(card, tests_tools)
    assert list_failed(outcomes) == set()
    assert outcomes["ordinary"].status == outcomes["runs"].status == outcomes["blind"].status == "passed"


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        (zero_shot("segment_object", lambda f: bright(f) * 2, tasks=("object-zvos",)), {"ordinary"}),
        (zero_shot("segment_instances", lambda f: bright(f) * 21, tasks=("instance-zvos",)), {"ordinary"}),
        (finder(lambda: float("nan")), {"ordinary"}),
        (finder(lambda: float(np.random.default_rng().random())), {"determinism"}),
    ],
    ids=["object-zvos", "instance-zvos", "vis", "vis-unseeded"],
)
def test_a_fault_in_another_task_is_caught(card, expected, tests_tools):
    assert list_failed(judge(card, tests_tools, quick=True)) == expected


@pytest.mark.gpu
def test_a_hidden_synchronisation_is_caught(tests_tools):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    waits = offering(change_card(lambda t, m, v, p: m * int(v[t].sum() > 0)))
    assert "no-hidden-sync" in list_failed(judge(waits, tests_tools, device="cuda:0", quick=True))


PLANTED_ELSEWHERE = {
    *("card", "config", "light-import", "weights-there", "weights-checksum", "weights-no-pickle", "kernels"),
    *("builds", "protocol"),  # test_planted_cards.py
    "blind",  # test_real_run.py
    "process",  # test_process_state.py
    "no-hidden-sync",  # above, on a GPU
}


def test_every_check_has_a_planted_fault_it_catches():
    caught = {name for cases in (GIVES, DEPENDS, CARELESS) for _, names in cases.values() for name in names}
    assert caught.isdisjoint(PLANTED_ELSEWHERE)
    assert caught | PLANTED_ELSEWHERE == {check.name for check in CHECKS}
