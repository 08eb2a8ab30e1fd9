"""A provider's text is taken apart and refused before anything is loaded."""

import subprocess
import sys
from pathlib import Path

import pytest

from harness.api.errors import DataError, EnvironmentProblem, UsageError
from harness.api.providers import PROVIDERS, Offer, ProviderSpec, parse_spec


@pytest.mark.parametrize("kind", PROVIDERS)
def test_every_offer_is_found_by_the_form_it_is_written_in(kind):
    for offer in PROVIDERS[kind]:
        text = offer.form.replace(":FILE", ":a/b.pth").replace(":DIR", ":a/b")
        spec = parse_spec(kind, text)
        assert (spec.kind, spec.offer, str(spec)) == (kind, offer, text)


@pytest.mark.parametrize("kind", PROVIDERS)
def test_the_default_needs_no_file_no_package_and_no_label(kind):
    default = PROVIDERS[kind][0]
    assert (default.takes, default.package, default.supervision) == ("", "", "")


@pytest.mark.parametrize(
    ("kind", "text", "told"),
    [
        ("flow", "diss", "no flow provider named 'diss' (did you mean 'dis'?); known: dis, dis:fast, raft:FILE"),
        ("flow", "dis:slow", "(did you mean 'dis:fast'?)"),
        ("flow", "", "no flow provider named ''"),
        ("flow", "boundary", "no flow provider named 'boundary'"),
        ("saliency", "boundary:file", "no saliency provider named 'boundary:file' (did you mean 'boundary'?)"),
        ("flow", "raft", "'raft' names no FILE; expected raft:FILE"),
        ("flow", "raft:", "'raft:' names no FILE; expected raft:FILE"),
        ("proposals", "files", "'files' names no DIR; expected files:DIR"),
    ],
)
def test_what_is_no_provider_is_refused_with_what_is_known(kind, text, told):
    with pytest.raises(UsageError) as refused:
        parse_spec(kind, text)
    assert told in refused.value.message


def test_a_path_may_hold_colons_and_begin_at_home():
    assert parse_spec("flow", "raft:a:b.pth").path == Path("a:b.pth")
    assert parse_spec("flow", "files:~/flow").path == Path.home() / "flow"


@pytest.mark.parametrize(
    ("kind", "text", "is_supervision"),
    [
        ("flow", "dis", False),
        ("flow", "truth-flow", True),
        ("flow", "raft:x", True),
        ("flow", "files:x", True),
        ("proposals", "edgebox+grabcut", False),
        ("proposals", "maskrcnn:x", True),
        ("saliency", "cam:x", True),
    ],
)
def test_a_provider_says_whether_labels_lie_behind_it(kind, text, is_supervision):
    spec = parse_spec(kind, text)
    assert (spec.is_supervision, bool(spec.supervision)) == (is_supervision, is_supervision)


def test_check_looks_for_the_file_the_folder_and_the_package(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    parse_spec("saliency", f"cam:{tmp_path / 'file'}").check()
    parse_spec("saliency", f"files:{tmp_path}").check()
    with pytest.raises(DataError, match="found nothing, expected a file, for saliency by cam:FILE"):
        parse_spec("saliency", f"cam:{tmp_path / 'none'}").check()
    with pytest.raises(DataError, match="found something else, expected a folder"):
        parse_spec("saliency", f"files:{tmp_path / 'file'}").check()
    with pytest.raises(EnvironmentProblem, match="needs the package not_there_at_all"):
        ProviderSpec("flow", Offer("odd", "", package="not_there_at_all")).check()


def test_taking_a_text_apart_imports_neither_torch_nor_what_a_provider_needs():
    code = (
        "import sys; from harness.api.providers import parse_spec; parse_spec('flow', 'raft:x').offer.is_installed; "
        "sys.exit(bool({'torch', 'cv2', 'numpy', 'torchvision'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
