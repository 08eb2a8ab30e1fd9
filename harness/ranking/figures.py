"""The figures of one record: overall, by object and video, and what its videos say of them."""

from __future__ import annotations

from harness.api.records import Detections, Interval, RunRecord
from harness.api.tasks import TASKS
from harness.ranking.intervals import SAMPLES, Difference, clustered_interval, paired_difference
from harness.ranking.precision import resample_difference
from harness.ranking.significance import Shares, Significance, assess

MANY = 30
"""Videos from which the bootstrap holds the truth as often as it says, nearly."""
_SHOWN = {"J&F": ("J&F", "J-mean", "F-mean"), "AP": ("AP", "AP50", "AP75", "AR1", "AR10")}


def main_column(task: str) -> str:
    """The figure that ranks a task."""
    return TASKS[task].main_metric


def list_columns(task: str) -> tuple[str, ...]:
    """The figures a table of this task shows, the ranking one first."""
    return _SHOWN[main_column(task)]


def figure(record: RunRecord, column: str) -> Interval | None:
    """The overall figure of that name, whichever metric reports it."""
    return next((columns[column] for columns in record.scores.values() if column in columns), None)


def accuracy(record: RunRecord) -> float | None:
    """The figure that ranks this record."""
    found = figure(record, main_column(record.benchmark.task))
    return found.value if found else None


def rows_by_video(record: RunRecord, column: str) -> dict[str, list[float | None]]:
    """Per video, the per-object figures of that name (empty where a video has none)."""
    return {
        video.video: [figures[column] for figures in video.objects.values() if column in figures]
        for video in record.videos
    }


def frames_by_video(record: RunRecord, column: str) -> dict[str, list[int]]:
    """Per video, the scored frames of the objects of ``rows_by_video``."""
    return {
        video.video: [
            video.scored_frames.get(id_, video.frames) for id_, figures in video.objects.items() if column in figures
        ]
        for video in record.videos
    }


def mean_of(record: RunRecord, column: str, *, samples: int = SAMPLES) -> Interval:
    """The overall figure as the rows of the videos give it, by the record's way of averaging, with its interval."""
    rows, frames = rows_by_video(record, column), frames_by_video(record, column)
    return clustered_interval(rows, average=record.benchmark.average, frames=frames, samples=samples)


def interval_to_show(record: RunRecord, column: str) -> Interval | None:
    """The figure with the interval that a board shows: the record's own, or of fewer than 30 videos the t interval.

    The bootstrap of a record is too narrow then (docs/leaderboard.md). Figures that a table of the task always shows,
    and recalls, lie between 0 and 1, and so do their intervals.
    """
    found = figure(record, column)
    if found is None or found.value is None or len(record.videos) >= MANY:
        return found
    shares = shares_of(record, column)
    interval = None if shares is None else shares.interval()
    if interval is None or interval.low is None or interval.high is None:
        return found
    is_share = column in list_columns(record.benchmark.task) or column.endswith("recall")
    ends = (max(0.0, interval.low), min(1.0, interval.high)) if is_share else (interval.low, interval.high)
    return Interval(value=found.value, low=ends[0], high=ends[1])


def difference_of(base: RunRecord, head: RunRecord, column: str) -> Difference:
    """Head minus base of that figure, paired by video, by base's way of averaging; of AP by what was detected."""
    kept = detections_of(base, column), detections_of(head, column)
    if all(kept) and not any(rows_by_video(base, column).values()):
        return resample_difference(list(kept[0].values()), [kept[1][video] for video in kept[0]], column)
    return paired_difference(
        rows_by_video(base, column),
        rows_by_video(head, column),
        average=base.benchmark.average,
        frames=(frames_by_video(base, column), frames_by_video(head, column)),
    )


def shares_of(record: RunRecord, column: str) -> Shares | None:
    """What each video has to do with that figure; None where the record does not say."""
    rows = rows_by_video(record, column)
    if any(rows.values()):
        return Shares.of_rows(rows, average=record.benchmark.average, frames=frames_by_video(record, column))
    kept = detections_of(record, column)
    return Shares.of_detections(kept, column) if kept else None


def detections_of(record: RunRecord, column: str) -> dict[str, Detections]:
    """Per video, what the metric of that figure detected; empty where not every video has it."""
    metric = next((name for name, columns in record.scores.items() if column in columns), "")
    kept = {video.video: video.detections[metric] for video in record.videos if metric in video.detections}
    return kept if len(kept) == len(record.videos) else {}


def significance_of(base: RunRecord, head: RunRecord, column: str) -> Significance | None:
    """What the videos say about head minus base of that figure, on the same videos; None where they do not say."""
    before, after = shares_of(base, column), shares_of(head, column)
    if before is None or after is None:
        return None
    if before.videos == after.videos:
        return before.judge(after)
    return assess(
        rows_by_video(base, column),
        rows_by_video(head, column),
        average=base.benchmark.average,
        frames=(frames_by_video(base, column), frames_by_video(head, column)),
    )
