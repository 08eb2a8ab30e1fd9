"""Mutated checkpoints: a state dict that fits, or a refusal; the code in a pickle never runs."""

import functools
import io
import json
import os
import pickle
import shlex
import struct
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.api.errors import DataError
from harness.models.checkpoints import read_state
from harness_tvos.network import EmbeddingNetwork, load_checkpoint, network_for

FUZZ = settings.get_profile(os.environ.get("HARNESS_FUZZ", "fuzz"))
SMALL = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.count": torch.tensor(7)}


class Payload:
    """A pickle that writes a file when it is loaded as pickles are."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self):
        return exec, (f"open({str(self.witness)!r}, 'w').write('it ran')",)


class SystemPayload(Payload):
    """The same by a shell."""

    def __reduce__(self):
        return os.system, (f"echo it ran > '{self.witness}'",)


class LatePayload(Payload):
    """The same by an object that is built, then given its state."""

    def __reduce__(self):
        return subprocess.Popen, (["touch", str(self.witness)],)


PAYLOADS = [Payload, SystemPayload, LatePayload]


def save(content: object, **options: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def tar(pickled: bytes) -> bytes:
    """The oldest form of a torch file: a tar with a pickle in it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("storages", "tensors", "pickle"):
            info = tarfile.TarInfo(name)
            info.size = len(pickled)
            archive.addfile(info, io.BytesIO(pickled))
    return buffer.getvalue()


def with_pickle(content: bytes, pickled: bytes) -> bytes:
    """A torch zip with another pickle in place of its own."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as before, zipfile.ZipFile(buffer, "w") as after:
        for name in before.namelist():
            after.writestr(name, pickled if name.endswith("data.pkl") else before.read(name))
    return buffer.getvalue()


def hide(payload: Payload) -> dict[str, bytes]:
    """The payload in every form of file that torch can be given."""
    return {
        "zip": save({"state_dict": SMALL, "extra": payload}),
        "zip, as a tensor": save({"a.weight": payload}),
        "zip, alone": save(payload),
        "zip, another pickle": with_pickle(save(SMALL), pickle.dumps(payload)),
        "legacy": save({"state_dict": SMALL, "extra": payload}, _use_new_zipfile_serialization=False),
        "plain pickle": pickle.dumps(payload),
        "plain pickle, protocol 0": pickle.dumps(payload, protocol=0),
        "pickle behind the magic number": pickle.dumps(0x1950A86A20F9469CFC6C) + pickle.dumps(payload) * 4,
        "tar": tar(pickle.dumps(payload)),
    }


FORMS = list(hide(Payload(Path("x"))))


@pytest.mark.parametrize("kind", PAYLOADS)
def test_the_payloads_do_run_where_pickles_are_loaded_plainly(tmp_path, kind):
    witness = tmp_path / "witness"
    run = "import pickle, sys; found = pickle.loads(sys.stdin.buffer.read()); getattr(found, 'wait', int)()"
    subprocess.run([sys.executable, "-c", run], input=pickle.dumps(kind(witness)), check=True)
    assert witness.exists()


@pytest.mark.parametrize("ending", [".pth", ".pth.tar", ".pt", ".safetensors", ".ckpt", ""])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", PAYLOADS)
def test_a_payload_is_refused_and_never_runs(tmp_path, value_or_refusal, kind, form, ending):
    witness = tmp_path / "witness"
    path = tmp_path / f"weights{ending}"
    path.write_bytes(hide(kind(witness))[form])
    assert value_or_refusal(lambda: load_checkpoint(path), path, DataError) is None
    assert not witness.exists()


TENSORS = {
    "plain": torch.zeros(2, 3),
    "half": torch.zeros(2, 3, dtype=torch.float16),
    "empty": torch.zeros(0),
    "nan": torch.tensor(float("nan")),
    "complex": torch.zeros(2, dtype=torch.complex64),
    "bool": torch.zeros(2, dtype=torch.bool),
    "sparse": torch.zeros(2, 3).to_sparse(),
    "meta": torch.zeros(2, 3, device="meta"),
    "float8": torch.zeros(2, dtype=torch.float8_e4m3fn),
    "two bytes that claim two terabytes": torch.zeros((), dtype=torch.float16).expand(2**20, 2**20),
    "four bytes that claim four terabytes": torch.zeros((), dtype=torch.float32).expand(2**20, 2**20),
    "parameter": torch.nn.Parameter(torch.zeros(2)),
}
TENSOR = st.sampled_from(sorted(TENSORS)).map(TENSORS.__getitem__)
LEAVES = st.one_of(TENSOR, st.none(), st.integers(), st.text(max_size=3), st.just([]), st.just({"b": torch.zeros(1)}))
KEYS = st.one_of(
    st.sampled_from(["state_dict", "a", "module.a", "module.", "backbone.0.weight", "\ud800", "\x1b[2J"]),
    st.integers(),
    st.none(),
    st.tuples(st.integers()),
)
CONTENTS = st.one_of(
    st.dictionaries(KEYS, LEAVES, max_size=4),
    st.dictionaries(KEYS, LEAVES, max_size=3).map(lambda state: {"state_dict": state}),
    LEAVES,
    st.lists(LEAVES, max_size=3),
)


@st.composite
def spoilt(draw: st.DrawFn, content: bytes) -> bytes:
    if draw(st.booleans()):
        return content[: draw(st.integers(0, len(content)))]
    changed = bytearray(content)
    for _ in range(draw(st.integers(1, 5))):
        changed[draw(st.integers(0, len(changed) - 1))] = draw(st.integers(0, 255))
    return bytes(changed)


def is_sound(state: object) -> bool:
    """Whether what was read is what its readers are promised: dense real tensors by name, halves widened."""
    return isinstance(state, dict) and all(
        isinstance(name, str)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and (value.dtype == torch.float32 or not value.is_floating_point())
        and not value.is_complex()
        for name, value in state.items()
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("checkpoints")


@FUZZ
@given(content=CONTENTS, is_zip=st.booleans())
def test_a_torch_file_of_anything_is_a_state_dict_or_refused(folder, value_or_refusal, content, is_zip):
    path = folder / "weights.pth"
    path.write_bytes(save(content, _use_new_zipfile_serialization=is_zip))
    state = value_or_refusal(lambda: load_checkpoint(path), path, DataError)
    assert state is None or is_sound(state)


OPCODES = st.lists(
    st.sampled_from(
        [
            *(b"}", b"]", b")", b"N", b"(", b".", b"0", b"1", b"2", b"s", b"u", b"a", b"e", b"t", b"R", b"b", b"\x81"),
            *(b"cos\nsystem\n", b"cbuiltins\nexec\n", b"ctorch._utils\n_rebuild_tensor_v2\n", b"ctorch\nload\n"),
            *(
                b"ctorch\nFloatStorage\n",
                b"ccollections\nOrderedDict\n",
                b"X\x02\x00\x00\x00id",
                b"K\x05",
                b"q\x00",
                b"h\x00",
            ),
            *(
                b"Q",
                b"X\xff\xff\xff\x7f",
                b"\x8a\xff",
                b"\x80\x02",
                b"\x80\x04",
                b"j\xff\xff\xff\xff",
                b"Vx\n",
                b"I1\n",
            ),
        ]
    ),
    max_size=14,
).map(b"".join)


@FUZZ
@given(content=st.one_of(spoilt(save(SMALL)), spoilt(save(SMALL, _use_new_zipfile_serialization=False)), OPCODES))
@pytest.mark.filterwarnings("ignore")
def test_a_mutated_torch_file_is_a_state_dict_or_refused(folder, value_or_refusal, content):
    path = folder / "weights.pth"
    path.write_bytes(content)
    state = value_or_refusal(lambda: load_checkpoint(path), path, DataError)
    assert state is None or is_sound(state)


@FUZZ
@given(opcodes=OPCODES)
def test_a_mutated_pickle_in_a_torch_file_is_refused(folder, value_or_refusal, opcodes):
    path = folder / "weights.pth"
    path.write_bytes(with_pickle(save(SMALL), b"\x80\x02" + opcodes + b"."))
    state = value_or_refusal(lambda: load_checkpoint(path), path, DataError)
    assert state is None or is_sound(state)


def safe(header: object, content: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + content


ENTRIES = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "F16", "BF16", "F64", "I64", "BOOL", "F8_E4M3", "C64", "X", "", None, 1]),
        "shape": st.one_of(
            st.lists(st.one_of(st.integers(-1, 4), st.sampled_from([2**31, 2**62, 2**64])), max_size=3), st.none()
        ),
        "data_offsets": st.one_of(
            st.lists(st.one_of(st.integers(-1, 40), st.sampled_from([2**62, 2**64])), max_size=3), st.none()
        ),
    }
)
HEADERS = st.one_of(
    st.dictionaries(st.sampled_from(["a", "b", "__metadata__", "module.a", "\ud800"]), ENTRIES, max_size=3),
    st.just(b"[" * 100_000),
    st.just(b'{"a":' * 100_000),
    st.just(
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    ),
    st.binary(max_size=30),
)


@FUZZ
@given(
    content=st.one_of(
        st.builds(safe, HEADERS, st.binary(max_size=40)),
        st.builds(safe, HEADERS, st.binary(max_size=40), st.sampled_from([0, 1, 7, 2**20, 2**31, 2**63, 2**64 - 1])),
        spoilt(safetensors.torch.save(SMALL)),
    )
)
def test_a_mutated_safetensors_file_is_a_state_dict_or_refused(folder, value_or_refusal, content):
    path = folder / "weights.safetensors"
    path.write_bytes(content)
    state = value_or_refusal(lambda: load_checkpoint(path), path, DataError)
    assert state is None or is_sound(state)


def rezip(content: bytes, method: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as before, zipfile.ZipFile(buffer, "w", method) as after:
        for name in before.namelist():
            after.writestr(name, before.read(name))
    return buffer.getvalue()


def test_a_torch_file_that_is_compressed_could_be_a_bomb_and_is_refused(tmp_path, value_or_refusal):
    path = tmp_path / "weights.pth"
    path.write_bytes(rezip(save({"a": torch.zeros(1 << 22)}), zipfile.ZIP_DEFLATED))
    assert path.stat().st_size < 1 << 18
    with pytest.raises(DataError, match="compressed entry"):
        read_state(path)
    path.write_bytes(rezip(save({"a": torch.zeros(4)}), zipfile.ZIP_STORED))
    assert read_state(path)["a"].tolist() == [0, 0, 0, 0]


def test_entries_that_share_their_bytes_are_refused(tmp_path):
    path = tmp_path / "weights.pth"
    content = save({"a": torch.zeros(1 << 12), "b": torch.zeros(1 << 12)})
    buffer = io.BytesIO(content)
    with zipfile.ZipFile(buffer, "a") as archive:
        first = next(info for info in archive.infolist() if info.filename.endswith("data/0"))
        for number in range(2, 9):
            copy = zipfile.ZipInfo(f"archive/data/{number}")
            copy.header_offset, copy.CRC = first.header_offset, first.CRC
            copy.compress_size = copy.file_size = first.file_size
            archive.filelist.append(copy)
        archive._didModify = True
    path.write_bytes(buffer.getvalue())
    with pytest.raises(DataError, match="bytes of entries"):
        read_state(path)


def test_the_command_that_saves_again_cannot_be_bent_by_a_file_name(tmp_path):
    path = tmp_path / "w'; touch witness; '.pth"
    path.write_bytes(pickle.dumps(Payload(tmp_path / "witness")))
    with pytest.raises(DataError) as refusal:
        read_state(path)
    words = shlex.split(refusal.value.hint.partition("re-save its weights alone: ")[2])
    assert words[:2] == ["python", "-c"]
    assert words[3:] == [str(path), "w'; touch witness; '-weights.pth"]


@functools.cache
def whole_state() -> dict[str, torch.Tensor]:
    return EmbeddingNetwork("r18").state_dict()


CHANGES = st.lists(st.tuples(st.integers(0, 200), st.sampled_from(["gone", *TENSORS])), min_size=1, max_size=3)


@settings(FUZZ, max_examples=FUZZ.max_examples // 5)  # each writes 5 million numbers
@given(changes=CHANGES, ending=st.sampled_from([".pth", ".safetensors"]))
def test_weights_of_wrong_shape_or_kind_are_refused(folder, value_or_refusal, changes, ending):
    state = dict(whole_state())
    for place, value in changes:
        name = list(whole_state())[place % len(whole_state())]
        state.pop(name, None) if value == "gone" else state.update({name: TENSORS[value]})
    path = folder / f"weights{ending}"
    if ending == ".pth":
        path.write_bytes(save(state))
    else:
        dense = {n: v for n, v in state.items() if v.layout == torch.strided and not v.is_meta and v.numel() < 2**30}
        path.write_bytes(safetensors.torch.save({name: value.contiguous().clone() for name, value in dense.items()}))
    read = value_or_refusal(lambda: load_checkpoint(path), path, DataError)
    if read is not None:
        network = value_or_refusal(lambda: network_for(read), "weights", DataError)
        assert network is None or set(network.state_dict()) == set(whole_state())


def test_a_sound_checkpoint_is_read(tmp_path):
    (tmp_path / "weights.pth").write_bytes(save({"state_dict": {f"module.{n}": v for n, v in whole_state().items()}}))
    assert network_for(load_checkpoint(tmp_path / "weights.pth")).architecture == "r18"
