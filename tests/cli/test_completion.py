"""What a shell completes: commands, options, and names of what is installed; and nothing beside on standard error."""

import sys

import pytest

from harness.cli import main


@pytest.fixture
def complete(monkeypatch, capsys):
    """``complete("run --plugin tv")`` -> what bash is offered for the last word."""

    def complete(line):
        monkeypatch.setattr(sys, "argv", ["harness"])
        monkeypatch.setenv("_HARNESS_COMPLETE", "bash_complete")
        monkeypatch.setenv("COMP_WORDS", f"harness {line}")
        monkeypatch.setenv("COMP_CWORD", str(len(line.split(" "))))
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        assert (stop.value.code, err) == (0, "")
        return [tuple(item.split(",", 1)) for item in out.splitlines() if item]

    return complete


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("rep", ["reproduce"]),
        ("run --first-f", ["--first-frame-seconds"]),
        ("run --plugin copyf", ["copyfirst"]),
        ("run --bench mini-s", ["mini-small"]),
        ("run --plugin tvos --preset small", ["small-videos"]),
        ("run --preset small", []),
        ("run --rule davis-2016-f", ["davis-2016-frame-mean"]),
        ("run --task inst", ["instance-zvos"]),
        ("run --executor inl", ["inline"]),
        ("check copyf", ["copyfirst"]),
        ("data check fbms59-", ["fbms59-train"]),
        ("run --precision fp3", ["fp32"]),
    ],
)
def test_what_can_be_typed_next_is_offered(complete, line, offered):
    assert [name for _, name in complete(line)] == offered


def test_weights_are_names_of_the_card_and_files(complete):
    assert complete("run --plugin tvos --weights tvos-l") == [("plain", "tvos-lite0-davis240p"), ("file", "tvos-l")]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_lines(monkeypatch, capsys, shell):
    monkeypatch.setattr(sys, "argv", ["harness"])
    monkeypatch.setenv("_HARNESS_COMPLETE", f"{shell}_source")
    with pytest.raises(SystemExit) as stop:
        main()
    out, err = capsys.readouterr()
    assert stop.value.code == 0
    assert f"_HARNESS_COMPLETE={shell}_complete" in out
    assert err == ""
