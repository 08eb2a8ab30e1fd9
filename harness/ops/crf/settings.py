"""What a dense CRF is set to: its two kernels, how many steps of mean field, and the settings of papers."""

from __future__ import annotations

import math

from harness.api.dataclass import dataclass


@dataclass(frozen=True)
class Bilateral:
    """compat * exp(-|p_i - p_j|^2 / 2 sxy^2 - |I_i - I_j|^2 / 2 srgb^2): positions in pixels, colours in 0..255."""

    sxy: int | float
    srgb: int | float
    compat: int | float

    def __post_init__(self) -> None:
        _refuse_numbers(self, positive=("sxy", "srgb"))


@dataclass(frozen=True)
class Smooth:
    """compat * exp(-|p_i - p_j|^2 / 2 sxy^2)."""

    sxy: int | float
    compat: int | float

    def __post_init__(self) -> None:
        _refuse_numbers(self, positive=("sxy",))


@dataclass(frozen=True)
class DenseCRF:
    """Krähenbühl and Koltun 2011: a Potts model of two Gaussian kernels, each normalised symmetrically.

    ``stop_at``: a frame whose probabilities all changed by at most so much in a step takes no further one.
    """

    bilateral: Bilateral | None
    smooth: Smooth | None
    iterations: int
    stop_at: int | float | None = None

    def __post_init__(self) -> None:
        if isinstance(self.iterations, bool) or not isinstance(self.iterations, int) or self.iterations < 0:
            raise ValueError(f"found {self.iterations!r} iterations; expected a whole number, 0 or more")
        if self.stop_at is not None and not 0 <= self.stop_at < math.inf:
            raise ValueError(f"found stop_at={self.stop_at}; expected None or a change of probability, 0 or more")


def _refuse_numbers(kernel: Bilateral | Smooth, *, positive: tuple[str, ...]) -> None:
    for name, value in vars(kernel).items():
        if not math.isfinite(value) or value < 0 or (name in positive and value == 0):
            expected = "above 0" if name in positive else "0 or more"
            raise ValueError(f"found {name}={value} in {kernel}; expected a number {expected}")


MATNET = DenseCRF(Bilateral(30, 5, 5), Smooth(3, 3), 5)
"""Zhou et al. 2020 (MATNet), used by MuG and D-Net for their foregrounds."""
IMAS = DenseCRF(Bilateral(60, 5, 5), None, 50)
"""Lian et al. 2023, as CIS and RCF: colour alone, 50 steps."""
CLASSIC = DenseCRF(Bilateral(80, 13, 10), Smooth(3, 3), 5)
"""The example of Krähenbühl and Koltun's own program, which many papers take over."""
