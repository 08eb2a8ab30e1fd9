"""Options of several commands: what is left out, and how names are taken apart."""

import pytest

from harness.cli import main


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "Missing option '--data'"),
        (["--data", ""], "--data names nothing to learn from"),
        (["--data", " , "], "--data names nothing to learn from"),
    ],
)
def test_training_without_data_is_a_wrong_call(capsys, given, message):
    with pytest.raises(SystemExit) as stop:
        main(["train", "--plugin", "tvos", *given])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
