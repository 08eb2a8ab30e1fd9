"""Where things lie unless a command names a place: the runs, and the data of each benchmark, by name in a file."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from harness.api.contracts import Benchmark
from harness.api.dataclass import dataclass
from harness.api.errors import UsageError
from harness.api.plain_files import LARGEST_TEXT, decode_text, read_plain
from harness.catalog import Catalog
from harness.corruptions.names import split_name

HINT = "docs/datasets.md#data-roots-by-name"


def runs_folder() -> Path:
    """Where runs go unless a folder is named."""
    return Path(os.environ.get("HARNESS_RUNS", "runs"))


def config_file() -> Path | None:
    """``HARNESS_CONFIG``, or harness/config.toml below ``XDG_CONFIG_HOME``; None where the former is set to nothing."""
    named = os.environ.get("HARNESS_CONFIG")
    if named is not None:
        return Path(named).expanduser() if named else None
    base = os.environ.get("XDG_CONFIG_HOME", "")
    folder = Path(base) if os.path.isabs(base) else Path.home() / ".config"  # a relative one is void, says XDG
    return folder / "harness" / "config.toml"


@dataclass(frozen=True)
class DataRoots:
    """The folders that a config file names, by benchmark or by a pattern of benchmarks (``davis*``)."""

    file: Path
    folders: Mapping[str, Path]

    def find(self, bench: str) -> str | None:
        """The key that speaks of this benchmark: its name, or else the longest pattern that fits."""
        if bench in self.folders:
            return bench
        fitting = [key for key in self.folders if fnmatch.fnmatchcase(bench, key)]
        return max(fitting, key=len, default=None)


def read_data_roots(benchmarks: Iterable[str]) -> DataRoots | None:
    """The config file's data roots; None where there is no such file. UsageError for what it cannot mean.

    ``benchmarks`` are the names that it may speak of. Whether a folder is there is looked at when it is used.
    """
    import tomllib  # every command imports this file, few read another

    file = config_file()
    if file is None:
        return None
    try:
        tables = tomllib.loads(decode_text(read_plain(file, largest=LARGEST_TEXT)))
    except FileNotFoundError:
        if "HARNESS_CONFIG" not in os.environ:
            return None
        raise UsageError(f"{file}: found nothing, expected the file that HARNESS_CONFIG names", hint=HINT) from None
    except OSError as error:
        raise UsageError(f"{file}: found nothing readable ({error.strerror}), expected TOML", hint=HINT) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{file}: found no TOML ({error}), expected a table [data]", hint=HINT) from error
    for key in tables:
        if key != "data":
            raise UsageError.unknown("key", key, ["data"], of=str(file), hint=HINT)
    folders = tables.get("data", {})
    if not isinstance(folders, dict):
        raise UsageError(f"{file}: data: found {folders!r:.100}, expected a table of folders by benchmark", hint=HINT)
    names = list(benchmarks)
    return DataRoots(file, {key: _folder(file, key, value, names) for key, value in folders.items()})


def _folder(file: Path, key: str, value: Any, benchmarks: list[str]) -> Path:
    if not any(fnmatch.fnmatchcase(name, key) for name in benchmarks):
        raise UsageError.unknown("benchmark", key, benchmarks, of=f"{file}: data", hint="harness ls benches")
    if not isinstance(value, str) or not value:
        raise UsageError(f"{file}: data.{key}: found {value!r:.100}, expected the path of a folder", hint=HINT)
    return file.parent / Path(value).expanduser()


def find_data_root(benchmark: Benchmark, given: Path | None, catalog: Catalog, *, to_fill: bool = False) -> Path | None:
    """The folder given, or ``HARNESS_DATA``, or what the config file names for this benchmark; None: nobody did.

    UsageError where the file is broken or its folder is not there, unless it is ``to_fill``.
    """
    if given is not None or not benchmark.needs_root:
        return given
    if os.environ.get("HARNESS_DATA"):
        return Path(os.environ["HARNESS_DATA"])
    roots = read_data_roots(catalog.benchmarks.names())
    key = None if roots is None else roots.find(split_name(benchmark.name)[0])
    if roots is None or key is None:
        return None
    folder = roots.folders[key]
    if not folder.is_dir() and not to_fill:
        found = "something else" if folder.exists() else "nothing"
        raise UsageError(
            f"{roots.file}: data.{key}: found {found} at {folder}, expected the folder of {benchmark.name}",
            hint="mend the file, or give --data-root DIR",
        )
    return folder
