"""Instance zero-shot VOS by MuG (Lu et al. 2020, 3.3): proposals within the foreground, linked by overlap and flow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from harness import BuildContext, Video, stage
from harness.api.errors import UsageError
from harness.api.providers import TRUTH_FLOW
from harness.models.flow import FlowProvider, flow_provider
from harness.models.proposals import ProposalProvider, proposal_provider
from harness.models.proposals.proposal import Proposal
from harness.ops.linking import Tracks, mask_iou
from harness_mug.config import InstanceConfig
from harness_mug.method import Foreground, foreground_of

MOST_IDS = 32_000
"""Of tracks of a video before the best are chosen: as many as int16 holds."""


def build(context: BuildContext) -> MuGInstances:
    """The foreground with the context's weights, and the providers that the config names."""
    spec = context.providers.get("proposals")
    if spec is None:
        raise UsageError(
            "found no proposal provider; expected the name of one",
            hint="leave --set proposals out, or give components, edgebox+grabcut or maskrcnn:FILE",
        )
    return MuGInstances(
        foreground_of(context), proposal_provider(spec, context.device), load_flow(context), context.config
    )


def load_flow(context: BuildContext) -> FlowProvider | None:
    """The provider of the constant ``flow``; None where it is empty, UsageError for the dataset's own flow."""
    spec = context.providers.get("flow")
    if spec is None:
        return None
    if spec.name == TRUTH_FLOW:
        raise UsageError(
            f"found flow={TRUTH_FLOW}; a method is shown frames alone, never the dataset's own flow",
            hint="use dis, raft:FILE or files:DIR",
        )
    return flow_provider(spec, context.device)


@dataclass
class Ledger:
    """What the whole video decides: which tracks there are, how sure each is, and where each is seen."""

    maps: list[Int[Tensor, "H W"]] = field(default_factory=list)
    """An id of a track, or 0, at each pixel."""
    worth: dict[int, float] = field(default_factory=dict)
    """The sum of the scores of a track's masks: the mean times how often it was seen."""

    def note(self, masks: Bool[Tensor, "N H W"], ids: Sequence[int], scores: Sequence[float]) -> None:
        """Take in a frame's masks, of falling score: the surer one lies on top."""
        painted = torch.zeros(masks.shape[1:], dtype=torch.int16, device=masks.device)
        for mask, name, score in reversed(list(zip(masks, ids, scores, strict=True))):
            painted.masked_fill_(mask, name)
            self.worth[name] = self.worth.get(name, 0.0) + score
        self.maps.append(painted)

    def best(self, most: int) -> dict[int, int]:
        """The tracks of highest worth and the ids they get, 1 for the one seen first; of equals the first."""
        ranked = sorted((name for name in self.worth if name), key=lambda name: (-self.worth[name], name))[:most]
        return {name: place + 1 for place, name in enumerate(sorted(ranked))}


class MuGInstances:
    """Card ``mug-instances``: offline, as which twenty tracks are the best is known at the video's end."""

    def __init__(
        self, foreground: Foreground, provider: ProposalProvider, flow: FlowProvider | None, config: InstanceConfig
    ) -> None:
        self.foreground, self.provider, self.flow, self.config = foreground, provider, flow, config

    @torch.inference_mode()
    def segment_instances(self, video: Video) -> Iterator[Tensor]:
        """Yield a mask a frame; ids count up from 1 in the order in which tracks were first seen."""
        ledger = self.follow(video)
        names = ledger.best(self.config.most_tracks)
        for painted in ledger.maps:
            mask = torch.zeros_like(painted, dtype=torch.uint8)
            for name, place in names.items():
                mask.masked_fill_(painted == name, place)
            yield mask

    def follow(self, video: Video) -> Ledger:
        """Candidates of each frame, linked with those before."""
        tracks = Tracks(least=self.config.least_link, patience=self.config.patience, most=MOST_IDS)
        ledger, before = Ledger(), None
        for frame, foreground in self.foreground.masks(video):
            with stage("proposals"):
                candidates = self.candidates(frame, foreground)
                nothing = torch.zeros(0, *video.size, dtype=torch.bool, device=frame.device)
                masks = torch.stack([each.mask for each in candidates]) if candidates else nothing  # (N, H, W)
                scores = [each.score for each in candidates]
            with stage("link"):
                arriving = None if before is None or self.flow is None else self.flow.between(before, frame)
                ledger.note(masks, tracks.add(masks, arriving, scores), scores)
            before = frame
        return ledger

    def candidates(self, frame: Tensor, foreground: Bool[Tensor, "H W"]) -> list[Proposal]:
        """Proposals that are foreground, cut to it, those of falling score that lie apart from surer ones."""
        found = self.provider.propose(frame, foreground, most=self.config.candidates)
        kept = [each for each in (cut(proposal, foreground, self.config) for proposal in found) if each is not None]
        return apart(kept, self.config.most_overlap)


def cut(proposal: Proposal, foreground: Bool[Tensor, "H W"], config: InstanceConfig) -> Proposal | None:
    """A proposal's pixels that are foreground; None where too little of it is."""
    inside = proposal.mask & foreground
    area, whole = int(inside.sum()), int(proposal.mask.sum())
    if not area or area < config.least_foreground * whole:
        return None
    return Proposal(inside, proposal.score, proposal.box)


def apart(proposals: Sequence[Proposal], most: float) -> list[Proposal]:
    """Those of falling score that overlap none of the surer ones by more than ``most``."""
    if not proposals:
        return []
    masks = torch.stack([each.mask for each in proposals])
    overlaps: Float[Tensor, "N N"] = mask_iou(masks, masks).cpu()
    kept: list[int] = []
    for place in range(len(proposals)):
        if all(overlaps[place, other] <= most for other in kept):
            kept.append(place)
    return [proposals[place] for place in kept]
