"""The recipe of a session on another machine, and what such a session sends back, taken into the run's folder."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from harness.api.dataclass import dataclass
from harness.api.errors import DataError, VerificationFailed
from harness.api.execution import MaskFiles
from harness.api.oddities import Oddity
from harness.api.records import Conditions, VideoFailure, VideoResult
from harness.api.video import Sample
from harness.catalog import Catalog
from harness.files import scratch_folder, write_atomically, write_whole
from harness.planning.places import find_data_root
from harness.planning.plan import Plan
from harness.planning.request import Request, request_as_json
from harness.running.digests import OnNote, hash_video, ignore_note
from harness.running.folder import MaskFolder, masks_of, tracks_of
from harness.running.oddities import Oddities

OPENER = "harness.running.away:open_away"
LONGEST_TEMPORARY = 12
"""Characters of a folder below which the paths of sockets still fit their 107 bytes."""


class Answer(BaseModel):
    """What a session elsewhere says of one video; the masks come beside it."""

    outcome: VideoResult | VideoFailure
    oddities: list[Oddity] = []
    conditions: Conditions | None = None

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass
class RunRecipe:
    """The recipe of one run; ``conditions`` is what the workers' clocks ran on, as of the last video."""

    plan: Plan
    catalog: Catalog
    out: Path
    oddities: Oddities = field(default_factory=Oddities)
    on_note: OnNote = ignore_note
    conditions: Conditions | None = field(default=None, init=False)

    @property
    def method(self) -> str:
        """The method's name."""
        return self.plan.method.name

    @property
    def build_seconds(self) -> float:
        """As for a worker process."""
        return self.plan.request.first_frame_seconds

    @property
    def address(self) -> str | None:
        """Where the user says that the cluster is."""
        return self.plan.request.address

    @property
    def needs_gpu(self) -> bool:
        """Whether each worker needs a whole GPU."""
        return self.plan.request.device != "cpu"

    @cached_property
    def threads(self) -> int:
        """As many as this process computes with."""
        return torch.get_num_threads()

    @cached_property
    def text(self) -> str:
        """What is asked for with every place spelled out, and what must come to the same there."""
        request = self.plan.request
        root = find_data_root(self.plan.benchmark, request.data_root, self.catalog)
        asked = replace(request, address=None, data_root=None if root is None else root.absolute())
        return json.dumps(
            {
                "opener": OPENER,
                "folder": os.getcwd(),
                "request": request_as_json().dump_python(asked, mode="json"),
                "threads": self.threads,
                "key_parts": self.plan.key_parts,
            }
        )

    def seconds_for(self, video: str) -> float:
        """The limits of its frames, together."""
        request = self.plan.request
        return request.first_frame_seconds + (self._sample(video).length - 1) * request.frame_seconds

    def receive(self, video: str, answer: str, files: MaskFiles) -> VideoResult | VideoFailure:
        """Write the masks of a finished video, and give its result; VerificationFailed where it is not of this run."""
        try:
            found = Answer.model_validate_json(answer)
        except ValidationError as error:
            raise VerificationFailed(f"{video}: a worker's answer makes no sense: {error}"[:2000]) from error
        outcome = found.outcome
        if outcome.video != video:
            raise VerificationFailed(f"a worker that was asked for {video} answered of {outcome.video!r}")
        if isinstance(outcome, VideoFailure):
            return outcome
        self._check(outcome)
        self._write(outcome, files)
        self.oddities.add(video, found.oddities)
        self.conditions = found.conditions or self.conditions
        return outcome

    def tell(self, words: str) -> None:
        """A note of the run."""
        self.on_note(words)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder in the system's place for such, or in /tmp where that has too long a path for sockets."""
        place = tempfile.gettempdir()
        with scratch_folder("harness-ray", Path(place if len(place) <= LONGEST_TEMPORARY else "/tmp")) as folder:
            yield folder

    def _check(self, result: VideoResult) -> None:
        """VerificationFailed for a result of other code or constants, DataError for one of other data."""
        sample = self._sample(result.video)
        if result.key != self.plan.video_key(sample, result.digest):
            raise VerificationFailed(f"{result.video}: a worker's result is under the key of another run")
        if result.digest != hash_video(sample, self.on_note):
            raise DataError(f"{result.video}: the worker's node has other data than lie here", hint="--data-root DIR")

    def _write(self, result: VideoResult, files: MaskFiles) -> None:
        video, found = result.video, [name for name, _ in files]
        place = masks_of(video) if self.plan.task.returns == "masks" else tracks_of(video)
        names = [f"{name}.png" for name in self._sample(video).frame_names]
        if self.plan.task.returns == "tracks":
            names = [Path(place).name]
        if result.masks != place or found != names:
            raise VerificationFailed(f"{video}: a worker sent {len(found)} files, expected {len(names)}, one a frame")
        if self.plan.task.returns == "tracks":
            write_atomically(self.out / place, files[0][1])
            return
        with MaskFolder(self.out, video) as folder:
            for name, content in files:
                write_whole(folder.building / name, content)
            folder.publish()

    def _sample(self, video: str) -> Sample:
        return next(sample for sample in self.plan.samples if sample.name == video)


def read_recipe(text: str) -> tuple[Request, dict[str, Any]]:
    """What is asked for, and the rest of a recipe."""
    recipe = json.loads(text)
    return request_as_json().validate_python(recipe["request"]), recipe
