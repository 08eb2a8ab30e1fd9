"""Options of several commands: what is left out, and how names are taken apart."""

import pytest

from harness.cli import main


def test_training_without_data_is_a_wrong_call(capsys):
    assert main(["train", "--plugin", "tvos"]) == 2
    assert "Missing option '--data'" in capsys.readouterr().err


@pytest.mark.parametrize("names", ["", " , "])
def test_training_on_no_name_is_a_wrong_call(capsys, names):
    assert main(["train", "--plugin", "tvos", "--data", names]) == 2
    assert "--data names nothing to learn from" in capsys.readouterr().err
