"""The simulated SMSC holds what is scheduled until its time, and refuses what it cannot keep."""

import time

import pytest
import trio

from stentor_smpp.fields import CANCEL_SM, QUERY_SM
from stentor_smpp.times import encode_absolute
from tests.bench.esme import running
from tests.bench.test_bench_carriers import SOURCE, bound, submitted


@pytest.mark.parametrize("way", [(), ("--slow",)])
@pytest.mark.parametrize("form", ["relative", "absolute"])
def test_a_scheduled_message_is_held_until_its_time(form: str, way: tuple[str, ...]) -> None:
    async def run() -> None:
        async with running(*way) as (_, connect):
            client = await bound(connect)
            began = time.time()
            schedule = "000000000001000R" if form == "relative" else encode_absolute(int(began * 1000) + 1000)
            await client.submit(1, first=0, schedule=schedule)
            await client.submit(1, first=1)
            await client.until(lambda: client.receipts)
            assert client.receipts == [(client.answers[1][1], "DELIVERED")]
            await client.until(lambda: len(client.receipts) == 2)
            assert client.receipts[1] == (client.answers[0][1], "DELIVERED")
            assert 0.85 <= time.time() - began < 10

    trio.run(run)


@pytest.mark.parametrize(("version", "state"), [(0x34, 1), (0x50, 0)])
def test_a_held_message_is_scheduled_to_those_who_know_that_state_and_can_be_cancelled(
    version: int, state: int
) -> None:
    async def run() -> None:
        async with running("--store", "10", "--receipt-intermediate", "SCHEDLD") as (_, connect):
            client = await connect()
            await client.bind(version=version)
            await submitted(client, schedule="000000010000000R")
            message_id = client.answers[0][1]
            held = await client.ask(QUERY_SM, message_id=message_id, **SOURCE)
            assert (held.fields["message_state"], held.fields["final_date"]) == (state, "")
            assert (await client.ask(CANCEL_SM, message_id=message_id, **SOURCE)).status == 0
            await client.until(lambda: len(client.receipts) == 2)
            assert client.receipts == [(message_id, "SCHEDULED"), (message_id, "DELETED")]

    trio.run(run)


def test_a_held_message_whose_validity_ends_before_its_time_expires() -> None:
    async def run() -> None:
        async with running("--slow") as (_, connect):
            client = await bound(connect)
            await submitted(client, schedule="000000010000000R", validity="000000000000000R")
            await client.until(lambda: client.receipts)
            assert client.receipts == [(client.answers[0][1], "EXPIRED")]

    trio.run(run)


@pytest.mark.parametrize(
    ("schedule", "status"),
    [
        ("000001000000000R", 0),
        ("000002000000000R", 0x61),
        ("260230000000000+", 0x61),
        ("200101000000000+", 0),
    ],
    ids=["as far as it may lie", "farther", "no date", "past"],
)
def test_a_schedule_that_cannot_be_kept_is_refused(schedule: str, status: int) -> None:
    async def run() -> None:
        async with running("--schedule-ahead", "1d") as (_, connect):
            client = await bound(connect)
            await submitted(client, schedule=schedule)
            assert client.answers[0][0] == status

    trio.run(run)
