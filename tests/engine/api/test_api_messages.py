"""Reading, listing and cancelling messages; the shape of a message and of its timeline."""

import pytest

from stentor.api.messages import parse_search
from stentor.api.render import ChargeBody, message_body, time_text
from stentor.api.timeline import timeline
from stentor.errors import JournalError, Refusal
from stentor.ids import id_text
from stentor.journal.records import History
from stentor.message import Charge, Direction, Error, Message, Segment, Status
from stentor.text.segments import Encoding
from tests.engine.api.api_world import World, run

PATH = "/v1/messages"
TO = "+40712345678"
T0 = 1_800_000_000_000

FIELDS = [
    "id",
    "direction",
    "to",
    "from",
    "text",
    "status",
    "priority",
    "channel",
    "encoding",
    "segments",
    "ref",
    "metadata",
    "submitted_at",
    "send_at",
    "expires_at",
    "sent_at",
    "final_at",
    "attempts",
    "error",
    "segment_list",
]


def message(**changes: object) -> Message:
    fields = {
        "key": 256,
        "tail": 5,
        "account": "default",
        "to": TO,
        "originator": "Shop",
        "text": "x",
        "encoding": Encoding.GSM7,
        "segments": 1,
        "submitted_at_ms": T0,
        "due_at_ms": T0,
        "expires_at_ms": T0 + 1000,
        "route": ("alpha",),
    }
    return Message(**{**fields, **changes})


async def submit(world: World, account: str = "default", **fields: object) -> str:
    headers = {"Stentor-Account": account}
    return (await world.call("POST", PATH, {"to": TO, "text": "x", **fields}, headers)).json["id"]


@pytest.mark.parametrize(
    ("at_ms", "text"),
    [
        (T0, "2027-01-15T08:00:00.000Z"),
        (T0 + 7, "2027-01-15T08:00:00.007Z"),
        (951_782_400_999, "2000-02-29T00:00:00.999Z"),
    ],
)
def test_times_are_utc_with_milliseconds(at_ms, text):
    assert time_text(at_ms) == text


def test_a_message_is_shown_with_every_field_of_the_contract(socket_dir):
    async def check(world: World) -> None:
        name = await submit(world, metadata={"n": 1.0}, ref="r", send_at="2027-01-15T09:00:00+00:00")
        shown = (await world.call("GET", f"{PATH}/{name}")).json
        assert set(FIELDS) <= set(shown)
        assert (shown["id"], shown["direction"], shown["to"], shown["from"]) == (name, "mt", TO, "Alpha")
        assert (shown["status"], shown["priority"], shown["channel"]) == ("scheduled", "normal", None)
        assert (shown["metadata"], shown["ref"], shown["error"]) == ({"n": 1.0}, "r", None)
        assert shown["submitted_at"] == "2027-01-15T08:00:00.000Z"
        assert shown["send_at"] == "2027-01-15T09:00:00.000Z"
        assert shown["expires_at"] == "2027-01-17T09:00:00.000Z"
        assert (shown["sent_at"], shown["final_at"]) == (None, None)
        (segment,) = shown["segment_list"]
        assert segment == {
            "index": 1, "status": "scheduled", "carrier_id": None, "sent_at": None, "final_at": None, "error": None,
        }  # fmt: skip

    run(check, socket_dir)


def test_segments_and_errors_are_shown():
    error = Error("throttled", "0x58", "slow down")
    body = message_body(message(segment_list=[Segment(1, Status.SENT, "c1", sent_at_ms=T0, error=error)]))
    (segment,) = body.segment_list
    assert (segment.index, segment.status, segment.carrier_id, segment.error) == (1, "sent", "c1", error)
    assert (segment.sent_at, segment.final_at) == (time_text(T0), None)


def test_segments_that_did_not_leave_stand_in_their_places_with_what_became_of_the_message():
    error = Error("bad_destination", "0x0b", "no such number")
    sent = Segment(2, Status.DELIVERED, "c2", sent_at_ms=T0, final_at_ms=T0 + 1)
    refused = message(
        status=Status.REJECTED, segments=3, segment_list=[sent], final_at_ms=T0 + 2, error=error
    )
    first, second, third = message_body(refused).segment_list
    assert (first.index, first.status, first.carrier_id, first.error) == (1, "rejected", None, error)
    assert (first.sent_at, first.final_at) == (None, time_text(T0 + 2))
    assert (second.index, second.status, second.carrier_id, second.error) == (2, "delivered", "c2", None)
    assert (third.index, third.status) == (3, "rejected")
    waiting = message(status=Status.QUEUED, segments=2, segment_list=[sent], error=error)
    assert [(one.status, one.error) for one in message_body(waiting).segment_list] == [
        ("queued", None),
        ("delivered", None),
    ]


@pytest.mark.parametrize(
    "name",
    [
        "x",
        "01a3185c-5000-7000-be3e-7ebeff3f7fbf",
        "01A3185C-5000-7000-BE3E-7EBEFF3F7FBF",
        "%2e%2e",
        "../x",
        "%ff%00",
        " " * 36,
    ],
)
@pytest.mark.parametrize(("method", "tail"), [("GET", ""), ("DELETE", ""), ("GET", "/timeline")])
def test_what_is_no_message_is_404(name, method, tail, socket_dir):
    async def check(world: World) -> None:
        name_on_the_wire = name.replace(" ", "%20")
        assert (await world.call(method, f"{PATH}/{name_on_the_wire}{tail}")).status == 404

    run(check, socket_dir)


def test_another_accounts_message_is_nowhere(socket_dir):
    async def check(world: World) -> None:
        name = await submit(world, "one")
        for method, tail in (("GET", ""), ("DELETE", ""), ("GET", "/timeline")):
            answer = await world.call(method, f"{PATH}/{name}{tail}", b"", {"Stentor-Account": "two"})
            unknown = await world.call(method, f"{PATH}/{id_text(256, 1)}{tail}")
            assert (answer.status, answer.body) == (404, unknown.body)
        assert (await world.call("GET", PATH, b"", {"Stentor-Account": "two"})).json["messages"] == []
        assert (await world.call("GET", f"{PATH}/{name}", b"", {"Stentor-Account": "one"})).status == 200

    run(check, socket_dir)


def test_a_guessed_tail_finds_nothing(socket_dir):
    async def check(world: World) -> None:
        await submit(world)
        (stored,) = world.engine.library.messages.values()
        assert (await world.call("GET", f"{PATH}/{id_text(stored.key, stored.tail ^ 1)}")).status == 404

    run(check, socket_dir)


def test_cancelling_answers_the_message_and_409_once_it_has_left(socket_dir):
    async def check(world: World) -> None:
        name = await submit(world)
        cancelled = await world.call("DELETE", f"{PATH}/{name}")
        assert (cancelled.status, cancelled.json["status"]) == (200, "cancelled")
        left = await submit(world)
        (stored,) = (each for each in world.engine.library.messages.values() if each.status is Status.QUEUED)
        stored.status = Status.SENT
        refused = await world.call("DELETE", f"{PATH}/{left}")
        assert (refused.status, refused.json["code"]) == (409, "already_left")

    run(check, socket_dir)


def test_pages_follow_each_other_newest_first(socket_dir):
    async def check(world: World) -> None:
        names = [await submit(world) for _ in range(5)]
        found, cursor, pages = [], "", 0
        while cursor is not None:
            page = (await world.call("GET", f"{PATH}?limit=2" + (cursor and f"&cursor={cursor}"))).json
            found += [one["id"] for one in page["messages"]]
            cursor, pages = page["next"], pages + 1
        assert (found, pages) == (names[::-1], 3)
        exact = (await world.call("GET", f"{PATH}?limit=5")).json
        assert (len(exact["messages"]), exact["next"]) == (5, None)

    run(check, socket_dir)


def test_every_filter_reaches_the_search():
    search = parse_search(
        {
            "status": "sent",
            "to": "+40",
            "from": "Shop",
            "ref": "r",
            "channel": "a",
            "direction": "mo",
            "since": "2027-01-15T08:00:00Z",
            "until": "2027-01-15T10:00:00+02:00",
            "limit": "7",
            "cursor": "ff",
        },
        "acme",
    )
    assert (search.account, search.status, search.direction) == ("acme", Status.SENT, Direction.MO)
    assert (search.to, search.originator, search.ref, search.channel) == ("+40", "Shop", "r", "a")
    assert (search.since_ms, search.until_ms, search.limit, search.before_key) == (T0, T0, 7, 255)


def test_a_plus_that_was_not_percent_encoded_is_understood():
    search = parse_search({"to": " 40712", "from": " 40", "since": "2027-01-15T10:00:00 02:00"}, "a")
    assert (search.to, search.originator, search.since_ms) == ("+40712", "+40", T0)


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=x", "limit"),
        ("limit=%D9%A3", "limit"),
        ("status=lost", "status"),
        ("direction=up", "direction"),
        ("since=yesterday", "since"),
        ("since=2027-01-15T08:00:00", "since"),
        ("cursor=%20", "cursor"),
        ("cursor=ffffffffffffffff", "cursor"),
        ("to=", "to"),
        ("ref=%00", "ref"),
        ("ref=" + "x" * 65, "ref"),
        ("account=other", "account"),
        ("limit=1&limit=2", "limit"),
    ],
)
def test_a_bad_parameter_is_422_with_its_name(query, name, socket_dir):
    async def check(world: World) -> None:
        answer = await world.call("GET", f"{PATH}?{query}")
        assert (answer.status, answer.json["errors"][0]["path"]) == (422, f"$.query.{name}")

    run(check, socket_dir)


def test_more_parameters_than_any_query_has_are_422(socket_dir):
    async def check(world: World) -> None:
        answer = await world.call("GET", f"{PATH}?" + "&".join(f"a{n}=1" for n in range(101)))
        assert (answer.status, answer.json["errors"][0]["path"]) == (422, "$.query")

    run(check, socket_dir)


def test_a_journal_that_cannot_be_read_is_503(socket_dir):
    async def check(world: World) -> None:
        world.engine.library.fault = JournalError("/secret/path is unreadable")
        answer = await world.call("GET", PATH)
        assert (answer.status, answer.fields["retry-after"]) == (503, "2")
        assert b"secret" not in answer.body

    run(check, socket_dir)


def test_a_fault_of_ours_is_500_and_is_told(socket_dir):
    async def check(world: World) -> None:
        world.engine.library.fault = ZeroDivisionError()
        connection = await world.connect()
        await connection.send("GET", PATH)
        assert (await connection.response()).status == 500
        (fault,) = world.faults
        assert fault["exception"] is world.engine.library.fault
        world.faults.clear()

    run(check, socket_dir)


def entries(made: Message, *history: History) -> list[tuple[str, int, str]]:
    found = timeline(made, history).timeline
    assert [entry.at for entry in found] == sorted(entry.at for entry in found)
    return [(entry.status, entry.segment, entry.at[-5:-1]) for entry in found]


def test_the_timeline_of_a_short_message_tells_each_thing_once():
    delivered = message(
        status=Status.DELIVERED,
        channel="alpha",
        attempts=2,
        sent_at_ms=T0 + 20,
        final_at_ms=T0 + 30,
        segment_list=[Segment(1, Status.DELIVERED, "c", sent_at_ms=T0 + 20, final_at_ms=T0 + 30)],
    )
    retry = History(256, T0 + 10, Status.QUEUED, attempt=1, channel="alpha", error=Error("throttled"))
    found = timeline(delivered, [retry]).timeline
    assert [(entry.status, entry.attempt) for entry in found] == [
        ("queued", 0),
        ("queued", 1),
        ("sent", 2),
        ("delivered", 0),
    ]
    assert (found[1].error, found[2].carrier_id) == (Error("throttled"), "c")


@pytest.mark.parametrize(
    ("attempts", "expected"), [(1, [0, 1, 0]), (2, [0, 1, 2])], ids=["told already", "ended by its attempt"]
)
def test_the_attempt_that_ended_a_message_is_in_its_timeline(attempts, expected):
    ended = message(status=Status.REJECTED, channel="beta", attempts=attempts, final_at_ms=T0 + 20)
    retry = History(256, T0 + 10, Status.QUEUED, attempt=1, channel="alpha", error=Error("throttled"))
    found = timeline(ended, [retry]).timeline
    assert [entry.attempt for entry in found] == expected
    assert found[-1].channel == ("beta" if attempts == 2 else "")


def test_what_a_carrier_charged_stands_with_the_attempt_it_took():
    sent = message(
        status=Status.SENT,
        channel="alpha",
        attempts=2,
        sent_at_ms=T0 + 20,
        segment_list=[Segment(1, Status.SENT, "c", sent_at_ms=T0 + 20)],
    )
    taken = [
        History(256, T0 + 10, Status.SENDING, 1, 1, "beta", None, Charge(1)),
        History(256, T0 + 20, Status.SENDING, 1, 2, "alpha", None, Charge(2, 1_045_000, "EUR")),
    ]
    found = timeline(sent, taken).timeline
    assert [(entry.status, entry.attempt, entry.charge) for entry in found] == [
        ("queued", 0, None),
        ("sent", 1, ChargeBody(1)),
        ("sent", 2, ChargeBody(2, "1.045", "EUR")),
    ]


def test_what_a_receipt_says_replaces_what_the_answer_said_was_charged():
    sent = message(
        status=Status.DELIVERED,
        channel="alpha",
        attempts=1,
        sent_at_ms=T0 + 20,
        final_at_ms=T0 + 50,
        segment_list=[Segment(1, Status.DELIVERED, "c", sent_at_ms=T0 + 20, final_at_ms=T0 + 50)],
    )
    told = [
        History(256, T0 + 20, Status.SENDING, 1, 1, "alpha", None, Charge(2, 10_000, "EUR")),
        History(256, T0 + 30, Status.SENDING, 1, 1, "alpha", None, Charge(0, 12_000, "USD")),
        History(256, T0 + 40, Status.SENDING, 1, 1, "alpha", None, Charge(0, 12_000)),
    ]
    found = timeline(sent, told[::-1]).timeline
    assert [entry.charge for entry in found] == [None, ChargeBody(2, "0.012", "USD"), None]


def test_the_timeline_of_a_long_message_tells_of_its_segments():
    long = message(
        segments=2,
        status=Status.UNDELIVERED,
        sent_at_ms=T0 + 20,
        final_at_ms=T0 + 40,
        segment_list=[
            Segment(1, Status.DELIVERED, "a", sent_at_ms=T0 + 10, final_at_ms=T0 + 30),
            Segment(2, Status.UNDELIVERED, "b", sent_at_ms=T0 + 20, final_at_ms=T0 + 40),
        ],
    )
    assert entries(long) == [
        ("queued", 0, ".000"),
        ("sent", 1, ".010"),
        ("sent", 2, ".020"),
        ("sent", 0, ".020"),
        ("delivered", 1, ".030"),
        ("undelivered", 2, ".040"),
        ("undelivered", 0, ".040"),
    ]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"status": Status.SCHEDULED, "send_at_ms": T0 + 500}, [("scheduled", 0, ".000")]),
        (
            {"send_at_ms": T0 + 500, "due_at_ms": T0 + 500},
            [("scheduled", 0, ".000"), ("queued", 0, ".500")],
        ),
        (
            {
                "status": Status.CANCELLED,
                "send_at_ms": T0 + 500,
                "due_at_ms": T0 + 500,
                "final_at_ms": T0 + 100,
            },
            [("scheduled", 0, ".000"), ("cancelled", 0, ".100")],
        ),
        (
            {
                "status": Status.CANCELLED,
                "send_at_ms": T0 + 500,
                "due_at_ms": T0 + 100,
                "sent_at_ms": T0 + 110,
                "final_at_ms": T0 + 400,
            },
            [("scheduled", 0, ".000"), ("queued", 0, ".100"), ("sent", 0, ".110"), ("cancelled", 0, ".400")],
        ),
        (
            {"status": Status.SENT, "sent_at_ms": T0 + 9, "final_at_ms": T0 + 9},
            [("queued", 0, ".000"), ("sent", 0, ".009")],
        ),
        (
            {"status": Status.REJECTED, "attempts": 1, "channel": "alpha", "final_at_ms": T0 + 9},
            [("queued", 0, ".000"), ("rejected", 0, ".009")],
        ),
        (
            {"status": Status.RECEIVED, "direction": Direction.MO, "final_at_ms": T0},
            [("received", 0, ".000")],
        ),
        ({"send_at_ms": T0}, [("queued", 0, ".000")]),
    ],
)
def test_the_timeline_begins_and_ends_as_the_message_did(changes, expected):
    assert entries(message(**changes)) == expected


def test_a_search_that_cannot_be_is_refused_with_the_filters_there_are():
    with pytest.raises(Refusal, match="status, to, from"):
        parse_search({"bogus": "1"}, "a")
