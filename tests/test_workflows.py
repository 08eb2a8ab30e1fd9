"""The workflows here and of a new plugin: well formed, without a token that writes, and of steps that exist."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from harness.cli import root as command_line
from harness.new_plugin.write import names_of, render

ROOT = Path(__file__).parents[1]
OURS = {path.name: path.read_text() for path in sorted((ROOT / ".github/workflows").glob("*.yml"))}
MADE = {
    f"{task}: {path}": text
    for task in ("one-shot", "object-zvos", "vis")
    for path, text in render(names_of("made"), task).items()
    if path.startswith(".github/workflows/")
}
WORKFLOWS = {**OURS, **MADE}


def steps_of(text):
    return [step for job in yaml.safe_load(text)["jobs"].values() for step in job["steps"]]


def scripts_of(text):
    return [step["run"] for step in steps_of(text) if "run" in step]


def test_there_are_a_gate_and_a_check_of_the_leaderboard_here_and_a_gate_in_a_new_plugin():
    assert {"gate.yml", "leaderboard.yml"} <= set(OURS)
    assert {name.rpartition("/")[2] for name in MADE} == {"check.yml", "gate.yml"}


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_is_yaml_whose_steps_each_do_one_thing(name):
    found = yaml.safe_load(WORKFLOWS[name])
    assert {"name", "jobs", True} <= set(found)  # YAML 1.1 reads the key "on" as true
    for step in steps_of(WORKFLOWS[name]):
        assert ("uses" in step) != ("run" in step)
        if "uses" in step:
            assert re.fullmatch(r"actions/(checkout|setup-python|upload-artifact)@v\d+", step["uses"])


@pytest.mark.parametrize("name", WORKFLOWS)
def test_what_strangers_wrote_runs_without_a_token_that_writes_or_a_secret(name):
    text, found = WORKFLOWS[name], yaml.safe_load(WORKFLOWS[name])
    assert "pull_request_target" not in text
    assert "workflow_run" not in text
    assert "${{" not in text  # nothing that a title or a branch could break out of, and no secret
    if name not in ("check.yml",) and "check.yml" not in name:
        assert found["permissions"] == {"contents": "read"}
        assert set(found[True]) == {"pull_request"}
        checkouts = [step for step in steps_of(text) if step.get("uses", "").startswith("actions/checkout")]
        assert all(step["with"]["persist-credentials"] is False for step in checkouts)
    assert not any("permissions" in job for job in found["jobs"].values())


@pytest.mark.parametrize("name", WORKFLOWS)
def test_the_scripts_of_a_workflow_are_bash_and_ask_for_commands_and_options_that_are_there(name):
    for script in scripts_of(WORKFLOWS[name]):
        ran = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True)
        assert ran.returncode == 0, ran.stderr
        for line in script.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            calls = [place for place, word in enumerate(words) if word.rpartition("/")[2] == "harness"]
            for place in calls[:1]:
                refuse_unknown(words[place + 1 :])


def refuse_unknown(words):
    """Fail where a command, or an option of it, is not there."""
    command, context = command_line, None
    while words and hasattr(command, "list_commands"):
        assert words[0] in command.list_commands(context), words
        command, words = command.get_command(context, words[0]), words[1:]
    known = {option for param in command.params for option in param.opts}
    assert {word for word in words if word.startswith("--")} <= known


def test_a_step_that_judges_says_so_in_the_summary_and_keeps_its_exit_code():
    judging = [script for text in WORKFLOWS.values() for script in scripts_of(text) if "STEP_SUMMARY" in script]
    assert len(judging) == 2 + 3
    assert not any("|" in line for script in judging for line in script.splitlines() if "STEP_SUMMARY" in line)


def test_our_gate_is_a_script_that_ci_and_the_workflow_share():
    assert ".ci/gate" in OURS["gate.yml"]
    assert ".ci/gate" in (ROOT / ".ci/run").read_text()
    assert subprocess.run(["bash", "-n", ROOT / ".ci/gate"]).returncode == 0
