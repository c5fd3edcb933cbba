"""``POST /v1/messages`` with a JSON body: every field of the contract's table, on the wire and in the answer."""

import base64
import json
import re
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.contract.contract_world import CANARY, Daemon, Smsc, channel, number, running, text
from tests.support.waiting import eventually

UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def rfc3339(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def test_an_object_is_answered_with_exactly_the_documented_fields(daemon: Daemon):
    to = number()
    found = daemon.client.submit(to, ref="order 7", from_="Shop")
    assert set(found) == {"id", "to", "from", "status", "encoding", "segments", "ref"}
    assert UUID7.fullmatch(found.pop("id"))
    assert found == {
        "to": to, "from": "Shop", "status": "queued", "encoding": "gsm7", "segments": 1, "ref": "order 7",
    }  # fmt: skip


def test_a_message_reaches_the_carrier_and_its_receipt_ends_it(daemon: Daemon, carrier: Smsc):
    to = number()
    id = daemon.client.submit(to, "grüßt €")["id"]
    message = daemon.client.wait(id, "delivered")
    (sent,) = carrier.submits(to)
    assert bytes.fromhex(sent[8]) == CANARY.encode() + b" gr\x7e\x1et \x1be"
    assert message["segment_list"][0]["carrier_id"].lower().lstrip("0") == sent[4].lower().lstrip("0")


def test_ids_grow_with_time(daemon: Daemon):
    ids = [daemon.client.submit()["id"] for _ in range(50)]
    assert ids == sorted(ids)


def test_a_list_of_destinations_is_answered_like_an_array(daemon: Daemon):
    to = [number(), "+12", number()]
    answer = daemon.client.post("/v1/messages", {"to": to, "text": text(), "ref": "all"})
    found = answer.json()
    assert answer.status == 202
    assert (found["accepted"], found["rejected"]) == (2, 1)
    assert [result.get("to") for result in found["results"]] == [to[0], None, to[2]]
    assert found["results"][1]["error"]["errors"][0]["path"] == "$.to[1]"
    daemon.client.refused("bad_destination", "$.to", to=[])


def test_a_bad_message_of_an_array_does_not_harm_its_neighbours(daemon: Daemon):
    good = {"to": number(), "text": text()}
    items = [good, {"text": text()}, {"to": "12345", "text": text()}, 7, good | {"colour": "red"}, good]
    answer = daemon.client.post("/v1/messages", items)
    found = answer.json()
    assert answer.status == 202
    assert (found["accepted"], found["rejected"]) == (2, 4)
    paths = [result["error"]["errors"][0]["path"] if "error" in result else "" for result in found["results"]]
    assert paths == ["", "$.to", "$.to", "$", "$.colour", ""]
    for result in (found["results"][0], found["results"][5]):
        daemon.client.wait(result["id"], "delivered")


def test_an_empty_array_accepts_nothing(daemon: Daemon):
    answer = daemon.client.post("/v1/messages", [])
    assert answer.status == 202
    assert answer.json() == {"accepted": 0, "rejected": 0, "results": []}


def test_binary_data_goes_out_with_its_header(daemon: Daemon, carrier: Smsc):
    to = number()
    udh, data = bytes.fromhex("06050415811581"), bytes(range(100))
    fields = {"data": base64.b64encode(data).decode(), "udh": base64.b64encode(udh).decode()}
    found = daemon.client.submit(to, text=None, **fields)
    assert (found["encoding"], found["segments"]) == ("binary", 1)
    message = daemon.client.wait(found["id"], "delivered")
    assert message["text"] is None
    assert (message["data"], message["udh"]) == (fields["data"], fields["udh"])
    (sent,) = carrier.submits(to)
    assert bytes.fromhex(sent[8]) == udh + data
    assert (int(sent[6]) & 0x40, int(sent[7])) == (0x40, 4)


def test_long_texts_are_sent_in_segments_with_one_reference(daemon: Daemon, carrier: Smsc):
    to = number()
    long = text("x" * 300)
    found = daemon.client.submit(to, text=long)
    assert found["segments"] == 3
    message = daemon.client.wait(found["id"], "delivered")
    assert [segment["index"] for segment in message["segment_list"]] == [1, 2, 3]
    assert {segment["status"] for segment in message["segment_list"]} == {"delivered"}
    assert len({segment["carrier_id"] for segment in message["segment_list"]}) == 3
    sent = [bytes.fromhex(words[8]) for words in carrier.submits(to)]
    assert [octets[:3] for octets in sent] == [b"\x05\x00\x03"] * 3
    assert len({octets[3] for octets in sent}) == 1
    assert [(octets[4], octets[5]) for octets in sent] == [(3, 1), (3, 2), (3, 3)]
    assert b"".join(octets[6:] for octets in sent).decode() == long


def test_max_segments_refuses_more(daemon: Daemon):
    long = text("x" * 300)
    daemon.client.refused("too_long", "$.text", text=long, max_segments=2)
    daemon.client.refused("too_long", "$.text", text="x" * 1531)
    assert daemon.client.submit(text=text("x" * 1531), max_segments=11)["segments"] == 11


@pytest.mark.parametrize(
    ("fields", "encoding", "coding"),
    [
        ({}, "gsm7", 0),
        ({"text": text("вітаю")}, "ucs2", 8),
        ({"encoding": "ucs2"}, "ucs2", 8),
        ({"encoding": "gsm7"}, "gsm7", 0),
        ({"encoding": "gsm7", "transliterate": True, "text": text("“quotes”… – nice")}, "gsm7", 0),
        ({"encoding": "gsm7", "transliterate": True, "text": text("Bună, țară și oraș")}, "gsm7", 0),
        ({"flash": True}, "gsm7", 0xF0),
        ({"flash": True, "encoding": "ucs2"}, "ucs2", 0x18),
    ],
)
def test_encodings_and_flash_as_they_are_asked_for(daemon: Daemon, carrier: Smsc, fields, encoding, coding):
    to = number()
    found = daemon.client.submit(to, **fields)
    assert found["encoding"] == encoding
    message = daemon.client.wait(found["id"], "delivered")
    assert message["flash"] is fields.get("flash", False)
    (sent,) = carrier.submits(to)
    assert int(sent[7]) == coding


def test_gsm7_refuses_what_it_cannot_carry(daemon: Daemon):
    daemon.client.refused("not_gsm7", "$.text", text="日本", encoding="gsm7")


@pytest.mark.parametrize("originator", ["+40711223344", "1234", "Acme Shop", "ABCDEFGHIJK"])
def test_originators_of_every_kind_are_kept(daemon: Daemon, originator: str):
    id = daemon.client.submit(from_=originator)["id"]
    assert daemon.client.wait(id, "delivered")["from"] == originator


def test_a_receipt_that_is_not_wanted_makes_sent_final(daemon: Daemon):
    message = daemon.client.wait(daemon.client.submit(receipt=False)["id"], "sent")
    assert message["final_at"] == message["sent_at"]
    assert message["final_at"] is not None


def test_a_channel_can_be_pinned(daemon: Daemon):
    id = daemon.client.submit(channel="idle")["id"]
    message = daemon.client.message(id)
    assert (message["status"], message["channel"]) == ("queued", "idle")
    assert daemon.client.request("DELETE", f"/v1/messages/{id}").status == 200
    daemon.client.refused("unknown_channel", "$.channel", channel="nowhere")


def test_send_at_makes_a_message_wait_and_go_on_time(daemon: Daemon, carrier: Smsc):
    to = number()
    at = datetime.now(UTC) + timedelta(seconds=1.5)
    found = daemon.client.submit(to, send_at=rfc3339(at))
    assert found["status"] == "scheduled"
    message = daemon.client.wait(found["id"], "delivered")
    late_s = (datetime.fromisoformat(message["sent_at"]) - at).total_seconds()
    assert -0.002 <= late_s < 1.0  # and so it was not sent before, whoever looked
    words = [entry["status"] for entry in daemon.client.timeline(found["id"])]
    assert words == ["scheduled", "queued", "sent", "delivered"]
    assert message["send_at"] == rfc3339(at)
    assert len(carrier.submits(to)) == 1


def test_send_at_with_an_offset_or_in_the_past_is_now(daemon: Daemon):
    for at in ("2020-01-01T00:00:00Z", "2020-01-01T02:00:00+02:00"):
        found = daemon.client.submit(send_at=at)
        assert found["status"] == "queued"
        daemon.client.wait(found["id"], "delivered")
    daemon.client.refused("bad_field", "$.send_at", send_at="tomorrow")
    daemon.client.refused("bad_field", "$.send_at", send_at="2027-01-01T00:00:00")


@pytest.mark.parametrize("valid_for", [600, "600", "600s", "10m"])
def test_valid_for_sets_the_end(daemon: Daemon, valid_for: object):
    message = daemon.client.message(daemon.client.submit(valid_for=valid_for)["id"])
    submitted, expires = (datetime.fromisoformat(message[name]) for name in ("submitted_at", "expires_at"))
    assert expires - submitted == timedelta(minutes=10)


def test_validity_is_48_hours_by_default(daemon: Daemon):
    message = daemon.client.message(daemon.client.submit()["id"])
    submitted, expires = (datetime.fromisoformat(message[name]) for name in ("submitted_at", "expires_at"))
    assert expires - submitted == timedelta(hours=48)


def test_ref_and_metadata_come_back_everywhere(daemon: Daemon):
    metadata = {"order": 17, "tags": ["a", "b"], "nested": {"π": 3.14, "big": 12345678901234567890}}
    found = daemon.client.submit(ref="my ref/1", metadata=metadata)
    assert found["ref"] == "my ref/1"
    message = daemon.client.message(found["id"])
    assert (message["ref"], message["metadata"]) == ("my ref/1", metadata)
    (listed,) = daemon.client.fetch("/v1/messages?ref=my%20ref/1")["messages"]
    assert listed["id"] == found["id"]


@pytest.mark.parametrize("ref", ["", " ", "no-break\u00a0blank", "👩\u200d👧", "#&+?%2B", "x" * 64])
def test_every_reference_that_is_taken_can_be_searched_for(daemon: Daemon, ref: str):
    found = daemon.client.submit(ref=ref)
    (listed,) = daemon.client.fetch(f"/v1/messages?ref={quote(ref, safe='')}")["messages"]
    assert (listed["id"], listed["ref"]) == (found["id"], ref)


@pytest.mark.parametrize(
    ("code", "path", "fields"),
    [
        ("missing_field", "$.to", {"to": ...}),
        ("bad_destination", "$.to", {"to": ""}),
        ("bad_destination", "$.to", {"to": "0740123456"}),
        ("bad_destination", "$.to", {"to": "+4O740123456"}),
        ("bad_destination", "$.to", {"to": "+1234567890123456"}),
        ("bad_field", "$.to", {"to": 40740123456}),
        ("no_content", "$.text", {"text": ...}),
        ("no_content", "$.text", {"text": ""}),
        ("bad_field", "$.text", {"text": ["a"]}),
        ("bad_data", "$.data", {"data": "AAAA"}),
        ("bad_field", "$.data", {"text": ..., "data": "not base64!"}),
        ("bad_data", "$.udh", {"udh": "AAAA"}),
        ("bad_field", "$.max_segments", {"max_segments": 0}),
        ("bad_originator", "$.from", {"from_": "ABCDEFGHIJKL"}),
        ("bad_originator", "$.from", {"from_": ""}),
        ("bad_field", "$.priority", {"priority": "asap"}),
        ("bad_valid_for", "$.valid_for", {"valid_for": 0}),
        ("bad_valid_for", "$.valid_for", {"valid_for": "soon"}),
        ("bad_field", "$.encoding", {"encoding": "latin1"}),
        ("bad_field", "$.receipt", {"receipt": "yes"}),
        ("bad_field", "$.delivery", {"delivery": "exactly_once"}),
        ("bad_field", "$.ref", {"ref": "r" * 65}),
        ("bad_metadata", "$.metadata", {"metadata": [1]}),
        ("bad_metadata", "$.metadata", {"metadata": {"a": "x" * 1024}}),
        ("unknown_field", "$.txt", {"txt": "hello"}),
    ],
)
def test_bad_input_is_refused_with_the_field_it_is_about(daemon: Daemon, code: str, path: str, fields: dict):
    daemon.client.refused(code, path, **fields)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"null", 422),
        (b'"text"', 422),
        (b'{"to": "\xff\xfe"}', 400),
        (b'{"to": "+40740000000", "text": "\\ud800"}', 400),
        (b"[" * 100_000, 400),
        (b'{"to":' * 50_000, 400),
        (b"[1,", 400),
        (b'{"to": "+40740000000", "text": "a", "max_segments": 1e400}', 422),
    ],
)
def test_what_is_no_json_is_400_and_what_is_no_message_is_422(daemon: Daemon, body: bytes, status: int):
    daemon.client.post("/v1/messages", body).problem(status)


def test_a_body_of_another_kind_is_415(daemon: Daemon):
    answer = daemon.client.post(
        "/v1/messages", b"to=1&text=a", Content_Type="application/x-www-form-urlencoded"
    )
    answer.problem(415)


def test_a_body_over_16_mib_is_413(daemon: Daemon):
    body = json.dumps({"to": number(), "text": text(), "metadata": {"a": "x" * (16 * 1024 * 1024)}}).encode()
    daemon.client.post("/v1/messages", body).problem(413)


def test_priorities_decide_who_goes_first(daemon: Daemon, carrier: Smsc):
    client = daemon.client
    client.pause("alpha")
    # Of one commit and in the wrong order, so that nothing but the priority can bring them into the right one.
    wanted = ["bulk", "normal", "high", "urgent"]
    items = [{"to": number(), "text": text(), "priority": word} for word in wanted]
    results = client.post("/v1/messages", items).json()["results"]
    for result, word in zip(results, wanted, strict=True):
        message = client.message(result["id"])
        assert (message["status"], message["priority"]) == ("queued", word)
    client.resume("alpha")
    for result in results:
        client.wait(result["id"], "delivered")
    order = carrier.order()
    places = [order.index(item["to"]) for item in items]
    assert places == sorted(places, reverse=True)


def test_inspect_tells_how_a_text_will_be_sent_and_stores_nothing(daemon: Daemon):
    client = daemon.client
    before = client.fetch("/v1/status")["accepted"]
    found = client.post("/v1/inspect", {"text": text("[€]" * 60)}).json()
    assert (found["encoding"], found["segments"]) == ("gsm7", 3)
    assert client.post("/v1/inspect", {"text": "日本"}).json()["encoding"] == "ucs2"
    client.post("/v1/inspect", {"text": "日本", "encoding": "gsm7"}).problem(422)
    client.post("/v1/inspect", {}).problem(422)
    assert client.fetch("/v1/status")["accepted"] == before


def test_mo_messages_are_stored_and_shown(daemon: Daemon):
    # The SMSC of this module sends none; the listing by direction is empty then, and not an error.
    assert daemon.client.fetch("/v1/messages?direction=mo")["messages"] == []


def test_nothing_is_left_unfinished(daemon: Daemon):
    eventually(lambda: not daemon.client.fetch("/v1/status")["backlog"], what="the backlog is empty")


def test_national_numbers_are_taken_where_a_region_is_set(carrier: Smsc):
    with tempfile.TemporaryDirectory(prefix="stentor-", dir="/tmp") as folder:
        config = Daemon(Path(folder), {"alpha": channel(carrier.port)}, numbers={"region": "RO"})
        with running(config) as daemon:
            client = daemon.start_up().client
            to = number()
            found = client.submit("0" + to.removeprefix("+40"))
            assert found["to"] == to
            assert client.wait(found["id"], "delivered")["to"] == to
            assert client.submit(other := number("+49"))["to"] == other
            client.refused("bad_destination", "$.to", to=to[1:])
            daemon.config["numbers"]["region"] = "HU"
            daemon.reload()
            to = number("+363")
            assert client.submit("06" + to.removeprefix("+36"))["to"] == to
            daemon.config["numbers"]["region"] = "QQ"
            (line,) = daemon.reload()
            assert "numbers.region" in line["detail"]
