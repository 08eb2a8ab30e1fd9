"""The stages of a training as its card tells them, and the weights that each is given to begin from."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.api.errors import DataError, PluginError, UsageError
from harness.api.foreign import blame
from harness.api.learning import Stage, Training

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


def stages_of(method: str, training: Training, config: Any) -> tuple[Stage, ...]:
    """The stages with this config; a training that has none is one stage without a name.

    PluginError where they cannot be told, are none, or have names that are no file names or stand twice.
    """
    if training.stages is None:
        assert training.build is not None
        return (Stage("", training.build),)
    with blame(f"the training of {method} cannot tell its stages", PluginError):
        stages = tuple(training.stages(config))
    _refuse_odd(method, stages)
    return stages


def _refuse_odd(method: str, stages: Sequence[Stage]) -> None:
    strange = next((stage for stage in stages if not isinstance(stage, Stage)), None)
    if strange is not None or not stages:
        found = "no stage" if strange is None else f"a {type(strange).__name__}"
        raise PluginError(f"the training of {method} has {found} among its stages; expected one Stage or more")
    names = [stage.name for stage in stages]
    odd = [name for name in names if not isinstance(name, str) or not NAME.fullmatch(name)]
    if odd:
        raise PluginError(
            f"the training of {method} has a stage named {odd[0]!r:.80}; "
            "expected lower case letters, digits and hyphens, at most 40"
        )
    if len(set(names)) < len(names):
        raise PluginError(f"the training of {method} has two stages of one name: {', '.join(names)}")


def find_inits(
    method: str, stages: Sequence[Stage], init: Path | None, stage_init: Mapping[str, Path]
) -> dict[str, Path]:
    """The weights that were given to begin from, by stage; ``init`` is for the first."""
    for name in stage_init:
        refuse_unknown(method, stages, name)
    first = stages[0].name
    if init is not None and first in stage_init:
        raise UsageError(f"--init names two files for {first}: {init} and {stage_init[first]}")
    found = dict(stage_init) | ({} if init is None else {first: init})
    for file in found.values():
        if not file.is_file():
            raise DataError(f"no weights file {file} to begin from", hint="give an existing file to --init")
    return found


def refuse_unknown(method: str, stages: Sequence[Stage], name: str) -> None:
    """Raise UsageError where no stage has this name."""
    names = [stage.name for stage in stages]
    if name not in names:
        if names == [""]:
            raise UsageError(f"the training of {method} has no stages; found {name!r}")
        raise UsageError.unknown("stage", name, names, of=f"the training of {method}")
