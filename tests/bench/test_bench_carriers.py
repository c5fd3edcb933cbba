"""What the simulated SMSC does besides the usual: queries, limits, TLS, and what can be wrong with a connection."""

import socket
import ssl
import time
from collections import Counter

import pytest
import trio

from bench.peers.smsc import main
from stentor_smpp.events import EndReason
from stentor_smpp.fields import BIND_RECEIVER, CANCEL_SM, QUERY_SM
from stentor_smpp.tlvs import CONGESTION_STATE, USER_MESSAGE_REFERENCE, first
from tests.bench.esme import WITHIN_S, Esme, eventually, running, statuses
from tests.support.source import ROOT

SOURCE = {"source_addr_ton": 5, "source_addr_npi": 0, "source_addr": "stentor"}
CERTIFICATE, KEY = (str(ROOT / "tests" / "data" / "tls" / name) for name in ("smsc.pem", "smsc.key"))


async def bound(connect, **credentials: str) -> Esme:
    client = await connect()
    await client.bind(**credentials)
    return client


async def submitted(client: Esme, count: int = 1, **details) -> None:
    await client.submit(count, **details)
    await client.until(lambda: len(client.answers) >= count)


# -- query_sm and cancel_sm ------------------------------------------------------------------------------------


def test_a_query_is_answered_with_the_truth_before_and_after_the_end() -> None:
    async def run() -> None:
        async with running("--receipt-delay", "1s", "--receipt-states", "EXPIRED") as (_, connect):
            client = await bound(connect)
            hours = [time.strftime("%y%m%d%H", time.gmtime())]
            await submitted(client)
            message_id = client.answers[0][1]
            before = await client.ask(QUERY_SM, message_id=message_id, **SOURCE)
            assert (before.status, before.fields["message_state"], before.fields["final_date"]) == (0, 1, "")
            await client.until(lambda: client.receipts)
            after = await client.ask(QUERY_SM, message_id=message_id, **SOURCE)
            assert (after.fields["message_id"], after.fields["message_state"]) == (message_id, 3)
            hours.append(time.strftime("%y%m%d%H", time.gmtime()))
            assert after.fields["final_date"][:8] in hours

    trio.run(run)


def test_a_message_ends_truthfully_though_no_receipt_tells_it() -> None:
    async def run() -> None:
        async with running("--receipt-never", "1", "--receipt-states", "UNDELIV") as (_, connect):
            client = await bound(connect)
            await submitted(client)
            with trio.fail_after(WITHIN_S):
                while True:
                    answer = await client.ask(QUERY_SM, message_id=client.answers[0][1], **SOURCE)
                    if answer.fields["final_date"]:
                        break
            assert answer.fields["message_state"] == 5
            assert client.receipts == []

    trio.run(run)


def test_a_query_for_what_is_not_there_or_not_ours_fails() -> None:
    async def run() -> None:
        async with running("--store", "2") as (_, connect):
            client = await bound(connect)
            await submitted(client, 3)
            ids = [client.answers[number][1] for number in range(3)]
            asked = [await client.ask(QUERY_SM, message_id=each, **SOURCE) for each in [*ids, "nobody"]]
            assert [answer.status for answer in asked] == [0x0C, 0, 0, 0x0C]
            stranger = await client.ask(QUERY_SM, message_id=ids[2], source_addr="other")
            assert stranger.status == 0x0C

    trio.run(run)


def test_the_fast_way_remembers_nothing_and_does_not_pretend_to() -> None:
    async def run() -> None:
        async with running() as (_, connect):
            client = await bound(connect)
            await submitted(client)
            asked = [
                await client.ask(each, message_id=client.answers[0][1], **SOURCE)
                for each in (QUERY_SM, CANCEL_SM)
            ]
            assert [answer.status for answer in asked] == [0x67, 0x11]

    trio.run(run)


def test_a_cancelled_message_is_deleted_and_its_receipt_says_so() -> None:
    async def run() -> None:
        async with running("--receipt-delay", "1s") as (smsc, connect):
            client = await bound(connect)
            await submitted(client, 2)
            ids = [client.answers[number][1] for number in range(2)]
            assert (await client.ask(CANCEL_SM, message_id=ids[0], **SOURCE)).status == 0
            await client.until(lambda: len(client.receipts) == 2)
            await client.listen(0.02)
            assert dict(client.receipts) == {ids[0]: "DELETED", ids[1]: "DELIVERED"}
            again = [await client.ask(CANCEL_SM, message_id=each, **SOURCE) for each in (*ids, "nobody")]
            assert [answer.status for answer in again] == [0x11, 0x11, 0x0C]
            assert smsc.statistics.cancels == 4

    trio.run(run)


def test_everything_between_two_numbers_is_cancelled_without_an_id() -> None:
    async def run() -> None:
        async with running("--receipt-delay", "1h") as (_, connect):
            client = await bound(connect)
            await submitted(client, 3)
            to = {"dest_addr_ton": 1, "dest_addr_npi": 1, "destination_addr": "40700000001"}
            assert (await client.ask(CANCEL_SM, **SOURCE, **to)).status == 0
            await client.until(lambda: client.receipts)
            assert client.receipts == [(client.answers[1][1], "DELETED")]

    trio.run(run)


def test_a_carrier_without_queries_says_so() -> None:
    async def run() -> None:
        async with running("--query-status", "0x03") as (_, connect):
            client = await bound(connect)
            await submitted(client)
            for command_id in (QUERY_SM, CANCEL_SM):
                answer = await client.ask(command_id, message_id=client.answers[0][1], **SOURCE)
                assert answer.status == 3

    trio.run(run)


# -- ids and receipts ------------------------------------------------------------------------------------------


def test_receipts_of_every_shape_come_over_the_wire() -> None:
    async def run() -> None:
        options = (
            "--receipt-shapes",
            "all",
            "--ids",
            "hex",
            "--receipt-ids",
            "dec",
            "--receipt-delay",
            "0-20ms",
        )
        async with running(*options) as (_, connect):
            client = await bound(connect)
            await submitted(client, 300)
            await client.until(lambda: len(client.receipts) == 300)
            told = Counter(int(message_id) for message_id, _ in client.receipts)
            assert told == Counter(int(message_id, 16) for _, message_id in client.answers.values())
            assert {pdu.command for pdu in client.deliveries} == {"deliver_sm", "data_sm"}

    trio.run(run)


def test_intermediate_states_come_before_the_last_one() -> None:
    async def run() -> None:
        options = ("--receipt-intermediate", "ENROUTE,ACCEPTD", "--receipt-delay", "30ms")
        async with running(*options) as (_, connect):
            client = await bound(connect)
            await submitted(client)
            await client.until(lambda: len(client.receipts) == 3)
            assert [state for _, state in client.receipts] == ["ENROUTE", "ACCEPTED", "DELIVERED"]
            assert [pdu.fields["esm_class"] for pdu in client.deliveries] == [0x20, 0x20, 0x04]

    trio.run(run)


def test_a_reference_is_echoed_when_it_was_given() -> None:
    async def run() -> None:
        async with running("--echo-reference") as (_, connect):
            client = await bound(connect)
            await client.submit(1, tlvs=((USER_MESSAGE_REFERENCE, b"\xab\xcd"),))
            await client.submit(1, first=1)
            await client.until(lambda: len(client.receipts) == 2)
            found = {first(pdu.tlvs, USER_MESSAGE_REFERENCE) for pdu in client.deliveries}
            assert found == {b"\xab\xcd", None}

    trio.run(run)


@pytest.mark.parametrize("way", [(), ("--slow",)])
@pytest.mark.parametrize(
    ("state", "registered", "count"), [("DELIVRD", 2, 0), ("UNDELIV", 2, 1), ("DELIVRD", 3, 1)]
)
def test_receipts_come_for_the_ends_that_were_asked_for(way, state: str, registered: int, count: int) -> None:
    async def run() -> None:
        async with running("--receipt-states", state, *way) as (_, connect):
            client = await bound(connect)
            await submitted(client, registered=registered)
            await client.until(lambda: len(client.receipts) >= count)
            await client.listen(0.05)
            assert len(client.receipts) == count

    trio.run(run)


# -- limits ----------------------------------------------------------------------------------------------------


def test_a_limit_is_enforced_with_the_status_that_was_chosen() -> None:
    async def run() -> None:
        options = (
            "--throttle",
            "100",
            "--throttle-window",
            "--throttle-status",
            "0x14",
            "--receipts",
            "none",
        )
        async with running(*options) as (_, connect):
            client = await bound(connect)
            await submitted(client, 150)
            counts = Counter(statuses(client))
            assert counts[0] in range(100, 151)
            assert set(counts) <= {0, 0x14}

    trio.run(run)


def test_the_queue_is_full_for_a_while() -> None:
    async def run() -> None:
        options = ("--queue-full", "500ms", "--queue-full-after", "100ms", "--receipts", "none")
        async with running(*options) as (_, connect):
            client = await bound(connect)
            seen: list[tuple[float, float, int]] = []
            # Each is certain to have been read between two moments, however busy the machine is.
            while not seen or seen[-1][0] < seen[0][1] + 0.65:
                number, sent_at = len(seen), trio.current_time()
                await submitted(client, first=number, count=1)
                await client.until(lambda number=number: number in client.answers)
                seen.append((sent_at, trio.current_time(), client.answers[number][0]))
                await trio.sleep(0.01)
            earliest, latest, _ = seen[0]
            for sent_at, answered_at, status in seen:
                if answered_at < earliest + 0.1 or sent_at > latest + 0.6:
                    assert status == 0
                elif sent_at > latest + 0.1 and answered_at < earliest + 0.6:
                    assert status == 0x14
            assert {status for _, _, status in seen} == {0, 0x14}

    trio.run(run)


def test_every_response_says_the_load() -> None:
    async def run() -> None:
        async with running("--congestion", "85", "--errors", "0x08=0.5") as (_, connect):
            client = await bound(connect)
            await submitted(client, 40)
            assert set(statuses(client)) == {0, 8}
            assert {first(tlvs, CONGESTION_STATE) for tlvs in client.tlvs} == {b"\x55"}
            assert all(bool(message_id) == (status == 0) for status, message_id in client.answers.values())

    trio.run(run)


def test_the_first_binds_are_refused_and_the_next_are_not() -> None:
    async def run() -> None:
        async with running("--refuse-bind", "0x0d", "--refuse-binds", "2") as (_, connect):
            clients = [await bound(connect) for _ in range(3)]
            assert [client.session.is_bound for client in clients] == [False, False, True]

    trio.run(run)


@pytest.mark.parametrize("way", [(), ("--slow",)])
def test_a_login_has_no_more_sessions_than_it_may(way: tuple[str, ...]) -> None:
    async def run() -> None:
        async with running("--most-sessions", "2", *way) as (smsc, connect):
            clients = [await bound(connect) for _ in range(3)]
            assert [client.session.is_bound for client in clients] == [True, True, False]
            assert clients[2].ended.status == 0x05
            assert (await bound(connect, system_id="other")).session.is_bound
            await clients[0].stream.aclose()
            await eventually(lambda: smsc.account("test").sessions == 1)
            assert (await bound(connect)).session.is_bound

    trio.run(run)


# -- connections -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", [(), ("--slow",), ("--piece", "7")])
def test_it_speaks_tls(way: tuple[str, ...]) -> None:
    async def run() -> None:
        context = ssl.create_default_context(cafile=CERTIFICATE)
        options = ("--tls-cert", CERTIFICATE, "--tls-key", KEY, *way)
        async with running(*options, context=context) as (_, connect):
            client = await bound(connect)
            await submitted(client, 20)
            await client.until(lambda: len(client.receipts) == 20)

    trio.run(run)


def test_a_client_without_the_certificate_asked_for_is_turned_away() -> None:
    async def run() -> None:
        trusting = ssl.create_default_context(cafile=CERTIFICATE)
        options = ("--tls-cert", CERTIFICATE, "--tls-key", KEY, "--tls-ca", CERTIFICATE)
        async with running(*options, context=trusting) as (smsc, connect):
            client = await connect()
            await client.bind()
            assert not client.session.is_bound
            trusting.load_cert_chain(CERTIFICATE, KEY)
            assert (await bound(connect)).session.is_bound
            assert smsc.statistics.binds == 1

    trio.run(run)


def test_a_plain_client_is_no_harm_to_tls() -> None:
    async def run() -> None:
        async with running("--tls-cert", CERTIFICATE, "--tls-key", KEY) as (smsc, connect):
            client = await connect()
            await client.bind()
            assert client.ended is not None
            assert smsc.statistics.binds == 0

    trio.run(run)


def test_a_certificate_that_is_not_there_is_an_error_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--tls-cert", "nowhere.pem"]) == 1
    assert "cannot use the certificate nowhere.pem" in capsys.readouterr().err


@pytest.mark.parametrize("way", [(), ("--slow",)])
def test_answers_come_in_pieces(way: tuple[str, ...]) -> None:
    async def run() -> None:
        async with running("--piece", "5", *way) as (_, connect):
            client = await bound(connect)
            await submitted(client, 5)
            await client.until(lambda: len(client.receipts) == 5)

    trio.run(run)


def test_it_stands_still_in_the_middle_of_an_answer() -> None:
    async def run() -> None:
        options = ("--stall-after", "3", "--stall", "1s", "--stall-mid-pdu", "--receipts", "none")
        async with running(*options) as (_, connect):
            client = await bound(connect)
            started = trio.current_time()
            await client.submit(3)
            await client.until(lambda: len(client.answers) == 2)
            assert len(client.session._partial) > 0
            await client.until(lambda: len(client.answers) == 3)
            assert trio.current_time() - started > 0.99

    trio.run(run)


def test_faults_strike_the_first_connections_alone() -> None:
    async def run() -> None:
        async with running("--drop-after", "1", "--faulty", "2", "--receipts", "none") as (_, connect):
            clients = [await bound(connect) for _ in range(4)]
            for client in clients:
                await client.submit(1)
            for client in clients[2:]:
                await client.until(lambda client=client: client.answers)
            for client in clients[:2]:
                await client.until(lambda: False)
            assert [client.ended is None for client in clients] == [False, False, True, True]

    trio.run(run)


def test_it_says_goodbye_after_so_many_submissions() -> None:
    async def run() -> None:
        async with running("--unbind-after", "3", "--receipts", "none") as (_, connect):
            client = await bound(connect)
            await client.submit(3)
            await client.until(lambda: False)
            assert client.ended.reason is EndReason.PEER_UNBOUND
            assert len(client.answers) == 3

    trio.run(run)


@pytest.mark.parametrize("kind", ["unknown", "stray", "broken"])
def test_garbage_comes_between_answers(kind: str) -> None:
    async def run() -> None:
        options = ("--garbage-after", "2", "--garbage", kind, "--receipts", "none")
        async with running(*options) as (_, connect):
            client = await bound(connect)
            await submitted(client, 6)
            await client.until(lambda: len(client.other) >= 1)
            assert statuses(client) == [0] * 6
            assert client.session.is_bound

    trio.run(run)


def test_noise_ends_the_connection() -> None:
    async def run() -> None:
        async with running("--garbage-after", "2", "--receipts", "none") as (_, connect):
            client = await bound(connect)
            await client.submit(2)
            await client.until(lambda: False)
            assert client.ended.reason is EndReason.FRAMING

    trio.run(run)


def test_a_delivery_comes_before_the_answer_to_the_bind() -> None:
    async def run() -> None:
        async with running("--deliver-early", "--mo-text", "early {n}") as (smsc, connect):
            client = await bound(connect)
            await client.until(lambda: client.texts)
            assert client.texts == [b"early 0"]
            await eventually(lambda: smsc.statistics.inbound_acknowledged == 1)

    trio.run(run)


def test_it_calls_a_client_and_asks_for_a_bind() -> None:
    async def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            address = f"127.0.0.1:{server.getsockname()[1]}"
            async with running("--outbind", address, "--system-id", "test", "--password", "test") as (
                smsc,
                _,
            ):
                listener = trio.SocketListener(trio.socket.from_stdlib_socket(server.dup()))
                client = Esme(await listener.accept())
                await client.until(lambda: client.other)
                assert client.other == ["Outbound"]
                await client.bind(command=BIND_RECEIVER)
                assert client.session.is_bound
                assert smsc.statistics.binds == 1
                await client.stream.aclose()
                await listener.aclose()

    trio.run(run)


@pytest.mark.parametrize("way", [(), ("--slow",)])
def test_alerts_come(way: tuple[str, ...]) -> None:
    async def run() -> None:
        async with running("--alerts", "200", *way) as (_, connect):
            client = await bound(connect)
            await client.until(lambda: len(client.other) >= 3)
            assert set(client.other) == {"Alert"}

    trio.run(run)


def test_long_messages_from_handsets_come_in_parts() -> None:
    async def run() -> None:
        options = (
            "--mo",
            "100",
            "--mo-text",
            "long {n} " * 50,
            "--mo-way",
            "udh16",
            "--mo-order",
            "reversed",
        )
        async with running(*options) as (_, connect):
            client = await bound(connect)
            await client.until(lambda: len(client.texts) >= 9)
            heads = [text[:5] for text in client.texts]
            assert heads[0] == heads[1] == heads[2] != heads[3]
            assert [text[6] for text in client.texts[:6]] == [3, 2, 1] * 2

    trio.run(run)
