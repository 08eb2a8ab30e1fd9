"""copyfirst: the floor every one-shot method must beat; it shows each prompt's mask until the next one."""

from __future__ import annotations

from typing import Any

from harness import BuildContext, Method, hookimpl


def build(context: BuildContext) -> Any:
    """Build the method; there is nothing to load."""
    from harness_copyfirst.method import CopyFirst

    return CopyFirst()


@hookimpl
def harness_methods() -> list[Method]:
    """Offer copyfirst."""
    return [
        Method(
            name="copyfirst",
            tasks=("one-shot",),
            build=build,
            summary="Copies the first mask to every frame: the baseline.",
            supervision="first mask",
        )
    ]
