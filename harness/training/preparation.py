"""What a stage needs prepared is computed once: whole before the stage begins, kept, and made anew when it is stale."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.api.learning import Stage, TrainingContext
from harness.api.plain_files import LARGEST_TEXT, read_plain
from harness.files import digest_of, digest_of_bytes, refuse_links, sweep, write_atomically
from harness.planning.provenance import NO_WEIGHTS, code_digest
from harness.running.digests import OnNote, tell_if_slow
from harness.training.plan import TrainingPlan


def prepare_once(plan: TrainingPlan, stage: Stage, context: TrainingContext, on_note: OnNote) -> None:
    """Have the stage prepare what it needs, unless that lies there already, made from the same.

    Beside the stage's folder lies ``NAME.begun`` while it is prepared and ``NAME.done`` afterwards: what it was made
    from. A kill leaves what was written under the first, and the stage goes on with it; what was made from something
    else is thrown away, and ``on_note`` is told.
    """
    if stage.prepare is None:
        return
    assert context.artefacts is not None
    place, made_from = context.artefacts, _list_sources(plan, stage, context)
    done, begun = (place.with_name(f"{stage.name}.{state}") for state in ("done", "begun"))
    refuse_links(place.parent, place, done, begun)
    if place.is_dir() and _read(done) == made_from:
        begun.unlink(missing_ok=True)
        return
    if _read(begun) != made_from or done.exists():
        if place.exists():
            reason = _difference(_read(done) or _read(begun), made_from)
            on_note(f"{stage.name}: what was prepared is made anew, {reason}")
        done.unlink(missing_ok=True)
        if place.exists():
            shutil.rmtree(place)
        _write(begun, made_from)
    place.mkdir(parents=True, exist_ok=True)
    sweep(place, *(folder for folder in place.rglob("*") if folder.is_dir()))
    _call(stage, context, on_note)
    _write(done, made_from)
    begun.unlink()


def _list_sources(plan: TrainingPlan, stage: Stage, context: TrainingContext) -> dict[str, str]:
    """Everything that decides what is prepared: earlier stages are in their weights."""
    return {
        "stage": stage.name,
        "code": digest_of([code_digest("harness"), plan.plugin.code_sha256]),
        "training": digest_of(plan.depends_on),
        "earlier weights": NO_WEIGHTS if context.earlier is None else digest_of_bytes(context.earlier),
    }


def _call(stage: Stage, context: TrainingContext, on_note: OnNote) -> None:
    assert stage.prepare is not None
    told = ""

    def progress(done: int, total: int) -> None:
        nonlocal told
        told = f": {done} of {total}"

    on_note(f"preparing {stage.name}")
    with tell_if_slow(lambda: f"preparing {stage.name}{told}", on_note):
        stage.prepare(context, progress)


def _write(path: Path, made_from: Mapping[str, str]) -> None:
    content = {"sha256": digest_of(made_from), "made_from": made_from}
    write_atomically(path, (json.dumps(content, indent=2) + "\n").encode())


def _read(path: Path) -> dict[str, Any] | None:
    """What a file says something was made from; None where there is none, or it does not agree with itself."""
    try:
        content = json.loads(read_plain(path, largest=LARGEST_TEXT, links=False))
        made_from = content["made_from"]
        return dict(made_from) if content["sha256"] == digest_of(made_from) else None
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return None


def _difference(before: Mapping[str, Any] | None, now: Mapping[str, str]) -> str:
    if before is None:
        return "nobody knows from what it was made"
    changed = [name for name in now if before.get(name) != now[name]]
    return f"as its {' and '.join(changed)} changed" if changed else "as it is not whole"
