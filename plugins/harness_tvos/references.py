"""Which earlier frames labels come from, and how wide the spatial prior of each one is (Zhang et al. 2020, 3.3)."""

from __future__ import annotations

from harness_tvos.config import Config


def reference_frames(target: int, config: Config) -> tuple[int, ...]:
    """The frames labels come from, ascending: dense in the near past, sparse in the far (section 3.3, figure 3)."""
    if target <= config.sparse + config.dense:
        return tuple(range(target))
    end = target - 1 - config.dense
    start = max(target - config.reach, 0)
    steps = max(config.sparse - 1, 1)
    spread = [start + k * (end - start) // steps for k in range(config.sparse)]  # truncated linspace(start, end)
    return (*spread, *range(end + 1, target))


def sigmas(target: int, references: int, config: Config) -> tuple[float, ...]:
    """The width of the spatial prior for each reference (section 3.3, "a simple motion prior")."""
    if target < config.far_from:
        return (config.sigma_near,) * references
    near = min(config.near, references)
    return (config.sigma_far,) * (references - near) + (config.sigma_near,) * near


def frames_kept(config: Config) -> int:
    """How far back any target ever looks."""
    return max(config.sparse + config.dense, config.reach if config.sparse else 0)
