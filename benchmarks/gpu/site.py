"""The project as if it were installed, without installing it; and which packages it needs that are not there.

Plugins are found by entry points, which only an installed distribution has. A dist-info folder with its name, version
and entry points on the path is enough.
"""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
STAND_INS = {"opencv-contrib-python-headless": ("opencv-python-headless", "opencv-contrib-python", "opencv-python")}
"""Packages that hold all that the harness uses of another one."""
_REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)(\[[^]]*\])?([^;]*)(;.*)?$")


def project() -> dict[str, Any]:
    """The table ``[project]`` of pyproject.toml."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        return dict(tomllib.load(file)["project"])


def write_site(folder: Path) -> list[str]:
    """Write the dist-info into ``folder``; returns what belongs on PYTHONPATH, ``folder`` first."""
    told = project()
    version = re.search(r'__version__ = "([^"]+)"', (ROOT / "harness/version.py").read_text(encoding="utf-8"))
    assert version is not None
    info = folder / f"{told['name'].replace('-', '_')}-{version[1]}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {told['name']}\nVersion: {version[1]}\n")
    groups = {"console_scripts": told["scripts"], **told["entry-points"]}
    lines = [
        line for group, points in groups.items() for line in (f"[{group}]", *(f"{k} = {v}" for k, v in points.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return [str(folder), str(ROOT), str(ROOT / "plugins")]


def missing_packages() -> list[dict[str, str]]:
    """Each package of pyproject.toml that is not here: its name, what of the project needs it, and what brings it."""
    told = project()
    found = [
        {"package": name, "needed_by": needed_by, "install": install}
        for requirements, needed_by, install in (
            (told["dependencies"], "the harness", "pip install vos-harness"),
            *(
                (requirements, f"extra {extra}", f"pip install 'vos-harness[{extra}]'")
                for extra, requirements in told["optional-dependencies"].items()
                if extra not in ("dev", "docs")
            ),
        )
        for name in map(_name, requirements)
        if name != told["name"] and not _is_here(name)
    ]
    once = {row["package"]: row for row in reversed(found)}
    return [row for row in found if once[row["package"]] is row]


def _name(requirement: str) -> str:
    matched = _REQUIREMENT.match(requirement)
    assert matched is not None, requirement
    return matched[1]


def _is_here(name: str) -> bool:
    for candidate in (name, *STAND_INS.get(name, ())):
        try:
            distribution(candidate)
        except PackageNotFoundError:
            continue
        return True
    return False
