"""The state of a training on disk: plain tensors and numbers, replaced whole or not at all, read as data alone."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any, BinaryIO

import safetensors.torch
import torch
from torch import Tensor

from harness.api.dataclass import dataclass
from harness.api.errors import ContractError, DataError, EnvironmentProblem, UsageError
from harness.api.learning import Learner
from harness.files import digest_of_bytes, write_atomically
from harness.models.checkpoints import refuse_bomb
from harness.training.log import Window

FORMAT = "harness.training/1"
PARTS = {
    "format",
    "key",
    "iteration",
    "validated",
    "best",
    "best_iteration",
    "window",
    "networks",
    "optimizer",
    "scaler",
}


@dataclass
class State:
    """How far a training is, beside its networks and its optimiser."""

    stage: str = ""
    before: int = 0
    """Steps that the stages before took."""
    iteration: int = 0
    """Steps taken, in this stage."""
    validated: int = -1
    """The iteration last validated at."""
    best: float | None = None
    best_stage: str = ""
    best_iteration: int = -1
    best_sha256: str = ""
    """Of the file of the best weights; empty where there is none, or a checkpoint does not know."""
    window: Window = field(default_factory=Window)

    def begin(self, stage: str) -> State:
        """What it is when the next stage begins."""
        return State(
            stage=stage,
            before=self.before + self.iteration,
            best=self.best,
            best_stage=self.best_stage,
            best_iteration=self.best_iteration,
            best_sha256=self.best_sha256,
        )

    def forget_lost_best(self, path: Path) -> bool:
        """Forget the best score where the weights that reached it are not at ``path`` any more; whether that was so.

        Better ones that a kill kept the checkpoint from knowing are no loss: they are validated again.
        """
        steps = _steps_of(path)
        is_there = path.is_file() and digest_of_bytes(path) == self.best_sha256
        if not self.best_sha256 or is_there or (steps or 0) > self.before + self.validated:
            return False
        self.best, self.best_stage, self.best_iteration, self.best_sha256 = None, "", -1, ""
        return True

    @classmethod
    def of_plain(cls, content: Mapping[str, Any]) -> State:
        """The state that a checkpoint tells of."""
        return cls(
            stage=str(content.get("stage", "")),
            before=int(content.get("before", 0)),
            iteration=int(content["iteration"]),
            validated=int(content["validated"]),
            best=content["best"],
            best_stage=str(content.get("best_stage", "")),
            best_iteration=int(content["best_iteration"]),
            best_sha256=str(content.get("best_sha256", "")),
            window=Window.of_plain(content["window"]),
        )


def write_checkpoint(
    path: Path, key: str, state: State, learner: Learner | None = None, scaler: torch.amp.GradScaler | None = None
) -> None:
    """Write everything a training goes on from; a kill or a full disk leaves the checkpoint that was there.

    Without a learner, a stage begins with the state: nothing is learnt in it yet.
    """
    networks = learner.networks() if learner else {}
    content = {
        "format": FORMAT,
        "key": key,
        "stage": state.stage,
        "before": state.before,
        "iteration": state.iteration,
        "validated": state.validated,
        "best": state.best,
        "best_stage": state.best_stage,
        "best_iteration": state.best_iteration,
        "best_sha256": state.best_sha256,
        "window": state.window.as_plain(),
        "networks": {name: dict(network.state_dict()) for name, network in networks.items()},
        "optimizer": learner.optimizer().state_dict() if learner else {},
        "scaler": scaler.state_dict() if scaler else {},
    }
    _replace(path, lambda file: torch.save(content, file))


def _replace(path: Path, write: Callable[[BinaryIO], object]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except (OSError, RuntimeError) as error:  # torch tells of a full disk by a RuntimeError
        temporary.unlink(missing_ok=True)
        kept = "the earlier one is kept" if path.exists() else "there was none before"
        raise EnvironmentProblem(f"{path} cannot be written ({error}); {kept}", hint="make room and go on") from error


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was read: how far the training is, and the tensors for whoever can take them."""

    path: Path
    state: State
    networks: Mapping[str, Any]
    optimizer: Mapping[str, Any]
    scaler: Mapping[str, Any]

    @property
    def has_learnt(self) -> bool:
        """Whether there are tensors; not where its stage was only begun."""
        return bool(self.optimizer)


def read_checkpoint(path: Path, key: str, stages: Sequence[str] = ("",)) -> Checkpoint:
    """The checkpoint at ``path``, of ``key`` and in one of the ``stages``; DataError for one that is damaged."""
    hint = "--resume never begins anew"
    if not path.is_file():
        raise DataError.at(path, found="no plain file", expected=f"a checkpoint {FORMAT}", hint=hint)
    refuse_bomb(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as problem:  # torch lets through whatever a file that makes no sense leads to
        told = str(problem).partition("\n")[0]
        raise DataError(
            f"{path} is no readable checkpoint ({type(problem).__name__}: {told:.200})", hint=hint
        ) from None
    if not isinstance(content, dict) or content.get("format") != FORMAT or not content.keys() >= PARTS:
        raise DataError.at(path, found="another kind of file", expected=f"a checkpoint {FORMAT}", hint=hint)
    if content["key"] != key:
        raise UsageError(f"{path} is the checkpoint of another training than its folder's", hint=hint)
    try:
        state = State.of_plain(content)
        if state.stage not in stages:
            raise ValueError(f"stage {state.stage!r}, expected one of {', '.join(stages)}")
        if min(state.iteration, state.before) < 0:
            raise ValueError(f"iteration {state.iteration} after {state.before}")
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as problem:
        raise DataError.at(path, found=f"{problem!r:.300}", expected=f"a checkpoint {FORMAT}", hint=hint) from problem
    return Checkpoint(path, state, content["networks"], content["optimizer"], content["scaler"])


def restore(checkpoint: Checkpoint, learner: Learner, scaler: torch.amp.GradScaler) -> None:
    """Put a checkpoint's tensors into networks, optimiser and scaler; DataError where they do not fit."""
    networks = learner.networks()
    try:
        if networks.keys() != checkpoint.networks.keys():
            raise ValueError(f"networks {', '.join(checkpoint.networks)}, expected {', '.join(networks)}")
        if checkpoint.state.iteration > learner.iterations:
            raise ValueError(f"iteration {checkpoint.state.iteration}, expected at most {learner.iterations}")
        for name, network in networks.items():
            _refuse_endless(name, checkpoint.networks[name])
            network.load_state_dict(checkpoint.networks[name])
        for number, kept in checkpoint.optimizer["state"].items():
            _refuse_endless(f"the optimiser's state {number}", kept)
        learner.optimizer().load_state_dict(dict(checkpoint.optimizer))
        if scaler.is_enabled():
            scaler.load_state_dict(dict(checkpoint.scaler))
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as problem:
        told = " ".join(str(problem).split())
        raise DataError(
            f"{checkpoint.path} does not fit these networks ({told:.300}); the plugin's code may have changed",
            hint="--resume never begins anew",
        ) from problem


def _refuse_endless(name: str, tensors: Mapping[str, Any]) -> None:
    for key, value in tensors.items():
        if isinstance(value, Tensor) and not torch.isfinite(value).all():
            raise ValueError(f"NaN or infinity in {key} of {name}")


def write_weights(path: Path, weights: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write what the method loads at test time as safetensors, with where it came from."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    try:
        content = safetensors.torch.save(tensors, dict(metadata))
    except (RuntimeError, ValueError) as problem:  # tensors that share memory
        raise ContractError(f"Learner.weights() cannot be stored: {problem}") from problem
    write_atomically(path, _in_order(content))


def _steps_of(path: Path) -> int | None:
    """How many steps made these weights, as they say; None where they do not."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return int(file.metadata()["iterations"])
    except Exception:  # junk
        return None


def holds(path: Path, weights: Mapping[str, Tensor]) -> bool:
    """Whether a file holds these weights, whatever else it says."""
    try:
        found = safetensors.torch.load_file(path)
    except Exception:  # junk, or a type torch lacks
        return False
    return found.keys() == weights.keys() and all(torch.equal(found[name], weights[name].cpu()) for name in found)


def _in_order(content: bytes) -> bytes:
    """The same safetensors file with its header sorted: equal weights and metadata make equal bytes."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + content[end:]
