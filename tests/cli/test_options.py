"""Options of several commands: what is left out, and how names are taken apart."""

import click
import pytest

from harness.cli import main, root
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


def commands_of(group, name="harness"):
    """Every command of the tree by its full name."""
    context = click.Context(group)
    for verb in group.list_commands(context):
        command = group.get_command(context, verb)
        if isinstance(command, click.Group):
            yield from commands_of(command, f"{name} {verb}")
        else:
            yield f"{name} {verb}", command


NUMBERS = [
    pytest.param(command, option, id=f"{name} {option.opts[0]}")
    for name, command in commands_of(root)
    for option in command.params
    if isinstance(option.type, click.types.IntParamType | click.types.FloatParamType)
]
ABSURD = ("1e23", str(10**23), f"-{10**23}", "1e308", "1e400", "nan", "inf", "-inf", "", "x")


def answer_of(command, option, value):
    """The message of the wrong call; where the value is taken, that."""
    try:
        return option.type_cast_value(click.Context(command), value)
    except click.BadParameter as error:
        return error.format_message()


@pytest.mark.parametrize(("command", "option"), NUMBERS)
def test_every_option_that_is_a_number_has_two_ends_and_refuses_what_lies_beyond(command, option):
    low, high = option.type.min, option.type.max
    assert low is not None
    assert high is not None
    for value in (*ABSURD, str(low - 1), str(high + 1)):
        told = answer_of(command, option, value)
        assert isinstance(told, str), (value, told)
        assert option.opts[0] in told or "is not" in told
    for value in (low + option.type.min_open, high):
        assert answer_of(command, option, str(value)) == value
    if not option.required and option.default is not None and isinstance(option.default, int | float):
        assert low <= option.default <= high


def test_there_are_numbers_to_look_at():
    assert len(NUMBERS) > 25


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--seed", str(10**23)),
        ("--threads", "1e8"),
        ("--threads", "0"),
        ("--frame-seconds", "nan"),
        ("--first-frame-seconds", "0"),
        ("--limit", "-1"),
    ],
)
def test_a_number_beyond_what_there_is_is_a_wrong_call(capsys, option, value):
    with pytest.raises(SystemExit) as stop:
        main(["run", "--plugin", "copyfirst", "--bench", "mini-small", option, value])
    assert stop.value.code == 2
    assert f"Invalid value for '{option}'" in capsys.readouterr().err


def test_a_preset_that_is_a_path_is_a_wrong_call(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["run", "--plugin", "copyfirst", "--bench", "mini-small", "--preset", "../../x"])
    assert stop.value.code == 2
    assert "has no preset '../../x'" in capsys.readouterr().err


def test_names_with_commas_can_be_given_and_an_option_of_names_repeated():
    command = click.Command("try", params=[], callback=lambda **given: given)
    videos(command)
    arguments = ["--videos", r"left\, then right,b", "--videos", "c"]
    given = command.main(arguments, standalone_mode=False)
    assert given == {"videos": ("left, then right", "b", "c")}
    assert command.main([], standalone_mode=False) == {"videos": ()}
