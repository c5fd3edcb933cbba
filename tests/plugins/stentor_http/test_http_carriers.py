"""Every carrier that is shipped: requests as they leave, what answers mean, what its webhooks say."""

from typing import Any

import pytest

from stentor.driver import Followed, Inbound
from stentor.outcome import Deferred, Refused, Sent, Unknown
from stentor_http import catalog
from stentor_http.errors import MEANINGS
from stentor_http.exchange import build, read
from stentor_http.inbound import Accepted, Rejected, Wanting, receive
from stentor_http.parts import PartTally
from tests.plugins.stentor_http.http_carrier_cases import (
    FOLDER,
    NOW_MS,
    TOKENS,
    Head,
    carrier_of,
    cases,
    item_of,
    octets,
    reply_of,
    submission,
    told,
)

CARRIERS = catalog.names()


def each(kind: str) -> list[Any]:
    return [
        pytest.param(name, case, id=f"{name}-{index}")
        for name in CARRIERS
        for index, case in enumerate(cases(name, kind) if (FOLDER / name / f"{kind}.json").exists() else ())
    ]


def test_every_carrier_has_fixtures() -> None:
    """A description without fixtures is not shipped, nor fixtures without a description."""
    assert {path.name for path in FOLDER.iterdir()} == set(CARRIERS)


@pytest.mark.parametrize("name", CARRIERS)
def test_a_shipped_description_is_whole(name: str) -> None:
    """It can be used as it is with samples for its settings."""
    description = catalog.check(str(catalog.FOLDER / f"{name}.toml"))
    assert description.name == name
    assert description.title


@pytest.mark.parametrize(("name", "case"), each("sends"))
def test_a_message_leaves_as_its_carrier_wants_it(name: str, case: dict[str, Any]) -> None:
    carrier = carrier_of(name)
    batch = [submission(given, index) for index, given in enumerate(case["messages"])]
    built = build(carrier, batch, NOW_MS, case.get("token", ""))
    if "refused" in case:
        assert [told(outcome)["refused"] for outcome in built.outcomes] == case["refused"]
        assert built.exchanges == []
        return
    (exchange,) = built.exchanges
    request, wanted = exchange.request, case["request"]
    assert request.method == wanted["method"]
    assert request.url == wanted["url"]
    assert dict(request.fields) == wanted["fields"]
    assert request.body == octets(wanted["body"])
    reading = read(carrier, exchange, reply_of(case["reply"]), NOW_MS)
    assert [told(outcome) for outcome in reading.outcomes] == case["outcomes"]
    told_of = [outcome.charge for outcome in reading.outcomes if isinstance(outcome, Sent) and outcome.charge]
    charges = [[charge.segments, charge.price_micros, charge.currency] for charge in told_of]
    assert charges == case.get("charges", [])


@pytest.mark.parametrize(("name", "case"), each("errors"))
def test_an_error_means_what_the_table_says(name: str, case: dict[str, Any]) -> None:
    carrier = carrier_of(name)
    (exchange,) = build(carrier, [submission({})], NOW_MS).exchanges
    (outcome,) = read(carrier, exchange, reply_of(case), NOW_MS).outcomes
    meaning = MEANINGS[case["means"]]
    assert type(outcome) is meaning.kind
    if isinstance(outcome, Refused | Deferred):
        assert outcome.code == meaning.code
        assert outcome.scope is meaning.scope
        assert outcome.carrier_code == case.get("carrier_code", outcome.carrier_code)
    if isinstance(outcome, Deferred):
        assert outcome.is_throttle is meaning.is_throttle
        assert outcome.retry_after_s == case.get("wait_s", meaning.pause_s)


@pytest.mark.parametrize("name", CARRIERS)
def test_every_meaning_of_a_description_has_an_answer(name: str) -> None:
    """No word stands in an error table that no fixture shows."""
    meant = {row.means for row in catalog.shipped(name).errors}
    assert meant <= {case["means"] for case in cases(name, "errors")}


@pytest.mark.parametrize("name", CARRIERS)
@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, b"", Unknown),
        (200, b'{"id":"1', Unknown),
        (200, b"<html>hello</html>", Unknown),
        (500, b"<html>error</html>", Unknown),
        (502, b"", Unknown),
        (429, b"", Deferred),
        (401, b"", Deferred),
        (302, b"", Deferred),
        (404, b"<html>not here</html>", Deferred),
    ],
)
def test_what_every_answer_means(name: str, status: int, body: bytes, kind: type) -> None:
    """An answer that proves nothing is doubt; a wrong login or URL keeps the messages."""
    carrier = carrier_of(name)
    (exchange,) = build(carrier, [submission({})], NOW_MS).exchanges
    (outcome,) = read(carrier, exchange, reply_of({"status": status, "body": body.decode()}), NOW_MS).outcomes
    assert type(outcome) is kind


@pytest.mark.parametrize(("name", "case"), each("hooks"))
def test_what_a_carrier_tells_us_is_understood(name: str, case: dict[str, Any]) -> None:
    head = Head(case.get("method", "POST"), "", case.get("query", ""), case.get("fields", {}))
    body = octets(case.get("body", ""))
    carrier, now_ms = carrier_of(name), case.get("now_ms", NOW_MS)
    heard = receive(carrier, case["kind"], head, body, now_ms)
    if "wants" in case:
        assert heard == Wanting(case["wants"])
        found = (FOLDER / name / case["fetched"]).read_bytes() if case["fetched"] else b"<html>busy</html>"
        heard = receive(carrier, case["kind"], head, body, now_ms, found)
    assert not isinstance(heard, Wanting)
    if "rejected" in case:
        assert not isinstance(heard, Accepted)
        assert heard.reason == case["rejected"]
        return
    assert isinstance(heard, Accepted), heard
    assert heard.visit == case.get("visit", "")
    tally = PartTally()
    items = [item if isinstance(item, Inbound) else tally.take(*item, NOW_MS) for item in heard.items]
    assert [item_of(item) for item in items] == case["items"]
    assert heard.skipped == case.get("skipped", 0)
    answer = case.get("answer", {})
    assert heard.status == answer.get("status", 200)
    assert heard.body == answer.get("body", "").encode()


@pytest.mark.parametrize(("name", "case"), each("questions"))
def test_a_carrier_is_asked_and_understood(name: str, case: dict[str, Any]) -> None:
    """Whether it has a message (an id, none, or nobody knows), what became of one, and whether one was taken back."""
    carrier = carrier_of(name)
    questions, token = carrier.questions, "T" if carrier.needs_token else ""
    answer = reply_of(case["reply"])
    if case["ask"] == "lookup":
        assert questions.lookup is not None
        one = submission({})
        request = questions.lookup.make(one, NOW_MS, token)
        assert questions.lookup.read(one, NOW_MS, answer).carrier_id == case["found"]
    else:
        call = questions.query if case["ask"] == "query" else questions.cancel
        assert call is not None
        followed = Followed(TOKENS[0] + 1, case["carrier_id"], case["carrier_id"], "Shop", "+3725550001")
        request = call.make(followed, NOW_MS, token)
        receipt = call.read(followed, answer)
        assert (None if receipt is None else item_of(receipt)) == case["receipt"]
    wanted = case["request"]
    assert (request.method, request.url) == (wanted["method"], wanted["url"])
    assert dict(request.fields) == wanted["fields"]
    assert request.body == octets(wanted.get("body", ""))


@pytest.mark.parametrize("name", CARRIERS)
def test_every_question_of_a_description_has_its_answers(name: str) -> None:
    """One that tells and one that does not, and for a lookup that can prove absence, that as well."""
    description = catalog.shipped(name)
    rows = [case.values[1] for case in each("questions") if case.values[0] == name]
    for ask in ("lookup", "query", "cancel"):
        table = getattr(description, ask)
        told = [row.get("found", row.get("receipt")) for row in rows if row["ask"] == ask]
        assert bool(told) is (table is not None)
        if table is not None:
            assert None in told
            assert any(told) or getattr(table, "reported", False)
            assert ask != "lookup" or ("" in told) is (table.whole is not None)


@pytest.mark.parametrize("name", CARRIERS)
def test_a_hook_without_its_proof_is_refused(name: str) -> None:
    """Whatever a stranger sends, nothing of it is taken."""
    carrier = carrier_of(name)
    for kind, hook in (("receipt", carrier.receipts), ("mo", carrier.mo)):
        if hook is not None:
            method = hook.hook.methods[0]
            heard = receive(carrier, kind, Head(method), b"{}", NOW_MS)  # type: ignore[arg-type]  # both are kinds
            assert isinstance(heard, Rejected)
            assert heard.status == 403


def test_ids_are_short_enough_for_every_carrier() -> None:
    """BulkSMS takes 20 characters; a real key has 60 bits."""
    from stentor_http.template import own_id, parse_own_id

    one = submission({"attempt": 200, "segments": 255})
    assert len(own_id(one)) <= 20
    assert parse_own_id(own_id(one)) == (one.token, 200, 255)
