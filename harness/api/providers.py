"""What stands in a config for a part that others made (``dis``, ``raft:FILE``, ``files:DIR``), read without loading it.

A *provider* gives a method what it does not compute itself: optical flow, proposals of objects, saliency. A config
names it by a text; `parse_spec` makes that a `ProviderSpec`, without importing torch or reading a file, so that a plan
can refuse what is wrong and put names and digests into its key. `harness.models` loads them.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from harness.api.dataclass import dataclass
from harness.api.errors import DataError, EnvironmentProblem, UsageError

ProviderKind = Literal["flow", "proposals", "saliency"]
Takes = Literal["", "FILE", "DIR"]


@dataclass(frozen=True)
class Offer:
    """A provider that can be named: what follows its name, what it learnt from, what has to be installed for it."""

    name: str
    summary: str
    takes: Takes = ""
    supervision: str = ""
    """The labels behind what it gives, in the words of a card; empty: none."""
    package: str = ""
    """The module it needs beside the harness's own dependencies."""

    @property
    def form(self) -> str:
        """How it is written: ``raft:FILE``."""
        return f"{self.name}:{self.takes}" if self.takes else self.name

    @property
    def is_installed(self) -> bool:
        """Whether what it needs is there; nothing is imported."""
        return not self.package or importlib.util.find_spec(self.package) is not None


TRUTH_FLOW = "truth-flow"
"""The provider that shows a dataset's own exact flow."""
_FILES = Offer("files", "made elsewhere, one file a frame", takes="DIR", supervision="unknown: files made elsewhere")

PROVIDERS: Mapping[ProviderKind, tuple[Offer, ...]] = {
    "flow": (
        Offer("dis", "OpenCV's DIS, medium, at half size"),
        Offer("dis:fast", "OpenCV's DIS, fast, at half size"),
        Offer(
            "raft",
            "torchvision's RAFT",
            takes="FILE",
            supervision="optical flow, mostly of rendered scenes (RAFT)",
            package="torchvision",
        ),
        _FILES,
        Offer(TRUTH_FLOW, "the dataset's own exact flow (mini)", supervision="exact flow of the dataset"),
    ),
    "proposals": (
        Offer("components", "connected parts of the foreground it is given"),
        Offer("edgebox+grabcut", "OpenCV's EdgeBoxes on gradients, cut out by GrabCut"),
        Offer(
            "maskrcnn",
            "torchvision's Mask R-CNN",
            takes="FILE",
            supervision="masks and categories of objects (Mask R-CNN)",
            package="torchvision",
        ),
        _FILES,
    ),
    "saliency": (
        Offer("boundary", "boundary connectivity of superpixels"),
        Offer("spectral", "OpenCV's spectral residual"),
        Offer("finegrained", "OpenCV's fine-grained saliency"),
        Offer("motion", "what moves against the camera between neighbouring frames (DIS)"),
        Offer("cam", "class activation map of a ResNet", takes="FILE", supervision="labels of images (classifier)"),
        _FILES,
    ),
}
"""Every provider by kind; the first of a kind is its default, and needs no download."""


@dataclass(frozen=True)
class ProviderSpec:
    """A provider as a config names it."""

    kind: ProviderKind
    offer: Offer
    path: Path | None = None

    @property
    def name(self) -> str:
        """Its name without the path: ``raft``."""
        return self.offer.name

    @property
    def supervision(self) -> str:
        """The labels behind what it gives, in the words of a card; empty: none."""
        return self.offer.supervision

    @property
    def is_supervision(self) -> bool:
        """Whether what it gives rests on labels, or may: of files nobody knows."""
        return bool(self.offer.supervision)

    def __str__(self) -> str:
        return self.name if self.path is None else f"{self.name}:{self.path}"

    def check(self) -> None:
        """Raise DataError where the file or folder is not there, EnvironmentProblem where a package is not."""
        if self.path is not None:
            is_there = self.path.is_file() if self.offer.takes == "FILE" else self.path.is_dir()
            if not is_there:
                wanted = "a file" if self.offer.takes == "FILE" else "a folder"
                found = "something else" if self.path.exists() else "nothing"
                raise DataError.at(self.path, found=found, expected=f"{wanted}, for {self.kind} by {self.offer.form}")
        if not self.offer.is_installed:
            raise EnvironmentProblem(
                f"{self.kind} by {self.name} needs the package {self.offer.package}, which is not installed",
                hint=f"docs/providers.md says how to install it; {PROVIDERS[self.kind][0].name} needs nothing",
            )


def parse_spec(kind: ProviderKind, text: str) -> ProviderSpec:
    """What ``text`` names among the providers of ``kind``; UsageError where it names none, or not as it is written.

    Nothing is read: ``ProviderSpec.check`` looks whether file and packages are there.

    >>> parse_spec("flow", "raft:weights/raft.pth").path
    PosixPath('weights/raft.pth')
    >>> parse_spec("saliency", "boundary").is_supervision
    False
    """
    offers = {offer.name: offer for offer in PROVIDERS[kind]}
    if text in offers:
        offer, path = offers[text], ""
    else:
        name, _, path = text.partition(":")
        if name not in offers or (path and not offers[name].takes):
            raise UsageError.unknown(f"{kind} provider", text, [offer.form for offer in offers.values()])
        offer = offers[name]
    if offer.takes and not path:
        raise UsageError(f"{kind} provider {text!r} names no {offer.takes}; expected {offer.form}")
    return ProviderSpec(kind, offer, Path(path).expanduser() if path else None)
