"""Which forms of each method the step ``frames`` runs, in order of worth; methods and networks to come are found."""

from __future__ import annotations

import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

from harness.api.contracts import Method
from harness.catalog import Catalog

GROUPS = ("tvos", "selfsup", "tvos-others", "others")
NOT_REPLACED = ("embed",)
"""Kernels whose plain form needs what a built method has thrown away (batch norms apart)."""


@dataclass(frozen=True)
class Variant:
    """One form of one method."""

    label: str
    plugin: str
    precision: Any = "fp32"
    weights: str | None = None
    preset: str = ""
    settings: tuple[str, ...] = ()
    is_plain: bool = False
    """Its kernels are their plain references: the others' masks are compared with its masks."""

    @property
    def needs_cuda(self) -> bool:
        """Whether a CPU refuses it, or takes minutes for it (compilers, halves)."""
        is_option = any(
            setting.startswith(("tf32=", "cuda_graph=", "compile=", "fused_convolutions=")) for setting in self.settings
        )
        return is_option or self.precision == "fp16"


def variants_of(group: str, catalog: Catalog) -> list[Variant]:
    """The variants of a group; the plain form first."""
    if group == "others":
        known = {"tvos", "selfsup", "replay"}
        return [variant for card in catalog.methods if card.name not in known for variant in _any(card)]
    card = catalog.methods.get(group.partition("-")[0])
    if group == "tvos-others":
        shipped = [each.name for each in card.weights if each.path is not None and each.name != card.default_weights]
        return [
            *(variant for name in shipped for variant in _forms(card, name, name, ())),
            *(
                variant
                for architecture in _list_untrained(card)
                for variant in _forms(card, architecture, "none", (f"untrained_architecture={architecture}",))
            ),
        ]
    return list(_forms(card, card.default_weights, None, ()))


def _forms(card: Method, name: str, weights: str | None, settings: Sequence[str]) -> Iterator[Variant]:
    """fp32 plain and fast, the precisions, then what the config knows of TF32, graphs and torch.compile."""

    def form(label: str, precision: str = "fp32", *more: str, is_plain: bool = False) -> Variant:
        return Variant(f"{card.name} {name}, {label}", card.name, precision, weights, "", (*settings, *more), is_plain)

    options = {each.name for each in fields(card.config)}
    yield form("plain fp32", is_plain=True)
    yield form("fp32")
    yield form("bf16", "bf16")
    if "cuda_graph" in options:
        yield form("bf16 graph", "bf16", "cuda_graph=true")
    if "fused_convolutions" in options:
        yield form("bf16 graph, not fused", "bf16", "fused_convolutions=false", "cuda_graph=true")
    if "tf32" in options:
        yield form("tf32", "fp32", "tf32=true")
    yield form("fp16", "fp16")
    if "cuda_graph" in options:
        yield form("tf32 graph", "fp32", "tf32=true", "cuda_graph=true")
        yield form("fp32 graph", "fp32", "cuda_graph=true")
    if "compile" in options:
        yield form("bf16 compiled", "bf16", "compile=true")
        if "cuda_graph" in options:
            yield form("bf16 compiled graph", "bf16", "compile=true", "cuda_graph=true")


def _list_untrained(card: Method) -> list[str]:
    """Networks that the config can build without weights: R50, and Lite0 where there is one."""
    known = typing.get_args(typing.get_type_hints(card.config).get("untrained_architecture", ""))
    return [name for name in known if name == "r50" or "lite0" in name.replace("-", "").lower()]


def _any(card: Method) -> Iterator[Variant]:
    """A method nobody told us of: as it is, in its smallest preset where that is named, and in bf16."""
    preset = "smoke" if "smoke" in card.presets else ""
    yield Variant(f"{card.name}, fp32", card.name, preset=preset)
    if card.weights:
        yield Variant(f"{card.name}, bf16", card.name, "bf16", preset=preset)
