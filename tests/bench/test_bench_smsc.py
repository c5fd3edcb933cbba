"""The simulated SMSC does what its options say, and nothing else."""

import socket
from collections import Counter
from pathlib import Path

import pytest
import trio

from bench.peers.smsc import main
from stentor_smpp.events import EndReason
from stentor_smpp.fields import BIND_RECEIVER, BIND_TRANSMITTER
from tests.bench.esme import WITHIN_S, Esme, eventually, running, statuses


async def exchange(*options: str, count: int = 200, receipts: int | None = None) -> Esme:
    """Bind, submit ``count`` messages, and read until all answers and so many receipts came."""
    wanted = count if receipts is None else receipts
    async with running(*options) as (_, connect):
        client = await connect()
        await client.bind()
        await client.submit(count)
        await client.until(lambda: len(client.answers) >= count and len(client.receipts) >= wanted)
        return client


@pytest.mark.parametrize("form", ["text", "tlv", "both"])
@pytest.mark.parametrize("way", [(), ("--slow",), ("--latency", "1ms-3ms", "--receipt-delay", "1ms-9ms")])
def test_every_message_is_answered_once_and_its_receipt_names_it(way: tuple[str, ...], form: str) -> None:
    client = trio.run(exchange, "--receipts", form, *way)
    ids = [message_id for status, message_id in client.answers.values()]
    assert statuses(client) == [0] * 200
    assert len(set(ids)) == 200
    assert Counter(client.receipts) == Counter((message_id, "DELIVERED") for message_id in ids)


@pytest.mark.parametrize("way", [(), ("--slow",)])
def test_no_receipt_comes_for_a_message_that_asks_for_none(way: tuple[str, ...]) -> None:
    async def run() -> None:
        async with running(*way) as (smsc, connect):
            client = await connect()
            await client.bind()
            await client.submit(5, registered=0)
            await client.submit(1, first=5)
            await client.until(lambda: client.receipts and len(client.answers) == 6)
            assert smsc.statistics.receipts == 1
            assert client.receipts[0][0] == client.answers[5][1]

    trio.run(run)


def test_errors_follow_from_the_seed() -> None:
    def once(seed: int) -> list[int]:
        options = ("--errors", "0x08=0.2,0x0b=0.1", "--receipts", "none", "--seed", str(seed))
        return list(statuses(trio.run(lambda: exchange(*options, receipts=0))))

    first = once(1)
    assert first == once(1)
    assert first != once(2)
    assert set(first) == {0x00, 0x08, 0x0B}
    assert 20 <= first.count(0x08) <= 60


def test_states_of_receipts_follow_their_shares() -> None:
    client = trio.run(exchange, "--receipt-states", "DELIVRD=0.5,UNDELIV=0.5")
    counts = Counter(state for _, state in client.receipts)
    assert set(counts) == {"DELIVERED", "UNDELIVERABLE"}
    assert 60 <= counts["DELIVERED"] <= 140


def test_more_than_the_limit_is_throttled() -> None:
    client = trio.run(lambda: exchange("--throttle", "100", "--receipts", "none", receipts=0))
    counts = Counter(statuses(client))
    assert counts.keys() == {0x00, 0x58}
    assert 10 <= counts[0x00] <= 100


def test_answers_are_lost_but_not_their_messages() -> None:
    async def run() -> None:
        async with running("--lose", "0.5") as (smsc, connect):
            client = await connect()
            await client.bind()
            await client.submit(100)
            await client.until(lambda: len(client.receipts) == 100)
            await client.until(lambda: len(client.answers) + smsc.statistics.lost == 100)
            assert 20 <= smsc.statistics.lost <= 80
            assert client.session.outstanding == smsc.statistics.lost

    trio.run(run)


def test_answers_come_in_disorder() -> None:
    client = trio.run(lambda: exchange("--reorder", "--receipts", "none", receipts=0))
    assert list(client.answers) != sorted(client.answers)
    assert statuses(client) == [0] * 200


def test_receipts_overtake_their_answers() -> None:
    client = trio.run(lambda: exchange("--receipt-first", "1", "--latency", "20ms", count=1))
    assert client.order == ["receipt", "answer"]


def test_receipts_come_twice_or_never() -> None:
    twice = trio.run(lambda: exchange("--receipt-twice", "1", count=20, receipts=40))
    assert set(Counter(message_id for message_id, _ in twice.receipts).values()) == {2}
    never = trio.run(lambda: exchange("--receipt-never", "1", count=20, receipts=0))
    assert never.receipts == []


@pytest.mark.parametrize("option", [(), ("--drop-mid-pdu",)])
def test_a_cut_connection_takes_its_receipts_to_the_next(option: tuple[str, ...]) -> None:
    async def run() -> None:
        async with running("--drop-after", "10", "--receipt-delay", "20ms", *option) as (smsc, connect):
            first = await connect()
            await first.bind()
            await first.submit(10)
            await first.until(lambda: False)
            assert first.ended is not None
            assert first.ended.reason is EndReason.LOST
            assert len(first.ended.in_doubt) == 10 - len(first.answers)
            second = await connect()
            await second.bind()
            await second.until(lambda: len(second.receipts) == 10)
            assert smsc.statistics.dropped == 1

    trio.run(run)


@pytest.mark.parametrize("way", [(), ("--slow",)])
def test_an_unacknowledged_receipt_is_sent_again_on_the_next_bind(way: tuple[str, ...]) -> None:
    async def run() -> None:
        async with running(*way) as (smsc, connect):
            first = await connect()
            await first.bind()
            await first.submit(20)
            await eventually(lambda: smsc.statistics.receipts == 20)
            await first.stream.aclose()  # nothing was read, so nothing was acknowledged
            second = await connect()
            await second.bind()
            await second.until(lambda: len(second.receipts) == 20)
            assert len(set(second.receipts)) == 20

    trio.run(run)


@pytest.mark.parametrize("way", [(), ("--slow",)])
def test_a_client_that_is_busy_is_asked_again(way: tuple[str, ...]) -> None:
    async def run() -> None:
        async with running(*way) as (smsc, connect):
            client = await connect()
            await client.bind()
            client.delivery_status = 0x64
            await client.submit(3)
            await client.until(lambda: len(client.receipts) == 3)
            client.delivery_status = 0
            with trio.fail_after(WITHIN_S):
                while smsc.statistics.acknowledged < 3:
                    await client.listen(0.02)
            assert len(client.receipts) >= 6
            assert len(set(client.receipts)) == 3

    trio.run(run)


def test_it_stands_still_and_then_goes_on() -> None:
    async def run() -> None:
        async with running("--stall-after", "5", "--stall", "200ms", "--receipts", "none") as (_, connect):
            client = await connect()
            await client.bind()
            started = trio.current_time()
            await client.submit(5)
            await client.submit(5, first=5)
            await client.until(lambda: len(client.answers) == 10)
            assert trio.current_time() - started >= 0.19

    trio.run(run)


@pytest.mark.parametrize(
    ("option", "credentials", "status"),
    [
        (("--password", "right"), ("test", "wrong"), 0x0E),
        (("--system-id", "someone"), ("test", "test"), 0x0F),
        (("--refuse-bind", "0x0d"), ("test", "test"), 0x0D),
    ],
)
def test_a_bind_is_refused(option: tuple[str, ...], credentials: tuple[str, str], status: int) -> None:
    async def run() -> None:
        async with running(*option) as (smsc, connect):
            client = await connect()
            await client.bind(*credentials)
            assert client.ended is not None
            assert (client.ended.reason, client.ended.status) == (EndReason.BIND_REFUSED, status)
            assert smsc.statistics.refused_binds == 1

    trio.run(run)


def test_receipts_and_messages_go_to_all_receivers_of_the_account() -> None:
    async def run() -> None:
        async with running("--mo", "2000", "--mo-text", "Reply {n}") as (_, connect):
            sender, *receivers = [await connect() for _ in range(3)]
            await sender.bind(command=BIND_TRANSMITTER)
            for receiver in receivers:
                await receiver.bind(command=BIND_RECEIVER)
            stranger = await connect()
            await stranger.bind("stranger", command=BIND_RECEIVER)
            await sender.submit(50)
            await sender.until(lambda: len(sender.answers) == 50)

            def has_come() -> bool:
                return sum(len(each.receipts) for each in receivers) >= 50 and all(
                    each.texts for each in receivers
                )

            async with trio.open_nursery() as nursery:
                for receiver in receivers:  # each goes on reading, for messages from handsets do not end
                    nursery.start_soon(receiver.until, has_come)
            for each in (sender, stranger):
                await each.listen(0.05)
            ids = {message_id for _, message_id in sender.answers.values()}
            got = [message_id for receiver in receivers for message_id, _ in receiver.receipts]
            assert set(got) == ids
            assert len(got) == 50
            assert sender.receipts == stranger.receipts == []
            assert all(receiver.texts and receiver.texts[0].startswith(b"Reply ") for receiver in receivers)

    trio.run(run)


@pytest.mark.parametrize("way", [(), ("--slow",)])
def test_the_record_has_a_line_for_every_fact(way: tuple[str, ...], tmp_path: Path) -> None:
    record = tmp_path / "record"
    client = trio.run(lambda: exchange("--record", str(record), *way, count=3))
    lines = [line.split() for line in record.read_text().splitlines()]
    assert lines[0][0] == "c"
    assert lines[0][3:] == ["test", "transceiver"]
    submitted = [line for line in lines if line[0] == "s"]
    assert [line[5] for line in submitted] == ["40700000000", "40700000001", "40700000002"]
    assert [bytes.fromhex(line[8]) for line in submitted] == [b"hello"] * 3
    assert [line[4] for line in submitted] == [client.answers[number][1] for number in range(3)]
    answered = {(line[2], line[3]): line[4] for line in lines if line[0] == "r"}
    assert answered == {(line[2], line[3]): "0" for line in submitted}
    ids = [line[4] for line in submitted]
    assert sorted(line[2] for line in lines if line[0] == "d") == sorted(ids)
    assert {line[2] for line in lines if line[0] == "a"} <= set(ids)
    assert lines[-1][0] == "x"


@pytest.mark.parametrize(
    "octets",
    [
        bytes(64),
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x00\x00\x00\x14\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x02\x41\x41\x41\x41",
        b"\xff" * 5000,
    ],
)
@pytest.mark.parametrize("is_bound", [True, False])
def test_a_hostile_client_costs_its_own_connection_only(octets: bytes, is_bound: bool) -> None:
    async def run() -> None:
        async with running() as (_, connect):
            hostile, other = await connect(), await connect()
            await other.bind()
            if is_bound:
                await hostile.bind()
            await hostile.stream.send_all(octets)
            await other.submit(3)
            await other.until(lambda: len(other.receipts) == 3)
            assert statuses(other) == [0, 0, 0]

    trio.run(run)


def test_a_port_that_is_taken_is_an_error_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["--port", str(taken.getsockname()[1])]) == 1
    assert "cannot listen on 127.0.0.1:" in capsys.readouterr().err
