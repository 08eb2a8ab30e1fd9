"""Cards, weights and kernels with a planted fault: the check of that promise says so, and no other."""

import dataclasses
import hashlib
from dataclasses import replace
from importlib.metadata import EntryPoint

import pytest
import torch
from safetensors.torch import save_file

from harness import Example, Method, Weights, kernel
from harness.conformance import CHECKS, examine
from harness.conformance.subject import open_subjects

INLINE = EntryPoint("inline", "harness.executors.inline", "harness")


def show(video, prompts):
    """A sound method: every object stays where it was prompted."""
    mask = torch.zeros(video.size, dtype=torch.uint8)
    for t in range(len(video)):
        frame = video[t]
        assert frame.dtype == torch.uint8
        if t in prompts:
            mask = torch.where((prompts[t] > 0) & (prompts[t] < 255), prompts[t], mask)
        yield mask.clone()


def offering(entry, **card):
    """A card of a method whose ``propagate`` is this function."""
    method = type("Planted", (), {"propagate": lambda self, video, prompts: entry(video, prompts)})
    return make_card(lambda context: method(), **card)


def make_card(build, **card):
    words = {"summary": "planted", "supervision": "none"}
    return Method(**{"name": "planted", "tasks": ("one-shot",), "build": build, **words, **card})


def judge(card, tests_tools, **asked):
    """Every outcome by the check's name."""
    module = tests_tools.plugin_module("planted", harness_methods=lambda: [card])
    subjects = open_subjects("planted", CHECKS, points=[tests_tools.point("planted", module), INLINE], **asked)
    return {outcome.check.name: outcome for outcome in examine(subjects)}


def list_failed(outcomes):
    return {name for name, outcome in outcomes.items() if outcome.status == "failed"}


@dataclasses.dataclass
class Thawed:
    bins: int = 4


@dataclasses.dataclass(frozen=True)
class NoDefault:
    bins: int


@dataclasses.dataclass(frozen=True)
class HoldsAnObject:
    fill: object = torch.float32


@dataclasses.dataclass(frozen=True)
class Plain:
    bins: int = 4


def refuses(context):
    raise KeyError("layer7")


def no_prompts(context):
    return type("M", (), {"propagate": lambda self, video: iter(())})()


CARDS = {
    "no-words": ({"summary": "", "supervision": " "}, {"card"}),
    "task-twice": ({"tasks": ("one-shot", "one-shot")}, {"card"}),
    "window-of-nothing": ({"causality": "window"}, {"card"}),
    "config-can-change": ({"config": Thawed}, {"config"}),
    "config-without-default": ({"config": NoDefault}, {"config", "builds"}),
    "config-holds-an-object": ({"config": HoldsAnObject}, {"config"}),
    "preset-of-another-type": ({"config": Plain, "presets": {"paper": Thawed()}}, {"config"}),
    "does-not-build": ({"build": refuses}, {"builds"}),
    "lacks-the-entry": ({"build": lambda context: object()}, {"builds"}),
    "entry-without-prompts": ({"build": no_prompts}, {"protocol"}),
}


@pytest.mark.parametrize(("changes", "expected"), CARDS.values(), ids=CARDS)
def test_a_wrong_card_is_caught(changes, expected, tests_tools):
    card = dataclasses.replace(offering(show), **changes)
    assert list_failed(judge(card, tests_tools, task="one-shot", quick=True)) == expected


@pytest.mark.slow
def test_wrong_weights_are_caught(tests_tools, tmp_path):
    right, pickled = tmp_path / "right.safetensors", tmp_path / "net.pth"
    save_file({"w": torch.ones(2)}, right)
    torch.save(torch.nn.Linear(1, 1), pickled)
    digests = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in (right, pickled)}

    def verdict(default="", **entry):
        weights = (Weights(**{"name": "w", "licence": "CC0", "path": right, "sha256": digests[right], **entry}),)
        card = offering(show, weights=weights, default_weights=default)
        return list_failed(judge(card, tests_tools, quick=True))

    assert verdict() == verdict(default="w") == set()
    assert verdict(path=tmp_path / "gone.safetensors") == {"weights-there"}
    assert verdict(path=None) == {"weights-there"}
    assert verdict(licence="") == {"weights-there"}
    assert verdict(preset="paper") == {"weights-there"}
    assert verdict(default_for=("one-shot",)) == set()
    assert verdict(default_for=("vis",)) == {"weights-there"}
    assert verdict(default="other") == {"weights-there", "builds"}
    assert verdict(sha256="") == {"weights-checksum"}
    assert verdict(sha256="0" * 64, default="w") == {"weights-checksum", "builds"}
    assert verdict(path=pickled, sha256=digests[pickled]) == {"weights-no-pickle"}
    right.write_bytes(b"not safetensors")
    assert verdict(sha256=hashlib.sha256(b"not safetensors").hexdigest()) == {"weights-no-pickle"}


@pytest.mark.slow
def test_a_heavy_import_is_caught(tmp_path, monkeypatch, tests_tools):
    (tmp_path / "heavy_plugin.py").write_text(
        "import torch\n"
        "from harness import Method, hookimpl\n"
        "@hookimpl\n"
        "def harness_methods():\n"
        "    return [Method(name='planted', tasks=('one-shot',), build=print, summary='s', supervision='s')]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    subjects = open_subjects("planted", CHECKS, points=[EntryPoint("heavy", "heavy_plugin", "harness")])
    (check,) = (check for check in CHECKS if check.name == "light-import")
    outcome = subjects[0].judge(check)
    assert outcome.status == "failed"
    assert "imports torch" in outcome.message


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("os.chdir('/')", "leaves working directory = '/'"),
        ("subprocess.Popen(['sleep', '3'])", "leaves child process"),
        ("sys.exit(0)", "alone fails: it ends the process with 0"),
    ],
)
def test_an_import_that_changes_the_process_is_caught(line, message, tmp_path, monkeypatch, tests_tools):
    name = f"loud_plugin_{abs(hash(line))}"
    (tmp_path / f"{name}.py").write_text(f"import os, subprocess, sys\n{line}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("harness.api.process_state.GRACE_SECONDS", 0.0)
    module = tests_tools.plugin_module(name, harness_methods=lambda: [make_card(lambda context: None)])
    (subject,) = open_subjects("planted", CHECKS, points=[tests_tools.point("planted", module)])
    subject.source = replace(subject.source, module=name)
    (check,) = (check for check in CHECKS if check.name == "light-import")
    assert message in subject.judge(check).message


def plant_kernel(function, **changes):
    def examples(device):
        return [Example("two", (torch.tensor([1.0, float("nan"), 3.0], device=device),))]

    asked = {
        "example": examples,
        "reference": lambda x: x * 2,
        "flops": lambda x: x.numel(),
        "name": "twice",
        **changes,
    }
    return offering(show, kernels=lambda: [kernel(**asked)(function)])


KERNELS = {
    "wrong": (plant_kernel(lambda x: x * 2.001), "differs from its reference by 0.003"),
    "writes-into-its-input": (plant_kernel(lambda x: x.mul_(2)), "changed tensor 0 of its arguments"),
    "another-shape": (plant_kernel(lambda x: (x * 2)[None]), r"gives \[\(1, 3\)\]"),
    "loses-nan": (plant_kernel(lambda x: (x * 2).nan_to_num()), "differs from its reference by inf"),
    "right-on-its-example-only": (
        plant_kernel(lambda x: x[-1:], reference=lambda x: x.nan_to_num().max()[None]),
        r"example 'two, shuffled \(\d\)' on cpu: differs",
    ),
    "no-examples": (plant_kernel(lambda x: x * 2, example=lambda device: []), "without examples"),
    "no-work": (plant_kernel(lambda x: x * 2, flops=lambda x: 0), "flops that are not above 0"),
}


@pytest.mark.parametrize(("card", "message"), KERNELS.values(), ids=KERNELS)
def test_a_wrong_kernel_is_caught(card, message, tests_tools):
    outcomes = judge(card, tests_tools, quick=True)
    assert list_failed(outcomes) == {"kernels"}
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(outcomes["kernels"].message)


def test_a_right_kernel_passes(tests_tools):
    outcomes = judge(plant_kernel(lambda x: x + x), tests_tools, quick=True)
    assert list_failed(outcomes) == set()
    assert outcomes["kernels"].status == "passed"
