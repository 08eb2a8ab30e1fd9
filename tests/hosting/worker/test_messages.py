"""The conversation with a worker: whole messages or a named refusal, never a wait without end."""

import socket
import struct
import time

import pytest

from harness.hosting.worker.messages import Channel, Closed, Garbled, Late


@pytest.fixture
def ends():
    ours, theirs = socket.socketpair()
    yield Channel(ours), theirs
    ours.close()
    theirs.close()


def test_a_message_arrives_whole_however_it_is_cut(ends):
    channel, theirs = ends
    body = b'{"re": "done", "x": [1, null]}'
    for byte in struct.pack(">I", len(body)) + body:
        theirs.send(bytes([byte]))
    assert channel.receive() == {"re": "done", "x": [1, None]}


def test_what_is_sent_is_received(ends):
    channel, theirs = ends
    channel.send({"do": "next", "name": "käfer \ud800"})
    assert Channel(theirs).receive() == {"do": "next", "name": "käfer \ud800"}


@pytest.mark.parametrize("body", [b"{", b"[1]", b"\xff\xfe", b"", b"[" * 50_000])
def test_what_is_no_object_is_refused(ends, body):
    channel, theirs = ends
    theirs.send(struct.pack(">I", len(body)) + body)
    with pytest.raises(Garbled):
        channel.receive()


def test_an_endless_message_is_refused_before_it_is_read(ends):
    channel, theirs = ends
    theirs.send(b"\xff\xff\xff\xff")
    with pytest.raises(Garbled, match="4294967295 bytes"):
        channel.receive()


def test_half_a_message_is_late_when_the_time_is_over(ends):
    channel, theirs = ends
    theirs.send(b"\x00\x00\x00\x05{")
    with pytest.raises(Late):
        channel.receive(until=time.monotonic())


def test_a_dead_worker_s_last_words_are_read_and_then_it_is_closed(ends):
    channel, theirs = ends
    Channel(theirs).send({"re": "done"})
    assert channel.receive(is_alive=lambda: False) == {"re": "done"}
    with pytest.raises(Closed):
        channel.receive(is_alive=lambda: False)  # a descendant still holds the socket


def test_nobody_there_is_closed(ends):
    channel, theirs = ends
    theirs.close()
    with pytest.raises(Closed):
        channel.receive()
    with pytest.raises(Closed):
        for _ in range(2):
            channel.send({"do": "next"})
