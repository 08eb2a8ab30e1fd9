"""Weights from anywhere, read without running anything they hold: safetensors, or torch files of plain tensors."""

from __future__ import annotations

import pickle
import shlex
import warnings
import zipfile
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from harness.api.errors import DataError

AGAIN = "fetch the file again"
_RESAVE = (
    "import sys, torch; "
    "torch.save(torch.load(sys.argv[1], map_location='cpu', weights_only=False)['state_dict'], sys.argv[2])"
)


def read_state(path: Path | str) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name: dense, on the CPU, real, in the types they are stored in.

    The file is safetensors (by its ending) or what ``torch.save`` wrote of a state dict, bare or under ``state_dict``.
    Nothing is unpickled beyond tensors and plain containers: code in a pickle never runs. DataError names the file
    where it is absent, damaged, needs more than that, or claims more memory than it has bytes.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"no checkpoint at {path}", hint="give an existing .safetensors, .pth or .pth.tar file")
    state = _read_safetensors(path) if path.suffix == ".safetensors" else _state_in(path, _read_torch(path))
    for name, value in state.items():
        problem = _problem_of(name, value)
        if problem:
            raise DataError.at(path, found=problem, expected="dense real tensors by name", hint=AGAIN)
    return {name: value.detach() for name, value in state.items()}


def load_strictly(
    network: nn.Module, state: Mapping[str, Tensor], what: str, *, names_hint: str = "", shapes_hint: str = ""
) -> None:
    """Load all of ``state`` and nothing else; only batch counters, which old files lack, may be missing.

    DataError begins with ``what`` and names the first tensors that are missing or unknown, or the first that does not
    fit; each kind has its hint.
    """
    own = network.state_dict()
    full = {**{name: value for name, value in own.items() if name.endswith("num_batches_tracked")}, **state}
    refuse_other_names(own.keys(), full.keys(), what, hint=names_hint)
    misfits = [name for name in own if own[name].shape != full[name].shape]
    if misfits:
        found, expected = tuple(full[misfits[0]].shape), tuple(own[misfits[0]].shape)
        raise DataError(
            f"{what} do not fit at {len(misfits)} tensors, first {misfits[0]}: found {found}, expected {expected}",
            hint=shapes_hint,
        )
    network.load_state_dict(full)


def refuse_other_names(expected: Set[str], found: Set[str], what: str, *, hint: str = "") -> None:
    """DataError unless both are the same names of tensors; it begins with ``what`` and names three of each kind."""
    missing, surplus = sorted(expected - found), sorted(found - expected)
    if missing or surplus:
        raise DataError(
            f"{what} lack {len(missing)} tensors ({', '.join(missing[:3]) or 'none'}) and have {len(surplus)} unknown "
            f"({', '.join(surplus[:3]) or 'none'})",
            hint=hint,
        )


def _problem_of(name: object, value: Tensor) -> str:
    if not isinstance(name, str) or not name.isprintable():
        return f"a tensor named {name!r:.80}"
    if value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized or value.is_complex():
        kind = "complex" if value.is_complex() else "quantized" if value.is_quantized else str(value.layout)
        return f"{name} of kind {kind} on {value.device}"
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        return f"{name} of {tuple(value.shape)} in {value.untyped_storage().nbytes()} bytes"
    return ""


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except Exception as problem:  # a broken header is a SafetensorError, a type torch lacks is not
        raise DataError(f"{path} is not a readable safetensors file: {problem}", hint=AGAIN) from None


def _read_torch(path: Path) -> Any:
    refuse_bomb(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd pickles are warned of, then refused
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as problem:
        target = f"{path.stem}-weights.pth"
        raise DataError(
            f"{path} cannot be read as plain tensors; it is damaged or holds other Python objects, such as the "
            f"optimizer and scheduler of an official checkpoint ({str(problem).partition(chr(10))[0]})",
            hint="if you trust the file, which may run any code then, re-save its weights alone: "
            + shlex.join(["python", "-c", _RESAVE, str(path), target]),
        ) from None
    except Exception as problem:  # torch lets through whatever a pickle that makes no sense leads to
        told = f"{type(problem).__name__}: {problem}".partition("\n")[0]
        raise DataError(f"{path} is not a readable torch file ({told:.300})", hint=AGAIN) from None


def refuse_bomb(path: Path) -> None:
    """Raise for a zip whose entries are compressed or share their bytes: torch writes neither, and would inflate it."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except Exception:  # no zip: an older torch file, or damaged, which torch tells
        return
    packed = next((entry for entry in entries if entry.compress_type != zipfile.ZIP_STORED), None)
    if packed is not None:
        raise DataError.at(path, found=f"a compressed entry {packed.filename!r}", expected="a file of torch.save")
    claimed, there = sum(entry.file_size for entry in entries), path.stat().st_size
    if claimed > there:
        raise DataError.at(path, found=f"{claimed} bytes of entries in {there}", expected="a file of torch.save")


def _state_in(path: Path, loaded: Any) -> dict[Any, Tensor]:
    state = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else loaded
    if not isinstance(state, dict) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise DataError(
            f"{path} holds no state dict: expected tensors by name, or a dict with 'state_dict'",
            hint="save network.state_dict() with torch.save or safetensors",
        )
    return state
