"""What ``harness bench kernels`` found, as versioned JSON: conditions, the machine's limits, one row an example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from harness.api.records import Conditions, Number, Whole

KERNELS_SCHEMA: Final = "harness.bench-kernels/1"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Spread(_Part):
    """A time in seconds over some rounds: median and quartiles."""

    median: Number
    low: Number
    high: Number
    rounds: Whole

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Spread:
        """The spread of at least one time."""
        low, median, high = (float(value) for value in np.quantile(seconds, (0.25, 0.5, 0.75)))
        return cls(median=median, low=low, high=high, rounds=len(seconds))


class Form(_Part):
    """One form of a kernel, the fast or the plain one, on one example."""

    seconds: Spread
    """CUDA: between two events on the stream; CPU: wall time. Caches are cold."""
    cpu_seconds: Spread | None = None
    """CPU: time of all threads of the process, which other load does not lengthen much."""
    extra_mib: Number | None = None
    """Peak memory beyond the arguments; None where the system cannot tell."""
    error: Number | None = None
    """Largest absolute difference from the reference computed in float64."""


class Limits(_Part):
    """What this machine reaches at best, measured in the same run."""

    gflop_a_second: dict[str, Number]
    """Matrix product by kind of arithmetic: the precision asked for; on CUDA also tf32 and bf16."""
    copy_gb_a_second: Number
    """Bytes read and written by a copy, in 1e9 a second."""

    def least_seconds(self, kind: str, flops: float | None, traffic: float | None) -> float | None:
        """The roofline as a time: no form can be faster; None where neither work nor traffic is known."""
        if flops is None and traffic is None:
            return None
        arithmetic = (flops or 0.0) / (1e9 * self.gflop_a_second[kind])
        return max(arithmetic, (traffic or 0.0) / (1e9 * self.copy_gb_a_second))


class Rates(_Part):
    """What the fast form makes of the machine."""

    gflop_a_second: Number | None
    gb_a_second: Number | None
    intensity: Number | None
    """Floating-point operations a byte of the least traffic."""
    attainable_gflop_a_second: dict[str, Number]
    """min(peak, intensity x bandwidth) for each peak."""
    share: dict[str, Number]
    """Achieved share of the roofline, for each peak."""


class Row(_Part):
    """One kernel on one example."""

    plugin: str
    kernel: str
    example: str
    tolerance: Number
    flops: Number | None = None
    bytes: Number | None = None
    fast: Form | None = None
    plain: Form | None = None
    rates: Rates | None = None
    difference: Number | None = None
    """Largest absolute difference of the two forms."""
    problem: str = ""
    """Why this kernel fails here: it raised, or differs by more than its tolerance; empty where it does not."""
    notes: list[str] = []

    @property
    def times_faster(self) -> float | None:
        """Time of the plain form over that of the fast one; on a CPU in processor time."""
        if self.fast is None or self.plain is None:
            return None
        fast, plain = (form.cpu_seconds or form.seconds for form in (self.fast, self.plain))
        return plain.median / fast.median if fast.median > 0 else None


class KernelReport(_Part):
    """The whole bench."""

    schema_: Literal["harness.bench-kernels/1"] = Field(KERNELS_SCHEMA, alias="schema")
    created: str
    harness_version: str
    conditions: Conditions
    limits: Limits
    rows: list[Row]

    @property
    def failed(self) -> list[Row]:
        """The rows with a problem."""
        return [row for row in self.rows if row.problem]


def rates_of(limits: Limits, seconds: float, flops: float | None, traffic: float | None) -> Rates:
    """The rates of work done in so many seconds."""
    least: Mapping[str, float] = {
        kind: bound
        for kind in limits.gflop_a_second
        if (bound := limits.least_seconds(kind, flops, traffic)) is not None
    }
    return Rates(
        gflop_a_second=None if flops is None else flops / seconds / 1e9,
        gb_a_second=None if traffic is None else traffic / seconds / 1e9,
        intensity=flops / traffic if flops is not None and traffic else None,
        attainable_gflop_a_second={} if flops is None else {kind: flops / s / 1e9 for kind, s in least.items() if s},
        share={kind: bound / seconds for kind, bound in least.items()},
    )
