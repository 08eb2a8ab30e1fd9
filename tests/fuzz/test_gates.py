"""Mutated gates and ``--set`` values: rules that can be applied, or a refusal that names the file."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.api.errors import UsageError
from harness.catalog import Catalog
from harness.planning.config import configure
from harness.ranking.compare import compare
from harness.ranking.gate import Gate, read_gate

FUZZ = settings.get_profile(os.environ.get("HARNESS_FUZZ", "fuzz"))
GATE = """when_not_comparable = "skip"
[accuracy]
"J&F" = {max_loss = 0.005}
"F-mean" = {max_loss = 0.01, only_if_clear = true}
"J-mean" = {at_worst = 0.60}
[speed]
model_fps = {max_loss = 0.10}
"""
VALUES = st.one_of(
    st.sampled_from(
        ["nan", "inf", "-inf", "-1", "1e400", "9" * 400, "9" * 5000, "true", '"x"', "[]", "{}", "1979-05-27"]
    ),
    st.sampled_from(
        ["[" * 50_000, "{a=" * 500, '"\\ud800"', '"\\u001b[2J"', "0x10", "1_000", "99999-01-01", "25:61:61", ""]
    ),
    st.sampled_from(["1970-01-01T00:00:00Z", "0.5", "1e308", "-0.0", "1e-400", "'''x", '"""']),
    st.text(max_size=6),
)
KEYS = st.one_of(
    st.sampled_from(
        ["max_loss", "at_worst", "only_if_clear", "accuracy", "speed", '"J&F"', '"\\u001b[2J"', "a.b.c", "[a", "]"]
    ),
    st.sampled_from([".".join("a" * 3000)]),
    st.text(max_size=4),
)


@st.composite
def gates(draw: st.DrawFn) -> bytes:
    text = GATE
    for _ in range(draw(st.integers(1, 3))):
        old = draw(
            st.sampled_from(
                ["0.005", "0.01", "true", "0.60", "0.10", '"skip"', "max_loss", '"J&F"', "model_fps", "[speed]"]
            )
        )
        text = text.replace(old, draw(VALUES if old[0] in '0t"' else KEYS), draw(st.integers(1, 3)))
    lines = text.splitlines()
    if draw(st.booleans()):
        lines.insert(draw(st.integers(0, len(lines))), f"{draw(KEYS)} = {draw(VALUES)}")
    content = "\n".join(lines).encode("utf-8", "surrogatepass")
    return content + draw(st.one_of(st.just(b""), st.binary(max_size=3)))


@FUZZ
@given(content=gates())
def test_a_mutated_gate_can_be_applied_or_is_refused(tmp_path, make_record, value_or_refusal, content):
    path = tmp_path / "gate.toml"
    path.write_bytes(content)
    gate = value_or_refusal(lambda: read_gate(path), path, UsageError)
    if gate is not None:
        base, head = (make_record({"a": [(0.5, figure)], "b": [(0.25, 0.5)]}) for figure in (0.75, 0.5))
        assert compare(base, head, gate).rulings


def test_what_is_not_mutated_is_a_gate(tmp_path):
    (tmp_path / "gate.toml").write_text(GATE)
    gate = read_gate(tmp_path / "gate.toml")
    assert isinstance(gate, Gate)
    assert gate.accuracy["J-mean"].at_worst == 0.6


@FUZZ
@given(key=st.one_of(st.sampled_from(["dense", "temperature", "renormalise", "architecture"]), KEYS), value=VALUES)
def test_a_mutated_setting_is_of_its_type_or_refused(tvos, key, value):
    try:
        config = configure(tvos, "", [f"{key}={value}"])
    except UsageError:
        return
    default = tvos.config()
    for name, found in vars(config).items():
        assert type(found) is type(getattr(default, name)) or found is None


@pytest.fixture(scope="module")
def tvos():
    return Catalog.load().methods.get("tvos")
