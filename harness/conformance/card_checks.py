"""Checks of the card: its words, config and weights, and that reading it costs next to nothing."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.api.contracts import Weights
from harness.conformance.subject import Subject
from harness.conformance.verdicts import Broken, NotApplicable, check
from harness.files import digest_of_bytes
from harness.planning.config import as_json

HEAVY = ("torch", "torchvision", "cv2", "skimage", "scipy", "numba", "tensorflow", "jax", "transformers", "matplotlib")
PLAIN = (bool, int, float, str, type(None))


@check("card", "The card has a summary, a supervision and a licence, and names no task twice.", scope="card")
def card(subject: Subject) -> None:
    """Look at the words of the card."""
    method = subject.method
    silent = [name for name in ("summary", "supervision", "licence") if not str(getattr(method, name)).strip()]
    if silent:
        raise Broken(
            f"no {' and no '.join(silent)} on the card",
            expected="one sentence of summary, what the method was trained with, and a licence",
            mend=f"give Method(..., {', '.join(f'{name}=...' for name in silent)})",
        )
    if len(set(method.tasks)) < len(method.tasks):
        raise Broken(f"tasks {method.tasks}", expected="each task once", mend="take the second one away")
    if method.causality == "window" and method.lookahead < 1:
        raise Broken(
            f"causality 'window' with lookahead {method.lookahead}",
            expected="how many later frames are read",
            mend="give lookahead, or causality='online'",
        )


@check("config", "The config is a frozen dataclass of plain values with defaults; each preset is one.", scope="card")
def config(subject: Subject) -> None:
    """Look at the config's class, at its defaults and at every preset."""
    kind = subject.method.config
    if not dataclasses.is_dataclass(kind) or not kind.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        raise Broken(
            f"config {kind.__name__}, which can be changed",
            expected="a frozen dataclass, as a run's record says what it was",
            mend="write @dataclass(frozen=True) above it",
        )
    try:
        configs = {"defaults": kind(), **subject.method.presets}
    except TypeError as error:
        raise Broken(
            f"a config that cannot be made without arguments ({error})",
            expected="a default for every constant",
            mend="give each field its default, the paper's value",
        ) from error
    for name, preset in configs.items():
        if type(preset) is not kind:
            raise Broken(
                f"preset {name!r} of type {type(preset).__name__}",
                expected=kind.__name__,
                mend=f"make it {kind.__name__}(...)",
            )
        odd = [f.name for f in dataclasses.fields(preset) if not _is_plain(getattr(preset, f.name))]
        if odd:
            raise Broken(
                f"{', '.join(odd)} of the {name} is no plain value",
                expected="bool, int, float, str, None or a tuple of them",
                mend="keep objects out of the config: --set cannot name them and a record cannot hold them",
            )
        json.dumps(as_json(preset))


def _is_plain(value: Any) -> bool:
    return isinstance(value, PLAIN) or (isinstance(value, tuple) and all(_is_plain(item) for item in value))


@check(
    "light-import",
    "Importing the plugin and listing its cards imports nothing heavy and leaves the process as it was.",
    scope="card",
)
def light_import(subject: Subject) -> None:
    """Import the plugin's module and call its hook in a fresh interpreter, then look at what came with it."""
    module = subject.source.module.partition(":")[0]
    if importlib.util.find_spec(module.partition(".")[0]) is None:
        raise NotApplicable(f"there is no module {module!r} to import: the method was made in memory")
    program = (
        f"import os, sys; sys.path[:] = {sys.path!r}; import importlib, harness\n"
        "from harness.api.process_state import describe_changes, list_left, list_running, note_state\n"
        "before, state, running = set(sys.modules), note_state(), list_running()\n"
        f"module = importlib.import_module({module!r})\n"
        "hook = getattr(module, 'harness_methods', None)\n"
        "hook and hook()\n"
        f"heavy = sorted((set(sys.modules) - before) & set({HEAVY!r}))\n"
        "changed = describe_changes(state) + list_left(running)\n"
        "print('', ' '.join(heavy), ', '.join(changed), sep='\\n', file=sys.__stdout__, flush=True)\n"
        "os._exit(0)  # whatever it left running"
    )
    code, said, complaint = _run_alone(program)
    if code != 0 or len(said) < 2:
        raise Broken(
            f"importing {module} alone fails: {complaint[-1] if complaint else f'it ends the process with {code}'}",
            expected="a module that can be imported by itself",
            mend="let it not depend on what was imported before",
        )
    *_, found, changed = said
    if changed:
        raise Broken(
            f"importing {module} and calling its hook leaves {changed}",
            expected="folder, environment, handlers, threads and children as they were: every command imports it",
            mend="do it where it is needed, in build(), and put it back",
        )
    if found:
        raise Broken(
            f"importing {module} and calling its hook imports {', '.join(found.split())}",
            expected="none of it, so that harness --help and harness ls stay fast",
            mend="import it inside build() and kernels()",
        )


def _run_alone(program: str) -> tuple[int, list[str], list[str]]:
    """The exit code of a program in a fresh interpreter, and the lines it wrote; no child of its own is waited for."""
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as complaint:
        ran = subprocess.run([sys.executable, "-c", program], stdout=said, stderr=complaint, timeout=300, check=False)
        said.seek(0)
        complaint.seek(0)
        return ran.returncode, said.read().split("\n")[:-1], complaint.read().strip().splitlines()


def _list_shipped(subject: Subject) -> Iterator[tuple[Weights, Path]]:
    for entry in subject.method.weights:
        if entry.path is not None:
            yield entry, entry.path


@check(
    "weights-there",
    "Each checkpoint has a licence and a place; the default and every shipped one is there.",
    scope="card",
)
def weights_there(subject: Subject) -> None:
    """Look at the list of weights and at the files it names."""
    method = subject.method
    if not method.weights and not method.default_weights:
        raise NotApplicable("the card lists no weights")
    names = [entry.name for entry in method.weights]
    if len(set(names)) < len(names):
        raise Broken(f"weights named {names}", expected="each name once", mend="rename one")
    if method.default_weights and method.default_weights not in names:
        raise Broken(
            f"default weights {method.default_weights!r}",
            expected=f"one of those listed: {', '.join(names) or 'none'}",
            mend="list it, or name another",
        )
    for entry in method.weights:
        if not entry.licence.strip():
            raise Broken(f"weights {entry.name!r} without a licence", expected="one", mend="say it, or 'not stated'")
        if entry.path is None and not entry.url:
            raise Broken(f"weights {entry.name!r} nowhere", expected="a path or a url", mend="give one of them")
        strange = [task for task in entry.default_for if task not in method.tasks]
        if strange:
            raise Broken(
                f"weights {entry.name!r} default for {', '.join(strange)}",
                expected=f"tasks of the card: {', '.join(method.tasks)}",
                mend="add the task, or take it away here",
            )
        if entry.preset and entry.preset not in method.presets:
            raise Broken(
                f"weights {entry.name!r} made for preset {entry.preset!r}",
                expected=f"a preset of the card: {', '.join(method.presets) or 'none'}",
                mend="add the preset, or take it away here",
            )
    for entry, path in _list_shipped(subject):
        if not path.is_file():
            raise Broken(
                f"no file {path} for weights {entry.name!r}",
                expected="every checkpoint with a path to lie in the package",
                mend="ship it (look at what the wheel holds), or give a url instead of a path",
            )


@check(
    "weights-checksum",
    "The SHA-256 of every shipped checkpoint is on the card, and is right.",
    scope="card",
    needs=("weights-there",),
)
def weights_checksum(subject: Subject) -> None:
    """Compare each shipped file with the card."""
    for entry, path in _list_shipped(subject):
        found = digest_of_bytes(path)
        if entry.sha256 != found:
            raise Broken(
                f"weights {entry.name!r} with SHA-256 {found}",
                expected=entry.sha256 or "a SHA-256 on the card; there is none",
                mend=f'write sha256="{found}" if the file is right',
            )


@check("weights-no-pickle", "Every checkpoint at hand loads without running code from it.", scope="card")
def weights_no_pickle(subject: Subject) -> None:
    """Open each file as safetensors, or by torch.load(weights_only=True)."""
    paths = [path for _, path in _list_shipped(subject) if path.is_file()]
    if subject.request.weights and Path(subject.request.weights).is_file():
        paths.append(Path(subject.request.weights))
    if not paths:
        raise NotApplicable("there is no checkpoint on this machine")
    for path in paths:
        problem = refusal_of(path)
        if problem:
            raise Broken(
                f"{path.name}, which {problem}",
                expected="safetensors, or a file torch.load(weights_only=True) accepts",
                mend="safetensors.torch.save_file(model.state_dict(), 'weights.safetensors')",
            )


def refusal_of(path: Path) -> str | None:
    """Why a checkpoint cannot be loaded safely; None where it can."""
    import pickle
    import warnings

    import torch
    from safetensors import SafetensorError, safe_open

    if path.suffix == ".safetensors":
        try:
            with safe_open(path, framework="pt") as file:
                file.keys()
        except (SafetensorError, OSError) as error:
            return f"is no safetensors file: {error}"
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        return f"holds more than tensors: {str(error).splitlines()[0]}"
    except (RuntimeError, ValueError, EOFError, OSError) as error:
        return f"torch.load(weights_only=True) refuses: {str(error).splitlines()[0]}"
    return None


CHECKS = (card, config, light_import, weights_there, weights_checksum, weights_no_pickle)
