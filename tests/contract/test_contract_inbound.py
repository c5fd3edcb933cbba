"""Messages from handsets: one event and one message, in however many parts and over however many lives they come."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.contract_world import Daemon, Json, Stream, channel, number, running, text
from tests.contract.hand_smsc import HandSmsc
from tests.support.waiting import eventually

UDHI = 0x40


@pytest.fixture
def carrier() -> Iterator[HandSmsc]:
    peer = HandSmsc()
    yield peer
    peer.close()


@pytest.fixture
def own(socket_dir: Path, carrier: HandSmsc) -> Iterator[Daemon]:
    with running(Daemon(socket_dir, {"alpha": channel(carrier.port)})) as daemon:
        daemon.start()
        carrier.accept()
        yield daemon
        # What is bound to a peer that never answers an unbind is given up at the end of the drain.
        carrier.hang_up()


def part(index: int, total: int, octets: bytes, reference: int = 7) -> bytes:
    return bytes((5, 0, 3, reference, total, index)) + octets


def received(daemon: Daemon) -> list[Json]:
    messages: list[Json] = daemon.client.fetch("/v1/messages?direction=mo")["messages"]
    return messages


def test_three_parts_out_of_order_are_one_event_and_one_message(own: Daemon, carrier: HandSmsc):
    originator, body = number(), text("is an island")
    pieces = {1: body[:5], 2: body[5:9], 3: body[9:]}
    with Stream(own.socket) as stream:
        for index in (3, 1, 3, 2):
            carrier.deliver(originator[1:], "1234", part(index, 3, pieces[index].encode()), UDHI)
        carrier.deliver(originator[1:], "1234", b"end")
        events = [stream.until("message.received"), stream.until("message.received")]
    (first,) = [event["message"] for event in events[0] if event["type"] == "message.received"]
    assert (first["text"], first["segments"], first["direction"]) == (body, 3, "mo")
    assert events[1][-1]["message"]["text"] == "end"
    found = own.client.message(first["id"])
    assert (found["text"], found["segments"], found["status"], found["from"]) == (
        body,
        3,
        "received",
        originator,
    )
    assert len(received(own)) == 2


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL], ids=["stop", "kill"])
def test_a_restart_between_parts_loses_none_and_repeats_none(own: Daemon, carrier: HandSmsc, ending: int):
    originator, octets = number(), text("😀 and more").encode("utf-16-be")
    cut = octets.index(b"\xde")
    carrier.deliver(originator[1:], "1234", part(2, 2, octets[cut:]), UDHI, 8)
    carrier.hang_up()
    own.end(ending)
    own.start()
    carrier.accept()
    assert received(own) == []
    carrier.deliver(originator[1:], "1234", part(2, 2, octets[cut:]), UDHI, 8)
    carrier.deliver(originator[1:], "1234", part(1, 2, octets[:cut]), UDHI, 8)
    carrier.hang_up()
    own.end(ending)
    own.start()
    carrier.accept()
    carrier.deliver(originator[1:], "1234", part(1, 2, octets[:cut]), UDHI, 8)
    (message,) = received(own)
    assert (message["text"], message["segments"], message["encoding"]) == (text("😀 and more"), 2, "ucs2")


def test_what_waits_is_told_of_and_delivered_after_the_time_out(socket_dir: Path, carrier: HandSmsc):
    daemon = Daemon(socket_dir, {"alpha": channel(carrier.port)}, inbound={"join_timeout": "1s"})
    with running(daemon):
        daemon.start()
        carrier.accept()
        carrier.deliver(number()[1:], "1234", part(2, 3, text().encode()), UDHI)
        assert 'stentor_queue_length{queue="parts"}' in daemon.client.get("/metrics").body.decode()
        eventually(lambda: received(daemon), what="the message")
        (message,) = received(daemon)
        assert (message["text"], message["segments"]) == (f"[…]{text()}[…]", 1)
        carrier.hang_up()
