"""The metric "youtube_vos": J and F of seen and unseen categories and the mean of the four, as published.

The server's evaluator is not public, so this is not verified against it (Xu et al. 2018, section 4; docs/metrics.md).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.api.contracts import Column, Rule
from harness.api.errors import DataError
from harness.api.mask_runs import MaskRuns
from harness.api.records import VideoScores
from harness.api.video import Sample
from harness.metrics.j_and_f.measurement import JFMeasurement, figures_or_none

GROUPS = ("seen", "unseen")


class GroupedMeasurement:
    """J and F of one video, with the group of each object as evidence."""

    def __init__(self, metric: str, sample: Sample, rule: Rule) -> None:
        if "unseen" not in sample.extra:
            raise DataError.at(
                f"video {sample.name!r}",
                found="no list of objects of unseen categories",
                expected="Sample.extra['unseen'], the object ids whose category no training video has",
                hint="choose the metric j_and_f for data without seen and unseen categories",
            )
        self._unseen = {int(id_) for id_ in sample.extra["unseen"]}
        self._measured = JFMeasurement(metric, sample, rule)

    def add(self, frame: int, prediction: np.ndarray | MaskRuns, truth: np.ndarray | MaskRuns | None) -> None:
        """Take the id maps of the next frame, or their runs."""
        self._measured.add(frame, prediction, truth)

    def finish(self) -> VideoScores:
        """J and F of each object; ``evidence`` maps its id to ``seen`` or ``unseen``."""
        scores = self._measured.finish()
        groups = {id_: GROUPS[int(id_) in self._unseen] for id_ in scores.summary}
        return scores.model_copy(update={"evidence": groups})


class YouTubeVOS:
    """J and F averaged over the objects of seen and of unseen categories apart."""

    name = "youtube_vos"
    takes_runs = True
    columns: tuple[Column, ...] = (
        Column("J&F", "overall: mean of the four below", averaged=False),
        Column("J_seen", "mean J over objects of categories that training has", averaged=False),
        Column("J_unseen", "mean J over objects of categories that training lacks", averaged=False),
        Column("F_seen", "mean F over objects of categories that training has", averaged=False),
        Column("F_unseen", "mean F over objects of categories that training lacks", averaged=False),
    )

    def start(self, sample: Sample, rule: Rule) -> GroupedMeasurement:
        """Begin one video; ``sample.extra['unseen']`` holds the ids of its objects of unseen categories."""
        return GroupedMeasurement(self.name, sample, rule)

    def summarise(self, videos: Sequence[VideoScores], rule: Rule) -> dict[str, float | None]:
        """The overall figures; None for a group without any scored object, and then for the overall one too."""
        figures = {f"{measure}_{group}": _mean(measure, group, videos) for measure in "JF" for group in GROUPS}
        return figures_or_none({"J&F": float(np.mean(list(figures.values()))), **figures})


def _mean(measure: str, group: str, videos: Sequence[VideoScores]) -> float:
    values = [
        figures[f"{measure}-mean"]
        for video in videos
        for id_, figures in video.summary.items()
        if video.evidence[id_] == group and figures[f"{measure}-mean"] is not None
    ]
    return float(np.mean(np.array(values, np.float64))) if values else float("nan")
