"""The small things a message is made of, each alone on one core: codec, session, receipts, texts, ids, its turn.

A batch is what the daemon handles at once: a read of a few hundred PDUs, a submit of as many. Each case counts
what came out of it, not what went in, so that none can be fast by doing nothing. Figures are items a second of
CPU time, the best of several rounds.
"""

import os
import time
from collections.abc import Callable
from functools import cache
from itertools import count
from random import Random
from typing import Any, Final

import msgspec

from bench.harness import BenchError
from bench.scenario import Figure, Result, Scenario, Size
from stentor.ids import IdGenerator, id_octets, parse_id
from stentor.message import Message, Priority
from stentor.outcome import Submission
from stentor.scheduling.scheduler import ChannelQueue
from stentor.text import gsm0338
from stentor.text.segments import Encoding, split
from stentor_smpp import fields as f
from stentor_smpp.config import SMPPConfig
from stentor_smpp.detect import Ids
from stentor_smpp.dlr import read_receipt
from stentor_smpp.events import Receipts, Responses
from stentor_smpp.link import SessionSettings
from stentor_smpp.matching import Mode
from stentor_smpp.pdu import PDU, decode, encode
from stentor_smpp.reports import Reports
from stentor_smpp.session import Session
from stentor_smpp.states import Role
from stentor_smpp.submitting import Packer

BATCH: Final = 500
ROUNDS: Final = 5
WALL_MS: Final = 1_800_000_000_000
TEXT: Final = "Your parcel arrives today between 14:00 and 16:00. Track it at example.com/t"
LONG_TEXT: Final = TEXT * 5 + "[€]"
LONG_SEGMENTS: Final = 3
RECEIPT: Final = (
    "id:{:013x} sub:001 dlvrd:001 submit date:2701010000 done date:2701010001 "
    "stat:DELIVRD err:000 text:Your parcel"
)
_CONFIG: Final = SMPPConfig(host="x", system_id="bench", validity="none")
_REPORTS: Final = Reports(_CONFIG, Ids(Mode.FOLD))


class Case(msgspec.Struct, frozen=True):
    """One figure. ``prepare`` makes what one batch needs and is not timed; ``do`` does the batch and says how many
    items came out of it. ``at_least`` is items a second."""

    name: str
    prepare: Callable[[], Any]
    do: Callable[[Any], int]
    at_least: float
    note: str = ""


# -- what is read and sent -----------------------------------------------------------------------------------


def whole(pdu: PDU) -> PDU:
    """With every field, as a peer's PDUs are."""
    found = decode(encode(pdu))
    assert isinstance(found, PDU)
    return found


def submit_sm(sequence: int) -> PDU:
    short = {"destination_addr": f"407{sequence:08d}", "short_message": gsm0338.encode(TEXT)}
    numbers = {"source_addr_ton": 5, "dest_addr_ton": 1, "dest_addr_npi": 1, "registered_delivery": 1}
    return whole(PDU(f.SUBMIT_SM, 0, sequence, {"source_addr": "Stentor", **short, **numbers}))


def receipt(sequence: int) -> PDU:
    """A deliver_sm in the usual words (SMPP 3.4 appendix B)."""
    text = RECEIPT.format(sequence).encode("ascii")
    fields = {"source_addr": f"407{sequence:08d}", "destination_addr": "Stentor", "esm_class": 0x04}
    return whole(PDU(f.DELIVER_SM, 0, sequence, {**fields, "short_message": text}))


def response(sequence: int) -> PDU:
    return PDU(f.SUBMIT_SM_RESP, 0, sequence, {"message_id": f"{sequence:013x}"})


def small(sequence: int) -> PDU:
    """What most PDUs of a session are: answers and signs of life."""
    if sequence % 4 == 0:
        return PDU(f.ENQUIRE_LINK, 0, sequence)
    return (
        PDU(f.DELIVER_SM_RESP, 0, sequence, {"message_id": ""}) if sequence % 4 == 1 else response(sequence)
    )


@cache
def stream(make: Callable[[int], PDU]) -> bytes:
    """A batch of PDUs. They begin at 2: 1 is the number of the bind."""
    return b"".join(encode(make(n)) for n in range(2, BATCH + 2))


@cache
def batch(make: Callable[[int], PDU]) -> list[PDU]:
    return [make(n) for n in range(2, BATCH + 2)]


# -- the session, as the driver runs it ----------------------------------------------------------------------


def bound_session() -> Session:
    settings = SessionSettings(Role.ESME, window=BATCH, peer_window=BATCH, reads_receipts=True)
    session = Session(settings, 0.0)
    session.bind(f.BIND_TRANSCEIVER, {"system_id": "bench", "interface_version": 0x34}, 0.0)
    session.drain_output()
    session.receive(encode(PDU(f.BIND_TRANSCEIVER | f.RESPONSE_BIT, 0, 1, {"system_id": "SMSC"})), 0.0)
    session.drain_events()
    return session


def waiting_session() -> Session:
    """Bound, with a batch of submissions that wait for their answers."""
    session = bound_session()
    session.submit([(n, b"") for n in range(BATCH)], 0.0)
    session.drain_output()
    return session


def submissions() -> tuple[Session, Packer, list[Submission]]:
    data = gsm0338.encode(TEXT)
    made = [
        Submission(
            n << 8, 1, f"+407{n:08d}", "Stentor", Encoding.GSM7, data, b"", 1, 1, True, 7200, Priority.NORMAL
        )
        for n in range(BATCH)
    ]
    return bound_session(), Packer(_CONFIG), made


def submit(made: tuple[Session, Packer, list[Submission]]) -> int:
    """Pack, submit, and take the octets for the socket."""
    session, packer, submissions = made
    session.submit([(each, packer.pack(each, 0)) for each in submissions], 0.0)
    return len(session.drain_output()) // len(encode(submit_sm(1)))


def read_responses(session: Session) -> int:
    session.receive(stream(response), 0.0)
    return sum(len(event.responses) for event in session.drain_events() if isinstance(event, Responses))


def read_receipts(session: Session) -> int:
    """Read, find the key to match by, acknowledge."""
    session.receive(stream(receipt), 0.0)
    count = 0
    for event in session.drain_events():
        if isinstance(event, Receipts):
            items, _ = _REPORTS.usual(event.receipts)
            session.respond((each, 0) for each in event.receipts)
            count += len(items)
    return min(count, len(session.drain_output()) // 17)


# -- the codec and what else there is ------------------------------------------------------------------------


def decode_all(octets: bytes) -> int:
    at = count = 0
    while at < len(octets):
        count += isinstance(decode(octets, at), PDU)
        at += int.from_bytes(octets[at : at + 4], "big")
    return count


def encode_all(pdus: list[PDU]) -> int:
    return sum(map(bool, map(encode, pdus)))


def read_any_receipts(pdus: list[PDU]) -> int:
    found = [read_receipt(pdu) for pdu in pdus]
    return sum(1 for each in found if each is not None and each.is_final)


def encode_texts(text: str) -> int:
    encode_gsm = gsm0338.encode
    return sum(1 for _ in range(BATCH) if encode_gsm(text))


def split_texts(text: str) -> int:
    return sum(len(split(text, Encoding.GSM7, n)) == LONG_SEGMENTS for n in range(BATCH))


def format_ids(generator: IdGenerator) -> int:
    return len({id_octets(*generator.next(WALL_MS)) for _ in range(BATCH)})


def parse_ids(texts: list[str]) -> int:
    return sum(1 for text in texts if parse_id(text) is not None)


def id_texts() -> list[str]:
    generator = IdGenerator(os.urandom)
    return [id_octets(*generator.next(WALL_MS)).decode() for _ in range(BATCH)]


# -- the scheduler -------------------------------------------------------------------------------------------


class Crowd:
    """Who goes next among 100,000 messages: 100 channels, 1,000 accounts, all priorities. What is taken is given back,
    so that as many wait at any time."""

    CHANNELS: Final = 100
    ACCOUNTS: Final = 1000
    MESSAGES: Final = 100_000

    def __init__(self) -> None:
        random = Random(1)
        self.queues = [ChannelQueue() for _ in range(self.CHANNELS)]
        self._turn = count()
        for n in range(self.MESSAGES):
            account, priority = f"account-{random.randrange(self.ACCOUNTS)}", Priority(random.randrange(4))
            message = Message(n << 8, 0, account, "+407", "", "", Encoding.GSM7, 1, 0, n, 0, ("a",), priority)
            self.queues[n % self.CHANNELS].put(message)

    def trade(self, budget: int) -> int:
        """Take and give back, ``budget`` at a time and from one channel after the other: each is an operation."""
        done = 0
        while done < BATCH:
            queue = self.queues[next(self._turn) % self.CHANNELS]
            taken = queue.take(budget)
            for message in taken:
                queue.put(message)
            done += 2 * len(taken)
        return done


crowd: Final = cache(Crowd)


_HOT: Final = "what the driver runs"
_CROWD: Final = "1,000 accounts, 100 channels, 100,000 messages, all priorities"
_GENERIC: Final = "the codec for every kind of PDU; off the hot path"

CASES: Final = (
    Case("session: submissions packed and submitted", submissions, submit, 400_000, _HOT),
    Case("session: submit_sm_resp read", waiting_session, read_responses, 300_000, _HOT),
    Case("session: receipts read, keyed and answered", bound_session, read_receipts, 150_000, _HOT),
    Case("codec: small PDUs decoded", lambda: stream(small), decode_all, 300_000, _GENERIC),
    Case("codec: submit_sm decoded", lambda: stream(submit_sm), decode_all, 250_000, _GENERIC),
    Case("codec: submit_sm encoded", lambda: batch(submit_sm), encode_all, 400_000, _GENERIC),
    Case(
        "receipts read from PDUs",
        lambda: batch(receipt),
        read_any_receipts,
        150_000,
        "unusual shapes take longer",
    ),
    Case("texts to GSM 7-bit, 76 characters", lambda: TEXT, encode_texts, 1_000_000),
    Case("texts cut into 3 segments", lambda: LONG_TEXT, split_texts, 50_000),
    Case("ids made and formatted", lambda: IdGenerator(os.urandom), format_ids, 500_000),
    Case("ids parsed", id_texts, parse_ids, 300_000),
    Case("scheduler: taken and given, ten at a time", crowd, lambda made: made.trade(10), 400_000, _CROWD),
    Case("scheduler: taken and given, one by one", crowd, lambda made: made.trade(1), 400_000, _CROWD),
)


def measure(case: Case, period_s: float) -> float:
    """Items a second of CPU time: the best of some rounds. Raises BenchError when an item is missing."""
    best = 0.0
    for _ in range(ROUNDS):
        count, spent_ns = 0, 0
        while spent_ns < period_s / ROUNDS * 1e9:
            made = case.prepare()
            started_ns = time.process_time_ns()
            done = case.do(made)
            spent_ns += time.process_time_ns() - started_ns
            if done != BATCH:
                raise BenchError(f"{case.name}: {done} of {BATCH} came out")
            count += done
        best = max(best, count / spent_ns * 1e9)
    return best


def run(size: Size) -> Result:
    period_s = size.pick(1.0, 0.25, 0.001)
    figures = []
    for case in CASES:
        per_second = measure(case, period_s)
        note = f"{1e6 / per_second:.2f} µs each" + (f"; {case.note}" if case.note else "")
        figures.append(Figure(case.name, per_second, "/s", at_least=case.at_least, note=note))
    return Result(figures)


SCENARIO = Scenario(
    name="micro",
    summary="codec, session, receipts, texts, ids and scheduler, each alone on one core, in batches of 500",
    limit="The interpreter: nothing here waits.",
    estimate="Of the 35 µs a message has, packing and submitting take 1.2, reading the answer 0.6, the receipt 3.5, "
    "the id 0.8, the text 0.3; to put it in a queue and take it out at most 5. The generic codec takes 2.5 either way.",
    refutation="A figure of the driver's own way below that of the generic codec: then the fast path is not taken.",
    run=run,
)
