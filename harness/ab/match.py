"""The match: two workers of one job play each video in alternation, and one rests while the other works.

Each frame is decoded once and sent to both. A first round on each video is scored and warms up; the rounds after it, a
fixed number, are timed: a mask of the one, then that mask of the other, so that a load which comes and goes meets both.
Who begins says a coin that is seeded by the video's name and the round.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from harness.ab.player import OnNote, Player
from harness.api.dataclass import dataclass
from harness.api.records import RunRecord
from harness.api.video import Sample
from harness.catalog import Catalog
from harness.machine import describe_load, read_load
from harness.planning.plan import Plan
from harness.ranking.rounds import Peaks, Rounds
from harness.running.folder import RunFolder
from harness.running.replays import refuse_apart

ROUNDS = 8
"""Timed turns of each side on each video."""
MEMORY_ROUNDS = 3
"""Fresh processes of each side in which the memory it takes is measured."""
_OVER = object()
KEPT_BYTES = 1 << 30
"""Of the frames of one video; those beyond are decoded again in each turn."""


@dataclass(frozen=True)
class Terms:
    """How long a match goes on; fixed before it begins, since one that ends where it looks good shows nothing."""

    rounds: int = ROUNDS
    memory_rounds: int = MEMORY_ROUNDS
    seed: int = 0
    """Of the coin that says who begins."""


@dataclass(frozen=True)
class Match:
    """What a match came to: both records, and what each turn took.

    ``clocks`` maps a clock to base's and head's rounds, in milliseconds. ``differing`` counts, by video, the frames
    whose masks are not those of base (tracks count as one frame). ``unsteady`` names, as ``side: video``, whose masks
    were not the same in each turn.
    """

    base: RunRecord
    head: RunRecord
    terms: Terms
    clocks: Mapping[str, tuple[Rounds, Rounds]]
    differing: Mapping[str, int]
    unsteady: tuple[str, ...] = ()
    memory: Peaks | None = None
    notes: tuple[str, ...] = ()

    @property
    def identical(self) -> int:
        """On how many videos the masks are the same, byte for byte."""
        return sum(not frames for frames in self.differing.values())


def play_match(base: Plan, head: Plan, catalog: Catalog, out: Path, terms: Terms, on_note: OnNote) -> Match:
    """Play the match into ``out``/base and ``out``/head, two run folders.

    Whatever fails on one side ends it, with the error of that side. Raises UsageError where a side shows saved masks.
    """
    for plan in (base, head):
        if plan.method.replays:
            refuse_apart(plan)
    out, before = out.absolute(), read_load()
    kept = [_KeptFrames(sample.read_frame) for sample in base.samples]
    samples = [replace(sample, read_frame=frames) for sample, frames in zip(base.samples, kept, strict=True)]
    with ExitStack() as held:
        players = []
        for name, plan in (("base", base), ("head", head)):
            folder = held.enter_context(RunFolder(out / name))
            player = Player(name, replace(plan, samples=samples), folder, catalog, on_note)
            held.callback(player.close)
            player.begin()
            players.append(player)
        for number, (sample, frames) in enumerate(zip(samples, kept, strict=True)):
            on_note(f"video {sample.name} ({number + 1} of {len(samples)}), {terms.rounds} rounds")
            for turn in range(terms.rounds + 1):
                _play_round(sample, turn, players, terms)
            frames.forget()
        for player in players:
            player.close()
        memory = _measure_memory(players, terms, on_note)
        base_record, head_record = (player.write_record(before) for player in players)
    return Match(
        base_record,
        head_record,
        terms,
        _pair_clocks(players),
        differing=_count_differing(*players),
        unsteady=tuple(f"{player.name}: {video}" for player in players for video in player.list_unsteady()),
        memory=memory,
        notes=tuple(_describe_loads(before)),
    )


def _play_round(sample: Sample, turn: int, players: Sequence[Player], terms: Terms) -> None:
    """One turn of each, mask by mask in alternation; the first of a video is scored, and played at once."""
    order = order_of(players, f"{terms.seed} {sample.name} {turn}")
    for player in order:
        player.stay_on_core(turn)
    with ExitStack() as held:
        going = {
            player: held.enter_context(closing(player.play_timed(sample) if turn else player.play_scored(sample)))
            for player in order
        }
        for player in order:
            held.callback(player.host.resume)  # before the turns are closed: a worker that rests lets go of nothing
            player.rest()
        while going:
            for player in list(going):
                player.host.resume()
                if next(going[player], _OVER) is _OVER:
                    del going[player]
                player.rest()


def order_of(players: Sequence[Player], coin: str) -> list[Player]:
    """Who plays first, decided by a coin of that seed."""
    return random.Random(coin).sample(players, len(players))


def _measure_memory(players: Sequence[Player], terms: Terms, on_note: OnNote) -> Peaks | None:
    """Both sides in processes that have done nothing else; None where the system does not tell, or none was asked."""
    found: dict[str, list[float]] = {player.name: [] for player in players}
    for turn in range(terms.memory_rounds):
        on_note(f"memory, fresh processes ({turn + 1} of {terms.memory_rounds})")
        for player in order_of(players, f"{terms.seed} memory {turn}"):
            peak = player.measure_memory()
            if peak is None:
                return None
            found[player.name].append(peak)
    return Peaks(tuple(found["base"]), tuple(found["head"])) if terms.memory_rounds else None


def _pair_clocks(players: Sequence[Player]) -> dict[str, tuple[Rounds, Rounds]]:
    """The clocks that both sides have, of the videos where both do."""
    base, head = (player.read_clocks() for player in players)
    pairs: dict[str, tuple[Rounds, Rounds]] = {}
    for clock in (name for name in base if name in head):
        videos = [video for video in base[clock] if video in head[clock]]
        pairs[clock] = tuple({video: side[clock][video] for video in videos} for side in (base, head))  # type: ignore[assignment]
    return {clock: pair for clock, pair in pairs.items() if pair[0]}


def _count_differing(base: Player, head: Player) -> dict[str, int]:
    return {
        video: sum(one != other for one, other in zip(turns[0], head.masks[video][0], strict=True))
        for video, turns in base.masks.items()
    }


def _describe_loads(before: float | None) -> list[str]:
    """What to know of wall clocks that ran on a busy machine; the CPU clock stands it."""
    after = read_load()
    most = max((load for load in (before, after) if load is not None), default=None)
    busy = describe_load(most, os.cpu_count())
    return [f"note: {busy}; the CPU clock counts the method's own work"] if busy else []


class _KeptFrames:
    """A video's frames, each decoded once and kept for both sides; what is beyond KEPT_BYTES is decoded anew."""

    def __init__(self, read: Callable[[int], np.ndarray]) -> None:
        self._read = read
        self._kept: dict[int, np.ndarray] = {}
        self._bytes = 0

    def __call__(self, frame: int) -> np.ndarray:
        kept = self._kept.get(frame)
        if kept is not None:
            return kept
        decoded = self._read(frame)
        if self._bytes + decoded.nbytes <= KEPT_BYTES:
            self._kept[frame] = decoded
            self._bytes += decoded.nbytes
        return decoded

    def forget(self) -> None:
        """The video is over."""
        self._kept.clear()
        self._bytes = 0
