"""What a method in another environment is: its card and its machine as the worker there describes them."""

from __future__ import annotations

from dataclasses import asdict, make_dataclass
from dataclasses import field as dataclass_field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from harness.api.contracts import BuildContext, Citation, Method, Weights
from harness.api.errors import PluginError
from harness.api.providers import ProviderKind
from harness.api.records import Conditions, Json, Name, PluginInfo, Text
from harness.api.tasks import TaskName
from harness.catalog import Catalog
from harness.hosting.worker.messages import Message
from harness.machine import allows_tf32, conditions, resolve_device
from harness.planning.config import as_json, configure
from harness.planning.plan import Elsewhere
from harness.planning.provenance import plugin_info
from harness.version import __version__


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Weights(_Strict):
    name: Text
    licence: Text
    path: Path | None
    url: Text
    sha256: Text
    trained_on: Text
    preset: Text
    note: Text
    default_for: tuple[TaskName, ...] = ()


class _Paper(_Strict):
    title: Text
    authors: Text
    year: int
    url: Text


class Description(_Strict):
    """What the worker answers to ``describe``; checked here, since it may be another version of the harness."""

    name: Name
    tasks: tuple[TaskName, ...]
    summary: Text
    causality: Literal["online", "window", "offline"]
    lookahead: int
    config: dict[str, Json]
    weights: tuple[_Weights, ...]
    default_weights: Text
    supervision: Text
    paper: _Paper | None
    licence: Text
    replays: bool
    providers: dict[str, ProviderKind] = {}
    plugin: PluginInfo
    entry_point: Text
    module: Text
    torch: Text
    harness: Text
    conditions: Conditions


def describe_method(ask: Message) -> Message:
    """Describe the method that is asked for, as it is in this environment, with the config asked for."""
    catalog = Catalog.load()
    card = catalog.methods.get(ask["plugin"])
    source = catalog.methods.source(card.name)
    devices = [resolve_device(device) for device in ask["devices"]]
    config = configure(card, ask["preset"], ask["overrides"])
    found = Description(
        name=card.name,
        tasks=card.tasks,
        summary=card.summary,
        causality=card.causality,
        lookahead=card.lookahead,
        config=as_json(config),
        weights=tuple(_Weights(**asdict(entry)) for entry in card.weights),
        default_weights=card.default_weights,
        supervision=card.supervision,
        paper=_Paper(**asdict(card.paper)) if card.paper else None,
        licence=card.licence,
        replays=card.replays,
        providers=dict(card.providers),
        plugin=plugin_info(catalog, card),
        entry_point=source.entry_point,
        module=source.module,
        torch=version("torch"),
        harness=__version__,
        conditions=conditions(
            devices[0],
            ask["precision"],
            resolutions=[],
            objects=[],
            executor="process",
            tf32=allows_tf32(config),
        ),
    )
    return {"description": found.model_dump(mode="json")}


def elsewhere_from(answer: Message, python: Path, preset: str) -> Elsewhere:
    """The description as a card the run can plan with; PluginError where the worker's answer makes no sense."""
    try:
        found = Description.model_validate(answer.get("description"))
        card = _card(found, python, preset)
    except (ValidationError, ValueError) as error:
        raise PluginError(f"{python} describes no method this harness understands: {error}") from error
    return Elsewhere(
        python=python,
        method=card,
        plugin=found.plugin,
        entry_point=found.entry_point,
        module=found.module,
        torch=found.torch,
        harness=found.harness,
        conditions=found.conditions,
    )


def _card(found: Description, python: Path, preset: str) -> Method:
    """A card whose config is the one the worker settled on; it can be planned with, not built here."""

    def build(context: BuildContext) -> Any:
        raise PluginError(f"{found.name} lives in {python}", hint="run it with --executor process")

    values = {key: tuple(value) if isinstance(value, list) else value for key, value in found.config.items()}
    config = make_dataclass(
        "Config", [(key, Any, dataclass_field(default=value)) for key, value in values.items()], frozen=True
    )
    return Method(
        name=found.name,
        tasks=found.tasks,
        build=build,
        summary=found.summary,
        causality=found.causality,
        lookahead=found.lookahead,
        config=config,
        presets={preset: config()} if preset else {},
        weights=tuple(Weights(**entry.model_dump()) for entry in found.weights),
        default_weights=found.default_weights,
        supervision=found.supervision,
        paper=Citation(**found.paper.model_dump()) if found.paper else None,
        licence=found.licence,
        replays=found.replays,
        providers=found.providers,
    )
