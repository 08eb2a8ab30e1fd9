"""Where a result comes from: the weights, the plugin and the code that made it."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import cast

from harness.api.contracts import Method, Weights
from harness.api.errors import DataError, PluginError, VerificationFailed
from harness.api.foreign import make_storable
from harness.api.kept_digests import ask_disk, find_digest
from harness.api.records import MethodInfo, PluginInfo, WeightsInfo
from harness.api.tasks import TaskName
from harness.api.weights_facts import count_parameters
from harness.catalog import Catalog
from harness.files import digest_of_bytes, digest_of_files

NO_WEIGHTS = "none"

LARGEST_SOURCE = 1 << 20
"""Bytes of a package's file that still counts as code; larger ones are weights, which have a checksum of their own."""


def choose_weights(method: Method, task: TaskName, wanted: str | None) -> tuple[WeightsInfo, Path | None]:
    """The weights by name, file or the task's default; the checksum is verified wherever it is known."""
    default = method.default_weights_for(task)
    if wanted == NO_WEIGHTS or (wanted is None and not default):
        return WeightsInfo(name=NO_WEIGHTS), None
    entry = method.weights_named(wanted or default)
    if entry is None and wanted is None:
        raise PluginError(f"the card of {method.name} names default weights {default!r} it does not list")
    if entry is not None:
        return _check_listed_weights(method, entry)
    path = Path(cast(str, wanted)).expanduser()
    if not path.is_file():
        known = ", ".join([entry.name for entry in method.weights] + [NO_WEIGHTS])
        raise DataError(f"no weights file {path}, and {method.name} lists none of that name; listed: {known}")
    name, parameters = make_storable(path.name), count_parameters(path)
    return WeightsInfo(name=name, sha256=digest_of_bytes(path), parameters=parameters), path


def _check_listed_weights(method: Method, entry: Weights) -> tuple[WeightsInfo, Path]:
    if entry.path is None or not entry.path.is_file():
        raise DataError(
            f"weights {entry.name!r} of {method.name} are not on this machine"
            + (f" (expected {entry.path})" if entry.path else ""),
            hint=f"download them from {entry.url} and give --weights FILE" if entry.url else "give --weights FILE",
        )
    found = digest_of_bytes(entry.path)
    if entry.sha256 and found != entry.sha256:
        raise VerificationFailed(f"{entry.path} has SHA-256 {found}, expected {entry.sha256}")
    info = WeightsInfo(
        name=entry.name,
        sha256=found,
        licence=entry.licence,
        trained_on=entry.trained_on,
        parameters=count_parameters(entry.path),
    )
    return info, entry.path


def method_info(method: Method) -> MethodInfo:
    """What the record shows of a card beside its code."""
    paper = method.paper
    if paper is None:
        return MethodInfo(licence=method.licence)
    return MethodInfo(licence=method.licence, paper=paper.title, authors=paper.authors, year=paper.year, url=paper.url)


def plugin_info(catalog: Catalog, method: Method) -> PluginInfo:
    """Which distribution, version and code a method comes from."""
    source = catalog.methods.source(method.name)
    return PluginInfo(
        name=method.name,
        distribution=source.distribution,
        version=source.version,
        code_sha256=code_digest(source.module),
        causality=method.causality,
        lookahead=method.lookahead,
        supervision=method.supervision,
        replays=method.replays,
    )


def code_digest(module: str) -> str:
    """SHA-256 over the files of a module's top-level package, tables and sources of kernels too (or of the module)."""
    name = module.partition(":")[0].partition(".")[0]
    file = getattr(sys.modules.get(name), "__file__", None)
    if file is None:
        return ""
    path = Path(file)
    files = _code_of(path.parent) if path.name == "__init__.py" else [os.fspath(path)]
    return find_digest("code", [("", file) for file in files], lambda: digest_of_files(map(Path, files)))


def _code_of(package: Path) -> list[str]:
    """Every file that is not large and lies in no folder of a cache."""
    found = []
    for folder, folders, names in os.walk(package):  # four times faster than rglob, at each start of a command
        folders[:] = [name for name in folders if not name.startswith(".") and name != "__pycache__"]
        found += [os.path.join(folder, name) for name in names if not name.startswith(".")]
    return sorted((name for name in found if _is_source(ask_disk(name))), key=lambda name: name.split(os.sep))


def _is_source(found: os.stat_result | None) -> bool:
    return found is not None and stat.S_ISREG(found.st_mode) and found.st_size <= LARGEST_SOURCE
