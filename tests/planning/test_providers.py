"""Providers that a config names: resolved or refused early; their files, not where they lie, are part of the key."""

import os
from dataclasses import dataclass, replace

import pytest

from harness import DataError, Method, Training
from harness.api.errors import EnvironmentProblem, UsageError
from harness.planning.plan import resolve
from harness.planning.providers import digest_of_path
from harness.planning.request import Request
from harness.training.plan import TrainingRequest, resolve_training


@dataclass(frozen=True)
class Config:
    flow: str = "dis"
    cues: str = ""


def card(**changes):
    given = {"name": "copy", "tasks": ("one-shot",), "build": lambda context: None, "supervision": "none"}
    given |= {"config": Config, "providers": {"flow": "flow", "cues": "saliency"}}
    return Method(**{**given, **changes})


@pytest.fixture
def plan_of(tests_tools):
    def plan(*overrides):
        request = Request(plugin="copy", bench="tiny", overrides=overrides)
        return resolve(request, tests_tools.catalog_of(card()))

    return plan


@pytest.fixture
def flows(tmp_path):
    folder = tmp_path / "flows"
    (folder / "dog").mkdir(parents=True)
    (folder / "dog/00000.flo").write_bytes(b"flow")
    return folder


def test_a_provider_is_resolved_and_an_empty_constant_names_none(plan_of):
    assert {name: str(spec) for name, spec in plan_of().providers.items()} == {"flow": "dis"}
    assert {name: str(spec) for name, spec in plan_of("cues=spectral").providers.items()} == {
        "flow": "dis",
        "cues": "spectral",
    }


@pytest.mark.parametrize(
    ("override", "error", "reason"),
    [
        ("flow=diss", UsageError, r"copy, constant flow: no flow provider named 'diss' \(did you mean 'dis'\?\)"),
        ("flow=raft", UsageError, "names no FILE"),
        ("flow=boundary", UsageError, "no flow provider named 'boundary'"),
        ("flow=files:/nowhere", DataError, "copy, constant flow: /nowhere: found nothing, expected a folder"),
        ("cues=cam:/nowhere", DataError, "copy, constant cues: /nowhere: found nothing, expected a file"),
    ],
)
def test_what_names_no_provider_is_refused_before_anything_runs(plan_of, override, error, reason):
    with pytest.raises(error, match=reason):
        plan_of(override)


def test_a_provider_whose_package_is_absent_says_so(plan_of, tmp_path, monkeypatch):
    (tmp_path / "raft.pth").write_bytes(b"")
    monkeypatch.setattr("harness.api.providers.importlib.util.find_spec", lambda name: None)
    with pytest.raises(EnvironmentProblem, match="needs the package torchvision"):
        plan_of(f"flow=raft:{tmp_path / 'raft.pth'}")


def test_the_provider_and_every_byte_of_its_files_are_in_the_key(plan_of, flows):
    keys = {plan_of().key, plan_of("flow=dis:fast").key, plan_of(f"flow=files:{flows}").key}
    (flows / "dog/00000.flo").write_bytes(b"wolf")
    keys.add(plan_of(f"flow=files:{flows}").key)
    (flows / "dog/00000.flo").rename(flows / "dog/00001.flo")
    keys.add(plan_of(f"flow=files:{flows}").key)
    assert len(keys) == 5


def test_where_the_files_lie_is_in_neither_key_nor_record(plan_of, flows, tmp_path):
    before = plan_of(f"flow=files:{flows}")
    flows.rename(tmp_path / "moved")
    after = plan_of(f"flow=files:{tmp_path / 'moved'}")
    assert before.described_config == after.described_config == {"flow": "files", "cues": ""}
    assert replace(after, request=before.request).key_parts["providers"]["flow"]["sha256"] == digest_of_path(
        tmp_path / "moved"
    )
    assert str(tmp_path) not in str(after.key_parts)


def test_labels_behind_a_provider_are_part_of_the_supervision_that_is_shown(plan_of, tmp_path):
    assert plan_of().plugin.supervision == "none"
    (tmp_path / "cam.pth").write_bytes(b"weights")
    found = plan_of(f"cues=cam:{tmp_path / 'cam.pth'}")
    assert found.plugin.supervision == "none; saliency by cam: labels of images (classifier)"
    assert found.provider_infos["cues"].sha256 == digest_of_path(tmp_path / "cam.pth")


def test_a_pipe_or_a_broken_link_among_the_files_is_refused_and_waited_for_by_nobody(plan_of, flows):
    os.mkfifo(flows / "dog/pipe")
    with pytest.raises(DataError, match="dog/pipe: found no ordinary file"):
        _ = plan_of(f"flow=files:{flows}").key
    (flows / "dog/pipe").unlink()
    (flows / "dog/gone").symlink_to(flows / "nowhere")
    with pytest.raises(DataError, match="dog/gone: found no ordinary file"):
        _ = plan_of(f"flow=files:{flows}").key


def test_a_link_to_a_folder_is_not_followed(flows):
    before = digest_of_path(flows)
    (flows / "dog/round").symlink_to(flows)
    assert digest_of_path(flows) == before


@pytest.mark.parametrize("declared", [{"flaw": "flow"}, {"flow": "depth"}])
def test_a_card_that_declares_what_is_not_there_is_refused(declared):
    for make in (lambda: card(providers=declared), lambda: Training(len, Config, providers=declared)):
        with pytest.raises(
            ValueError, match=r"names a provider of .*constants: flow, cues; kinds: flow, proposals, sal"
        ):
            make()


def test_a_constant_that_is_no_text_is_refused(tests_tools):
    method = card(presets={"odd": replace(Config(), flow=3)})
    with pytest.raises(UsageError, match="copy: constant flow is 3, expected the text of a flow provider"):
        resolve(Request(plugin="copy", bench="tiny", preset="odd"), tests_tools.catalog_of(method))


def test_the_providers_of_a_training_are_in_its_key_and_handed_on(tests_tools, flows):
    def plan(*overrides):
        training = Training(len, Config, providers={"flow": "flow"}, needs="frames", choose="last")
        catalog = tests_tools.catalog_of(card(training=training))
        return resolve_training(TrainingRequest(plugin="copy", data=("tiny",), overrides=overrides), catalog)

    found = plan(f"flow=files:{flows}")
    assert found.settings["providers"]["flow"]["name"] == "files"
    assert str(flows) not in str(found.settings)
    assert str(found.providers["flow"]) == f"files:{flows}"
    before = found.key
    (flows / "dog/00000.flo").write_bytes(b"wolf")
    assert plan(f"flow=files:{flows}").key != before
    with pytest.raises(UsageError, match="the training of copy, constant flow: no flow provider named 'diss'"):
        plan("flow=diss")
