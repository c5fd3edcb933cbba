"""The simulated carrier answers questions about messages so that the driver reads the truth out of them."""

from collections import Counter
from urllib.parse import urlsplit

import msgspec
import pytest

from bench.harness import Child, Workplace, wait_until
from bench.peers.carrier_questions import MOST, Questions
from bench.peers.carrier_reading import Message, Reader
from bench.scenarios import http
from stentor.driver import Followed, Receipt
from stentor.message import Priority, Status
from stentor.outcome import Submission
from stentor.text.segments import Encoding
from stentor.wire.calls import HTTPReply, HTTPRequest
from stentor_http.carrier import Carrier
from stentor_http.catalog import load, names, samples, shipped
from stentor_http.exchange import build

NOW_MS = 1_790_000_000_000
URL = "http://127.0.0.1:8080/in/alpha"

ASKED = (
    http.SINGLE
    + """
[lookup]
url = "{settings.base_url}/v1/messages"
fields = { reference = "{id}" }
items = "messages"
same = { reference = "{id}" }
id = "id"
whole = { path = "count", is = [0] }
after_s = 1
tries = 1
[query]
url = "{settings.base_url}/v1/messages/{carrier_id}"
status = "state"
at = "ended"
[cancel]
url = "{settings.base_url}/v1/messages/{carrier_id}"
cancelled = { path = "state", is = ["cancelled"] }
"""
)


def carrier_of(name: str) -> Carrier:
    description = shipped(name)
    settings = samples(description)
    return load(name, "", settings | {key: f"k-{key}" for key in settings if not settings[key]}, URL)


def submission() -> Submission:
    return Submission(
        token=0x19F2AB3C4D5E601,
        attempt=1,
        to="+40722000001",
        originator="Shop",
        encoding=Encoding.GSM7,
        data=b"",
        udh=b"",
        index=1,
        segments=1,
        wants_receipt=True,
        valid_for_s=86_400,
        priority=Priority.NORMAL,
        text="Da & nu + 50 %",
    )


def taken(carrier: Carrier, one: Submission) -> Message:
    """The message as the simulated carrier reads it."""
    request = build(carrier, [one], NOW_MS, "token").exchanges[0].request
    parts = urlsplit(request.url)
    return Reader(carrier).read(f"{parts.path}?{parts.query}", request.body)[0]


def asked(questions: Questions, request: HTTPRequest, now_ms: int = NOW_MS) -> HTTPReply:
    parts = urlsplit(request.url)
    reply = questions.answer(request.method, f"{parts.path}?{parts.query}", request.body, now_ms)
    assert reply is not None, f"{request.method} {request.url} is not recognised"
    body = b"" if reply.document is None else msgspec.json.encode(reply.document)
    return HTTPReply(reply.status, {}, body, 0.0, "")


def having(kind: str) -> list[str]:
    return [name for name in names() if getattr(shipped(name), kind) is not None]


@pytest.mark.parametrize("name", having("lookup"))
def test_a_lookup_finds_what_was_taken_and_nothing_else(name: str) -> None:
    carrier, one = carrier_of(name), submission()
    lookup, questions = carrier.questions.lookup, Questions(carrier, 1000)
    assert lookup is not None
    request = lookup.make(one, NOW_MS, "token")
    is_told = shipped(name).lookup.whole is not None
    absent = lookup.read(one, NOW_MS, asked(questions, request)).carrier_id
    assert absent == ("" if is_told else None)
    other = taken(carrier, one)._replace(to="+40722000002", text="Other", own="19f2ab3c4d5e70101-1")
    questions.keep("8001", other, NOW_MS, NOW_MS, "delivered")
    assert lookup.read(one, NOW_MS, asked(questions, request)).carrier_id == absent
    questions.keep("8002", taken(carrier, one), NOW_MS, NOW_MS, "delivered")
    assert lookup.read(one, NOW_MS, asked(questions, request)).carrier_id == "8002"


def test_a_list_that_is_cut_off_does_not_pass_for_whole() -> None:
    carrier, one = carrier_of("twilio"), submission()
    lookup, questions = carrier.questions.lookup, Questions(carrier, 1000)
    assert lookup is not None
    for number in range(MOST + 1):
        other = taken(carrier, one)._replace(text=f"Other {number}")
        questions.keep(f"80{number}", other, NOW_MS, NOW_MS, "delivered")
    request = lookup.make(one, NOW_MS, "token")
    assert lookup.read(one, NOW_MS, asked(questions, request)).carrier_id is None


@pytest.mark.parametrize("name", having("query"))
def test_a_query_is_answered_with_the_state_a_message_is_in(name: str) -> None:
    carrier, one = carrier_of(name), submission()
    query, questions = carrier.questions.query, Questions(carrier, 1000)
    assert query is not None
    own = taken(carrier, one).own
    followed = Followed(1, "8001", own or "8001", "Shop", "+40722000001")
    request = query.make(followed, NOW_MS, "token")
    assert query.read(followed, asked(questions, request)) is None
    questions.keep("8001", taken(carrier, one), NOW_MS, NOW_MS + 1000, "delivered")
    early = query.read(followed, asked(questions, request))
    assert early is None or early.status is Status.SENT
    late = query.read(followed, asked(questions, request, NOW_MS + 1000))
    assert isinstance(late, Receipt)
    assert late.status is Status.DELIVERED
    assert late.done_at_ms in (0, NOW_MS + 1000)


@pytest.mark.parametrize("name", having("cancel"))
def test_a_message_on_its_way_is_taken_back_once(name: str) -> None:
    carrier, one = carrier_of(name), submission()
    cancel, questions = carrier.questions.cancel, Questions(carrier, 1000)
    assert cancel is not None
    followed = Followed(1, "8001", "8001", "Shop", "+40722000001")
    request = cancel.make(followed, NOW_MS, "token")
    assert asked(questions, request).status == 404
    kept = questions.keep("8001", taken(carrier, one), NOW_MS, NOW_MS + 1000, "delivered")
    assert asked(questions, request).status == 200
    assert (kept.is_cancelled, kept.word) == (True, "cancelled")
    assert asked(questions, request).status == 409


# -- a daemon, live --------------------------------------------------------------------------------------------------

COUNT = 40
FINAL_S = 60.0
UNTOLD = ASKED.replace('own = "reference"\n', "")
"""Its receipts do not repeat our reference, so that they settle no doubt: only a lookup does."""


def started(place: Workplace, *options: str, keys: str = "") -> Child:
    """The carrier, and a daemon with a channel to it."""
    carrier, port, description = http.start_carrier(place, UNTOLD, *options)
    text = http.configuration(description, port, place.free_port(), 8, 50)
    place.start_daemon('[retry]\nfirst = "0.2s"\n' + text.replace("obey_rate", f"{keys}\nobey_rate"))
    return carrier


def counters(place: Workplace) -> dict[str, int]:
    return place.api.json("GET", "/v1/channels")["channels"][0]["counters"]


def statuses(place: Workplace) -> Counter[str]:
    return Counter(one["status"] for one in place.api.json("GET", "/v1/messages?limit=1000")["messages"])


@pytest.mark.parametrize("delivery", ["at_most_once", "at_least_once"])
def test_lost_answers_are_looked_up_and_nothing_is_sent_twice(delivery: str) -> None:
    with Workplace() as place:
        carrier = started(place, "--lose", "0.3", "--seed", "3")
        place.load("stream", messages=COUNT, delivery=delivery)
        place.wait_finished(COUNT, FINAL_S)
        counted = place.statistics(carrier)
        assert counted["lost"] > 0
        assert counted["submits"] == COUNT
        assert counted["questions"] == {"lookup_found": counted["lost"]}
        assert counters(place)["doubts_taken"] == counted["lost"]
        assert statuses(place) == {"delivered": COUNT}


@pytest.mark.parametrize("delivery", ["at_most_once", "at_least_once"])
def test_what_the_carrier_does_not_have_is_sent_again(delivery: str) -> None:
    with Workplace() as place:
        carrier = started(place, "--drop", "0.2", "--seed", "3")
        place.load("stream", messages=COUNT, delivery=delivery)
        place.wait_finished(COUNT, FINAL_S)
        counted = place.statistics(carrier)
        assert counted["dropped"] > 0
        assert counted["submits"] == COUNT
        assert counted["questions"] == {"lookup_absent": counted["dropped"]}
        assert counters(place)["doubts_refuted"] == counted["dropped"]
        assert statuses(place) == {"delivered": COUNT}


def test_a_query_finds_the_state_that_no_receipt_told() -> None:
    with Workplace() as place:
        options = ("--receipt-never", "1", "--receipt-states", "undelivered")
        carrier = started(place, *options, keys="query_after = 1")
        place.load("stream", messages=3)
        place.wait_finished(3, FINAL_S)
        counted = place.statistics(carrier)
        assert counted["receipts"] == 0
        assert counted["questions"] == {"query_ended": 3}
        assert statuses(place) == {"undelivered": 3}


def test_a_message_that_has_left_is_taken_back_by_its_carrier() -> None:
    with Workplace() as place:
        carrier = started(place, "--receipt-delay", "1h")
        accepted = place.api.json("POST", "/v1/messages", {"to": "+40722000001", "text": "x"})
        target = f"/v1/messages/{accepted['id']}"

        def status() -> str:
            return str(place.api.json("GET", target)["status"])

        wait_until(lambda: status() == "sent", FINAL_S, status)
        code, body = place.api.request("DELETE", target)
        assert (code, msgspec.json.decode(body)["code"]) == (409, "withdrawal_requested")
        wait_until(lambda: status() == "cancelled", FINAL_S, status)
        counted = place.statistics(carrier)
        assert (counted["questions"], counted["receipts"]) == ({"cancelled": 1}, 0)
