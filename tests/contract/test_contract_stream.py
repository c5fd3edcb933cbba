"""``POST /v1/messages`` as NDJSON: results stream while the body is still open, and memory stays bounded."""

import http.client
import json
import time

import pytest

from tests.contract.contract_world import NDJSON, Daemon, number, text, unix_socket
from tests.support.waiting import eventually


def line(to: str | list[str] | None = None, **fields: object) -> bytes:
    return json.dumps({"to": to or number(), "text": text(), **fields}).encode() + b"\n"


class OpenStream:
    """A submit whose body is written piece by piece while its results are read."""

    def __init__(self, daemon: Daemon, **headers: str) -> None:
        self.sock = unix_socket(daemon.socket)
        head = [
            "POST /v1/messages HTTP/1.1",
            "Host: s",
            f"Content-Type: {NDJSON}",
            "Transfer-Encoding: chunked",
        ]
        head += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.sock.sendall(("\r\n".join(head) + "\r\n\r\n").encode())
        self.response = http.client.HTTPResponse(self.sock)

    def __enter__(self) -> "OpenStream":
        return self

    def __exit__(self, *_: object) -> None:
        self.response.close()
        self.sock.close()

    def send(self, octets: bytes) -> None:
        self.sock.sendall(b"%x\r\n%b\r\n" % (len(octets), octets))

    def finish(self) -> None:
        self.sock.sendall(b"0\r\n\r\n")

    def begin(self) -> None:
        self.response.begin()
        assert self.response.status == 202
        assert self.response.headers["Content-Type"] == NDJSON

    def result(self) -> dict:
        return json.loads(self.response.readline())


def results(answer) -> list[dict]:
    assert answer.status == 202
    assert answer.content_type == NDJSON
    return [json.loads(each) for each in answer.body.splitlines()]


def test_results_come_while_the_body_is_still_open(daemon: Daemon):
    with OpenStream(daemon) as stream:
        to = number()
        stream.send(line(to))
        stream.begin()
        first = stream.result()
        assert first["to"] == to
        daemon.client.wait(first["id"], "delivered")
        # A line may come in pieces, and its end may come with the next.
        second = line()
        stream.send(second[:20])
        stream.send(second[20:] + line() + b"{")
        assert "id" in stream.result()
        assert "id" in stream.result()
        stream.send(b"}\n")
        assert stream.result()["error"]["errors"][0]["path"] == "$.to"
        stream.finish()
        assert stream.response.read() == b""


def test_results_are_in_order_and_bad_lines_stand_in_their_place(daemon: Daemon):
    good, bad = line(), b"not json\n"
    found = results(
        daemon.client.post("/v1/messages", good + bad + b"\n" + good + b"[]\n" + good, Content_Type=NDJSON)
    )
    shape = ["id" in result for result in found]
    assert shape in ([True, False, True, False, True], [True, False, False, True, False, True])
    assert all(result["error"]["status"] in (400, 422) for result in found if "error" in result)


def test_the_last_line_needs_no_end(daemon: Daemon):
    found = results(daemon.client.post("/v1/messages", line() + line().rstrip(b"\n"), Content_Type=NDJSON))
    assert len(found) == 2
    assert all("id" in result for result in found)


def test_an_empty_stream_has_no_results(daemon: Daemon):
    assert results(daemon.client.post("/v1/messages", b"", Content_Type=NDJSON)) == []


def test_a_line_over_64_kib_is_refused_alone(daemon: Daemon):
    long = line(metadata={"a": "x" * 70_000})
    found = results(daemon.client.post("/v1/messages", line() + long + line(), Content_Type=NDJSON))
    assert ["id" in result for result in found] == [True, False, True]
    assert found[1]["error"]["status"] == 413


def test_a_list_of_destinations_on_a_line_is_one_result_line(daemon: Daemon):
    several = line(to=[number(), number()])
    found = results(daemon.client.post("/v1/messages", line() + several + line(), Content_Type=NDJSON))
    assert len(found) == 3
    assert found[1]["accepted"] == 2
    assert [len(result["id"]) for result in found[1]["results"]] == [36, 36]


def test_a_client_that_goes_away_keeps_what_was_stored(daemon: Daemon):
    with OpenStream(daemon) as stream:
        to = number()
        stream.send(line(to))
        stream.begin()
        id = stream.result()["id"]
        stream.send(line()[:10])
    daemon.client.wait(id, "delivered")
    assert len(daemon.client.fetch(f"/v1/messages?to=%2B{to[1:]}")["messages"]) == 1


def test_a_body_that_breaks_off_ends_with_a_problem_or_the_connection(daemon: Daemon):
    with OpenStream(daemon) as stream:
        stream.send(line())
        stream.begin()
        assert "id" in stream.result()
        stream.sock.sendall(b"zz\r\n")  # not a chunk's size
        rest = [json.loads(each) for each in stream.response.read().splitlines()]
        assert [each["error"]["status"] for each in rest] == [400]


@pytest.mark.parametrize("is_chunked", [True, False])
def test_a_long_stream_is_answered_whole_in_bounded_memory(daemon: Daemon, is_chunked: bool):
    client = daemon.client
    client.pause("alpha")
    count, block = 15_000, 500
    blocks = [
        b"".join(line(ref=f"n{start + i}", valid_for=60) for i in range(block))
        for start in range(0, count, block)
    ]
    before = daemon.rss_mib()
    sock = unix_socket(daemon.socket)
    framing = "Transfer-Encoding: chunked" if is_chunked else f"Content-Length: {sum(map(len, blocks))}"
    sock.sendall(
        f"POST /v1/messages HTTP/1.1\r\nHost: s\r\nContent-Type: {NDJSON}\r\n{framing}\r\n\r\n".encode()
    )
    response = http.client.HTTPResponse(sock)
    # A client that sends everything before it reads the first result.
    for octets in blocks:
        sock.sendall(b"%x\r\n%b\r\n" % (len(octets), octets) if is_chunked else octets)
    if is_chunked:
        sock.sendall(b"0\r\n\r\n")
    response.begin()
    refs = [json.loads(each)["ref"] for each in response.read().splitlines()]
    sock.close()
    assert refs == [f"n{i}" for i in range(count)]
    assert daemon.rss_mib() - before < 100
    client.resume("alpha")
    eventually(lambda: not client.fetch("/v1/status")["backlog"], 60, "all of it is sent")


def answered_in_s(daemon: Daemon) -> float:
    """How long somebody else waits for an answer."""
    started = time.monotonic()
    assert daemon.client.get("/healthz").status == 200
    return time.monotonic() - started


def test_a_client_that_does_not_read_its_results_is_not_read_from_either(daemon: Daemon):
    """Results pile up to a bound; then the daemon stops reading, and nobody else notices."""
    block = b"".join(line(to="+40799999999", ref="r" * 64, receipt=False) for _ in range(1000))
    chunk = b"%x\r\n%b\r\n" % (len(block), block)
    before = daemon.rss_mib()
    with OpenStream(daemon) as stream:
        stream.sock.settimeout(1.5)
        with pytest.raises(TimeoutError):
            stream.sock.sendall(chunk * 60)
        assert daemon.rss_mib() - before < 100
        assert min(answered_in_s(daemon) for _ in range(5)) < 1.0
    eventually(lambda: not daemon.client.fetch("/v1/status")["backlog"], 60, "all of it is sent")
