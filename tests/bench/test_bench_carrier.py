"""The simulated carrier is understood by the driver whose descriptions it turns round, whichever carrier it plays."""

import subprocess
import sys
from collections.abc import Mapping
from http.client import HTTPConnection
from urllib.parse import urlsplit

import h11
import msgspec
import pytest

from bench.harness import Workplace
from bench.peers.carrier_answers import Answers
from bench.peers.carrier_hooks import Writer, public_key
from bench.peers.carrier_options import parse_options
from bench.peers.carrier_reading import Message, Reader
from bench.peers.carrier_tree import Draft, grow, sample
from bench.scenarios import http
from stentor.driver import Inbound
from stentor.message import Priority, Status
from stentor.outcome import Deferred, Outcome, Sent, Submission
from stentor.text.segments import Encoding
from stentor.wire.calls import HTTPReply
from stentor_http.carrier import Carrier
from stentor_http.catalog import load, names, samples, shipped
from stentor_http.errors import MEANINGS
from stentor_http.exchange import build, read
from stentor_http.hooks import Reported
from stentor_http.inbound import Accepted, receive
from stentor_http.template import own_id
from tests.support.source import ROOT

KEY = bytes(range(32))
URL = "http://127.0.0.1:8080/in/alpha"
WALL_MS = 1_790_000_000_000
TEXT = "Žluťoučký + 50 % & <br> {x}"


class Head(msgspec.Struct, frozen=True):
    method: str
    path: str
    query: str
    headers: Mapping[str, str]


def carrier_of(name: str) -> Carrier:
    """The carrier with every secret given, so that everything that can be signed is."""
    description = shipped(name)
    settings = samples(description)
    settings |= {key: "public" if "public" in key else f"k-{key}" for key in settings if not settings[key]}
    if "public_key" in settings:
        settings["public_key"] = public_key(KEY)
    return load(name, "", settings, URL)


def submissions(carrier: Carrier, count: int) -> list[Submission]:
    return [
        Submission(
            token=0x19F2AB3C4D5E601 + number * 256,
            attempt=1,
            to=f"+40700000{number:03d}",
            originator="Shop",
            encoding=Encoding.UCS2,
            data=b"",
            udh=b"",
            index=1,
            segments=1,
            wants_receipt=True,
            valid_for_s=86_400,
            priority=Priority.NORMAL,
            text=TEXT,
        )
        for number in range(count)
    ]


def answered(octets: bytes) -> HTTPReply:
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    connection.receive_data(octets)
    head, data = connection.next_event(), connection.next_event()
    assert isinstance(head, h11.Response)
    body = bytes(data.data) if isinstance(data, h11.Data) else b""
    fields = {name.decode(): value.decode() for name, value in head.headers}
    return HTTPReply(head.status_code, fields, body, 0.0, "")


def asked(octets: bytes) -> tuple[Head, bytes]:
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(octets)
    head, data = connection.next_event(), connection.next_event()
    assert isinstance(head, h11.Request)
    path, _, query = head.target.decode().partition("?")
    fields = {name.decode(): value.decode() for name, value in head.headers}
    return Head(head.method.decode(), path, query, fields), bytes(data.data) if isinstance(
        data, h11.Data
    ) else b""


def exchanged(carrier: Carrier, count: int) -> tuple[list[Message], list[Outcome], list[bytes]]:
    """Messages as the simulated carrier reads them, their outcomes, and the ids it gave, in the same order."""
    reader, answers = Reader(carrier), Answers(carrier, ())
    built = build(carrier, submissions(carrier, count), WALL_MS, "token")
    messages: list[Message] = []
    outcomes: list[Outcome] = []
    ids: list[bytes] = []
    for exchange in built.exchanges:
        parts = urlsplit(exchange.request.url)
        found = reader.read(f"{parts.path}?{parts.query}", exchange.request.body)
        given = [b"%d" % (7_000 + len(ids) + at) for at in range(len(found))]
        octets = answers.taken(found, given, [1] * len(found))
        outcomes += read(carrier, exchange, answered(octets), WALL_MS).outcomes
        messages += found
        ids += given
    return messages, outcomes, ids


@pytest.mark.parametrize("name", names())
def test_it_reads_what_the_driver_sends(name: str) -> None:
    carrier = carrier_of(name)
    messages, _, _ = exchanged(carrier, 3)
    sent = submissions(carrier, 3)
    assert [message.to.removeprefix("+") for message in messages] == [one.to[1:] for one in sent]
    assert {message.text for message in messages} == {TEXT}
    for message, one in zip(messages, sent, strict=True):
        assert message.own in ("", own_id(one))
        assert message.hook == "" or message.hook.startswith(f"{URL}/receipt?token=")


@pytest.mark.parametrize("name", names())
def test_the_driver_takes_its_answers(name: str) -> None:
    carrier = carrier_of(name)
    messages, outcomes, ids = exchanged(carrier, 3)
    for message, outcome, carrier_id in zip(messages, outcomes, ids, strict=True):
        assert isinstance(outcome, Sent)
        named = message.own if carrier.matches_own else carrier_id.decode()
        assert outcome.match_id == named


@pytest.mark.parametrize("name", names())
def test_it_can_say_every_error_that_a_description_has_a_row_for(name: str) -> None:
    carrier = carrier_of(name)
    words = [row.means for row in carrier.description.errors if row.means not in ("accepted", "doubt")]
    answers = Answers(carrier, words, wait_s=3.0)
    exchange = build(carrier, submissions(carrier, 1), WALL_MS, "token").exchanges[0]
    parts = urlsplit(exchange.request.url)
    message = Reader(carrier).read(f"{parts.path}?{parts.query}", exchange.request.body)
    for word in words:
        octets = (
            answers.refused(word) if answers.is_whole(word) else answers.mixed(message, [b""], [1], [word])
        )
        outcome = read(carrier, exchange, answered(octets), WALL_MS).outcomes[0]
        assert type(outcome) is MEANINGS[word].kind
        if word == "throttled":
            assert isinstance(outcome, Deferred)
            assert outcome.retry_after_s == pytest.approx(3.0)


REPORTING = [name for name in names() if Writer(carrier_of(name)).receipt is not None]


@pytest.mark.parametrize("name", REPORTING)
def test_its_receipts_pass_the_checks_of_their_signatures_and_match(name: str) -> None:
    carrier = carrier_of(name)
    writer = Writer(carrier, KEY)
    [message], [outcome], [carrier_id] = exchanged(carrier, 1)
    assert isinstance(outcome, Sent)
    url = message.hook or f"{URL}/receipt?token=HOOK_TOKEN"
    entry = (carrier_id, message.own.encode(), message.to.encode())
    head, body = asked(writer.receipts(url, "delivered", [entry], WALL_MS))
    found = receive(carrier, "receipt", head, body, WALL_MS)
    assert isinstance(found, Accepted)
    [item] = found.items
    assert isinstance(item, Reported)
    receipt = item.receipt
    assert (receipt.match_id, receipt.status) == (outcome.match_id, Status.DELIVERED)
    assert receipt.to in ("", "+40700000000")


@pytest.mark.parametrize("name", [name for name in REPORTING if Writer(carrier_of(name)).mo is not None])
def test_its_messages_that_come_in_pass_the_checks_of_their_signatures(name: str) -> None:
    carrier = carrier_of(name)
    writer = Writer(carrier, KEY)
    octets = writer.inbound(
        f"{URL}/mo?token=HOOK_TOKEN", 5, "+40722000000", "+447700900123", "Da & nu", WALL_MS
    )
    head, body = asked(octets)
    found = receive(carrier, "mo", head, body, WALL_MS)
    assert isinstance(found, Accepted)
    [inbound] = found.items
    assert isinstance(inbound, Inbound)
    assert (inbound.originator, inbound.to, inbound.text) == ("+447700900123", "+40722000000", "Da & nu")


@pytest.mark.parametrize("name", [name for name in REPORTING if Writer(carrier_of(name)).has_lists])
def test_several_receipts_go_in_one_request_where_the_carrier_has_lists(name: str) -> None:
    carrier = carrier_of(name)
    messages, outcomes, ids = exchanged(carrier, 3)
    entries = [
        (carrier_id, message.own.encode(), message.to.encode())
        for message, carrier_id in zip(messages, ids, strict=True)
    ]
    url = messages[0].hook or f"{URL}/receipt?token=HOOK_TOKEN"
    head, body = asked(Writer(carrier, KEY).receipts(url, "delivered", entries, WALL_MS))
    found = receive(carrier, "receipt", head, body, WALL_MS)
    assert isinstance(found, Accepted)
    named = [item.receipt.match_id for item in found.items if isinstance(item, Reported)]
    assert named == [outcome.match_id for outcome in outcomes if isinstance(outcome, Sent)]


@pytest.mark.parametrize(
    ("pattern", "captured", "found"),
    [
        ("wait \\[ ?([0-9]+) ?\\]", "250", "wait [250]"),
        ("^[^<{]{1,80}", "credit", "credit"),
        ("(?i)from|sender", "", "from"),
        ("([0-9]+)$", "1320", "1320"),
        ("\\bto\\b", "", "to"),
    ],
)
def test_a_text_is_made_for_a_pattern(pattern: str, captured: str, found: str) -> None:
    assert sample(pattern, captured) == found


def test_a_pattern_that_cannot_be_turned_round_is_refused() -> None:
    with pytest.raises(ValueError, match=r"beyond|no text"):
        sample("(?=a)b")


def test_a_value_is_put_where_its_path_leads() -> None:
    assert grow(grow(None, "a.b[1].c", 1), "a.d", 2) == {"a": {"b": [{}, {"c": 1}], "d": 2}}
    draft = Draft()
    draft.put(["x", "y"], 1)
    draft.put("#Name", 2)
    draft.put("^top", 3)
    assert (draft.entry, draft.fields, draft.root) == ({"x": 1}, {"name": "2"}, {"top": 3})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["tellmore-nowhere"], "no description"),
        (["twilio", "--errors", "destination_throttled=0.1"], "no answer that means destination_throttled"),
        (["twilio", "--receipt-states", "expired"], "no state that means expired"),
        (["twilio", "--errors", "weather=0.1"], "'weather' is not one of"),
        (["twilio", "--setting", "weather"], "is not name=value"),
    ],
)
def test_what_it_cannot_be_is_said_before_it_listens(arguments: list[str], said: str) -> None:
    command = [sys.executable, "-m", "bench.peers.carrier", *arguments]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode in (1, 2)
    assert said in " ".join(ended.stderr.split())
    assert "Traceback" not in ended.stderr


def test_options_have_their_defaults_and_are_plain() -> None:
    options = parse_options(["twilio"])
    assert options.is_plain
    assert not parse_options(["twilio", "--lose", "0.1"]).is_plain


def test_a_daemon_brings_every_message_to_its_end_over_a_carrier_that_loses_answers_and_throttles() -> None:
    count = 200
    # Throttled by chance and not by a limit, which a slow machine might never reach; seldom, for of one in ten the lane
    # would learn to go slowly.
    options = ["--errors", "bad_destination=0.1,throttled=0.02", "--lose", "0.05"]
    options += [
        "--latency",
        "1-5ms",
        "--receipt-states",
        "delivered=0.8,undelivered=0.2",
        "--receipt-twice",
        "0.1",
    ]
    options += ["--wait", "100ms", "--seed", "3"]
    with Workplace() as place:
        text = http.SINGLE.replace("[reply]", '[reply]\ncode = "code"')
        text += '[[errors]]\nmeans = "bad_destination"\ncodes = [17]\n'
        carrier, port, description = http.start_carrier(place, text, *options)
        place.start_daemon(http.configuration(description, port, place.free_port(), 8, 50))
        place.load("stream", messages=count)
        metrics = place.wait_finished(count, 60.0)
        counted = place.statistics(carrier)
        assert metrics["messages_finished_total"] == count
        assert counted["lost"] > 0
        assert counted["errors"]["throttled"] > 0
        assert counted["submits"] + counted["errors"]["bad_destination"] >= count
        assert counted["hook_statuses"] == {}
        shown = place.api.json("GET", "/v1/channels")["channels"][0]
        assert shown["counters"]["doubt"] >= counted["lost"]


def test_what_is_not_taken_is_posted_again() -> None:
    """A daemon that is started later than the receipts came."""
    with Workplace() as place:
        carrier, port, description = http.start_carrier(place, http.SINGLE)
        own_port = place.free_port()
        body = {
            "to": "+40700000001",
            "text": "x",
            "callback": f"http://127.0.0.1:{own_port}/in/alpha/receipt",
        }
        connection = HTTPConnection("127.0.0.1", port, timeout=10)
        fields = {"Authorization": "Bearer k3y", "Content-Type": "application/json"}
        connection.request("POST", "/v1/messages", msgspec.json.encode(body), fields)
        assert connection.getresponse().status == 200
        connection.close()
        place.start_daemon(http.configuration(description, port, own_port, 8, 50))
        counted = place.wait_acknowledged(carrier, 1, 60.0)
        assert counted["unreachable"] > 0


def test_a_client_without_the_right_login_is_told_so() -> None:
    with Workplace() as place:
        _, port, _ = http.start_carrier(place, http.SINGLE)
        connection = HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("POST", "/v1/messages", b"{}", {"Authorization": "Bearer other"})
        assert connection.getresponse().status == 401
        connection.close()
