"""Facts: short texts that a training leaves in the metadata of its weights, and a method reads when it is built."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from harness.api.errors import DataError

PREFIX = "fact."
"""What sets facts apart from what the harness itself writes into the metadata."""
NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
MOST_FACTS = 64
LONGEST_FACT = 10_000
MOST_PARAMETERS = 10**13
LARGEST_HEADER = 16 << 20
"""Bytes; a network of a hundred thousand tensors has half of that."""


def read_facts(path: Path) -> dict[str, str]:
    """The facts in a safetensors file, by name; none for a file of another ending, or without any.

    A fact is called as a Python name in lower case, at most 64 of them, each a text of at most 10 000 printable
    characters. DataError for a file that holds others, or is no safetensors file; no tensor is read.
    """
    if path.suffix != ".safetensors":
        return {}
    try:
        with path.open("rb") as file:
            metadata = _read_header(file, path.stat().st_size).get("__metadata__", {})
        if not isinstance(metadata, dict):
            raise ValueError(f"metadata that are a {type(metadata).__name__}")
        return check_facts({str(k)[len(PREFIX) :]: v for k, v in metadata.items() if str(k).startswith(PREFIX)})
    except (OSError, ValueError, RecursionError) as problem:
        raise DataError.at(path, found=f"{problem}"[:300], expected="a safetensors file with facts") from problem


def count_parameters(path: Path) -> int | None:
    """The numbers in the tensors of a safetensors file, running means included; None for a file of another kind.

    No tensor is read.
    """
    if path.suffix != ".safetensors":
        return None
    try:
        with path.open("rb") as file:
            header = _read_header(file, path.stat().st_size)
        shapes = [tensor["shape"] for name, tensor in header.items() if name != "__metadata__"]
        count = sum(math.prod(shape) for shape in shapes)
    except (OSError, ValueError, RecursionError, TypeError, KeyError):
        return None
    return count if isinstance(count, int) and 0 <= count <= MOST_PARAMETERS else None


def _read_header(file: BinaryIO, size: int) -> dict[str, Any]:
    length = int.from_bytes(file.read(8), "little")
    if not 2 <= length <= min(size - 8, LARGEST_HEADER):
        raise ValueError(f"a header of {length} bytes in a file of {size}")
    header = json.loads(file.read(length).decode("utf-8"))
    if not isinstance(header, dict):
        raise ValueError(f"a header that is a {type(header).__name__}")
    return header


def check_facts(facts: Mapping[str, Any]) -> dict[str, str]:
    """The facts as they are; ValueError names the first that is none.

    >>> check_facts({"object_channel": "3"})
    {'object_channel': '3'}
    >>> check_facts({"object_channel": 3})
    Traceback (most recent call last):
        ...
    ValueError: fact 'object_channel' is a int; expected a text
    """
    if len(facts) > MOST_FACTS:
        raise ValueError(f"{len(facts)} facts; expected at most {MOST_FACTS}")
    for name, value in facts.items():
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise ValueError(f"a fact named {name!r:.80}; expected a name in lower case, at most 64 letters")
        if not isinstance(value, str):
            raise ValueError(f"fact {name!r} is a {type(value).__name__}; expected a text")
        if len(value) > LONGEST_FACT or not value.isprintable():
            raise ValueError(
                f"fact {name!r} of {len(value)} characters; expected {LONGEST_FACT} printable ones at most"
            )
    return dict(facts)
