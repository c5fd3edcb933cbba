"""send, show, messages, cancel and events against a daemon of a few lines."""

import io
import re
import sys
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from stentor.cli import screen
from stentor.cli.errors import CommandError
from stentor.cli.messages import moment
from tests.engine.cli.conftest import FakeDaemon, Run

ID = "0193532a-1111-7abc-8def-000000000001"
TWO_FAULTS = [{"path": "$.a", "detail": "x"}, {"path": "$", "detail": "y"}]
ERROR = {"code": "bad_destination", "carrier_code": "11", "detail": "no such number"}


def message(status: str = "delivered", is_final: bool = True, **changes: Any) -> dict[str, Any]:
    final_at = "2027-01-15T08:00:03.000Z" if is_final else None
    body: dict[str, Any] = {
        "id": ID,
        "direction": "mt",
        "to": "+40722000111",
        "from": "Example",
        "text": "a [bold] text",
        "status": status,
        "priority": "normal",
        "channel": "alpha",
        "encoding": "gsm7",
        "segments": 1,
        "ref": "r1",
        "metadata": {"a": 1},
        "submitted_at": "2027-01-15T08:00:00.123Z",
        "send_at": None,
        "expires_at": "2027-01-17T08:00:00.000Z",
        "sent_at": "2027-01-15T08:00:01.000Z",
        "final_at": final_at,
        "attempts": 1,
        "error": None,
        "segment_list": [
            {
                "index": 1,
                "status": status,
                "carrier_id": "c-5e6f",
                "sent_at": "2027-01-15T08:00:01.000Z",
                "final_at": final_at,
                "error": None,
            }
        ],
    }
    return body | changes


RESULT = {
    "id": ID,
    "to": "+40722000111",
    "from": None,
    "status": "queued",
    "encoding": "gsm7",
    "segments": 1,
    "ref": None,
}


@pytest.fixture
def socket(daemon: FakeDaemon) -> tuple[str, str]:
    return ("--socket", str(daemon.path))


def test_send_submits_one_message_with_what_was_given_and_nothing_else(
    run: Run, daemon: FakeDaemon, socket: tuple[str, str]
) -> None:
    daemon.answers["POST /v1/messages"] = (202, RESULT)
    result = run("send", *socket, "--to", "+40722000111", "hello")
    assert (result.code, result.err) == (0, "")
    assert result.out == f"{ID}  queued  gsm7, 1 segment\n"
    method, target, headers, body = daemon.requests[0]
    assert (method, target) == ("POST", "/v1/messages")
    assert headers["content-type"] == "application/json"
    assert body == {"to": "+40722000111", "text": "hello"}


def test_what_is_moved_says_until_when_and_why(run: Run, daemon: FakeDaemon, socket: tuple[str, str]) -> None:
    daemon.answers["POST /v1/messages"] = (202, RESULT | {"status": "scheduled"})
    moved = message(
        "scheduled", is_final=False, send_at="2027-01-15T08:00:00.000Z", error={"code": "quiet_hours"}
    )
    daemon.answers[f"GET /v1/messages/{ID}"] = moved
    result = run("send", *socket, "--to", "+40722000111", "hello")
    at = datetime.fromisoformat(moved["send_at"]).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    assert result.out == f"{ID}  scheduled  gsm7, 1 segment  for {at}  quiet_hours\n"


def test_a_held_message_is_shown_as_held(run: Run, daemon: FakeDaemon, socket: tuple[str, str]) -> None:
    daemon.answers[f"GET /v1/messages/{ID}"] = message("queued", is_final=False, held=True, batch="june")
    daemon.answers[f"GET /v1/messages/{ID}/timeline"] = {"timeline": []}
    lines = [line.split() for line in run("show", ID, *socket).out.splitlines()]
    assert ["status", "queued,", "held"] in lines
    assert ["batch", "june"] in lines


def test_send_passes_every_option_on(run: Run, daemon: FakeDaemon, socket: tuple[str, str]) -> None:
    daemon.answers["POST /v1/messages"] = (202, RESULT)
    options = "--from Shop --priority urgent --channel alpha --at 2027-01-15T08:00Z --valid-for 10m --ref r"
    result = run("send", *socket, "--account", "shop", "--json", "--to", "+4", *options.split(), "x")
    assert result.json == RESULT
    _, _, headers, body = daemon.requests[0]
    assert headers["stentor-account"] == "shop"
    assert body == {
        "to": "+4",
        "text": "x",
        "from": "Shop",
        "priority": "urgent",
        "channel": "alpha",
        "send_at": "2027-01-15T08:00:00.000Z",
        "valid_for": "10m",
        "ref": "r",
    }


def test_a_time_ahead_and_a_validity_in_seconds_are_understood(
    run: Run, daemon: FakeDaemon, socket: tuple[str, str]
) -> None:
    daemon.answers["POST /v1/messages"] = (202, RESULT)
    before = datetime.now(UTC)
    run("send", *socket, "--to", "+4", "--at", "2h", "--valid-for", "90", "x")
    body = daemon.requests[0][3]
    assert 7190 < (datetime.fromisoformat(body["send_at"]) - before).total_seconds() < 7210
    assert body["valid_for"] == 90


def test_the_text_may_come_from_standard_input(
    run: Run, daemon: FakeDaemon, socket: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.answers["POST /v1/messages"] = (202, RESULT)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("zwei\nZeilen ü\n".encode())))
    assert run("send", *socket, "--to", "+4", "-").code == 0
    assert daemon.requests[0][3]["text"] == "zwei\nZeilen ü"


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("delivered", 0),
        ("sent", 0),
        ("undelivered", 1),
        ("rejected", 1),
        ("failed", 1),
        ("expired", 1),
        ("unknown", 1),
    ],
)
def test_wait_follows_to_the_final_status_and_fails_unless_it_arrived(
    run: Run, daemon: FakeDaemon, socket: tuple[str, str], status: str, code: int
) -> None:
    daemon.answers["POST /v1/messages"] = (202, RESULT)
    steps = [message("queued", False), message("sent", False), message(status)]
    daemon.answers[f"GET /v1/messages/{ID}"] = steps
    result = run("send", *socket, "--to", "+4", "--wait", "--json", "x")
    assert (result.code, result.json["status"]) == (code, status)
    assert [request[0] for request in daemon.requests] == ["POST", "GET", "GET", "GET"]


def test_who_cannot_go_on_waiting_is_told_that_the_message_was_accepted(
    run: Run, daemon: FakeDaemon, socket: tuple[str, str]
) -> None:
    daemon.answers["POST /v1/messages"] = (202, RESULT)
    daemon.answers[f"GET /v1/messages/{ID}"] = (503, {"title": "Service Unavailable", "detail": "stopping"})
    result = run("send", *socket, "--to", "+4", "--wait", "x")
    assert (result.code, result.out) == (1, "")
    assert result.err.endswith(f"\nThe message was accepted: see `stentor show {ID}`.\n")


def test_who_is_tired_of_waiting_is_told_so_too(
    run: Run, daemon: FakeDaemon, socket: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    daemon.answers["POST /v1/messages"] = (202, RESULT)
    daemon.answers[f"GET /v1/messages/{ID}"] = message("queued", is_final=False)
    monkeypatch.setattr(screen, "pause", interrupt)
    result = run("send", *socket, "--to", "+4", "--wait", "x")
    assert (result.code, result.out) == (130, "")
    assert result.err == f"stentor: The message was accepted: see `stentor show {ID}`.\n"


def test_a_refusal_names_the_field_and_the_reason(
    run: Run, daemon: FakeDaemon, socket: tuple[str, str]
) -> None:
    detail = "a number has 15 digits at most"
    daemon.answers["POST /v1/messages"] = (
        422,
        {
            "title": "Unprocessable Content",
            "status": 422,
            "detail": detail,
            "errors": [{"path": "$.to", "detail": detail}],
        },
    )
    result = run("send", *socket, "--to", "+1", "x")
    assert (result.code, result.out, result.err) == (1, "", f"stentor: Refused: to: {detail}\n")


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ((503, {"title": "Unavailable", "detail": "the backlog is full"}), "Refused: the backlog is full"),
        ((409, {"title": "Conflict", "status": 409}), "Refused: Conflict"),
        ((500, b"oops"), "Refused with status 500 and no reason."),
        ((422, {"detail": "two faults", "errors": TWO_FAULTS}), "Refused: two faults\n  a: x\n  y"),
        ((200, b"<html>"), "is not stentor."),
    ],
)
def test_whatever_is_answered_becomes_a_sentence(
    run: Run, daemon: FakeDaemon, socket: tuple[str, str], answer: Any, sentence: str
) -> None:
    daemon.answers[f"DELETE /v1/messages/{ID}"] = answer
    result = run("cancel", *socket, ID)
    assert result.code == 1
    assert sentence in result.err
    assert "Traceback" not in result.err


def test_cancel_says_what_became_of_the_message(
    run: Run, daemon: FakeDaemon, socket: tuple[str, str]
) -> None:
    daemon.answers[f"DELETE /v1/messages/{ID}"] = message("cancelled")
    assert run("cancel", *socket, ID).out == f"{ID}  cancelled  gsm7, 1 segment\n"
    assert run("cancel", *socket, "--json", ID).json["status"] == "cancelled"


def test_an_id_is_never_part_of_another_path(run: Run, daemon: FakeDaemon, socket: tuple[str, str]) -> None:
    assert run("show", *socket, "../channels?x").code == 1
    assert daemon.requests[0][1] == "/v1/messages/..%2Fchannels%3Fx"


def test_show_tells_of_the_message_its_segments_and_its_timeline(
    run: Run, daemon: FakeDaemon, socket: tuple[str, str]
) -> None:
    entries = [
        {"at": "2027-01-15T08:00:00.123Z", "status": "queued"},
        {
            "at": "2027-01-15T08:00:03Z",
            "status": "rejected",
            "attempt": 1,
            "channel": "alpha",
            "error": ERROR,
        },
    ]
    daemon.answers[f"GET /v1/messages/{ID}"] = message("rejected", error=ERROR)
    daemon.answers[f"GET /v1/messages/{ID}/timeline"] = {"id": ID, "timeline": entries}
    out = run("show", *socket, ID).out
    for part in (
        "rejected",
        "a [bold] text",
        "c-5e6f",
        '{"a":1}',
        "bad_destination (carrier: 11): no such number",
    ):
        assert part in out
    assert "\x1b" not in out
    assert run("show", *socket, "--json", ID).json == message("rejected", error=ERROR) | {"timeline": entries}


def test_show_tells_what_a_carrier_charged(run: Run, daemon: FakeDaemon, socket: tuple[str, str]) -> None:
    charges = {"segments": 2, "price": "0.045", "currency": "EUR"}, {"segments": 1}, {"price": "1.5"}
    daemon.answers[f"GET /v1/messages/{ID}"] = message("sent")
    for charge, text in zip(charges, ("2 segments, 0.045 EUR", "1 segment", "1.5"), strict=True):
        entries = [{"at": "2027-01-15T08:00:00Z", "status": "sent", "attempt": 1, "charge": charge}]
        daemon.answers[f"GET /v1/messages/{ID}/timeline"] = {"id": ID, "timeline": entries}
        assert text in run("show", *socket, ID).out


def query(daemon: FakeDaemon, index: int = -1) -> dict[str, str]:
    found = parse_qs(urlsplit(daemon.requests[index][1]).query)
    return {name: values[0] for name, values in found.items()}


def test_every_filter_of_a_listing_is_passed_on(
    run: Run, daemon: FakeDaemon, socket: tuple[str, str]
) -> None:
    daemon.answers["GET /v1/messages"] = {"messages": [], "next": None}
    options = (
        "--status failed --to +4072 --from Shop --ref a&b --channel alpha --direction mt"
        " --since 2027-01-01T00:00:00Z --until 2027-01-02T00:00:00+02:00 --limit 7 --cursor c"
    )
    assert run("messages", *socket, *options.split()).out == "No message matches.\n"
    assert query(daemon) == {
        "status": "failed",
        "to": "+4072",
        "from": "Shop",
        "ref": "a&b",
        "channel": "alpha",
        "direction": "mt",
        "since": "2027-01-01T00:00:00.000Z",
        "until": "2027-01-01T22:00:00.000Z",
        "limit": "7",
        "cursor": "c",
    }


def test_since_may_be_how_long_ago(run: Run, daemon: FakeDaemon, socket: tuple[str, str]) -> None:
    daemon.answers["GET /v1/messages"] = {"messages": [], "next": None}
    run("messages", *socket, "--since", "2h")
    age = datetime.now(UTC) - datetime.fromisoformat(query(daemon)["since"])
    assert 7190 < age.total_seconds() < 7210


def paged(daemon: FakeDaemon, total: int) -> None:
    """Messages in pages, as the daemon gives them."""

    def answer(target: str) -> dict[str, Any]:
        asked = {name: values[0] for name, values in parse_qs(urlsplit(target).query).items()}
        first = int(asked.get("cursor", 0))
        last = min(first + int(asked["limit"]), total)
        found = [message(ref=str(number)) for number in range(first, last)]
        return {"messages": found, "next": str(last) if last < total else None}

    daemon.answers["GET /v1/messages"] = answer


@pytest.mark.parametrize(
    ("options", "count", "next", "requests"),
    [
        ((), 50, "50", 1),
        (("--limit", "1500"), 1500, "1500", 2),
        (("--limit", "9000"), 2500, None, 3),
        (("--all",), 2500, None, 3),
    ],
)
def test_pages_are_one_document(
    run: Run,
    daemon: FakeDaemon,
    socket: tuple[str, str],
    options: tuple[str, ...],
    count: int,
    next: str | None,
    requests: int,
) -> None:
    paged(daemon, 2500)
    found = run("messages", *socket, "--json", *options).json
    assert [each["ref"] for each in found["messages"]] == [str(number) for number in range(count)]
    assert found["next"] == next
    assert len(daemon.requests) == requests


def test_a_listing_has_one_line_a_message_and_one_header(
    run: Run, daemon: FakeDaemon, socket: tuple[str, str]
) -> None:
    paged(daemon, 1200)
    lines = run("messages", *socket, "--all").out.splitlines()
    assert len(lines) == 1201
    assert lines[0].split() == ["id", "submitted", "from", "to", "status", "seg", "text"]
    assert lines[1].startswith(f"{ID}  2027-01-15")
    assert lines[1].endswith("a [bold] text")


def test_a_listing_that_ends_early_says_how_it_goes_on(
    run: Run, daemon: FakeDaemon, socket: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.answers["GET /v1/messages"] = {"messages": [message("delivered")], "next": "32a66c9"}
    assert "32a66c9" not in run("messages", *socket, "--limit", "1").out
    monkeypatch.setattr(screen, "is_terminal", lambda stream=None: True)
    monkeypatch.setenv("NO_COLOR", "1")
    lines = run("messages", *socket, "--limit", "1").out.splitlines()
    assert lines[2:] == ["", "There are older ones: --all, or --cursor 32a66c9"]


def test_errors_have_a_column_where_there_are_any(
    run: Run, daemon: FakeDaemon, socket: tuple[str, str]
) -> None:
    segment = {"index": 1, "status": "sent", "carrier_id": "a", "sent_at": None, "final_at": None}
    entry = {"at": "2027-01-15T08:00:00Z", "status": "sent"}
    for error, words in ((None, 0), ({"code": "expired"}, 2)):
        parts = {"segment_list": [segment | {"error": error}]}
        daemon.answers[f"GET /v1/messages/{ID}"] = message("sent", is_final=False) | parts
        daemon.answers[f"GET /v1/messages/{ID}/timeline"] = {"timeline": [entry | {"error": error}]}
        tables = run("show", ID, *socket).out.partition("segment ")[2]
        assert (tables.count("error"), tables.count("expired")) == (words, words)


def test_a_text_of_several_lines_is_one_line_of_a_listing(
    run: Run, daemon: FakeDaemon, socket: tuple[str, str]
) -> None:
    page = {"messages": [message(text="a\nb\tc"), message(text=None)], "next": None}
    daemon.answers["GET /v1/messages"] = page
    out = run("messages", *socket).out
    assert len(out.splitlines()) == 3
    assert out.splitlines()[1].endswith("  a b c")


def test_what_a_handset_wrote_commands_no_terminal(
    run: Run, daemon: FakeDaemon, socket: tuple[str, str]
) -> None:
    error = ERROR | {"detail": "\x07"}
    hostile = message(text="\x1b[2J\u202edone", ref="\x9b31m", error=error) | {"from": "\x1b]0;x"}
    daemon.answers["GET /v1/messages"] = {"messages": [hostile], "next": None}
    daemon.answers[f"GET /v1/messages/{ID}"] = hostile
    daemon.answers[f"GET /v1/messages/{ID}/timeline"] = {"id": ID, "timeline": []}
    daemon.answers[f"DELETE /v1/messages/{ID}"] = (409, {"detail": "\x1b[2J"})
    for arguments in (("messages",), ("show", ID), ("cancel", ID)):
        result = run(arguments[0], *socket, *arguments[1:])
        shown = result.out + result.err
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", shown)
        assert r"\x1b" in shown


def test_events_are_shown_as_they_come_until_the_daemon_ends_them(
    run: Run, daemon: FakeDaemon, socket: tuple[str, str]
) -> None:
    stream = (
        b'id: 7\nevent: message.sent\ndata: {"id":"7","type":"message.sent","at":"2027-01-15T08:00:00Z",'
        b'"message":{"id":"m1","to":"+40722000111","from":null,"error":null}}\n\n'
        b'id: 8\ndata: {"id":"8","type":"channel.down","at":"2027-01-15T08:00:00Z",'
        b'"channel":{"name":"alpha","detail":"connection lost"}}\n\n'
    )
    daemon.answers["GET /v1/events"] = (200, stream)
    result = run("events", *socket, "--after", "6")
    assert daemon.requests[0][2]["last-event-id"] == "6"
    first, second = result.out.splitlines()
    assert first.endswith("message.sent         m1  – → +40722000111")
    assert second.endswith("channel.down         alpha  connection lost")
    assert (result.code, result.err) == (3, "stentor: The daemon ended the stream of events.\n")
    lines = run("events", *socket, "--json").out.splitlines()
    assert [line.startswith('{"id":"') for line in lines] == [True, True]


def test_a_refused_stream_of_events_is_a_refusal(
    run: Run, daemon: FakeDaemon, socket: tuple[str, str]
) -> None:
    daemon.answers["GET /v1/events"] = (400, {"detail": "not an event's id"})
    result = run("events", *socket, "--after", "x")
    assert (result.code, result.err) == (1, "stentor: Refused: not an event's id\n")


@pytest.mark.parametrize(("is_past", "hint"), [(True, "two hours ago"), (False, "two hours from now")])
def test_a_time_that_is_none_is_answered_with_how_to_write_it(is_past: bool, hint: str) -> None:
    with pytest.raises(CommandError, match=hint):
        moment("yesterday", is_past)


def test_a_refused_listing_writes_no_beginning_of_a_document(
    run: Run, daemon: FakeDaemon, socket: tuple[str, str]
) -> None:
    result = run("messages", *socket, "--json")
    assert (result.code, result.out, result.err) == (1, "", "stentor: Refused: there is no such thing\n")
    daemon.answers["GET /v1/messages"] = {"messages": [], "next": None}
    assert run("messages", *socket, "--json").json == {"messages": [], "next": None}


@pytest.mark.parametrize(
    "arguments",
    [
        ("send", "--to", "+40722000111", "caf\udce9"),
        ("show", "\udce9"),
        ("messages", "--ref", "\udce9"),
        ("channels", "pause", "\udce9"),
        ("phones", "show", "\udce9"),
        ("events", "--after", "\udce9"),
        ("status", "--account", "\udce9"),
    ],
)
def test_an_argument_that_is_no_text_is_wrong_usage(
    run: Run, daemon: FakeDaemon, socket: tuple[str, str], arguments: tuple[str, ...]
) -> None:
    result = run(*arguments, *socket)
    assert (result.code, result.out) == (2, "")
    assert "\\udce9" in result.err
    assert not daemon.requests


@pytest.mark.parametrize("account", ["é", "a\nb"])
def test_an_account_that_no_header_can_carry_is_wrong_usage(
    run: Run, daemon: FakeDaemon, socket: tuple[str, str], account: str
) -> None:
    assert run("status", *socket, "--account", account).code == 2
    assert not daemon.requests


def test_json_escapes_the_octets_of_an_argument_that_is_no_text(run: Run) -> None:
    result = run("carriers", "show", "\udce9", "--json")
    assert result.code == 1
    assert "\\udce9" in result.out
