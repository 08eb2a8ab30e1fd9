"""Examples in docstrings become blocks of code on the reference page; docs/reference.md says which docstrings."""

from __future__ import annotations

import re
from typing import Any

import griffe

EXAMPLE = re.compile(r"^>>> .*(?:\n(?!\s*$).*)*", re.MULTILINE)


def fence_examples(text: str) -> str:
    """A docstring with each doctest, up to the next empty line, inside a fence."""
    return EXAMPLE.sub(lambda match: f"\n```pycon\n{match[0]}\n```", text)


class Examples(griffe.Extension):
    """Applies ``fence_examples`` to every docstring that is read."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Rewrite the docstring of a module, class, function or attribute."""
        if obj.docstring is not None:
            obj.docstring.value = fence_examples(obj.docstring.value)
