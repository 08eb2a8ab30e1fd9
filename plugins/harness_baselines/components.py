"""Card ``moving-components``: objects are the connected parts of what moves, followed from frame to frame."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from harness import BuildContext, Track, Tracks, Video, stage
from harness.api.mask_files import RunLength
from harness.models.flow.camera import moving
from harness.models.proposals import proposal_provider
from harness.ops import linking
from harness_baselines.config import ComponentConfig
from harness_baselines.motion import FlowWatch, load_flow

CATEGORY = 1
"""Of every track: motion does not say what a thing is. The first that the benchmark knows (YouTube-VIS: person)."""


def build(context: BuildContext) -> MovingComponents:
    """The tracks with the flow provider that the config names."""
    return MovingComponents(FlowWatch(load_flow(context), "camera", "both"), context.config)


class MovingComponents:
    """At most 20 tracks a video; an id that was given is never given again."""

    def __init__(self, watch: FlowWatch, config: ComponentConfig) -> None:
        self.watch, self.config = watch, config
        self.parts = proposal_provider("components")

    @torch.inference_mode()
    def segment_instances(self, video: Video) -> Iterator[Tensor]:
        """Yield the ids of each frame; new tracks are numbered as they come, the largest of a frame first."""
        for masks, ids in self.follow(video):
            yield linking.id_map(masks, ids)

    @torch.inference_mode()
    def segment_tracks(self, video: Video) -> Tracks:
        """The same tracks, all of one category, the surest those that cover most of the video.

        Score such tracks by ``--rule youtube-vis-class-agnostic`` to leave out what nobody looked for.
        """
        masks: dict[int, list[RunLength | None]] = {}
        covered: dict[int, int] = {}
        for t, (parts, ids) in enumerate(self.follow(video)):
            for part, name in zip(parts, ids, strict=True):
                if name:
                    masks.setdefault(name, [None] * len(video))[t] = RunLength.encode(part.cpu().numpy())
                    covered[name] = covered.get(name, 0) + int(part.sum())
        pixels = len(video) * video.height * video.width
        return Tracks(tuple(Track(CATEGORY, covered[name] / pixels, masks[name]) for name in sorted(masks)))

    def follow(self, video: Video) -> Iterator[tuple[Tensor, list[int]]]:
        """The parts (N, H, W) of each frame, and the id of each; 0 where all ids were given before."""
        tracks = linking.Tracks(least=self.config.least_overlap, patience=self.config.patience)
        arriving = None
        for view in self.watch.views(video):
            with stage("components"):
                found = self.parts.propose(view.frame, moving(view.motion))
                nothing = torch.zeros(0, *video.size, dtype=torch.bool, device=view.frame.device)
                masks = torch.stack([part.mask for part in found]) if found else nothing  # (N, H, W)
            with stage("linking"):
                ids = tracks.add(masks, arriving)
            yield masks, ids
            arriving = view.forward
