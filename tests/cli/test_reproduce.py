"""``harness reproduce`` and ``harness ls experiments``: what is printed and written, exit codes."""

import json

import pytest
import torch

from harness.api.contracts import Method
from harness.catalog import Catalog
from harness.cli import main
from harness.experiments.outcome import Outcome

FILE = """
title = "Toy table"
method = "copy"
task = "one-shot"
benchmark = "paper-val"
metrics = ["share"]
[paper]
title = "Toys"
authors = "Toy et al."
year = 2020
where = "Table 7"
[[rows]]
name = "as it is"
published = [50.0]
[[rows]]
name = "learnt"
needs = "train it"
published = [70.0]
[[rows]]
name = "theirs"
method = "replay"
needs = "masks of theirs: harness score DIR"
published = [90.0]
"""


class Copy:
    def propagate(self, video, prompts):
        for _ in range(len(video)):
            yield prompts[0].clone()


@pytest.fixture
def place(tmp_path, monkeypatch, tests_tools):
    """A folder with toy.toml, in which commands run with the method ``copy`` and the benchmark ``tiny``."""
    methods = [Method(name=name, tasks=("one-shot",), build=lambda context: Copy()) for name in ("copy", "replay")]
    catalog = tests_tools.catalog_of(*methods)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Catalog, "load", classmethod(lambda cls: catalog))
    monkeypatch.delenv("HARNESS_RUNS", raising=False)
    (tmp_path / "toy.toml").write_text(FILE)
    return tmp_path


def run(*arguments):
    """The exit code of ``harness ...``."""
    with pytest.raises(SystemExit) as end:
        main(list(map(str, arguments)))
    return end.value.code


def test_a_table_is_printed_and_written_with_what_differs(place, capsys):
    assert run("reproduce", "toy.toml", "--bench", "tiny", "--limit", 1) == 0
    told = capsys.readouterr()
    assert "as it is  83.1 / 50.0" in told.out
    assert "learnt    needs weights / 70.0" in told.out
    assert "benchmark tiny, the paper's is paper-val; partial: 1 of 2 videos were chosen" in told.out
    assert "learnt: needs weights: train it; then --weights 'learnt=FILE'" in told.out
    assert "theirs    needs masks / 90.0" in told.out
    assert "theirs: needs masks of theirs: harness score DIR\n" in told.out  # no weights make them
    assert "as it is, seed 0: copy on tiny" in told.err
    folder = place / "runs/experiments/toy"
    assert "| as it is | 83.1 / 50.0 |" in (folder / "table.md").read_text()
    outcome = Outcome.model_validate_json((folder / "results.json").read_bytes())
    assert [cell.state for cell in outcome.cells] == ["measured", "needs-weights", "needs-weights"]
    assert list(folder.glob("runs/tiny/copy-*/record.json"))


def test_json_is_what_is_written(place, capsys):
    assert run("reproduce", "toy.toml", "--bench", "tiny", "--out", "here", "--json", "--rows", "as it is") == 0
    text = capsys.readouterr().out
    assert json.loads(text)["schema"] == "harness.experiment/1"
    assert (place / "here/results.json").read_text() == text


def test_weights_are_given_by_row(place, capsys):
    torch.save({}, place / "w.pth")
    assert run("reproduce", "toy.toml", "--bench", "tiny", "--rows", "learnt", "--weights", "learnt=w.pth") == 0
    assert "learnt: weights w.pth" in capsys.readouterr().out


def test_a_paper_whose_benchmark_is_not_there_fails_cell_by_cell(place, capsys):
    assert run("reproduce", "toy.toml") == 2
    out = capsys.readouterr().out
    assert "failed / 50.0" in out
    assert "as it is: no benchmark named 'paper-val'" in out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["none.toml"], 2, "found nothing readable"),
        (["tvos/table22"], 2, "did you mean 'tvos-table2'"),
        (["toy.toml", "--bench", "tinny"], 2, "did you mean 'tiny'"),
        (["toy.toml", "--weights", "learnt"], 2, "is not of the form ROW=FILE"),
        (["toy.toml", "--rows", "lernt"], 2, "did you mean 'learnt'"),
    ],
)
def test_what_is_wrong_is_said_before_anything_runs(place, capsys, arguments, code, said):
    assert run("reproduce", *arguments) == code
    assert said in capsys.readouterr().err
    assert not (place / "runs/experiments/toy/results.json").exists()


def test_ls_lists_the_experiments(capsys):
    assert run("ls", "experiments", "--json") == 0
    rows = {row["experiment"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["tvos/table3"]["bench"] == "davis17-val"
    assert rows["tvos/table2"]["cells"] == 12 * 6
