"""What is shipped of others: unchanged, under its licence, and all of it named."""

import hashlib
import tomllib
from pathlib import Path

import pytest

import harness.pages

VENDOR = Path(harness.pages.__file__).parent / "vendor"
ENTRIES = tomllib.loads((VENDOR / "vendor.toml").read_text(encoding="utf-8"))["file"]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["name"])
def test_a_file_of_others_is_the_one_that_was_packed(entry):
    assert hashlib.sha256((VENDOR / entry["name"]).read_bytes()).hexdigest() == entry["sha256"]
    assert len((VENDOR / entry["licence_file"]).read_text(encoding="utf-8")) > 500
    assert entry["licence"] in ("BSD-3-Clause", "Unlicense")


def test_every_file_of_others_is_named():
    named = {name for entry in ENTRIES for name in (entry["name"], entry["licence_file"])}
    assert {path.name for path in VENDOR.iterdir()} == named | {"vendor.toml"}
