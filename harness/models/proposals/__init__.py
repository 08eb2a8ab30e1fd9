"""Proposals by name: masks of what may be an object in one frame, the surest first."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, cast, runtime_checkable

from jaxtyping import Shaped
from torch import Tensor

from harness.api.providers import ProviderSpec, parse_spec
from harness.models.frame_files import Frame, Place
from harness.models.proposals.proposal import MOST, Proposal


@runtime_checkable
class ProposalProvider(Protocol):
    """Something that finds candidates for objects; equal frames give equal proposals."""

    name: str

    def propose(
        self,
        frame: Frame,
        foreground: Shaped[Tensor, "H W"] | None = None,
        place: Place | None = None,
        *,
        most: int = MOST,
    ) -> list[Proposal]:
        """At most ``most`` proposals of the frame's size, of falling score, on the frame's device; [] for none.

        ``foreground`` is what the caller takes for objects, bool or a probability: a hint, that some cannot do without.
        ``place`` names the frame for a provider that looks it up.
        """
        ...

    def fingerprint(self, video: str) -> str:
        """What its proposals in ``video`` depend on beside the frames, in one word: versions, settings, files."""
        ...


def proposal_provider(spec: str | ProviderSpec = "components", device: str = "cpu") -> ProposalProvider:
    """The provider that ``spec`` names: ``components``, ``edgebox+grabcut``, ``maskrcnn:FILE`` or ``files:DIR``.

    Only ``maskrcnn`` computes on ``device``. UsageError for an unknown name, DataError for a missing or unfit file,
    EnvironmentProblem for a missing package.
    """
    spec = parse_spec("proposals", spec) if isinstance(spec, str) else spec
    spec.check()
    match spec.name:
        case "maskrcnn":
            from harness.models.proposals.maskrcnn import MaskRCNN

            return MaskRCNN(cast(Path, spec.path), device)
        case "files":
            from harness.models.proposals.files import ProposalFiles

            return ProposalFiles(cast(Path, spec.path))
        case "edgebox+grabcut":
            from harness.models.proposals.edge_boxes import EdgeBoxes

            return EdgeBoxes()
        case _:
            from harness.models.proposals.components import Components

            return Components()
