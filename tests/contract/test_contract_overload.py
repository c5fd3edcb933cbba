"""A full backlog and commits that fall behind: 503 with ``Retry-After``, nothing stored, nothing lost."""

import json
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.contract_world import (
    LATER,
    NDJSON,
    Answer,
    Client,
    Daemon,
    channel,
    number,
    running,
    smsc,
    text,
)
from tests.contract.test_contract_stream import OpenStream, line
from tests.support.ports import free_port
from tests.support.waiting import eventually


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="stentor-", dir="/tmp") as found:
        yield Path(found)


def stored(client: Client) -> int:
    return len(client.fetch("/v1/messages?limit=1000")["messages"])


def refused(answer: Answer) -> None:
    found = answer.problem(503, "backlog_full")
    assert int(answer.headers["Retry-After"]) == found["retry_after"] > 0


def test_a_full_backlog_refuses_and_takes_work_again_when_there_is_room(folder: Path):
    port = free_port()
    limits = {"backlog": 200, "active": 100}
    with running(Daemon(folder, {"alpha": channel(port)}, limits=limits)) as daemon:
        client = daemon.start().client
        items = [{"to": number(), "text": text()} for _ in range(150)]
        assert client.post("/v1/messages", items).status == 202
        # What does not fit as a whole is not stored in part, in whatever form it comes.
        for form in (items[:51], items[:51]):
            refused(client.post("/v1/messages", form))
        refused(client.post("/v1/messages", {"to": [number() for _ in range(51)], "text": text()}))
        refused(client.post("/v1/messages", items[:51], Idempotency_Key="full-1"))
        lines = b"".join(line() for _ in range(51))
        refused(client.post("/v1/messages", lines, Content_Type=NDJSON))
        assert stored(client) == 150
        assert client.post("/v1/messages", items[:48]).status == 202
        # Those that are scheduled count, and room that is made can be used.
        client.submit(send_at=LATER)
        last = client.submit()["id"]
        refused(client.post("/v1/messages", items[0]))
        assert client.get("/healthz").status == 200
        assert client.request("DELETE", f"/v1/messages/{last}").status == 200
        # A stream that has begun is answered line by line.
        with OpenStream(daemon) as stream:
            stream.send(line())
            stream.begin()
            assert "id" in stream.result()
            stream.send(line())
            error = stream.result()["error"]
            assert (error["status"], error["code"]) == (503, "backlog_full")
            stream.finish()
        assert stored(client) == 201
        with smsc(folder, port=port):
            client.wait_channel("alpha", "up")
            eventually(lambda: client.post("/v1/messages", items[:100]).status == 202, what="there is room")
            eventually(lambda: not client.fetch("/v1/status")["backlog"], what="all is sent")
            # The key of a refused submit was not used up.
            assert client.post("/v1/messages", items[:51], Idempotency_Key="full-1").status == 202
            eventually(lambda: not client.fetch("/v1/status")["backlog"], what="all is sent")


def test_a_backlog_far_larger_than_memory_goes_out_whole_and_in_order(folder: Path):
    """Two thousand behind a channel that is down, a hundred in memory; then a restart, and off they go."""
    port = free_port()
    with running(Daemon(folder, {"alpha": channel(port)}, limits={"active": 100})) as daemon:
        client = daemon.start().client
        to = [number() for _ in range(2000)]
        items = [{"to": each, "text": text(), "receipt": False} for each in to]
        assert client.post("/v1/messages", items).json()["accepted"] == 2000
        urgent = client.submit(priority="urgent")
        (_, queue) = sorted(client.fetch("/v1/status")["backlog"], key=lambda queue: queue["journal"])
        assert queue["active"] + queue["journal"] == 2000
        assert queue["journal"] > 1000
        daemon.restart()
        with smsc(folder, port=port) as peer:
            eventually(lambda: len(peer.facts("s")) == 2001, 20, "all are sent")
            order = peer.order()
            assert order.index(urgent["to"]) < 1000
            order.remove(urgent["to"])
            assert order == to
            eventually(lambda: not daemon.client.fetch("/v1/status")["backlog"])


def test_ten_times_too_much_is_refused_with_a_code_and_the_rest_is_sent(folder: Path):
    """Twenty clients push arrays as fast as they can against a small backlog and a slow carrier."""
    with smsc(folder) as peer:
        channels = {"alpha": channel(peer.port, rate=2000)}
        with running(Daemon(folder, channels, limits={"backlog": 1000, "active": 500})) as daemon:
            client = daemon.start_up().client
            answers: list[Answer] = []

            def push() -> None:
                own = Client(daemon.socket)
                for _ in range(20):
                    items = [{"to": number(), "text": text(), "receipt": False} for _ in range(50)]
                    answers.append(own.post("/v1/messages", items))
                own.close()

            threads = [threading.Thread(target=push) for _ in range(20)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            accepted = sum(json.loads(answer.body)["accepted"] for answer in answers if answer.status == 202)
            assert {answer.status for answer in answers} == {202, 503}
            assert all("Retry-After" in answer.headers for answer in answers if answer.status == 503)
            eventually(lambda: not client.fetch("/v1/status")["backlog"], 20, "all is sent")
            assert client.fetch("/v1/status")["accepted"] == accepted
            assert len(peer.facts("s")) == accepted
            assert len(set(peer.order())) == accepted
            assert daemon.rss_mib() < 150
