"""Log lines: what is in them, what never is, and what happens when they repeat."""

import asyncio
import io
import logging
import pathlib
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor.aio.logs import REPEAT_INTERVAL_S, REPEAT_KEYS, Logs, Masker
from stentor.driver import Log
from stentor.message import Priority

NUMBER = "+40722000111"
DIGITS = "40722000111"
TEXT = "Canary text 5e6f"
SECRET = "canary-secret"


class Sink:
    """A log written to memory, with a clock that stands still."""

    def __init__(self, level: str = "debug", reveal: bool = False, style: str = "json") -> None:
        self.now = 1000.0
        self.stream = io.BytesIO()
        self.logs = Logs(
            level, style, reveal, self.stream, now=lambda: self.now, wall=lambda: 1_800_000_000.25
        )
        self.log: Log = self.logs.logger()

    def text(self) -> str:
        text = self.stream.getvalue().decode()
        self.stream.seek(0)
        self.stream.truncate()
        return text

    def lines(self) -> list[dict[str, Any]]:
        return [msgspec.json.decode(line) for line in self.text().split("\n")[:-1]]


def test_a_line_is_one_json_object_with_time_level_and_event_first() -> None:
    sink = Sink()
    sink.logs.logger(channel="alpha").info("bound", lane="0", window=10, rate=0.5, paused=False, peer=None)
    line = sink.text()
    assert line == (
        '{"time":"2027-01-15T08:00:00.250Z","level":"info","event":"bound","channel":"alpha","lane":"0",'
        '"window":10,"rate":0.5,"paused":false,"peer":null}\n'
    )


def test_a_value_cannot_pass_itself_off_as_the_level_or_the_time() -> None:
    sink = Sink()
    sink.log.info("x", level="error", time="never")
    assert sink.lines()[0]["level"] == "info"


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_lines_below_the_level_are_not_written_and_the_level_changes_for_all_loggers(level: str) -> None:
    sink = Sink("error")
    old = sink.logs.logger(channel="alpha")
    order = ["debug", "info", "warning", "error"]
    sink.logs.set_level(level)
    for each in order:
        getattr(old, each)(f"event {each}")
    assert [line["level"] for line in sink.lines()] == order[order.index(level) :]


@pytest.mark.parametrize(
    "values",
    [
        {"to": NUMBER},
        {"to": DIGITS},
        {"originator": int(DIGITS)},
        {"to": [NUMBER, DIGITS]},
        {"detail": f"refused {NUMBER}, unknown"},
        {"detail": f"refused 00{DIGITS}"},
        {"detail": "refused +40 722 000 111"},
        {"detail": "refused 0722-000-111"},
        {"status": {"lanes": [{"to": NUMBER}]}},
        {"error": ValueError(f"bad {NUMBER}")},
        {"answer": f'{{"to":"{NUMBER}"}}'},
        {"peer": NUMBER},
    ],
)
def test_no_phone_number_is_written_wherever_it_stands(values: dict[str, Any]) -> None:
    sink = Sink()
    sink.log.debug("event", **values)
    text = sink.text()
    assert "722000" not in re.sub(r"[ -]", "", text)
    assert "11" in text, "the last two digits tell one number from another"


def test_a_phone_number_in_the_event_itself_is_masked() -> None:
    sink = Sink()
    sink.log.warning(f"no route to {NUMBER}")
    assert sink.lines()[0]["event"] == "no route to +407******11"


@pytest.mark.parametrize(
    "values",
    [
        {"text": TEXT},
        {"body": TEXT.encode()},
        {"detail": TEXT.encode()},
        {"short_message": [TEXT]},
        {"metadata": {"note": TEXT}},
        {"message": msgspec.defstruct("Message", [("text", str)])(TEXT)},
        {"batch": [{"text": TEXT}]},
        {"batch": object()},
    ],
)
def test_no_text_and_no_octets_are_written(values: dict[str, Any]) -> None:
    sink = Sink()
    sink.log.debug("event", **values)
    text = sink.text()
    assert TEXT not in text
    assert TEXT.encode().hex() not in text


@pytest.mark.parametrize("reveal", [False, True])
@pytest.mark.parametrize(
    "key", ["password", "Authorization", "api_key", "webhook_secret", "token", "set-cookie", "signature"]
)
def test_a_secret_is_never_written_even_when_all_else_is_revealed(key: str, reveal: bool) -> None:
    sink = Sink(reveal=reveal)
    sink.log.info("event", **{key: SECRET, "headers": {key: [SECRET]}})
    assert SECRET not in sink.text()


def test_what_is_no_number_stays_readable() -> None:
    sink = Sink()
    id = "01234567-89ab-7cde-8f01-234567890123"
    values = {
        "id": id,
        "detail": f"message {id} on 127.0.0.1:2775 at 2027-01-15T08:00:00.250Z",
        "carrier_id": "123456789012",
        "octets_written": 123456789012,
        "from_": "Example",
        "to": "1234",
        "priority": Priority.URGENT,
        "path": pathlib.Path("/var/lib/stentor"),
    }
    sink.log.info("event", **values)
    line = sink.lines()[0]
    assert {**values, "priority": "urgent", "path": "/var/lib/stentor"}.items() <= line.items()


def test_reveal_shows_numbers_and_texts_and_can_be_switched() -> None:
    sink = Sink()
    sink.logs.set_reveal(True)
    sink.log.info("event", to=NUMBER, text=TEXT, pdu=b"\x00\x01")
    assert {"to": NUMBER, "text": TEXT, "pdu": "0001"}.items() <= sink.lines()[0].items()
    sink.logs.set_reveal(False)
    sink.log.info("event", to=NUMBER)
    assert NUMBER not in sink.text()


def test_an_exception_is_told_with_its_place_and_without_locals() -> None:
    sink = Sink()
    local = TEXT
    try:
        raise ValueError(f"cannot send to {NUMBER}") if local else AssertionError
    except ValueError as error:
        sink.log.error("failed", exc_info=error)
    line = sink.lines()[0]
    assert "test_logs.py" in line["exception"]
    assert "ValueError: cannot send to +407******11" in line["exception"]
    assert TEXT not in str(line)


_TEXTS = st.text(st.characters(exclude_categories=()))  # with lone surrogates, as broken paths have them
_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _TEXTS | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)


@given(_TEXTS, st.dictionaries(st.from_regex("[a-z_]{1,10}", fullmatch=True), _ANY, max_size=4))
def test_whatever_is_logged_is_one_line_of_json(event: str, values: dict[str, Any]) -> None:
    sink = Sink()
    for key in ("event", "self", "exc_info"):
        values.pop(key, None)
    sink.log.info(event, **values)
    assert len(sink.lines()) == 1


@given(st.text(alphabet="+0123456789 x", max_size=40))
def test_no_seven_digits_in_a_row_survive_masking(text: str) -> None:
    assert not re.search(r"\d{7}", re.sub(r"\b0x0000[0-9A-Fa-f]{4}\b", "", Masker().text(text)))


def test_a_carriers_status_is_not_taken_for_a_number() -> None:
    assert Masker().text("throttled with 0x00000058") == "throttled with 0x00000058"
    assert "46701234567" not in Masker().text("0x0000005846701234567")


def test_values_nested_without_end_are_cut_off() -> None:
    value: list[Any] = []
    value.append(value)
    assert "[…]" in str(Masker().value("x", value))


# -- repetition --------------------------------------------------------------------------------


def test_a_repeated_warning_is_written_once_and_then_counted_once_in_ten_seconds() -> None:
    sink = Sink()
    for _ in range(100):
        sink.log.warning("no route", channel="alpha")
    sink.log.warning("no route", channel="beta")
    sink.log.error("no route", channel="alpha")
    assert [(line["channel"], line["level"]) for line in sink.lines()] == [
        ("alpha", "warning"),
        ("beta", "warning"),
        ("alpha", "error"),
    ]
    sink.now += REPEAT_INTERVAL_S
    sink.log.warning("no route", channel="alpha")
    assert [line.get("repeated") for line in sink.lines()] == [99]


def test_what_was_counted_is_told_even_when_nothing_follows() -> None:
    sink = Sink()
    for _ in range(5):
        sink.log.warning("no route", channel="alpha")
    sink.text()
    sink.logs.flush()
    assert sink.lines() == []
    sink.now += REPEAT_INTERVAL_S
    sink.logs.flush()
    (line,) = sink.lines()
    assert (line["event"], line["level"], line["channel"], line["repeated"]) == (
        "no route",
        "warning",
        "alpha",
        4,
    )
    sink.now += REPEAT_INTERVAL_S
    sink.logs.flush()
    assert sink.lines() == []


def test_at_the_end_everything_counted_is_told() -> None:
    sink = Sink()
    for _ in range(3):
        sink.log.warning("x")
    sink.logs.flush(everything=True)
    assert sink.lines()[-1]["repeated"] == 2


def test_information_may_repeat() -> None:
    sink = Sink()
    for _ in range(3):
        sink.log.info("session up")
    assert len(sink.lines()) == 3


def test_different_warnings_without_end_take_bounded_memory() -> None:
    sink = Sink()
    for number in range(REPEAT_KEYS + 50):
        sink.log.warning(f"warning {number:04}")
    assert len(sink.lines()) == REPEAT_KEYS + 50
    assert len(sink.logs._repeats._seen) == REPEAT_KEYS


# -- streams --------------------------------------------------------------------------------


class BrokenStream(io.BytesIO):
    """A pipe whose reader comes and goes."""

    is_broken = True

    def write(self, data: Any) -> int:
        if self.is_broken:
            raise BrokenPipeError
        return super().write(data)


def test_a_log_nobody_reads_stops_nothing_and_tells_of_it_later() -> None:
    stream = BrokenStream()
    log = Logs("info", "json", stream=stream).logger()
    log.info("one")
    log.info("two")
    stream.is_broken = False
    log.info("three")
    lines = [msgspec.json.decode(line) for line in stream.getvalue().splitlines()]
    assert [(line["event"], line.get("count")) for line in lines] == [("log lines lost", 2), ("three", None)]


def test_the_console_style_is_columns_with_the_same_masking() -> None:
    sink = Sink(style="console")
    sink.log.warning("no route", to=NUMBER, channel="alpha")
    text = sink.text()
    assert text.startswith("08:00:00.250 [warning  ] no route")
    assert "to=+407******11" in text
    assert "\x1b" not in text


class Terminal(io.BytesIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environ", "is_coloured"),
    [({}, True), ({"NO_COLOR": ""}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
)
def test_a_terminal_has_colours_unless_somebody_minds(
    environ: dict[str, str], is_coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    stream = Terminal()
    Logs(stream=stream).logger().warning("no route")
    assert (b"\x1b" in stream.getvalue()) is is_coloured


def test_no_terminal_means_json() -> None:
    sink = Sink(style="auto")
    sink.log.info("x")
    assert sink.lines()[0]["event"] == "x"


def test_the_standard_library_s_warnings_come_in_and_its_debugging_does_not() -> None:
    sink = Sink()
    handler = sink.logs.take_standard()
    try:
        logging.getLogger("asyncio").error("Task of %s was lost", NUMBER)
        logging.getLogger("aiosqlite").debug("executing %s", TEXT)
    finally:
        logging.getLogger().removeHandler(handler)
    (line,) = sink.lines()
    assert (line["event"], line["logger"]) == ("Task of +407******11 was lost", "asyncio")


def test_an_exception_lost_in_the_loop_is_logged() -> None:
    sink = Sink()
    handler = sink.logs.take_standard()

    async def lose() -> None:
        asyncio.get_running_loop().call_exception_handler({"message": "lost", "exception": ValueError("x")})

    try:
        asyncio.run(lose())
    finally:
        logging.getLogger().removeHandler(handler)
    assert "ValueError: x" in sink.lines()[0]["exception"]
