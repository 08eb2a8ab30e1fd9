"""The providers that a config names: resolved, looked for, and digested into what results depend on."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.api.errors import DataError, UsageError
from harness.api.providers import ProviderKind, ProviderSpec, parse_spec
from harness.api.records import ProviderInfo
from harness.files import digest_of_bytes
from harness.planning.config import as_json

Specs = Mapping[str, ProviderSpec]


def resolve_providers(owner: str, declared: Mapping[str, ProviderKind], config: Any) -> dict[str, ProviderSpec]:
    """What the declared constants of ``config`` name, each looked for; a constant that is empty names nothing.

    UsageError for a name that is not known or does not fit, DataError for a file or folder that is not there,
    EnvironmentProblem for a package that is not.
    """
    found = {}
    for constant, kind in declared.items():
        text = getattr(config, constant)
        if not isinstance(text, str):
            raise UsageError(f"{owner}: constant {constant} is {text!r}, expected the text of a {kind} provider")
        if text:
            found[constant] = _resolve(owner, constant, kind, text)
    return found


def _resolve(owner: str, constant: str, kind: ProviderKind, text: str) -> ProviderSpec:
    try:
        spec = parse_spec(kind, text)
        spec.check()
    except (UsageError, DataError) as error:
        raise type(error)(f"{owner}, constant {constant}: {error.message}", hint=error.hint) from error
    return spec


def describe_providers(specs: Specs) -> dict[str, ProviderInfo]:
    """Name, digest and supervision of each; every byte of its file or folder is read."""
    return {
        constant: ProviderInfo(
            kind=spec.kind,
            name=spec.name,
            sha256="" if spec.path is None else digest_of_path(spec.path),
            supervision=spec.supervision,
        )
        for constant, spec in specs.items()
    }


def describe_config(config: Any, specs: Specs) -> dict[str, Any]:
    """The config as plain JSON values, a provider by its name alone: where its file lies decides nothing."""
    return as_json(config) | {constant: spec.name for constant, spec in specs.items()}


def describe_supervision(claimed: str, specs: Specs) -> str:
    """What a card claims, and what the providers bring along.

    >>> from harness.api.providers import parse_spec
    >>> describe_supervision("none", {"saliency": parse_spec("saliency", "cam:net.pth")})
    'none; saliency by cam: labels of images (classifier)'
    """
    brought = [f"{spec.kind} by {spec.name}: {spec.supervision}" for spec in specs.values() if spec.is_supervision]
    return "; ".join([*([claimed] if claimed else []), *dict.fromkeys(brought)])


def digest_of_path(path: Path) -> str:
    """SHA-256 of a file's bytes, or of the names and bytes of every file in a folder, at any depth.

    What is neither a file nor a folder (a pipe, a device) is refused: it has no bytes of its own.
    """
    if path.is_file():
        return digest_of_bytes(path)
    from concurrent.futures import ThreadPoolExecutor  # every command imports this file, few get here

    names = sorted(_files_in(path))
    with ThreadPoolExecutor(8) as pool:
        digests = pool.map(lambda name: digest_of_bytes(path / name), names)
        digest = hashlib.sha256()
        for name, found in zip(names, digests, strict=True):
            digest.update(os.fsencode(name) + b"\0" + found.encode())
    return digest.hexdigest()


def _files_in(folder: Path) -> Iterator[str]:
    """The names of a folder's files, relative to it; links to folders are not followed."""
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            if not (path.exists() and stat.S_ISREG(path.stat().st_mode)):
                raise DataError.at(path, found="no ordinary file", expected="files that can be read")
            yield str(path.relative_to(folder))
