"""Whatever carriers answer or strangers send: a value, never an exception; whatever a text holds: no injection."""

from typing import Any
from urllib.parse import parse_qsl

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor.outcome import Deferred, Returned, Sent, Unknown
from stentor.wire.calls import FailureKind, HTTPFailure, HTTPReply
from stentor_http import catalog
from stentor_http.exchange import build, read, read_token
from stentor_http.inbound import Accepted, Rejected, receive
from tests.plugins.stentor_http.http_carrier_cases import (
    NOW_MS,
    TOKENS,
    Head,
    carrier_of,
    cases,
    octets,
    submission,
)

CARRIERS = catalog.names()
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
KEYS = st.sampled_from(
    ["id", "sid", "error", "code", "messages", "list", "data", "status", "to", "errors", "ids", "results"]
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)
ODD = st.sampled_from(["", "-1", "1e999", "nan", "Thu, 99 Foo", "10", "\x00", "9" * 400, "0x10", "١"])


@given(st.sampled_from(CARRIERS), st.integers(100, 599), VALUES, ODD)
def test_any_json_is_an_outcome(name: str, status: int, value: Any, wait: str) -> None:
    check_answer(name, status, msgspec.json.encode(value), {"retry-after": wait})


@given(st.sampled_from(CARRIERS), st.integers(100, 599), st.binary(max_size=60))
def test_any_octets_are_an_outcome(name: str, status: int, body: bytes) -> None:
    check_answer(name, status, body, {})


@given(st.sampled_from(CARRIERS), st.data())
def test_an_answer_that_is_spoilt_is_an_outcome(name: str, data: st.DataObject) -> None:
    """Right answers, cut off or with a value in place of another."""
    case = data.draw(st.sampled_from([case for case in cases(name, "sends") if "reply" in case]))
    document = case["reply"]["body"]
    body = octets(document)
    if data.draw(st.booleans()):
        body = body[: data.draw(st.integers(0, len(body)))]
    elif isinstance(document, dict) and document:
        body = octets(document | {data.draw(st.sampled_from(sorted(document))): data.draw(VALUES)})
    check_answer(name, 200, body, {})


def check_answer(name: str, status: int, body: bytes, fields: dict[str, str]) -> None:
    carrier = carrier_of(name)
    batch = [submission({}, index) for index in range(min(2, carrier.batch_limit))]
    for exchange in build(carrier, batch, NOW_MS).exchanges:
        reading = read(carrier, exchange, HTTPReply(status, fields, body, 0.0, "x"), NOW_MS)
        outcomes = [outcome.submission for outcome in reading.outcomes]
        assert outcomes == ([] if reading.is_to_halve else list(exchange.submissions))
        assert not reading.is_to_halve or len(exchange.submissions) > 1
        for outcome in reading.outcomes:
            if status // 100 != 2:
                assert not isinstance(outcome, Sent) or "53" in body.decode("latin-1")
            if isinstance(outcome, Deferred):
                assert 0 <= outcome.retry_after_s <= 300
    assert isinstance(read_token(carrier, HTTPReply(status, fields, body, 0.0, "x"), NOW_MS), str)


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        (FailureKind.NOTHING_LEFT, Returned),
        (FailureKind.FORBIDDEN, Returned),
        (FailureKind.MAY_HAVE_LEFT, Unknown),
        (FailureKind.BAD_ANSWER, Unknown),
    ],
)
def test_what_a_failure_means(kind: FailureKind, outcome: type) -> None:
    """What provably did not leave comes back; everything else is doubt."""
    carrier = carrier_of("infobip")
    (exchange,) = build(carrier, [submission({}), submission({}, 1)], NOW_MS).exchanges
    reading = read(carrier, exchange, HTTPFailure(kind, "no answer, ib-key", 1.0), NOW_MS)
    assert [type(one) for one in reading.outcomes] == [outcome, outcome]
    assert reading.is_unreachable is (outcome is Returned)
    assert reading.fault == "no answer, ********"


@given(st.sampled_from(CARRIERS), st.sampled_from(["receipt", "mo"]), TEXTS, st.binary(max_size=60))
def test_strangers_get_nowhere(name: str, kind: Any, query: str, body: bytes) -> None:
    for method in ("GET", "POST", "DELETE"):
        heard = receive(carrier_of(name), kind, Head(method, "", query), body, NOW_MS)
        assert isinstance(heard, Rejected)


@given(
    st.sampled_from([name for name in CARRIERS if name in ("46elks", "bulksms", "8x8", "textmagic")]), VALUES
)
def test_any_json_of_a_carrier_is_understood_or_skipped(name: str, value: Any) -> None:
    """These carriers sign nothing, so the token alone opens."""
    for kind in ("receipt", "mo"):
        head = Head("POST", "", "token=tok-1", {"content-type": "application/json"})
        heard = receive(carrier_of(name), kind, head, msgspec.json.encode(value), NOW_MS)  # type: ignore[arg-type]  # both are kinds
        assert isinstance(heard, Accepted | Rejected)


@given(st.sampled_from(CARRIERS), TEXTS, TEXTS)
def test_texts_stay_inside_their_fields(name: str, text: str, originator: str) -> None:
    """The carrier reads the very text, and nothing of it gets into the head or becomes another field."""
    carrier = carrier_of(name)
    plain = build(carrier, [submission({"text": "Tere"})], NOW_MS).exchanges[0].request
    built = build(carrier, [submission({"text": text, "from": originator})], NOW_MS)
    request = built.exchanges[0].request
    assert request.url == plain.url
    unsigned = [field for field in plain.fields if field[0] != "Authorization" or carrier.code.sign is None]
    assert set(unsigned) <= set(request.fields)
    assert len(request.fields) == len(plain.fields)
    if carrier.body.content_type == "application/json":
        assert text in strings(msgspec.json.decode(request.body))
    else:
        pairs = parse_qsl(request.body.decode(), keep_blank_values=True, strict_parsing=True)
        assert text in [value for _, value in pairs]
        assert {key for key, _ in pairs} <= {key for key, _ in parse_qsl(plain.body.decode())}


def strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for inner in value.values() for text in strings(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in strings(inner)]
    return [value] if isinstance(value, str) else []


def test_ids_of_a_batch_are_all_different() -> None:
    carrier = carrier_of("infobip")
    batch = [submission({"attempt": attempt}, index) for index in range(len(TOKENS)) for attempt in (1, 2)]
    body = build(carrier, batch, NOW_MS).exchanges[0].request.body
    ids = [message["destinations"][0]["messageId"] for message in msgspec.json.decode(body)["messages"]]
    assert len(set(ids)) == len(batch)
