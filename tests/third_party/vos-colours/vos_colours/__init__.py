"""Colours: follow each object by the colour histogram it had in its first mask."""

from dataclasses import dataclass

from harness import BuildContext, Citation, Kernel, Method, OneShotVOS, hookimpl


@dataclass(frozen=True)
class Config:
    """Every constant of the method; the defaults are the preset used without --preset."""

    bins: int = 16
    """Bins a colour channel."""
    reach: int = 15
    """Pixels an object may move from one frame to the next."""


def build(context: BuildContext) -> OneShotVOS:
    """Import torch only now: listing the plugins must stay fast."""
    from vos_colours.method import Colours

    return Colours(context.config)


def hot_functions() -> list[Kernel]:
    """The hot functions: timed inside a run, benched alone."""
    from vos_colours.kernels import likelihood

    return [likelihood]


@hookimpl
def harness_methods() -> list[Method]:
    """Offer one method."""
    return [
        Method(
            name="colours",
            summary="each pixel goes to the object whose first-mask colours it has, near where the object was",
            tasks=("one-shot",),
            build=build,
            config=Config,
            presets={"coarse": Config(bins=8)},
            kernels=hot_functions,
            supervision="none",
            paper=Citation(
                title="Color indexing", authors="Swain, Ballard", year=1991, url="https://doi.org/10.1007/BF00130487"
            ),
        )
    ]
