"""The simulated phone behaves as the app does."""

import hashlib
import hmac
from collections import Counter

import msgspec
import pytest

from bench.peers.behaviour import Delay, parse_delay
from bench.peers.phone_events import EventParser
from bench.peers.phone_fleet import Fleet
from bench.peers.phone_habits import Habits
from bench.peers.phone_outbox import date_text, escape, read_date
from bench.peers.phone_requests import Kind
from tests.bench.phone_world import REGISTERED, World, item

SENDING = Habits(handover=Delay(), sent_after=Delay(low_s=1.0), delivered_after=Delay(low_s=1.0))


def test_a_new_phone_registers_with_its_private_token_then_synchronises_and_opens_a_stream() -> None:
    world = World()
    world.phone.switch_on(world.now)
    assert world.kinds() == ["register"]
    request = world.answer(Kind.REGISTER, REGISTERED, 201)
    assert (request.method, request.path, request.authorization) == ("POST", "/device", "Bearer private")
    assert msgspec.json.decode(request.body)["simCards"][0]["simNumber"] == 1
    assert sorted(world.kinds()) == ["pull", "settings", "webhooks"]
    assert {each.authorization for each in world.requests} == {"Bearer tk1"}
    assert world.streams == {1: "tk1"}


def test_a_refused_registration_is_repeated_after_10_20_and_40_seconds() -> None:
    world = World()
    world.phone.switch_on(world.now)
    for pause_s in (10, 20, 40):
        world.answer(Kind.REGISTER, b"{}", 401)
        world.pass_s(pause_s - 0.1)
        assert world.kinds() == []
        world.pass_s(0.2)
        assert world.kinds() == ["register"]


def test_a_foreign_token_leads_to_a_new_registration_at_once() -> None:
    world = World(Habits(foreign=1.0))
    world.phone.switch_on(world.now)
    assert sorted(world.kinds()) == ["pull", "settings", "update", "webhooks"]
    world.answer(Kind.UPDATE, b"{}", 401)
    assert "register" in world.kinds()
    world.answer(Kind.REGISTER, REGISTERED, 201)
    assert (world.phone.device_id, world.streams) == ("dv1", {1: "tk1"})


def test_a_phone_with_a_push_token_opens_no_stream_and_polls_every_15_minutes() -> None:
    world = World(Habits(pushed=1.0))
    world.phone.switch_on(world.now)
    request = world.answer(Kind.REGISTER, REGISTERED, 201)
    assert "pushToken" in msgspec.json.decode(request.body)
    world.give()
    assert world.streams == {}
    world.pass_s(899)
    assert "pull" not in world.kinds()
    world.pass_s(2)
    assert "pull" in world.kinds()


def test_a_stream_is_opened_again_after_5_30_and_60_seconds() -> None:
    world = World().started()
    pauses = [5] * 5 + [30] * 5 + [60] * 2
    for pause_s in pauses:
        world.phone.stream_ended(world.now, max(world.streams))
        world.streams.clear()
        world.pass_s(pause_s - 0.1)
        assert world.streams == {}
        world.pass_s(0.2)
        assert len(world.streams) == 1
    world.phone.stream_opened(world.now, max(world.streams))
    world.phone.stream_ended(world.now, max(world.streams))
    world.streams.clear()
    world.pass_s(5.1)
    assert len(world.streams) == 1


def test_the_end_of_one_of_two_streams_rebuilds_both() -> None:
    world = World(Habits(duplicates=1.0)).started()
    world.pass_s(0.2)
    world.answer(Kind.UPDATE, b"", 204)
    assert len(world.streams) == 2
    first, second = world.streams
    world.phone.stream_ended(world.now, first)
    assert world.closed == [second]
    world.streams.clear()
    world.pass_s(5.1)
    assert len(world.streams) == 2


def test_a_hint_cancels_the_pull_in_flight_and_begins_another() -> None:
    world = World().started()
    before = world.fleet.statistics.pulls_aborted
    world.phone.stream_event(world.now, "MessageEnqueued", "null")
    (first,) = world.requests
    world.phone.stream_event(world.now, "", "{}")
    assert world.requests != [first]
    assert world.kinds() == ["pull"]
    world.phone.answered(world.now, first, 200, b"[]")
    assert world.kinds() == ["pull"]
    assert world.fleet.statistics.pulls_aborted == before + 1


def test_a_failed_pull_is_repeated_after_10_and_20_seconds() -> None:
    world = World().started()
    world.phone.stream_event(world.now, "MessageEnqueued", "null")
    for pause_s in (10, 20):
        world.answer(Kind.PULL, b"", 503)
        world.pass_s(pause_s - 0.1)
        assert world.kinds() == []
        world.pass_s(0.2)
        assert world.kinds() == ["pull"]


def test_a_message_is_reported_processed_sent_and_delivered_with_snapshots() -> None:
    world = World(SENDING).started()
    world.pull(item(1))
    assert world.reports() == [("m-1", "Processed")]
    world.pass_s(1.5)
    assert world.reports() == [("m-1", "Sent")]
    world.pass_s(1)
    (request,) = world.requests
    (report,) = msgspec.json.decode(request.body)
    assert report["recipients"] == [{"phoneNumber": "+15550100001", "state": "Delivered"}]
    assert list(report["states"]) == ["Pending", "Processed", "Sent", "Delivered"]
    assert world.reports() == [("m-1", "Delivered")]
    counts = world.fleet.statistics
    assert (counts.accepted, counts.handed, counts.settled, counts.acknowledged) == (1, 1, 1, 3)
    assert counts.violations == {}


def test_a_message_listed_again_is_not_sent_again_but_reported() -> None:
    world = World(SENDING).started()
    world.pull(item(1))
    world.reports()
    world.pull(item(1))
    assert world.reports() == [("m-1", "Processed")]
    assert world.fleet.statistics.handed == 1


def test_the_queue_goes_by_priority_then_last_in_first_out_or_as_settings_say() -> None:
    world = World(Habits(handover=Delay(low_s=1.0), sent_after=Delay(low_s=500.0))).started()
    dates = ["2026-07-01T07:15:01.000Z", "2026-07-01T07:15:02.000Z", "2026-07-01T07:15:03Z"]
    world.pull(item(0), *(item(n, createdAt=dates[n - 1]) for n in (1, 2, 3)), item(4, priority=5))
    order = []
    for _ in range(5):
        order += world.reports()
        world.pass_s(1.1)
    assert [message for message, _ in order] == ["m-4", "m-3", "m-2", "m-1", "m-0"]
    world.phone.stream_event(world.now, "SettingsUpdated", "null")
    world.answer(Kind.SETTINGS, b'{"messages":{"processing_order":"FIFO"}}')
    world.reports()
    world.pull(*(item(n + 10, createdAt=dates[n - 1]) for n in (2, 1, 3)))
    order = []
    for _ in range(3):
        order += world.reports()
        world.pass_s(1.1)
    assert [message for message, _ in order] == ["m-11", "m-12", "m-13"]


def test_limits_of_the_settings_hold_messages_back() -> None:
    world = World(Habits(handover=Delay(), sent_after=Delay(low_s=500.0))).started()
    world.phone.stream_event(world.now, "SettingsUpdated", "null")
    world.answer(Kind.SETTINGS, b'{"messages":{"limit_period":"PerMinute","limit_value":2}}')
    world.pull(*(item(n) for n in range(5)))
    world.pass_s(1)
    assert len(world.reports()) == 2
    world.pass_s(61)
    assert len(world.reports()) == 2


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"validUntil": "2026-06-01T00:00:00Z"}, "TTL expired"),
        ({"simNumber": 2}, "Can't send message: SIM 2 not found"),
    ],
)
def test_what_cannot_be_sent_fails_with_the_apps_words(fields: dict[str, object], error: str) -> None:
    world = World(SENDING).started()
    world.pull(item(1, **fields))
    (request,) = world.requests
    (report,) = msgspec.json.decode(request.body)
    assert (report["state"], report["recipients"][0]["error"]) == ("Failed", error)
    assert world.fleet.statistics.handed == 0


def test_a_pending_message_is_cancelled_by_event_or_listing_and_an_unknown_one_too() -> None:
    world = World(Habits(handover=Delay(low_s=100.0), sent_after=Delay(low_s=500.0))).started()
    world.pull(item(1), item(2), item(3))
    world.reports()
    world.phone.stream_event(world.now, "MessageCancelled", '{"messageId":"m-2"}')
    assert world.reports() == [("m-2", "Cancelled")]
    world.pull(item(3, state="Cancelling"), item(9, state="Cancelling"))
    assert world.reports() == [("m-3", "Cancelled"), ("m-9", "Cancelled")]
    world.pull(item(1, state="Cancelling"))
    assert world.reports() == [("m-1", "Processed")]


def test_an_older_app_sends_what_is_listed_as_cancelling_which_is_a_violation() -> None:
    world = World(Habits(versions=(("1.60.0", 1.0),), handover=Delay())).started()
    world.pull(item(1, state="Cancelling"))
    assert world.fleet.statistics.handed == 1
    assert sum(world.fleet.statistics.violations.values()) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        [item(1), item(1)],
        [item(1, id="a|b")],
        [item(1, id="x" * 37)],
        [item(1, phoneNumbers=[])],
        [item(1, phoneNumbers=["+1555", "+1555"])],
        [item(1, textMessage=None)],
        [item(1, createdAt="2026-07-01T07:20:00.000000Z")],
        [item(1, validUntil="2026-07-01T07:20:00")],
    ],
)
def test_what_a_server_must_not_list_is_counted(wrong: list[dict[str, object]]) -> None:
    world = World().started()
    world.pull(*wrong)
    assert sum(world.fleet.statistics.violations.values()) == 1


def test_a_message_given_to_two_phones_is_counted() -> None:
    fleet = Fleet()
    for _ in range(2):
        other = World(fleet=fleet)
        other.phone.number = len(fleet._given)
        other.started().pull(item(1))
    assert dict(fleet.statistics.violations) == {"a message given to two phones": 1}
    assert fleet.statistics.repeated_texts == 1


def test_a_refused_report_is_repeated_ten_times_with_a_fresh_snapshot_and_then_given_up() -> None:
    world = World(
        Habits(handover=Delay(), sent_after=Delay(low_s=5.0), delivered_after=Delay(low_s=1e6))
    ).started()
    world.pull(item(1))
    world.answer(Kind.REPORT, b"", 500)
    world.pass_s(6)
    assert world.reports() == [("m-1", "Sent")]
    world.pass_s(5)
    pause_s = 20.0
    for _ in range(10):
        (request,) = (each for each in world.requests if each.kind is Kind.REPORT)
        assert msgspec.json.decode(request.body)[0]["state"] == "Sent"
        world.answer(Kind.REPORT, b"", 500)
        world.pass_s(pause_s)
        pause_s *= 2
    assert world.fleet.statistics.given_up == 1


def test_reports_come_late_twice_or_never_by_share() -> None:
    late = World(
        msgspec.structs.replace(SENDING, report_late=1.0, report_late_by=parse_delay("5s"))
    ).started()
    late.pull(item(1))
    late.pass_s(4)
    assert late.reports() == []
    late.pass_s(10)
    assert late.reports() == [("m-1", "Processed"), ("m-1", "Sent"), ("m-1", "Delivered")]
    twice = World(msgspec.structs.replace(SENDING, report_twice=1.0)).started()
    twice.pull(item(1))
    twice.pass_s(0.5)
    assert twice.reports() == [("m-1", "Processed")] * 2
    never = World(msgspec.structs.replace(SENDING, report_missing=1.0)).started()
    never.pull(item(1))
    never.pass_s(10)
    assert (never.reports(), never.fleet.statistics.missed) == ([], 3)


def test_more_parts_a_minute_than_android_allows_fail_and_are_counted() -> None:
    habits = msgspec.structs.replace(SENDING, parts_limit=3)
    world = World(habits).started()
    world.pull(*(item(n) for n in range(5)))
    world.pass_s(5)
    assert Counter(state for _, state in world.reports())["Failed"] == 2
    assert sum(world.fleet.statistics.violations.values()) == 2


def test_a_restart_keeps_the_queue_and_a_wipe_forgets_it() -> None:
    habits = Habits(
        restart_every=Delay(low_s=50.0), restart_takes=Delay(low_s=2.0), handover=Delay(low_s=1e6)
    )
    world = World(habits).started()
    world.pull(item(1), item(2))
    world.reports()
    world.pass_s(51)
    assert world.streams == {}
    world.pass_s(2)
    assert "update" in world.kinds()
    assert len(world.phone.outbox.waiting) == 1
    wiped = World(msgspec.structs.replace(habits, wiped=1.0)).started()
    wiped.pull(item(1))
    wiped.reports()
    wiped.pass_s(53)
    assert set(wiped.kinds()) == {"report", "register"}
    assert wiped.phone.outbox.entries == {}


def test_without_radio_streams_hang_and_reports_wait_until_it_is_back() -> None:
    habits = msgspec.structs.replace(
        SENDING, radio_lost_every=Delay(low_s=50.0), radio_lost_for=Delay(low_s=10.0)
    )
    world = World(habits).started()
    world.pass_s(49.5)
    world.pull(item(1))
    world.reports()
    world.pass_s(5)
    assert (world.abandoned, world.requests) == ([1], [])
    world.pass_s(6)
    assert ("m-1", "Failed") in world.reports()
    world.pass_s(5)
    assert world.streams == {2: "tk1"}


def test_a_dozing_phone_reports_at_its_end() -> None:
    habits = msgspec.structs.replace(SENDING, doze_every=Delay(low_s=10.0), doze_for=Delay(low_s=60.0))
    world = World(habits).started()
    world.pass_s(11)
    world.pull(item(1))
    world.pass_s(30)
    assert world.reports() == []
    world.pass_s(30)
    assert len(world.reports()) == 3


def test_an_inbound_message_is_delivered_signed_one_at_a_time_and_repeated() -> None:
    world = World(Habits(inbound_every=Delay(low_s=12.0))).started()
    world.phone.stream_event(world.now, "SettingsUpdated", "null")
    world.answer(Kind.SETTINGS, b'{"webhooks":{"signing_key":"wh-key-01"}}')
    world.phone.stream_event(world.now, "WebhooksUpdated", "null")
    world.answer(Kind.WEBHOOKS, b'[{"id":"w1","deviceId":null,"url":"http://h/x","event":"sms:received"}]')
    world.pass_s(25)
    assert world.kinds() == ["hook"]
    request = world.answer(Kind.HOOK, b"", 500)
    fields = dict(request.fields)
    signed = hmac.new(b"wh-key-01", request.body + fields["X-Timestamp"].encode(), hashlib.sha256).hexdigest()
    assert fields["X-Signature"] == signed
    assert msgspec.json.decode(request.body)["payload"]["message"] == "Reply 1 & thanks"
    assert rb"\u0026" in request.body
    second = world.answer(Kind.HOOK)
    assert second.body != request.body
    world.pass_s(5.1)
    assert world.answer(Kind.HOOK).body in (request.body, second.body)


def test_an_unknown_webhook_event_fails_the_whole_synchronisation() -> None:
    world = World(Habits(versions=(("1.60.0", 1.0),))).started()
    world.phone.stream_event(world.now, "WebhooksUpdated", "null")
    world.answer(Kind.WEBHOOKS, b'[{"id":"w1","url":"http://h/x","event":"sms:cancelled"}]')
    assert sum(world.fleet.statistics.violations.values()) == 1


def test_the_same_seed_makes_the_same_phone() -> None:
    def once(seed: int) -> list[tuple[str, str]]:
        habits = Habits(failing=0.3, report_twice=0.3, report_late=0.3, unsent=0.3)
        world = World(habits, seed).started()
        world.pull(*(item(n) for n in range(20)))
        seen = []
        for _ in range(40):
            world.pass_s(1)
            seen += world.reports()
        return seen

    assert once(1) == once(1)
    assert once(1) != once(2)


@pytest.mark.parametrize("step", [1, 2, 7, 1000])
def test_events_are_read_however_they_are_cut(step: int) -> None:
    octets = b':keepalive\n\nevent: MessageEnqueued\r\ndata: null\r\n\r\ndata: {"a":"b"}\n\nevent: Lost\n\nid: 7\n\n'
    parser = EventParser()
    events = [event for at in range(0, len(octets), step) for event in parser.feed(octets[at : at + step])]
    assert events == [("MessageEnqueued", "null"), ("", '{"a":"b"}')]
    assert parser.comments == 1


def test_dates_are_written_as_the_app_writes_them() -> None:
    at_ms = 1_782_890_102_007
    assert date_text(at_ms, 120) == "2026-07-01T09:15:02.007+02:00"
    assert date_text(at_ms, 0) == "2026-07-01T07:15:02.007Z"
    assert date_text(at_ms, 0, is_old=True) == "2026-07-01T07:15:02.007+0000"
    assert date_text(at_ms, -300, is_old=True) == "2026-07-01T02:15:02.007+-5:00"
    assert read_date(date_text(at_ms, 120)) == at_ms


def test_json_is_escaped_as_the_app_does() -> None:
    assert escape(b'"a&b<c>d=e\'f"') == rb'"a\u0026b\u003cc\u003ed\u003de\u0027f"'
