"""Facts in the metadata of weights: short texts from a file that anybody may have written."""

import pytest
import torch
from safetensors.torch import save_file

from harness import BuildContext, read_facts
from harness.api.errors import DataError
from harness.api.weights_facts import LARGEST_HEADER, check_facts


@pytest.fixture
def weights(tmp_path):
    def write(metadata):
        save_file({"a": torch.zeros(2)}, tmp_path / "w.safetensors", metadata)
        return tmp_path / "w.safetensors"

    return write


def test_facts_are_read_and_what_the_harness_wrote_is_not(weights):
    assert read_facts(weights({"fact.channel": "3", "method": "imas", "fact.names": '{"1": "Katze"}'})) == {
        "channel": "3",
        "names": '{"1": "Katze"}',
    }
    assert read_facts(weights(None)) == {}


def test_a_method_finds_them_in_its_context(weights):
    def context(path):
        return BuildContext("one-shot", None, "cpu", "fp32", path, 0)

    assert context(weights({"fact.channel": "3"})).facts == {"channel": "3"}
    assert context(None).facts == {}


def test_weights_of_another_kind_of_file_have_none(tmp_path):
    (tmp_path / "w.pth.tar").write_bytes(b"anything")
    assert read_facts(tmp_path / "w.pth.tar") == {}


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"Channel": "3"}, "a fact named 'Channel'"),
        ({"": "3"}, "a fact named ''"),
        ({"../../etc": "3"}, "a fact named '../../etc'"),
        ({"a" * 65: "3"}, "a fact named 'aaa"),
        ({"channel\n": "3"}, "a fact named"),
        ({"channel": "3\x1b[2J"}, "fact 'channel' of 5 characters; expected 10000 printable"),
        ({"channel": "x" * 10_001}, "fact 'channel' of 10001 characters"),
        ({f"a{i}": "" for i in range(65)}, "65 facts; expected at most 64"),
    ],
)
def test_odd_facts_are_refused_where_they_are_made_and_where_they_are_read(weights, facts, reason):
    with pytest.raises(ValueError, match=reason):
        check_facts(facts)
    with pytest.raises(DataError, match=reason):
        read_facts(weights({f"fact.{name}": value for name, value in facts.items()}))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x05",
        (2).to_bytes(8, "little"),
        (2).to_bytes(8, "little") + b"[]",
        (2**63).to_bytes(8, "little") + b"{}",
        (LARGEST_HEADER + 1).to_bytes(8, "little") + b" " * 20,
        (4).to_bytes(8, "little") + b"\xff\xfe{}",
        (6000).to_bytes(8, "little") + b"[" * 6000,
        *(
            len(text).to_bytes(8, "little") + text
            for text in (b'{"__metadata__": 3}', b'{"__metadata__": {"fact.channel": 3}}', b"{x}")
        ),
    ],
)
def test_a_file_that_is_no_safetensors_file_is_refused(tmp_path, content):
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    with pytest.raises(DataError, match="expected a safetensors file with facts"):
        read_facts(path)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(DataError, match="expected a safetensors file with facts"):
        read_facts(tmp_path / "absent.safetensors")
