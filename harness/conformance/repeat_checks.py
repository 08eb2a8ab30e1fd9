"""Checks that compare plays: the same again, after another video, under another name, with another future."""

from __future__ import annotations

from harness.conformance.plays import Play, Player, difference
from harness.conformance.probe_checks import judge_play
from harness.conformance.probes import LATE, ORDINARY, PROBES, RETURNING, Scene, with_noise_after
from harness.conformance.subject import Subject, brief
from harness.conformance.verdicts import MASK_TASKS, Broken, NotApplicable, check
from harness.hosting.conversation import lookahead

OTHER_SIZE = next(probe.scene for probe in PROBES if probe.name == "odd-size")


@check("determinism", "Two builds with the same seed give the same masks.", needs=("ordinary",))
def determinism(subject: Subject) -> None:
    """Play the ordinary probe, and one whose objects leave, with two methods built from nothing."""
    players = [Player(subject.plan, subject.build()) for _ in range(2)]
    for scene in filter(subject.survives, (ORDINARY, RETURNING)):
        first, second = (_play(subject, player, scene) for player in players)
        found = difference(first, second)
        if found is not None:
            raise Broken(
                f"{found} of probe {scene.name} differ between two builds with seed {subject.request.seed}",
                expected="the same, as a run's record names the seed and says the masks can be had again",
                mend="draw random numbers from torch.Generator().manual_seed(context.seed)",
            )


@check("fresh-start", "What a video gives does not depend on the videos before it.", needs=("determinism",))
def fresh_start(subject: Subject) -> None:
    """Play a probe, another one of another size, and the first again, with one built method."""
    method = subject.build()
    first, other, again = (Player(subject.plan, method).play(s.sample()) for s in (ORDINARY, OTHER_SIZE, ORDINARY))
    after = {ORDINARY: again, OTHER_SIZE: other}
    stale = {s.name: brief(p.error) for s, p in after.items() if p.error is not None and subject.survives(s)}
    stale |= subject.stale
    found = difference(first, again)
    for name, message in stale.items():
        found = f"probe {name} goes wrong after another video and not on a freshly built method ({message})"
    if found is not None:
        raise Broken(
            found if stale else f"{found} of probe {ORDINARY.name} differ after another video",
            expected="the same as from a freshly built method: an interrupted run starts in the middle",
            mend=f"keep what belongs to a video in local names of {subject.task.entry}, not in self",
        )


@check(
    "causality",
    "No mask changes when everything beyond the declared lookahead is replaced by noise.",
    tasks=MASK_TASKS,
    needs=("ordinary", "fresh-start"),
)
def causality(subject: Subject) -> None:
    """Replace the future by noise and compare the masks up to there."""
    if subject.method.causality == "offline":
        raise NotApplicable("the card says offline: every frame may be read at any time")
    scenes = [ORDINARY] if subject.quick else [ORDINARY, RETURNING, LATE]
    for scene in filter(subject.survives, scenes):
        _compare_futures(subject, scene)


def _compare_futures(subject: Subject, scene: Scene) -> None:
    sample, play = scene.sample(), subject.play(scene.name)
    ahead = lookahead(subject.method, scene.length)
    frames = (scene.length // 2,) if subject.quick else (0, 2, scene.length // 2, scene.length - 2)
    for frame in (f for f in frames if f + ahead < scene.length - 1):
        other = Player(subject.plan, subject.built).play(with_noise_after(sample, frame + ahead), until=frame + 1)
        judge_play(subject, other)
        found = difference(play, other, frames=frame + 1)
        if found is not None:
            raise Broken(
                f"{found} of probe {scene.name} change when the frames after {frame + ahead} are replaced by noise",
                expected=f"masks up to {frame} that no later frame changes",
                mend="read frames by video[t] only, or declare the lookahead on the card",
            )


@check(
    "names",
    "Masks depend neither on the video's name nor on what is private in video and prompts.",
    needs=("ordinary", "determinism"),
)
def names(subject: Subject) -> None:
    """Look for private names that were reached for, and play the ordinary probe under another name."""
    private = sorted(set[str]().union(*(play.private for _, play in subject.plays())))
    if private:
        raise Broken(
            f"the method reached for {', '.join(private)}",
            expected="video[t], len, size, height, width, name and prompts[t], ids alone",
            mend="use these; what is private changes without notice and may show what no method may see",
        )
    renamed = Player(subject.plan, subject.build(), name="video-0041").play(ORDINARY.sample())
    found = difference(subject.play(ORDINARY.name), renamed)
    if found is not None:
        raise Broken(
            f"{found} of probe {ORDINARY.name} change with the video's name",
            expected="masks made from frames and prompts alone",
            mend="do not use video.name",
        )


def _play(subject: Subject, player: Player, scene: Scene) -> Play:
    play = player.play(scene.sample())
    judge_play(subject, play)
    return play


CHECKS = (determinism, fresh_start, causality, names)
