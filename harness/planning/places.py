"""Where things lie unless a command names a place: the runs."""

from __future__ import annotations

import os
from pathlib import Path


def runs_folder() -> Path:
    """Where runs go unless a folder is named."""
    return Path(os.environ.get("HARNESS_RUNS", "runs"))
