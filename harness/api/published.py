"""Numbers printed in papers: one file a paper in leaderboard/published/, shown as reported and never ranked."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from harness.api.records import Name, Number, Text

PUBLISHED_SCHEMA: Final = "harness.published/1"

# No pages: a table is found by its number, and pages differ between a paper's editions.
NonEmpty = Annotated[str, StringConstraints(min_length=1, max_length=2000)]
ColumnName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9&+_-]{1,40}$")]


class _Published(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class PublishedSpeed(_Published):
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


class PublishedRow(_Published):
    """One row of one table of a paper."""

    benchmark: Name
    task: Name
    method: Text = ""
    """Another method that the paper compares with, as it is named there; empty: the paper's own."""
    variant: Text = ""
    """What tells this row from the paper's others: training data, post-processing, backbone."""
    supervision: NonEmpty
    source: NonEmpty
    """Where it is printed: ``Table 3``."""
    rule: Text = ""
    """The rule of ``harness run --protocol`` by which they are averaged; empty: the benchmark's own."""
    backbone: Text = ""
    """The network that makes its features, where the paper says so of this row."""
    trained_on: Text = ""
    """The data, as the paper names them for this row."""
    figures: dict[ColumnName, Number]
    """Column -> figure exactly as printed, in per cent (``J-mean: 69.9``)."""
    by_video: dict[NonEmpty, dict[ColumnName, Number]] = Field(default_factory=dict)
    """The same for each video, where the paper prints them."""
    speed: PublishedSpeed | None = None
    note: Text = ""
    misprint: Text = ""
    """Why the printed figures cannot be right, or contradict themselves; they stand as printed all the same."""


class PublishedPaper(_Published):
    """The figures of one paper."""

    schema_: Literal["harness.published/1"] = Field(PUBLISHED_SCHEMA, alias="schema")
    plugin: Name
    """The method of this harness that follows the paper."""
    method: NonEmpty
    title: NonEmpty
    authors: NonEmpty
    venue: NonEmpty
    year: int
    url: Annotated[str, StringConstraints(pattern=r"^(https://[A-Za-z0-9._~/-]{1,300})?$")] = ""
    """Where it can be read."""
    rows: Annotated[list[PublishedRow], Field(min_length=1)]
