"""Numbers of an experiment have ends: a table of infinity and a list without end are refused with their key."""

import pytest

from harness.api.errors import UsageError
from harness.experiments.format import read_experiment

TEXT = """
title = "Toy table"
method = "mover"
task = "one-shot"
benchmark = "paper-val"
metrics = ["share"]
NUMBER
[paper]
title = "Toys"
authors = "Toy et al."
year = 2020
where = "Table 7"
[[rows]]
name = "a"
"""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (TEXT + "published = [1e308]", r"found 1e\+308; .*less than or equal to 1000000"),
        (TEXT + "published = [-inf]", "found -inf; .*greater than or equal to -1000000"),
        (TEXT + "seeds = 1000000000", "seeds: found 1000000000; .*less than or equal to 10000"),
        (TEXT.replace("NUMBER", "scale = 1e308"), r"scale: found 1e\+308; .*less than or equal to 1000000"),
        (TEXT.replace("NUMBER", "scale = nan"), "scale: found nan"),
        (TEXT.replace("NUMBER", "digits = 400"), "digits: found 400"),
    ],
)
def test_a_number_beyond_its_end_is_told_with_its_key(text, said, tmp_path):
    path = tmp_path / "toy.toml"
    path.write_text(text.replace("NUMBER", ""))
    with pytest.raises(UsageError, match=said):
        read_experiment(path)
