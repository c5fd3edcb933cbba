"""What the simulated SMSC decides, without any socket."""

from collections.abc import Callable
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.peers.behaviour import (
    Behaviour,
    Delay,
    Judge,
    ReceiptForm,
    Shape,
    Throttle,
    parse_delay,
    parse_duration,
    parse_errors,
    parse_states,
)
from bench.peers.fast import FastReader
from bench.peers.options import parse_options
from stentor_smpp.hot import pack_submit_sm, submit_head, submit_tail
from stentor_smpp.pdu import HEADER, decode


@pytest.mark.parametrize(
    ("text", "delay"),
    [
        ("20ms", Delay(Shape.FIXED, 0.02)),
        ("2", Delay(Shape.FIXED, 2.0)),
        ("10-30ms", Delay(Shape.UNIFORM, 0.01, 0.03)),
        ("200ms-1.5s", Delay(Shape.UNIFORM, 0.2, 1.5)),
        ("exp:2s", Delay(Shape.EXPONENTIAL, 2.0)),
        ("0", Delay()),
    ],
)
def test_delays_are_read(text: str, delay: Delay) -> None:
    read = parse_delay(text)
    assert (read.shape, read.low_s, read.high_s) == (delay.shape, delay.low_s, delay.high_s)


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (parse_delay, "soon"),
        (parse_delay, "30ms-10ms"),
        (parse_duration, "5 days"),
        (parse_errors, "0x08=2"),
        (parse_errors, "0x08=0.6,0x0b=0.6"),
        (parse_states, "DELIVRD=x"),
    ],
)
def test_nonsense_is_refused(function: Callable[[str], object], text: str) -> None:
    with pytest.raises(ValueError):
        function(text)


def test_a_wrong_option_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_options(["--latency", "soon"])
    assert ended.value.code == 2
    assert "'soon' is no duration; 20ms, 1.5s and 2m are" in capsys.readouterr().err


def test_without_options_nothing_goes_wrong() -> None:
    assert parse_options([]).behaviour.is_plain
    assert not parse_options(["--lose", "0.1"]).behaviour.is_plain


@given(st.floats(1, 1000), st.lists(st.floats(0, 0.5), min_size=1, max_size=200), st.booleans())
def test_a_throttle_never_lets_more_pass_than_its_rate(
    rate: float, steps: list[float], is_window: bool
) -> None:
    throttle = Throttle(rate, is_window=is_window)
    now = passed = 0.0
    for step in steps:
        now += step
        while throttle.take(now):
            passed += 1
    # A window may be full at its end and again at the next one's beginning.
    burst = 2 * max(1.0, rate) if is_window else max(1.0, rate / 10)
    assert passed <= burst + rate * now + 1e-6


def test_decisions_follow_from_the_seed() -> None:
    behaviour = Behaviour(
        latency=Delay(Shape.UNIFORM, 0.0, 1.0), errors=((8, 0.3),), lost=0.2, receipt_twice=0.5, drop=0.1
    )

    def decide(seed: int) -> list[object]:
        judge = Judge(behaviour, seed)
        return [judge.judge(float(n)) for n in range(50)]

    assert decide(7) == decide(7)
    assert decide(7) != decide(8)


def _submit(sequence: int, number: int, registered: int) -> bytes:
    body = pack_submit_sm(
        submit_head("", 5, 0, ("stentor", "shop")[number % 2], 1, 1),
        "40700000000"[: 5 + number % 7],
        submit_tail(registered_delivery=registered, validity_period=("", "000002000000000R")[number % 2]),
        b"text" * number,
    )
    return HEADER.pack(16 + len(body), 4, 0, sequence) + body


def _reader() -> FastReader:
    reader = FastReader(count(1), ReceiptForm.TEXT, "DELIVRD", 1000)
    reader.is_bound = reader.is_receiver = True
    return reader


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 1)), max_size=20), st.integers(1, 50))
def test_the_fast_way_reads_the_same_in_any_pieces(messages: list[tuple[int, int]], size: int) -> None:
    octets = b"".join(_submit(n, number, wants) for n, (number, wants) in enumerate(messages, 1))
    whole, pieces = _reader(), _reader()
    whole.read(octets, b"2701010000")
    for start in range(0, len(octets), size):
        pieces.read(octets[start : start + size], b"2701010000")
    assert b"".join(whole.output) == b"".join(pieces.output)
    assert whole.submits == len(messages)
    assert len(whole.outstanding) == sum(wants for _, wants in messages)
    pdu = b"".join(whole.output)
    while pdu:
        length = int.from_bytes(pdu[:4], "big")
        assert decode(pdu[:length]).command in ("submit_sm_resp", "deliver_sm")
        pdu = pdu[length:]
