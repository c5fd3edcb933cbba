"""The receiver as a process: each way to fail is seen from a socket."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from bench.harness import Child, Workplace
from tests.support.waiting import WITHIN_S, eventually

BODY = b'{"id":"7","type":"message.sent","message":{"id":"m"}}'
REQUEST = b"POST / HTTP/1.1\r\nHost: x\r\nwebhook-id: 7\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)


@contextmanager
def receiver(*options: str) -> Iterator[tuple[socket.socket, Child, Workplace]]:
    with Workplace() as place:
        peer = place.start("receiver", "-m", "bench.peers.receiver", *options)
        port = int(peer.wait_ready())
        with socket.create_connection(("127.0.0.1", port), WITHIN_S) as sock:
            yield sock, peer, place


def answer(sock: socket.socket) -> bytes:
    found = b""
    while data := sock.recv(65536):
        found += data
        if found.endswith(b"\r\n\r\n"):
            break
    return found


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ((), b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"),
        (("--statuses", "410=1"), b"HTTP/1.1 410 Gone\r\n"),
        (("--statuses", "429=1", "--retry-after", "3"), b"Retry-After: 3\r\n"),
        (("--statuses", "302=1", "--location", "/x"), b"Location: /x\r\n"),
        (("--secret", "whsec_c3RlbnRvciBiZW5jaCBldmVudHM="), b"HTTP/1.1 401 Unauthorized\r\n"),
        (("--latency", "30ms"), b"HTTP/1.1 200 OK\r\n"),
    ],
)
def test_it_answers_as_it_is_told_on_one_connection(options: tuple[str, ...], line: bytes) -> None:
    with receiver(*options) as (sock, peer, place):
        for _ in range(2):
            sock.sendall(REQUEST[:20])
            sock.sendall(REQUEST[20:])
            assert line in answer(sock)
        assert counted(place, peer)["requests"] == 2


def counted(place: Workplace, peer: Child) -> dict[str, Any]:
    return place.statistics(peer)


def test_a_request_is_read_and_its_connection_reset() -> None:
    with receiver("--reset-read", "1") as (sock, peer, place):
        sock.sendall(REQUEST)
        with pytest.raises(ConnectionResetError):
            sock.recv(100)
        assert (counted(place, peer)["requests"], counted(place, peer)["faults"]) == (1, {"reset_read": 1})


def test_a_connection_is_reset_with_its_request_unread() -> None:
    with receiver("--reset-unread", "1") as (sock, peer, place):
        sock.sendall(REQUEST)
        with pytest.raises(ConnectionResetError):
            sock.recv(100)
        assert counted(place, peer)["requests"] == 0


def test_half_an_answer_ends_the_connection() -> None:
    with receiver("--half", "1") as (sock, _, _):
        sock.sendall(REQUEST)
        found = answer(sock)
        assert found
        assert b"\r\n\r\n" not in found


def test_a_huge_body_is_as_long_as_it_says() -> None:
    with receiver("--huge", "1", "--huge-octets", "3000000") as (sock, peer, place):
        sock.sendall(REQUEST)
        found = b""
        while len(found) < 3_000_000:
            found += sock.recv(1 << 20)
        assert b"Content-Length: 3000000\r\n" in found
        assert counted(place, peer)["accepted"] == 1


def test_silence_is_no_answer() -> None:
    with receiver("--silent", "1") as (sock, peer, place):
        sock.sendall(REQUEST)
        eventually(lambda: counted(place, peer)["faults"] == {"silent": 1}, what="it has the request")
        sock.settimeout(0.1)
        with pytest.raises(TimeoutError):
            sock.recv(100)
