"""POST /v1/messages with objects and arrays: answers, places, and that each comes after its commit."""

import asyncio
import os

import pytest

from stentor.api import intake as intake_module
from stentor.api.credentials import Access
from stentor.errors import JournalFull, Overloaded
from stentor.routing.routes import ChannelDefaults, RouteTable, Rule
from stentor.text.coding import Coding
from stentor.text.languages import Language
from tests.engine.api.api_world import World, run

TO = "+40712345678"
PATH = "/v1/messages"


def test_an_object_is_answered_by_its_result(socket_dir):
    async def check(world: World) -> None:
        answer = await world.call("POST", PATH, {"to": TO, "text": "hi", "ref": 'a"b', "from": "A & B"})
        assert answer.status == 202
        result = answer.json
        (message,) = world.engine.library.messages.values()
        assert result == {
            "id": result["id"],
            "to": TO,
            "from": "A & B",
            "status": "queued",
            "encoding": "gsm7",
            "segments": 1,
            "ref": 'a"b',
        }
        assert (await world.call("GET", f"{PATH}/{result['id']}")).json["id"] == result["id"]
        assert message.account == "default"

    run(check, socket_dir)


@pytest.mark.parametrize("body", [b"", b" \r\n"])
def test_a_body_of_nothing_is_called_so(body, socket_dir):
    async def check(world: World) -> None:
        assert (await world.call("POST", PATH, body)).json["detail"] == "there is no JSON"

    run(check, socket_dir)


def test_nothing_is_answered_before_its_commit(socket_dir):
    async def check(world: World) -> None:
        world.engine.holds = True
        connection = await world.connect()
        await connection.send("POST", PATH, b'{"to":"%b","text":"hi"}' % TO.encode())
        await world.engine.until(lambda: world.engine.waiting == 1)
        reading = asyncio.ensure_future(connection.response())
        for _ in range(20):
            await asyncio.sleep(0)
        assert not reading.done()
        world.engine.commit()
        assert (await reading).status == 202

    run(check, socket_dir)


@pytest.mark.parametrize(
    ("body", "status", "code", "path"),
    [
        (b"", 400, "malformed", "$"),
        (b"{", 400, "malformed", "$"),
        (b'{"to":1,', 400, "malformed", "$"),
        (b'{"to":"\xff","text":"x"}', 400, "malformed", "$"),
        (b'[{"to":"\xff","text":"x"}]', 400, "malformed", "$"),
        (b'{"to":"\\ud800","text":"x"}', 400, "malformed", "$"),
        (b'[{"to":"+40712345678","text":"x"}', 400, "malformed", "$"),
        (b"[" * 100_000, 400, "malformed", "$"),
        (b'{"to":' + b"[" * 100_000, 400, "malformed", "$"),
        (b'{"to":"+40712345678","text":"x","metadata":' + b"[" * 100_000, 400, "malformed", "$"),
        (b"5", 422, "bad_field", "$"),
        (b"{}", 422, "missing_field", "$.to"),
        (b'{"to":1}', 422, "bad_field", "$.to"),
        (b'{"to":[1]}', 422, "bad_field", "$.to[0]"),
        (b'{"to":[]}', 422, "bad_destination", "$.to"),
        (b'{"to":"+40712345678"}', 422, "no_content", "$.text"),
        (b'{"to":"+40712345678","text":"x","account":"a"}', 422, "unknown_field", "$.account"),
    ],
)
def test_a_bad_body_is_refused_with_the_place_of_its_fault(body, status, code, path, socket_dir):
    async def check(world: World) -> None:
        answer = await world.call("POST", PATH, body, {"content-type": "application/json"})
        problem = answer.json
        assert (answer.status, problem["status"], problem["code"]) == (status, status, code)
        assert problem["errors"][0]["path"] == path
        assert answer.fields["content-type"] == "application/problem+json"
        assert world.engine.commits == []

    run(check, socket_dir)


def test_one_bad_item_does_not_harm_its_neighbours(socket_dir):
    async def check(world: World) -> None:
        items = [
            {"to": TO, "text": "one"},
            {"to": "12", "text": "two"},
            5,
            {"to": [TO, "x", TO], "text": "three"},
            {"to": TO, "text": "four", "valid_for": "x"},
            {"to": TO, "text": "five"},
        ]
        body = (await world.call("POST", PATH, items)).json
        assert (body["accepted"], body["rejected"]) == (4, 4)
        assert [result.get("error", {}).get("errors", [{}])[0].get("path") for result in body["results"]] == [
            None,
            "$.to",
            "$",
            None,
            "$.to[1]",
            None,
            "$.valid_for",
            None,
        ]
        assert world.engine.commits == [4]
        texts = [message.text for message in world.engine.library.messages.values()]
        assert texts == ["one", "three", "three", "five"]

    run(check, socket_dir)


@pytest.mark.parametrize(
    "half", ["\\ud800", "\\uDBFF!", "\\udc00", "\\ud83d\\ud83d", "\\ude00\\ud83d", "\\\\\\ud800"]
)
def test_half_of_a_surrogate_pair_spoils_its_own_item_only(half, socket_dir):
    async def check(world: World) -> None:
        texts = [
            "\\ud83d\\ude00",
            half,
            "\\\\ud800",
            "\\\\\\\\udc00, ] \ufffd",
            half + "\\ude00\\ude00",
            "\\u00e9",
        ]
        items = [f' {{"to" : "{TO}", "text":"{text}"}}\n' for text in texts]
        answer = await world.call("POST", PATH, f"[{','.join(items)}]".encode())
        assert (answer.status, answer.json["accepted"], answer.json["rejected"]) == (202, 4, 2)
        details = [result["error"]["detail"] for result in answer.json["results"] if "error" in result]
        assert all(detail.startswith("half of a surrogate pair stands alone (byte ") for detail in details)
        kept = [message.text for message in world.engine.library.messages.values()]
        assert kept == ["😀", "\\ud800", "\\\\udc00, ] \ufffd", "é"]
        assert (await world.call("POST", PATH, f"[{items[1]},".encode())).status == 400

    run(check, socket_dir)


def test_arrays_of_nothing_and_of_nothing_good_store_nothing(socket_dir):
    async def check(world: World) -> None:
        empty = await world.call("POST", PATH, b" [ ]", {"content-type": "application/json"})
        assert (empty.status, empty.json) == (202, {"accepted": 0, "rejected": 0, "results": []})
        bad = await world.call("POST", PATH, [{}])
        assert (bad.status, bad.json["rejected"], world.engine.commits) == (202, 1, [])

    run(check, socket_dir)


def test_a_list_of_destinations_is_answered_like_an_array(socket_dir):
    async def check(world: World) -> None:
        body = (await world.call("POST", PATH, {"to": [TO, "+4", TO], "text": "x"})).json
        assert (body["accepted"], body["rejected"]) == (2, 1)
        assert body["results"][1]["error"]["errors"][0]["path"] == "$.to[1]"
        assert len({result["id"] for result in body["results"] if "id" in result}) == 2

    run(check, socket_dir)


def test_a_long_array_is_one_transaction_and_its_results_are_in_order(socket_dir):
    async def check(world: World) -> None:
        items = [{"to": TO, "text": "x", "ref": str(number)} for number in range(2_345)]
        body = (await world.call("POST", PATH, items)).json
        assert [result["ref"] for result in body["results"]] == [str(number) for number in range(2_345)]
        assert world.engine.commits == [2_345]

    run(check, socket_dir)


def test_more_messages_than_a_request_may_hold_are_refused(socket_dir, monkeypatch):
    monkeypatch.setattr("stentor.api.submit.ITEM_LIMIT", 10)
    monkeypatch.setattr(intake_module, "ITEM_LIMIT", 10)

    async def check(world: World) -> None:
        answer = await world.call("POST", PATH, [{}] * 11)
        assert (answer.status, answer.json["code"]) == (413, "too_many_messages")
        body = (
            await world.call("POST", PATH, [{"to": TO, "text": "x"}, {"to": [TO] * 10, "text": "x"}])
        ).json
        assert (body["accepted"], body["rejected"]) == (1, 1)

    run(check, socket_dir)


@pytest.mark.parametrize("body", [{"to": TO, "text": "x"}, [{"to": TO, "text": "x"}]])
@pytest.mark.parametrize(
    ("overload", "error", "code", "retry_after"),
    [
        (Overloaded("backlog_full", "the backlog is full", 10), None, "backlog_full", "10"),
        (None, JournalFull("no room"), "journal_unavailable", "2"),
    ],
)
def test_what_cannot_be_stored_is_503_with_a_time_to_try_again(
    body, overload, error, code, retry_after, socket_dir
):
    async def check(world: World) -> None:
        world.engine.overload, world.engine.error = overload, error
        for fields in ({}, {"Idempotency-Key": "k"}):
            answer = await world.call("POST", PATH, body, fields)
            assert (answer.status, answer.json["code"]) == (503, code)
            assert answer.fields["retry-after"] == retry_after == str(answer.json["retry_after"])
        assert world.engine.library.messages == {}
        world.engine.overload = world.engine.error = None
        assert (await world.call("POST", PATH, body, {"Idempotency-Key": "k"})).status == 202

    run(check, socket_dir)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"content-type": "application/json; charset=utf-8"}, 202),
        ({"content-type": "APPLICATION/JSON"}, 202),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"content-type": ""}, 415),
        ({"content-type": "application/json", "content-encoding": "gzip"}, 415),
        ({"content-type": "application/json", "content-encoding": "identity"}, 202),
    ],
)
def test_the_kind_of_body_decides_whether_it_is_read(fields, status, socket_dir):
    async def check(world: World) -> None:
        assert (await world.call("POST", PATH, {"to": TO, "text": "x"}, fields)).status == status

    run(check, socket_dir)


def test_a_body_over_the_limit_is_413(socket_dir):
    async def check(world: World) -> None:
        connection = await world.connect()
        connection.writer.write(
            b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            b"content-length: 16777217\r\n\r\n"
        )
        answer = await connection.response()
        world.check("POST", PATH, answer)
        assert answer.status == 413

    run(check, socket_dir)


def test_pipelined_submits_are_answered_in_order(socket_dir):
    async def check(world: World) -> None:
        connection = await world.connect()
        for number in range(5):
            await connection.send("POST", PATH, b'{"to":"+40712345678","text":"x","ref":"%d"}' % number)
        answers = [(await connection.response()).json["ref"] for _ in range(5)]
        assert answers == ["0", "1", "2", "3", "4"]

    run(check, socket_dir)


def test_an_inspection_cuts_as_the_named_or_preferred_channel_would(socket_dir):
    async def check(world: World) -> None:
        async def inspected(**fields: object) -> dict[str, object]:
            answer = await world.call("POST", "/v1/inspect", {"text": "ş" * 153, **fields})
            assert answer.status == 200
            return answer.json

        plain = await inspected()
        assert (plain["encoding"], plain["segments"]) == ("ucs2", 3)
        assert "locking_shift" not in plain
        table = RouteTable(
            (Rule(("turkish",), ("+90",)), Rule(("alpha",))),
            {
                "turkish": ChannelDefaults(coding=Coding(languages=(Language.TURKISH,))),
                "alpha": ChannelDefaults(coding=Coding(wide_reference=True)),
            },
        )
        world.app.adjust(table, Access(own_uid=os.getuid()), 172_800, "TR")
        for wish in ({"channel": "turkish"}, {"to": "+905551234567"}, {"to": "0555 123 45 67"}):
            found = await inspected(**wish)
            assert (found["encoding"], found["segments"], found["locking_shift"]) == ("gsm7", 1, "turkish")
        assert (await inspected(channel="alpha", to="+905551234567"))["units_per_segment"] == [66, 66, 21]
        for wish, path in (({"channel": "beta"}, "$.channel"), ({"to": "+"}, "$.to")):
            answer = await world.call("POST", "/v1/inspect", {"text": "x", **wish})
            assert answer.status == 422
            assert answer.json["errors"][0]["path"] == path

    run(check, socket_dir)
