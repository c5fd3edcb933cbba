"""Slow, huge, half-sent, pipelined, malformed and never-ending requests, and very many at once."""

import contextlib
import json
import re
import select
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.contract.contract_world import (
    CANARY,
    NDJSON,
    Daemon,
    Smsc,
    channel,
    number,
    running,
    text,
    unix_socket,
)
from tests.support.waiting import eventually

HEAD = b"Host: s\r\nContent-Type: application/json\r\n"
BODY = json.dumps({"to": "+40740999999", "text": CANARY, "receipt": False}).encode()
SUBMIT = b"POST /v1/messages HTTP/1.1\r\n" + HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
STATUS = re.compile(rb"HTTP/1\.1 \d+ ")
RSS_MIB = 200


@pytest.fixture(autouse=True)
def unharmed(daemon: Daemon) -> Iterator[None]:
    """Whatever a test does, the daemon serves others, keeps small, and has not restarted."""
    yield
    began = time.monotonic()
    daemon.client.wait(daemon.client.submit()["id"], "delivered")
    assert time.monotonic() - began < 2
    assert daemon.rss_mib() < RSS_MIB
    assert len(daemon.log()) >= 1


def exchange(daemon: Daemon, octets: bytes, answers: int = 1) -> bytes:
    """All the daemon answers until it closes, or has given so many answers and falls silent for a moment."""
    with unix_socket(daemon.socket) as sock:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            sock.sendall(octets)
        answer = b""
        with contextlib.suppress(TimeoutError, ConnectionResetError):
            while octets := sock.recv(65536):
                answer += octets
                if len(STATUS.findall(answer)) >= answers:
                    sock.settimeout(0.1)
        return answer


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00", 400),
        (b"GET\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: s\r\n\r\n", 505),
        (b"GET /healthz HTTP/1.1\r\nHost: s\r\nHost: t\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: s\r\nBad Header: 1\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: s\r\nX: a\x00b\r\n\r\n", 400),
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: s\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: s\r\n" + b"".join(b"X%d: y\r\n" % i for i in range(300)) + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: s\r\nX: " + b"y" * 40_000 + b"\r\n\r\n", 431),
        (b"POST /v1/messages HTTP/1.1\r\n" + HEAD + b"Content-Length: -1\r\n\r\n", 400),
        (b"POST /v1/messages HTTP/1.1\r\n" + HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 400),
        (b"POST /v1/messages HTTP/1.1\r\n" + HEAD + b"Content-Length: 99999999999\r\n\r\n", 413),
        (b"POST /v1/messages HTTP/1.1\r\n" + HEAD + b"Content-Length: " + b"9" * 400 + b"\r\n\r\n", None),
        (b"POST /v1/messages HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n", None),
        (
            b"POST /v1/messages HTTP/1.1\r\n" + HEAD
            + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", None,
        ),
        (b"POST /v1/messages HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
        (b"POST /v1/messages HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n", 400),
        (b"POST /v1/messages HTTP/1.1\r\n" + HEAD + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", 415),
        (b"BREW /v1/messages HTTP/1.1\r\nHost: s\r\n\r\n", 405),
        (b"PUT /v1/messages HTTP/1.1\r\nHost: s\r\nContent-Length: 0\r\n\r\n", 405),
        (b"GET /nowhere HTTP/1.1\r\nHost: s\r\n\r\n", 404),
        (b"GET /v1/../etc/passwd HTTP/1.1\r\nHost: s\r\n\r\n", 404),
    ],
)  # fmt: skip
def test_a_malformed_request_gets_a_problem_and_nothing_else(
    daemon: Daemon, request_: bytes, status: int | None
):
    answer = exchange(daemon, request_)
    head, _, body = answer.partition(b"\r\n\r\n")
    found = int(head.split()[1])
    assert found == status if status else 400 <= found < 600 and found not in (500, 502)
    assert b"application/problem+json" in head
    assert json.loads(body.split(b"HTTP/1.1")[0])["status"] == found
    assert b"Traceback" not in answer


def test_pipelined_requests_are_answered_in_order(daemon: Daemon):
    requests = (
        b"GET /healthz HTTP/1.1\r\nHost: s\r\n\r\n"
        + SUBMIT
        + b"GET /nowhere HTTP/1.1\r\nHost: s\r\n\r\n"
        + SUBMIT
    )
    answer = exchange(daemon, requests, answers=4)
    assert [int(part.split()[0]) for part in answer.split(b"HTTP/1.1 ")[1:]] == [200, 202, 404, 202]


def test_a_request_octet_by_octet_is_a_request(daemon: Daemon):
    with unix_socket(daemon.socket) as sock:
        for octet in SUBMIT:
            sock.sendall(bytes([octet]))
        assert sock.recv(65536).startswith(b"HTTP/1.1 202")


def test_a_half_sent_request_stores_nothing(daemon: Daemon):
    before = daemon.client.fetch("/v1/status")["accepted"]
    with unix_socket(daemon.socket) as sock:
        sock.sendall(SUBMIT[:-5])
        sock.shutdown(socket.SHUT_WR)
        answer = sock.recv(65536)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 400")
    assert daemon.client.fetch("/v1/status")["accepted"] == before


def test_expect_100_is_answered_before_the_body(daemon: Daemon):
    with unix_socket(daemon.socket) as sock:
        head, _, body = SUBMIT.partition(b"\r\n\r\n")
        sock.sendall(head + b"\r\nExpect: 100-continue\r\n\r\n")
        assert sock.recv(65536).startswith(b"HTTP/1.1 100")
        sock.sendall(body)
        assert sock.recv(65536).startswith(b"HTTP/1.1 202")


def test_an_array_that_never_ends_is_cut_at_16_mib(daemon: Daemon):
    with unix_socket(daemon.socket) as sock:
        sock.sendall(b"POST /v1/messages HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        piece = b"%x\r\n%b\r\n" % (65536, b" " * 65536)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(400):
                sock.sendall(piece)
                if select.select([sock], [], [], 0)[0]:
                    break
        assert sock.recv(65536).startswith(b"HTTP/1.1 413")


def test_a_line_that_never_ends_is_dropped_and_not_gathered(daemon: Daemon):
    before = daemon.rss_mib()
    with unix_socket(daemon.socket) as sock:
        head = f"POST /v1/messages HTTP/1.1\r\nHost: s\r\nContent-Type: {NDJSON}\r\nTransfer-Encoding: chunked\r\n\r\n"
        sock.sendall(head.encode())
        piece = b"%x\r\n%b\r\n" % (65536, b"x" * 65536)
        for _ in range(1000):
            sock.sendall(piece)
        sock.sendall(b"1\r\n\n\r\n0\r\n\r\n")
        answer = b""
        while not answer.endswith(b"0\r\n\r\n"):
            answer += sock.recv(65536)
    assert b'"status":413' in answer
    assert daemon.rss_mib() - before < 30


def test_five_hundred_connections_at_once_are_served_within_a_second(daemon: Daemon):
    sockets = []
    began = time.monotonic()
    try:
        for _ in range(500):
            sock = unix_socket(daemon.socket)
            sock.sendall(SUBMIT)
            sockets.append(sock)
        answers = [sock.recv(4096) for sock in sockets]
        took_s = time.monotonic() - began
    finally:
        for sock in sockets:
            sock.close()
    assert all(answer.startswith(b"HTTP/1.1 202") for answer in answers)
    assert took_s < 1.0


def test_connections_beyond_the_limit_are_told_so_and_the_rest_is_served(carrier: Smsc):
    with tempfile.TemporaryDirectory(prefix="stentor-", dir="/tmp") as folder, ExitStack() as stack:
        config = {"alpha": channel(carrier.port)}
        daemon = Daemon(Path(folder), config, api={"max_connections": 20})
        stack.enter_context(running(daemon)).start()
        sockets = [stack.enter_context(unix_socket(daemon.socket)) for _ in range(40)]
        assert sockets[-1].recv(4096).startswith(b"HTTP/1.1 503")
        sockets[0].sendall(SUBMIT)
        assert sockets[0].recv(4096).startswith(b"HTTP/1.1 202")
        for sock in sockets[:30]:
            sock.close()
        eventually(lambda: daemon.client.get("/healthz").status == 200)


BEGINNINGS = (b"GET /heal", SUBMIT[:-20], b"", b"POST /v1/messages HTTP/1.1\r\nHost: s\r\n")


@pytest.fixture(scope="module", autouse=True)
def slow_clients(daemon: Daemon) -> Iterator[list[socket.socket]]:
    """Three hundred that begin a head, a body or nothing at all, and are there while all other tests run."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(unix_socket(daemon.socket)) for _ in range(300)]
        for i, sock in enumerate(sockets):
            sock.sendall(BEGINNINGS[i % 4])
        yield sockets


def dribble(sockets: list[socket.socket]) -> bool:
    """Send an octet on each; True once the daemon has said something to all of them."""
    for sock in sockets:
        with contextlib.suppress(OSError):
            sock.send(b"x")
    answered, _, _ = select.select(sockets, [], [], 0.5)
    return len(answered) == len(sockets)


def test_a_subscriber_that_does_not_read_is_left_behind_and_misses_nothing(daemon: Daemon):
    """What it is sent ahead is bounded; what it has not taken waits in the journal."""
    client = daemon.client
    with unix_socket(daemon.socket) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.sendall(b"GET /v1/events HTTP/1.1\r\nHost: s\r\n\r\n")
        for _ in range(8):
            items = [{"to": number(), "text": text("x" * 800), "receipt": False} for _ in range(500)]
            assert client.post("/v1/messages", items).json()["accepted"] == 500
        eventually(lambda: not client.fetch("/v1/status")["backlog"], what="all are sent")
        told = b""
        while told.count(b"\nevent: message.sent\n") < 4000:
            told += deaf.recv(1 << 20)
    seqs = [int(seq) for seq in re.findall(rb"^id: (\d+)", told, re.MULTILINE)]
    assert seqs == sorted(set(seqs))
    assert told.count(b"\nevent: message.queued\n") == 4000


def test_slow_clients_hold_up_nobody_and_are_let_go(daemon: Daemon, slow_clients: list[socket.socket]):
    began = time.monotonic()
    for _ in range(100):
        daemon.client.submit(receipt=False)
    assert time.monotonic() - began < 5
    # A head has ten seconds from its first octet, however it dribbles.
    heads = [sock for i, sock in enumerate(slow_clients) if i % 4 in (0, 3)]
    eventually(lambda: dribble(heads), what="all are answered")
    assert all(sock.recv(4096).startswith(b"HTTP/1.1 408") for sock in heads)
