"""The hot functions that belong to no plugin, for ``harness bench kernels --plugin ops``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.api.timing import Kernel

OWNER = "ops"
"""What stands in place of a plugin's name."""


def list_shared_kernels() -> Sequence[Kernel[..., Any]]:
    """Those that several methods use; one that a card lists too is benched under that card."""
    from harness.ops.crf import refine

    return (refine,)
