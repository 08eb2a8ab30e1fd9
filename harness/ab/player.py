"""One side of a match: a method in a worker of its own that plays videos, and what each of its turns came to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Generator, Sequence
from contextlib import closing

from harness.api.errors import ContractError, DataError, HarnessError, IncompletePredictions, MethodFailed
from harness.api.records import RunRecord, VideoFailure, VideoResult, VideoTiming
from harness.api.tasks import works_by_video
from harness.api.video import Sample
from harness.catalog import Catalog
from harness.hosting.apart import WorkerHost
from harness.machine import list_cores
from harness.planning.plan import Plan
from harness.running.folder import RunFolder
from harness.running.mask_digests import digest_mask, digest_tracks, read_digests_of_masks
from harness.running.record import record_of
from harness.running.runner import Sessions
from harness.running.session import Session

_ERRORS = {kind.exit_code: kind for kind in (DataError, ContractError, MethodFailed, IncompletePredictions)}

OnNote = Callable[[str], None]


class Player:
    """Base or head, by ``name``; its scored turns make a run in ``folder``, which is held by whoever made it."""

    def __init__(self, name: str, plan: Plan, folder: RunFolder, catalog: Catalog, on_note: OnNote) -> None:
        self.name = name
        self.plan = plan
        self.timings: dict[str, list[VideoTiming]] = defaultdict(list)
        """Of each video, one a timed turn."""
        self.masks: dict[str, list[tuple[str, ...]]] = defaultdict(list)
        """Of each video, the digests of its masks in each turn, the scored one first."""
        self._folder = folder
        self._catalog = catalog
        self._sessions = Sessions(plan, catalog, folder.path, None, lambda words: on_note(f"{name}: {words}"))
        self._session: Session | None = None
        self._results: list[VideoResult] = []

    def begin(self) -> None:
        """Throw away an earlier run in the folder and build the method in its worker."""
        self._folder.claim(self.plan.key_parts, fresh=True)
        self._session = self._open()

    def _open(self) -> Session:
        return self._sessions.open(device=self.plan.request.device, apart=True)

    @property
    def host(self) -> WorkerHost:
        """The worker; only between ``begin`` and ``close``."""
        assert self._session is not None
        assert isinstance(self._session.host, WorkerHost)
        return self._session.host

    def rest(self) -> None:
        """Take nothing of the machine until the worker is resumed; a GPU is left alone by whoever is not asked."""
        if self.host.worker_device == "cpu":
            self.host.pause()

    def stay_on_core(self, turn: int) -> None:
        """Play this turn on one core, the same as the other side, where the method has one thread.

        A process that moves to another core finds none of its memory in the caches there; of two, each at its own time.
        """
        if self.plan.request.threads == 1 and self.host.worker_device == "cpu" and (cores := list_cores()):
            self.host.stay_on({cores[turn % len(cores)]})

    def play_scored(self, sample: Sample) -> Generator[None]:
        """The first turn on a video, which also warms up: masks are kept and scored, as in any run."""
        result = _work_through(self._require_session(), sample, self.name)
        self._folder.append(result)
        self._results.append(result)
        self.masks[sample.name].append(read_digests_of_masks(self._folder.path, result, sample.frame_names))
        yield

    def play_timed(self, sample: Sample) -> Generator[None]:
        """A turn of which the clocks count, and of whose masks the digests are kept; yields after each mask."""
        digests = []
        with self._require_session().converse(sample) as talk:
            if self.plan.task.returns == "tracks":
                digests.append(digest_tracks(talk.ask_checked_tracks()))
            else:
                for mask in talk.ask_masks():
                    digests.append(digest_mask(mask))
                    yield
            self.timings[sample.name].append(talk.timing())
        self.masks[sample.name].append(tuple(digests))

    def measure_memory(self) -> float | None:
        """The most memory the method takes in a process of its own that plays each video once; None where unknown."""
        peaks: list[float | None] = []
        with closing(self._open()) as session:
            for sample in self.plan.samples:
                with session.converse(sample) as talk:
                    if self.plan.task.returns == "tracks":
                        talk.ask_checked_tracks()
                    else:
                        for _ in talk.ask_masks():
                            pass
                    peaks.append(talk.timing().added_memory_mib)
        known = [peak for peak in peaks if peak is not None]
        return max(known) if len(known) == len(peaks) else None

    def close(self) -> None:
        """End every worker of this side, a paused one too."""
        self._sessions.close()
        self._session = None

    def write_record(self, load: float | None) -> RunRecord:
        """The record of the scored turns, written into the folder; its clocks are those of the timed ones."""
        timed = [result.model_copy(update={"timing": self.timings[result.video][-1]}) for result in self._results]
        record = record_of(self.plan, self._catalog, timed, (), machine=self._sessions.machine(), load=load)
        self._folder.write_record(record)
        return record

    def list_unsteady(self) -> list[str]:
        """The videos whose masks were not the same in each turn."""
        return [video for video, turns in self.masks.items() if len(set(turns)) > 1]

    def read_clocks(self) -> dict[str, dict[str, list[float]]]:
        """Clock -> video -> milliseconds of each timed turn: of a frame, as a record has them, or of a first frame.

        A clock that some turn lacks, or that stood still in it, is left out of that video; of all videos, altogether.
        """
        by_video = works_by_video(self.plan.task.name, self.plan.plugin.causality)
        clocks: dict[str, dict[str, list[float]]] = defaultdict(dict)
        for sample in self.plan.samples:
            turns = self.timings[sample.name]
            found = {
                "model_cpu_ms": [_mean_ms(turn.model_cpu, sample, by_video=by_video) for turn in turns],
                "throughput_fps" if by_video else "model_fps": [
                    _mean_ms(turn.model, sample, by_video=by_video) for turn in turns
                ],
            }
            if not by_video:
                found["model_first_frame_ms"] = [1000 * turn.model[0] for turn in turns]
            for clock, rounds in found.items():
                if min(rounds) > 0:
                    clocks[clock][sample.name] = rounds
        return dict(clocks)

    def _require_session(self) -> Session:
        assert self._session is not None
        return self._session


def _mean_ms(laps: Sequence[float], sample: Sample, *, by_video: bool) -> float:
    """Milliseconds of a frame: of steady ones, or ``by_video`` of all; 0 where there are none."""
    counted, frames = (laps, sample.length) if by_video else (laps[1:], len(laps) - 1)
    return 1000 * sum(counted) / frames if frames > 0 else 0.0


def _work_through(session: Session, sample: Sample, side: str) -> VideoResult:
    outcome = session.work_through(sample.name)
    if isinstance(outcome, VideoFailure):
        kind: type[HarnessError] = _ERRORS[outcome.exit_code]
        raise kind(f"{side}: {outcome.kind}: {outcome.message}", hint="mend it, or run that side alone: harness run")
    return outcome
