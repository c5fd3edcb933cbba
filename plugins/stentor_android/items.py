"""A message given to a phone: its id there, and how far it is known to have come.

An id names the submission's token and attempt and carries a short authenticator of both and of the phone's own id. So
a report proves by itself that this message was given to this phone, also when a restart has forgotten everything.
"""

import base64
import hashlib
from typing import Final

import msgspec

from stentor.message import Priority
from stentor.outcome import Refused, Submission
from stentor.text.segments import Encoding
from stentor_android.dates import date_text
from stentor_android.protocol import DataMessage, Listed, TextMessage
from stentor_android.states import State
from stentor_android.wishes import wish

_TAG_OCTETS: Final = 5
_PORTS: Final = bytes.fromhex("060504")
PRIORITIES: Final = {Priority.URGENT: 100, Priority.HIGH: 50, Priority.NORMAL: 0, Priority.BULK: -50}
"""From 100 on a phone skips its own delays; ours are kept by the server."""


class Item(msgspec.Struct, eq=False):
    """One submission on one SIM of one phone.

    ``sent_to`` is the destination as the phone is told it, encrypted or not; reports repeat it. ``content`` is the text
    likewise. ``slot`` 0 lets the phone choose. ``due_at`` is when something is to be done if nothing is heard.
    ``is_asked``: it is listed once more, to learn how it stands. ``is_withdrawn``: the phone is asked to take it back;
    ``is_recalled``: because its client cancelled it.
    """

    submission: Submission
    id: str
    device_id: str
    slot: int
    parts: int
    sent_to: str
    content: str
    created_at_ms: int
    valid_until_ms: int
    state: State = State.UNLISTED
    due_at: float = 0.0
    woken_at: float = 0.0
    is_asked: bool = False
    is_withdrawn: bool = False
    is_recalled: bool = False
    is_encrypted: bool = False

    @property
    def match_id(self) -> str:
        """The form in which receipts name it."""
        return match_id(self.id, self.device_id)

    @property
    def is_listed(self) -> bool:
        """Does it belong in the answer to the next pull?"""
        return self.state <= State.LISTED or self.is_asked or self.is_withdrawn


def make_id(key: bytes, device_id: str, token: int, attempt: int, times: int = 0) -> str:
    """At most 36 characters, none of them ``|``; the same for the same arguments. ``times``: so often phones took this
    attempt back, which know the ids of that and would not send it."""
    name = f"{token:x}-{attempt:x}.{times:x}" if times else f"{token:x}-{attempt:x}"
    return f"{name}-{_tag(key, device_id, name)}"


def read_id(key: bytes, device_id: str, item_id: str) -> tuple[int, int] | None:
    """Token and attempt of an id that was made for this phone; None for any other text."""
    name, _, tag = item_id.rpartition("-")
    if len(item_id) > 36 or tag != _tag(key, device_id, name):
        return None
    token, _, attempt = name.partition("-")
    return int(token, 16), int(attempt.partition(".")[0], 16)


def _tag(key: bytes, device_id: str, name: str) -> str:
    octets = f"{device_id}/{name}".encode()
    return hashlib.blake2s(octets, digest_size=_TAG_OCTETS, key=key).hexdigest()


def match_id(item_id: str, device_id: str) -> str:
    """The form in which receipts name a message."""
    return f"{item_id}@{device_id}"


def data_port(udh: bytes) -> int | None:
    """The destination port of a header that is nothing but a pair of 16-bit ports (TS 23.040 §9.2.3.24.4)."""
    if len(udh) != 7 or not udh.startswith(_PORTS):
        return None
    return int.from_bytes(udh[3:5]) or None


def unfit(submission: Submission, parts_a_message: int) -> Refused | None:
    """Why no phone can send it."""
    if submission.segments > parts_a_message:
        detail = f"{submission.segments} parts, a phone is given at most {parts_a_message}"
        return Refused(submission, "bad_content", None, detail)
    if submission.encoding is Encoding.BINARY and data_port(submission.udh) is None:
        return Refused(submission, "bad_content", None, "a phone sends data to a port, without other headers")
    return None


def listed(item: Item) -> Listed:
    """The item as the phone is told of it."""
    submission = item.submission
    text: str | None = item.content
    data = None
    if submission.encoding is Encoding.BINARY:
        text = None
        port = data_port(submission.udh)
        assert port is not None, "it was refused when it was placed"
        data = DataMessage(base64.b64encode(submission.data).decode(), port)
    return Listed(
        id=item.id,
        phone_numbers=(item.sent_to,),
        state="Cancelling" if item.is_withdrawn else "Pending",
        message=text,
        text_message=None if text is None else TextMessage(text),
        data_message=data,
        sim_number=item.slot or wish(submission).sim or None,
        with_delivery_report=submission.wants_receipt,
        is_encrypted=item.is_encrypted,
        priority=PRIORITIES[submission.priority],
        valid_until=date_text(item.valid_until_ms),
        created_at=date_text(item.created_at_ms),
    )
