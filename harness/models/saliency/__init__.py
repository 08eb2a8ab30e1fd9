"""Saliency by name: how much each pixel of one frame stands out, from 0 to 1."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from harness.api.providers import ProviderSpec, parse_spec
from harness.models.frame_files import Around, Frame, Place


@runtime_checkable
class SaliencyProvider(Protocol):
    """Something that rates the pixels of a frame; equal frames give equal maps."""

    name: str
    looks_around: bool
    """Whether it wants to be shown the frames before and after too: what moves is not to be seen in one."""

    def rate(self, frame: Frame, place: Place | None = None, around: Around = ()) -> Float[Tensor, "H W"]:
        """(H, W) float32 in [0, 1], on the frame's device; all 0 where nothing stands out.

        ``place`` names the frame for a provider that looks it up; one that computes does not look at it. ``around``
        are the frames next to it, one or two (`frames_around`); only a provider that ``looks_around`` looks at them.
        """
        ...

    def fingerprint(self, video: str) -> str:
        """What its maps of ``video`` depend on beside the frames, in one word: versions, settings, files."""
        ...


def saliency_provider(spec: str | ProviderSpec = "boundary", device: str = "cpu") -> SaliencyProvider:
    """What ``spec`` names: ``boundary``, ``spectral``, ``finegrained``, ``motion``, ``cam:FILE`` or ``files:DIR``.

    Only ``cam`` computes on ``device``. UsageError for an unknown name, DataError for a missing or unfit file,
    EnvironmentProblem for a missing package.
    """
    spec = parse_spec("saliency", spec) if isinstance(spec, str) else spec
    spec.check()
    match spec.name:
        case "cam":
            from harness.models.saliency.cam import ClassActivation

            return ClassActivation(cast(Path, spec.path), device)
        case "files":
            from harness.models.saliency.files import SaliencyFiles

            return SaliencyFiles(cast(Path, spec.path))
        case "boundary":
            from harness.models.saliency.boundary import BoundaryConnectivity

            return BoundaryConnectivity()
        case "motion":
            from harness.models.saliency.motion import AgainstTheCamera

            return AgainstTheCamera()
        case _:
            from harness.models.saliency.spectrum import OpenCVSaliency

            return OpenCVSaliency(spec.name)


def frames_around(provider: SaliencyProvider, read: Callable[[int], Frame], t: int, length: int) -> Around:
    """The frames before and after frame ``t`` of a video, where there are such and the provider looks at them."""
    if not provider.looks_around:
        return ()
    return tuple(read(place) for place in (t - 1, t + 1) if 0 <= place < length)
