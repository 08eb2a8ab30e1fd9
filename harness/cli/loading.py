"""Importing without looking for garbage: what a command is made of lives as long as it does."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def keep_for_good() -> Iterator[None]:
    """What is imported inside is no garbage: it is looked through neither meanwhile nor ever after.

    Python looks through everything there is again and again while much is made; half of that is modules.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()
