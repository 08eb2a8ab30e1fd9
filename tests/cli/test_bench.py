"""``harness bench``: what is printed, what is written, exit codes."""

import json

import pytest
import torch

from harness.api.contracts import Method
from harness.api.timing import Example, kernel
from harness.benching import kernels as benching
from harness.benching.report import KernelReport, Limits
from harness.catalog import Catalog
from harness.cli import main


def square(x):
    return x * x


def numbers(device):
    return [Example("three", (torch.tensor([1.0, 2.0, 3.0]),)), Example("four", (torch.ones(4),))]


RIGHT = kernel(example=numbers, reference=square, name="right", flops=lambda x: 1e6, bytes=lambda x: 1e6)(square)
WRONG = kernel(example=numbers, reference=square, name="wrong")(lambda x: x + x)


@pytest.fixture
def place(tmp_path, monkeypatch, tests_tools):
    """A folder in which commands run with a method of two kernels, on a machine of 100 GFLOP/s and 10 GB/s."""
    method = Method(name="toy", tasks=("one-shot",), build=lambda context: None, kernels=lambda: (RIGHT, WRONG))
    monkeypatch.chdir(tmp_path)
    catalog = tests_tools.catalog_of(method)
    monkeypatch.setattr(Catalog, "load", classmethod(lambda cls: catalog))
    limits = Limits(gflop_a_second={"fp32": 100.0}, copy_gb_a_second=10.0)
    monkeypatch.setattr(benching, "measure_limits", lambda device, precision: limits)
    return tmp_path


def run(*arguments):
    """The exit code of ``harness bench ...``."""
    with pytest.raises(SystemExit) as end:
        main(["bench", *map(str, arguments)])
    return end.value.code


def test_tables_show_limits_conditions_and_both_forms(place, capsys):
    assert run("kernels", "--plugin", "toy", "--kernel", "right", "--rounds", 2) == 0
    told = capsys.readouterr()
    assert "matrix product fp32 100 GFLOP/s; copy 10.0 GB/s" in told.out
    assert "load average before" in told.out
    lines = [line.split() for line in told.out.splitlines() if line.startswith("toy ")]
    assert [line[2:4] for line in lines] == [["three", "2"], ["four", "2"]]
    assert lines[0][-2] == "10.0"  # one operation a byte, 10 GB/s: 10 GFLOP/s attainable
    assert "toy right: three" in told.err


def test_a_kernel_that_fails_is_named_and_the_exit_code_is_1(place, capsys):
    assert run("kernels", "--plugin", "toy", "--limit-size", "small", "--rounds", 1) == 1
    out = capsys.readouterr().out
    assert "wrong, three: FAIL the forms differ by 3, expected at most 0.0001" in out
    assert "right, three: FAIL" not in out


def test_json_is_the_report_and_out_holds_the_same(place, capsys):
    assert run("kernels", "--kernel", "right", "--rounds", 1, "--json", "--out", "report.json") == 0
    text = capsys.readouterr().out
    assert (place / "report.json").read_text() == text
    assert json.loads(text)["schema"] == "harness.bench-kernels/1"
    assert [row.example for row in KernelReport.model_validate_json(text).rows] == ["three", "four"]


def test_names_that_are_not_there_are_refused(place, capsys):
    assert run("kernels", "--plugin", "tvoz") == 4
    assert run("kernels", "--kernel", "rihgt") == 2
    assert "known: right, wrong" in capsys.readouterr().err
    assert run("kernels", "--device", "cuda:7") == 6
    assert run("kernels", "--rounds", 0) == 2
