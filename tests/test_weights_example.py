"""The example of docs/weights.md: what a card says of its weights is what a user gets, or is told."""

import shutil
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import harness
from harness.api.errors import DataError, VerificationFailed
from harness.catalog import Catalog

EXAMPLE = Path(__file__).parent / "third_party" / "vos-bright"


@pytest.fixture
def place(tmp_path, monkeypatch, tests_tools):
    """An empty folder in which ``bright`` is installed, beside a benchmark whose object is bright (200 of 255)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(EXAMPLE))
    load = Catalog.load
    point = EntryPoint("bright", "vos_bright", "harness")
    (card,) = load([point]).methods
    catalog = tests_tools.catalog_of(card)
    monkeypatch.setattr(Catalog, "load", classmethod(lambda cls: catalog))
    return tmp_path


def run(**more):
    return harness.run("bright", "tiny", task="object-zvos", out="run", resume="never", **more)


def test_the_weights_on_the_card_are_what_is_run(place):
    outcome = run()
    assert outcome.scores == {"share": 1.0}
    told = outcome.record.weights
    assert (told.name, told.licence) == ("half-grey", "Apache-2.0")
    assert told.trained_on.startswith("nothing")
    assert len(told.sha256) == 64


def test_none_are_random_and_a_file_of_ones_own_is_named_by_its_digest(place):
    assert run(weights="none").record.weights.sha256 == ""
    save_file({"layer.weight": -torch.ones(1, 3), "layer.bias": torch.tensor([1.5])}, place / "mine.safetensors")
    outcome = run(weights="mine.safetensors")
    assert outcome.scores == {"share": 0.0}
    assert (outcome.record.weights.name, outcome.record.weights.licence) == ("mine.safetensors", "")


def test_weights_that_are_not_shipped_say_where_they_are(place):
    with pytest.raises(DataError, match=r"weights 'published' of bright are not on this machine") as refused:
        run(weights="published")
    assert "download them from https://example.org/bright.safetensors and give --weights FILE" in refused.value.hint


def test_a_file_of_another_checksum_is_refused(place, monkeypatch):
    import vos_bright

    copy = place / "changed.safetensors"
    shutil.copy(vos_bright.WEIGHTS[0].path, copy)
    content = bytearray(copy.read_bytes())
    content[-1] ^= 1
    copy.write_bytes(content)
    card = Catalog.load().methods.get("bright")
    changed = [harness.Weights(name="half-grey", path=copy, sha256=card.weights[0].sha256, licence="x")]
    monkeypatch.setitem(vars(card), "weights", tuple(changed))
    with pytest.raises(VerificationFailed, match="expected " + card.weights[0].sha256):
        run()


def test_weights_of_another_network_are_named(place):
    save_file({"conv.weight": torch.ones(2)}, place / "other.safetensors")
    with pytest.raises(DataError, match=r"other\.safetensors: found conv\.weight, expected layer\.weight"):
        run(weights="other.safetensors")


def test_the_entry_point_is_the_one_of_its_pyproject():
    assert '[project.entry-points.harness]\nbright = "vos_bright"\n' in (EXAMPLE / "pyproject.toml").read_text()
