"""Numbers printed in papers: one file a paper in leaderboard/published/, shown as reported and never ranked."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from harness.api.records import Name, Number, Text, _Record

PUBLISHED_SCHEMA: Final = "harness.published/1"

NonEmpty = Annotated[str, StringConstraints(min_length=1, max_length=2000)]
ColumnName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9&+_-]{1,40}$")]


class PublishedSpeed(_Record):
    """A speed as printed; what it includes and on which machine is what the paper says, often nothing."""

    fps: Number | None = None
    seconds_per_frame: Number | None = None
    source: NonEmpty
    conditions: Text = ""

    @model_validator(mode="after")
    def _has_a_figure(self) -> PublishedSpeed:
        if self.fps is None and self.seconds_per_frame is None:
            raise ValueError("a speed without a figure; give fps or seconds_per_frame")
        return self


class PublishedRow(_Record):
    """One row of one table of a paper."""

    benchmark: Name
    task: Name
    variant: Text = ""
    """What tells this row from the paper's others: training data, post-processing, backbone."""
    supervision: NonEmpty
    source: NonEmpty
    """Where it is printed: ``Table 3``."""
    figures: dict[ColumnName, Number]
    """Column -> figure exactly as printed, in per cent (``J-mean: 69.9``)."""
    speed: PublishedSpeed | None = None
    note: Text = ""
    """Where the printed figures follow another rule than the benchmark's, or contradict themselves."""


class PublishedPaper(_Record):
    """The figures of one paper."""

    schema_: Literal["harness.published/1"] = Field(PUBLISHED_SCHEMA, alias="schema")
    plugin: Name
    """The method of this harness that follows the paper."""
    method: NonEmpty
    title: NonEmpty
    authors: NonEmpty
    venue: NonEmpty
    year: int
    rows: Annotated[list[PublishedRow], Field(min_length=1)]

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
