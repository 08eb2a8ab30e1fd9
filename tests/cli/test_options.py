"""Options of several commands: what is left out, and how names are taken apart."""

import click
import pytest

from harness.cli import main
from harness.cli.options import videos


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "Missing option '--data'"),
        (["--data", ""], "--data names nothing to learn from"),
        (["--data", " , "], "' , ' names nothing"),
    ],
)
def test_training_without_data_is_a_wrong_call(capsys, given, message):
    with pytest.raises(SystemExit) as stop:
        main(["train", "--plugin", "tvos", *given])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "option"),
    [
        (["bench", "precision", "--plugin", "copyfirst", "--bench", "mini-small"], "--precisions"),
        (["run", "--plugin", "copyfirst", "--bench", "mini-small"], "--videos"),
    ],
)
def test_commas_alone_are_a_wrong_call_and_not_the_default(capsys, command, option):
    with pytest.raises(SystemExit) as stop:
        main([*command, option, ","])
    assert stop.value.code == 2
    assert f"Invalid value for '{option}': ',' names nothing" in capsys.readouterr().err


def test_scoring_a_task_that_is_nearly_named_asks_whether_that_was_meant(capsys, tmp_path):
    with pytest.raises(SystemExit) as stop:
        main(["score", str(tmp_path), "--bench", "mini-small", "--task", "one-shut"])
    assert stop.value.code == 2
    assert "no task named 'one-shut' (did you mean 'one-shot'?)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--seed", "1e23"),
        ("--seed", str(10**23)),
        ("--threads", "1e8"),
        ("--threads", str(10**8)),
        ("--workers", "1e9"),
    ],
)
def test_a_number_beyond_what_there_is_is_a_wrong_call(capsys, option, value):
    with pytest.raises(SystemExit) as stop:
        main(["run", "--plugin", "copyfirst", "--bench", "mini-small", option, value])
    assert stop.value.code == 2
    assert f"Invalid value for '{option}'" in capsys.readouterr().err


@pytest.mark.parametrize("seconds", ["nan", "0", "-1"])
def test_a_limit_of_no_time_is_a_wrong_call(capsys, seconds):
    with pytest.raises(SystemExit) as stop:
        main(["run", "--plugin", "copyfirst", "--bench", "mini-small", "--frame-seconds", seconds])
    assert stop.value.code == 2
    assert "must be more than 0" in capsys.readouterr().err


def test_names_with_commas_can_be_given_and_an_option_of_names_repeated():
    command = click.Command("try", params=[], callback=lambda **given: given)
    videos(command)
    arguments = ["--videos", r"left\, then right,b", "--videos", "c"]
    given = command.main(arguments, standalone_mode=False)
    assert given == {"videos": ("left, then right", "b", "c")}
    assert command.main([], standalone_mode=False) == {"videos": ()}
