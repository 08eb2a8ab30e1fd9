"""A file that is whole or not there, whatever happens while it is written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write into, which lies at ``path`` once it was written to its end; an error or a kill leaves nothing.

    Its folder is made. What lay at ``path`` before stays until then.

    >>> import tempfile
    >>> place = Path(tempfile.mkdtemp()) / "flow" / "dog.txt"
    >>> with whole_file(place) as file:
    ...     _ = file.write(b"all of it")
    >>> place.read_bytes()
    b'all of it'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
