"""Differences between two runs, paired by video, and what may be said of them."""

from __future__ import annotations

import numpy as np
from scipy import stats

from harness import RunRecord

Scores = dict[str, float]
"""J of each video."""


def compare(head: Scores, base: Scores) -> tuple[float, float, float]:
    """The mean difference over videos, and its 95 % t interval; infinite with one video."""
    differences = np.array([head[video] - base[video] for video in sorted(base)])
    mean = float(differences.mean())
    if len(differences) < 2:
        return mean, -np.inf, np.inf
    reach = float(stats.t.ppf(0.975, len(differences) - 1) * stats.sem(differences))
    return mean, mean - reach, mean + reach


def judge(low: float, high: float) -> str:
    """In words: only an interval without 0 shows something."""
    return "better" if low > 0 else "worse" if high < 0 else "no difference shown"


def mean_of(scores: Scores) -> float:
    """Over videos."""
    return float(np.mean(list(scores.values())))


def j_of_videos(record: RunRecord) -> Scores:
    """J of each video of a run, the mean over its objects."""
    found = {video.video: [figures["J-mean"] for figures in video.objects.values()] for video in record.videos}
    return {video: float(np.mean(values)) for video, values in found.items()}


def average(of_seeds: list[Scores]) -> Scores:
    """Of each video over seeds."""
    return {video: float(np.mean([scores[video] for scores in of_seeds])) for video in of_seeds[0]}
