"""Hashing a video's bytes: only where it is needed, and said aloud when it takes long."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from harness.api.video import Sample

QUIET_SECONDS = 1.0
"""How long hashing may go on before it is told of."""
AGAIN_SECONDS = 5.0

OnNote = Callable[[str], None]
"""Told in words what takes long, from another thread."""


def ignore_note(note: str) -> None:
    """Tell nobody."""


def hash_video(sample: Sample, on_note: OnNote) -> str:
    """The video's digest."""
    with tell_if_slow(lambda: f"hashing the data of {sample.name}", on_note):
        return sample.digest()


@contextmanager
def tell_if_slow(say_what: Callable[[], str], on_note: OnNote) -> Iterator[None]:
    """Tell what is being done once a second has passed, and every five seconds after that."""
    is_done = threading.Event()

    def watch() -> None:
        seconds = QUIET_SECONDS
        while not is_done.wait(seconds):
            on_note(say_what())
            seconds = AGAIN_SECONDS

    watching = threading.Thread(target=watch, name="harness-hashing", daemon=True)
    watching.start()
    try:
        yield
    finally:
        is_done.set()
        watching.join()
