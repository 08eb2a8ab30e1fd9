"""The videos as a training may see them: with the truth it declares to need, or refused where they have none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from harness.api.errors import DataError
from harness.api.learning import Needs
from harness.api.providers import TRUTH_FLOW, ProviderSpec
from harness.api.video import Sample, without_truth


def convert_as_needed(
    samples: Sequence[Sample], needs: Needs, plugin: str, data: str, providers: Iterable[ProviderSpec] = ()
) -> list[Sample]:
    """The samples for a training that ``needs`` so much of their truth; DataError where one has less.

    Tracks are given where there are tracks or id masks (``harness.read_tracks``). Id masks are not made of tracks,
    which may overlap. A training that needs frames is shown exact flow too where it named that as its provider, which
    is supervision.
    """
    if needs == "frames":
        shown = [without_truth(sample) for sample in samples]
        if not any(spec.name == TRUTH_FLOW for spec in providers):
            return shown
        return [replace(bare, read_flow=sample.read_flow) for bare, sample in zip(shown, samples, strict=True)]
    bare = [sample.name for sample in samples if not (_has_tracks(sample) if needs == "tracks" else sample.read_truth)]
    if bare:
        tracks = sum("tracks" in sample.extra for sample in samples)
        raise DataError(
            f"{plugin} learns from {needs}, and {len(bare)} of {len(samples)} videos of {data} have none "
            f"(first: {bare[0]}{f'; {tracks} have tracks' if tracks and needs == 'masks' else ''})",
            hint="name data with a public truth: harness ls benches",
        )
    return list(samples)


def _has_tracks(sample: Sample) -> bool:
    return "tracks" in sample.extra or sample.read_truth is not None
