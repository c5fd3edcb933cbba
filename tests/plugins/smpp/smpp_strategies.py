"""What the SMPP tests share: the worked examples, PDUs of every kind, and a bound session."""

import itertools
import json
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from stentor_smpp import pdu as codec
from stentor_smpp.fields import (
    BIND_TRANSCEIVER,
    DATA_SM,
    DELIVER_SM,
    DESTINATION_FIELDS,
    FAILURE_FIELDS,
    LAYOUTS,
    RESPONSE_BIT,
    SUBMIT_SM,
    SUBMIT_SM_RESP,
    Field,
    Kind,
)
from stentor_smpp.link import SessionSettings
from stentor_smpp.pdu import PDU
from stentor_smpp.session import Session
from stentor_smpp.states import Role
from stentor_smpp.tlvs import MESSAGE_PAYLOAD

_DATA = Path(__file__).parents[2] / "data" / "smpp_examples.json"
EXAMPLES: list[dict[str, Any]] = json.loads(_DATA.read_text())["examples"]
HEX = {example["id"]: bytes.fromhex(example["hex"]) for example in EXAMPLES}


def example_pdu(example: dict[str, Any]) -> PDU:
    """The PDU an example describes in fields."""
    given = dict(example["fields"])
    command_id = next(number for number, layout in LAYOUTS.items() if layout.name == given["command"])
    fields = {
        name: bytes.fromhex(value) if name == "short_message" else value
        for name, value in given.items()
        if name not in ("command", "command_status", "sequence_number", "tlvs", "no_body")
    }
    tlvs = tuple((tlv["tag"], bytes.fromhex(tlv["value"])) for tlv in given["tlvs"])
    return PDU(command_id, given["command_status"], given["sequence_number"], fields, tlvs)


def _string(longest: int) -> st.SearchStrategy[str]:
    return st.binary(max_size=longest).map(lambda octets: octets.replace(b"\0", b"?").decode("latin-1"))


def _value(field: Field) -> st.SearchStrategy[Any]:
    if field.kind is Kind.INTEGER:
        return st.integers(0, (1 << (8 * field.size)) - 1)
    if field.kind is Kind.STRING:
        return _string(field.size - 1)
    if field.kind is Kind.TIME:
        return st.just("") | st.just("000000060000000R")
    if field.kind is Kind.TEXT:
        return st.binary(max_size=255)
    if field.kind is Kind.DESTINATIONS:
        entries = [
            st.builds(lambda entry, flag=flag: {"dest_flag": flag, **entry}, _entry(fields))
            for flag, fields in DESTINATION_FIELDS.items()
        ]
        return st.lists(st.one_of(entries), min_size=1, max_size=5)
    return st.lists(_entry(FAILURE_FIELDS), max_size=5)


def _entry(fields: tuple[Field, ...]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({field.name: _value(field) for field in fields})


def _body(command_id: int) -> st.SearchStrategy[dict[str, Any]]:
    return _entry(LAYOUTS[command_id].fields)


tlv_lists = st.lists(st.tuples(st.integers(0, 0xFFFF), st.binary(max_size=40)), max_size=5).map(tuple)


@st.composite
def pdus(draw: st.DrawFn, command_ids: tuple[int, ...] = tuple(LAYOUTS)) -> PDU:
    """Any PDU that can be encoded."""
    command_id = draw(st.sampled_from(command_ids))
    tlvs = draw(tlv_lists)
    if command_id == DATA_SM:
        tlvs += ((MESSAGE_PAYLOAD, b"payload"),)
    status = draw(st.integers(0, 0xFFFFFFFF)) if command_id & RESPONSE_BIT else 0
    sequence = draw(st.integers(0, 0xFFFFFFFF))
    return PDU(command_id, status, sequence, draw(_body(command_id)), tlvs)


def split(octets: bytes, cuts: list[int]) -> list[bytes]:
    """``octets`` cut at the given places, taken modulo its length."""
    places = sorted({cut % (len(octets) + 1) for cut in cuts} | {0, len(octets)})
    return [octets[start:end] for start, end in itertools.pairwise(places)]


def esme(now: float = 0.0, first_sequence: int = 1, **settings: Any) -> Session:
    """An ESME that is connected."""
    return Session(SessionSettings(Role.ESME, **settings), now, first_sequence)


def mc(now: float = 0.0, **settings: Any) -> Session:
    """An MC that is connected."""
    return Session(SessionSettings(Role.MC, **settings), now)


CREDENTIALS = {"system_id": "stentor", "password": "secret", "interface_version": 0x34}


def bound_esme(
    now: float = 0.0, command_id: int = BIND_TRANSCEIVER, first_sequence: int = 1, **settings: Any
) -> Session:
    """An ESME whose bind was accepted, with nothing left to drain."""
    session = esme(now, first_sequence, **settings)
    session.bind(command_id, CREDENTIALS, now)
    sequence = sent(session)[0].sequence
    response = PDU(command_id | RESPONSE_BIT, 0, sequence, {"system_id": "MC"}, ((0x0210, b"\x34"),))
    session.receive(codec.encode(response), now)
    session.drain_events()
    return session


def bound_mc(now: float = 0.0, command_id: int = BIND_TRANSCEIVER, **settings: Any) -> Session:
    """An MC that accepted a bind, with nothing left to drain."""
    session = mc(now, **settings)
    bind = PDU(command_id, 0, 1, {"system_id": "stentor", "interface_version": 0x34})
    session.receive(codec.encode(bind), now)
    (event,) = session.drain_events()
    session.accept_bind(event.pdu, "MC", now)  # type: ignore[union-attr]  # it was checked above
    session.drain_events()
    session.drain_output()
    return session


def sent(session: Session) -> list[PDU]:
    """The PDUs a session has to send."""
    octets = session.drain_output()
    found = []
    at = 0
    while at < len(octets):
        pdu = codec.decode(octets, at)
        assert isinstance(pdu, PDU), pdu
        found.append(pdu)
        at += int.from_bytes(octets[at : at + 4], "big")
    return found


def header(command_id: int, status: int, sequence: int, body: bytes = b"") -> bytes:
    """A PDU from its parts, right or wrong."""
    return codec.HEADER.pack(16 + len(body), command_id, status, sequence) + body


BODY = codec.encode_body(SUBMIT_SM, {"destination_addr": "46701234567", "short_message": b"hi"})
_DELIVER = {"source_addr": "46701234567", "destination_addr": "1", "short_message": b"JOIN"}


def deliver(sequence: int, **fields: Any) -> bytes:
    """A deliver_sm."""
    return codec.encode(PDU(DELIVER_SM, 0, sequence, {**_DELIVER, **fields}))


def response(
    sequence: int, message_id: str = "id", status: int = 0, command_id: int = SUBMIT_SM_RESP
) -> bytes:
    """The answer to a submit_sm."""
    fields = {} if status else {"message_id": message_id}
    return codec.encode(PDU(command_id, status, sequence, fields))


def submitted(session: Session, *tokens: Any, now: float = 0.0) -> list[int]:
    """The sequence numbers under which tokens went out."""
    session.submit([(token, BODY) for token in tokens], now)
    return [pdu.sequence for pdu in sent(session)]


def events(session: Session, data: bytes = b"", now: float = 0.0) -> list[Any]:
    """What a session has to say about some octets."""
    session.receive(data, now)
    return session.drain_events()
