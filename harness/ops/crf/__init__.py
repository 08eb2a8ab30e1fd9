"""Dense CRF: soft masks drawn to the edges of their frame by mean field (Krähenbühl and Koltun 2011).

Every pixel is connected with every other. The sums over all of them are filters on the permutohedral lattice (Adams,
Baek and Davis 2010), written here from the papers. Three backends answer the same masks: `compiled` (a CPU, by Numba),
`torch` (any device, a batch at once) and `pydensecrf` (the program of the authors, where pydensecrf2 is installed).
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from harness.api.timing import Example, kernel
from harness.ops.crf.settings import CLASSIC, IMAS, MATNET, Bilateral, DenseCRF, Smooth

__all__ = [
    "CLASSIC",
    "IMAS",
    "MATNET",
    "Backend",
    "Bilateral",
    "DenseCRF",
    "Smooth",
    "choose_backend",
    "describe_backend",
    "refine",
    "unary_of",
    "unary_of_labels",
]

Backend = Literal["auto", "compiled", "torch", "pydensecrf"]
IMPOSSIBLE = 1e9
"""Above the least energy of its pixel; a label of so much or more has no probability, whatever its neighbours say."""


def refine_plain(
    frames: UInt8[Tensor, "B H W 3"],
    unary: Float[Tensor, "B L H W"],
    crf: DenseCRF,
    backend: Backend = "torch",
) -> Float[Tensor, "B L H W"]:
    """All labels filtered with PyTorch's operations, on any device, in the precision of ``unary`` (at least fp32)."""
    return refine.function(frames, unary, crf, backend)


def examples(device: str) -> list[Example]:
    """A disk of another colour in a textured frame, its soft mask moved aside."""
    cases = [((120, 214), 2, MATNET), ((480, 854), 2, MATNET), ((480, 854), 2, IMAS), ((480, 854), 5, IMAS)]
    names = {id(MATNET): "MATNet", id(IMAS): "IMAS"}
    return [
        Example(
            f"{size[1]}x{size[0]}, {labels} labels, {names[id(crf)]}", (*_scene(size, labels, device), crf), rounded=()
        )
        for size, labels, crf in cases
    ]


def _scene(size: tuple[int, int], labels: int, device: str) -> tuple[Tensor, Tensor]:
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, side) for side in size), indexing="ij")
    texture = torch.randn(1, *size, 3, generator=torch.Generator().manual_seed(0)) * 6
    inside = torch.sigmoid(20 * (0.5 - (x**2 + y**2).sqrt()))[..., None]
    frames = (60 + 90 * inside + 30 * y[..., None] + texture).clamp(0, 255).to(torch.uint8)
    angle = torch.arange(labels - 1) * (2 * math.pi / max(1, labels - 1))
    near = [torch.exp(-4 * ((x - 0.3 * a.cos()) ** 2 + (y - 0.3 * a.sin()) ** 2)) for a in angle]
    probabilities = torch.stack([torch.full(size, 0.4), *near])
    probabilities /= probabilities.sum(0)
    return frames.to(device), unary_of_labels(probabilities[None]).to(device)


@kernel(example=examples, reference=refine_plain, tolerance=1e-3, name="refine")
def refine(
    frames: UInt8[Tensor, "B H W 3"],
    unary: Float[Tensor, "B L H W"],
    crf: DenseCRF,
    backend: Backend = "auto",
) -> Float[Tensor, "B L H W"]:
    """Probabilities of each label, from energies (-log of probabilities) and the RGB frames they belong to.

    An energy of +inf forbids a label. No gradient goes through. ``auto`` is `compiled` on a CPU where Numba is, else
    `torch`; `choose_backend` says which. Backends differ by float rounding: in at most .01 % of pixels another label
    is highest, where unaries leave a doubt. All but `torch` compute in single precision.
    """
    check(frames, unary)
    name = choose_backend(unary.device, backend)
    with torch.no_grad():
        dtype = torch.promote_types(unary.dtype, torch.float32)
        energies = _above_least(unary.to(dtype))
        if unary.shape[1] == 1 or not len(unary):
            return torch.ones_like(unary)
        if name == "torch":
            from harness.ops.crf.plain import mean_field

            return mean_field(frames, energies, crf).to(unary.dtype)
        from harness.ops.crf.frames import refine_each

        return refine_each(frames, energies, crf, name).to(unary.dtype)


def check(frames: Tensor, unary: Tensor) -> None:
    """TypeError or ValueError for what cannot be refined."""
    if frames.dtype != torch.uint8 or not unary.is_floating_point():
        raise TypeError(f"found frames of {frames.dtype}, unary of {unary.dtype}; expected uint8 and floating point")
    if frames.ndim != 4 or unary.ndim != 4 or frames.shape[3] != 3 or frames.shape[:3] != _without(unary.shape):
        found = f"frames of {tuple(frames.shape)}, unary of {tuple(unary.shape)}"
        raise ValueError(f"found {found}; expected (B, H, W, 3) and (B, L, H, W) of the same B, H and W")
    if 0 in unary.shape[1:]:
        raise ValueError(f"found unary of {tuple(unary.shape)}; expected at least one label and one pixel")
    if frames.device != unary.device:
        raise ValueError(f"found frames on {frames.device}, unary on {unary.device}; expected one device")


def _without(shape: torch.Size) -> tuple[int, ...]:
    return (shape[0], *shape[2:])


def _above_least(unary: Float[Tensor, "B L H W"]) -> Float[Tensor, "B L H W"]:
    """Energies above the least of their pixel, finite; ValueError where a pixel has none, a NaN or a -inf."""
    least = unary.amin(1, keepdim=True)
    if not least.isfinite().all():
        frame, _, row, column = (~least.isfinite()).nonzero()[0].tolist()
        energies = unary[frame, :, row, column].tolist()
        raise ValueError(
            f"frame {frame}, row {row}, column {column}: found energies {energies}; "
            "expected no NaN, no -inf, and a finite one a pixel"
        )
    return (unary - least).clamp(max=IMPOSSIBLE)


def choose_backend(device: torch.device | str, backend: str = "auto") -> Literal["compiled", "torch", "pydensecrf"]:
    """The backend that `refine` would take; ValueError where it cannot work there, ImportError where it is missing."""
    is_cpu = torch.device(device).type == "cpu"
    if backend == "torch" or (backend == "auto" and not is_cpu):
        return "torch"
    if backend not in ("auto", "compiled", "pydensecrf"):
        raise ValueError(f"found backend {backend!r}; known: auto, compiled, torch, pydensecrf")
    if not is_cpu:
        raise ValueError(f"found backend {backend!r} and tensors on {device}; it works on the CPU alone")
    if backend == "pydensecrf":
        from harness.ops.crf.frames import require_pydensecrf

        require_pydensecrf()
        return "pydensecrf"
    from harness.ops.crf.lattice_loops import place_pixels

    return "compiled" if backend == "compiled" or place_pixels.is_compiled else "torch"


def describe_backend(device: torch.device | str, backend: str = "auto") -> str:
    """Name and version of what `refine` would use, for a record: ``compiled (vos-harness 0.1.0)``."""
    from importlib.metadata import version

    name = choose_backend(device, backend)
    package = {"compiled": "vos-harness", "torch": "torch", "pydensecrf": "pydensecrf2"}[name]
    return f"{name} ({package} {version(package)})"


def unary_of(
    foreground: Float[Tensor, "B H W"], *, divide: float = 1.0, stretch: bool = False, floor: float = 1e-6
) -> Float[Tensor, "B 2 H W"]:
    """Energies of background and foreground, from the probability of the foreground.

    The released code of RCF raises soft masks first: ``divide`` by .8 after a run (.7 before its second stage, .5
    after NCut), at most 1, then ``stretch``: divided by the highest of the frame. An empty map stays empty.
    """
    raised = (foreground / divide).clamp(max=1)
    if stretch:
        highest = raised.amax((1, 2), keepdim=True)
        raised = torch.where(highest > 0, raised / highest, raised)
    return unary_of_labels(torch.stack([1 - raised, raised], 1), floor=floor)


def unary_of_labels(probabilities: Float[Tensor, "B L H W"], *, floor: float = 1e-6) -> Float[Tensor, "B L H W"]:
    """-log of the probabilities, kept ``floor`` away from 0 and 1."""
    return -probabilities.clamp(floor, 1 - floor).log()
