"""The state of a training on disk: plain tensors and numbers, replaced whole or not at all, read as data alone."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import safetensors.torch
import torch
from torch import Tensor

from harness.api.errors import ContractError, DataError, EnvironmentProblem, UsageError
from harness.api.learning import Learner
from harness.files import write_atomically
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

    iteration: int = 0
    """Steps taken."""
    validated: int = -1
    """The iteration last validated at."""
    best: float | None = None
    best_iteration: int = -1
    window: Window = field(default_factory=Window)


def write_checkpoint(path: Path, key: str, state: State, learner: Learner, scaler: torch.amp.GradScaler) -> None:
    """Write everything a training goes on from; a kill or a full disk leaves the checkpoint that was there."""
    content = {
        "format": FORMAT,
        "key": key,
        "iteration": state.iteration,
        "validated": state.validated,
        "best": state.best,
        "best_iteration": state.best_iteration,
        "window": state.window.as_plain(),
        "networks": {name: dict(network.state_dict()) for name, network in learner.networks().items()},
        "optimizer": learner.optimizer().state_dict(),
        "scaler": scaler.state_dict(),
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


def read_checkpoint(path: Path, key: str) -> dict[str, Any]:
    """The content of a checkpoint that belongs to ``key``; DataError for one that is damaged or no checkpoint."""
    hint = "--resume never begins anew"
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
    return content


def restore(path: Path, content: Mapping[str, Any], learner: Learner, scaler: torch.amp.GradScaler) -> State:
    """Put a checkpoint's tensors into networks, optimiser and scaler; DataError where they do not fit."""
    networks = learner.networks()
    try:
        if networks.keys() != content["networks"].keys():
            raise ValueError(f"networks {', '.join(content['networks'])}, expected {', '.join(networks)}")
        for name, network in networks.items():
            network.load_state_dict(content["networks"][name])
        learner.optimizer().load_state_dict(content["optimizer"])
        if scaler.is_enabled():
            scaler.load_state_dict(content["scaler"])
        return State(
            iteration=int(content["iteration"]),
            validated=int(content["validated"]),
            best=content["best"],
            best_iteration=int(content["best_iteration"]),
            window=Window.of_plain(content["window"]),
        )
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as problem:
        told = " ".join(str(problem).split())
        raise DataError(
            f"{path} does not fit these networks ({told:.300}); the plugin's code may have changed",
            hint="--resume never begins anew",
        ) from problem


def write_weights(path: Path, weights: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write what the method loads at test time as safetensors, with where it came from."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    try:
        content = safetensors.torch.save(tensors, dict(metadata))
    except (RuntimeError, ValueError) as problem:  # tensors that share memory
        raise ContractError(f"Learner.weights() cannot be stored: {problem}") from problem
    write_atomically(path, _in_order(content))


def _in_order(content: bytes) -> bytes:
    """The same safetensors file with its header sorted: equal weights and metadata make equal bytes."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + content[end:]
