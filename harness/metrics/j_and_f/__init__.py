"""The metric "j_and_f": region similarity J, boundary accuracy F and their mean, as the DAVIS toolkits average them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.api.contracts import Column, Metric, Rule
from harness.api.hookspecs import hookimpl
from harness.api.records import VideoScores
from harness.api.video import Sample
from harness.metrics.j_and_f.measurement import JFMeasurement, figures_or_none
from harness.metrics.j_and_f.youtube_vos import YouTubeVOS


class JAndF:
    """J, F and J&F with mean, recall and decay."""

    name = "j_and_f"
    takes_runs = True
    columns: tuple[Column, ...] = (
        Column("J&F", "mean of J-mean and F-mean"),
        Column("J-mean", "region similarity: intersection over union"),
        Column("J-recall", "part of the frames with J above 0.5"),
        Column("J-decay", "J of the first quarter of the frames minus J of the last", higher_is_better=False),
        Column("F-mean", "boundary accuracy: harmonic mean of boundary precision and recall"),
        Column("F-recall", "part of the frames with F above 0.5"),
        Column("F-decay", "F of the first quarter of the frames minus F of the last", higher_is_better=False),
    )

    def start(self, sample: Sample, rule: Rule) -> JFMeasurement:
        """Begin one video."""
        return JFMeasurement(self.name, sample, rule)

    def summarise(self, videos: Sequence[VideoScores], rule: Rule) -> dict[str, float | None]:
        """The overall figures.

        ``objects``: every object of every video weighs the same (2017), and one undefined decay makes the overall
        decay undefined, as in davis2017-evaluation. ``sequences``: objects are averaged in each video first, and
        videos with an undefined figure are left out of its mean (2016). ``frames``: every scored frame of every object
        weighs the same; undefined figures are left out. Objects without a scored frame do not count.
        """
        figures = {column.name: self._overall(column.name, videos, rule) for column in self.columns[1:]}
        return figures_or_none({"J&F": (figures["J-mean"] + figures["F-mean"]) / 2, **figures})

    def _overall(self, column: str, videos: Sequence[VideoScores], rule: Rule) -> float:
        tables = [[figures for figures in video.summary.values() if figures["J-mean"] is not None] for video in videos]
        values = [np.array([figures[column] for figures in table], np.float64) for table in tables if table]
        if rule.average == "frames":
            return _mean_over_frames(column, videos)
        if rule.average == "sequences":
            means = np.array([of_video.mean() for of_video in values])
            values = [means[~np.isnan(means)]]
        together = np.concatenate(values) if values else np.empty(0)
        return float(together.mean()) if together.size else float("nan")


def _mean_over_frames(column: str, videos: Sequence[VideoScores]) -> float:
    """The mean of an object's figures, each as often as the object has scored frames."""
    known = [
        (figure, sum(value is not None for value in video.series["J"][id_]))
        for video in videos
        for id_, figures in video.summary.items()
        if (figure := figures[column]) is not None
    ]
    frames = sum(count for _, count in known)
    return sum(figure * count for figure, count in known) / frames if frames else float("nan")


@hookimpl
def harness_metrics() -> list[Metric]:
    """``j_and_f``, and ``youtube_vos`` which groups the same measurement by seen and unseen categories."""
    return [JAndF(), YouTubeVOS()]
