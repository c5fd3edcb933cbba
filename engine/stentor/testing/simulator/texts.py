"""What clients write and whereto, how carriers take it, and what a handset must read of a message that was sent.

Carriers differ in how they cut, so a message that goes on over another is cut anew, or as it was begun.
"""

from collections.abc import Mapping
from typing import Final

from stentor.ids import message_key
from stentor.message import Message, Status
from stentor.outcome import Submission
from stentor.testing.simulator.faults import Violation
from stentor.testing.simulator.journal import ModelJournal
from stentor.text import gsm0338
from stentor.text.coding import Alphabet, Coding
from stentor.text.segments import Encoding

_LONG: Final = "".join(f"{number:04d}" for number in range(100))
TEXTS: Final = {1: "x", 2: _LONG[:200], 3: _LONG}
"""By the segments that GSM 7-bit makes of them; each beginning and end of a part can be told from all others."""

ROUTES: Final = (("a",), ("a", "b"), ("b", "a"), ("b", "c", "a"), ("c",), ("c",), ("gone", "b"))
CODINGS: Final = (Coding(), Coding(), Coding(wide_reference=True), Coding(Alphabet.UCS2))


def check_texts(journal: ModelJournal, said: Mapping[str, Submission]) -> None:
    """Of each message that was sent whole, the segments the journal knows of are one text. ``said``: by carrier id.

    A power cut may make it forget an attempt, and count the next as the same. A receipt that repeats the reference of
    one is then taken for the other's; the handset has all parts of both.
    """
    cuts: dict[tuple[int, int], set[bytes]] = {}
    for each in said.values():
        cuts.setdefault((message_key(each.token), each.attempt), set()).add(each.udh[:-1])
    forgotten = {key for (key, _), heads in cuts.items() if len(heads) > 1}
    for key, row in journal.messages.items():
        if row.status in (Status.SENT, Status.DELIVERED) and key not in forgotten:
            _check_text(journal.message(key), said)


def _check_text(message: Message, said: Mapping[str, Submission]) -> None:
    if any(segment.carrier_id is None for segment in message.segment_list):
        return  # a receipt without an id told of it: what exactly was taken, nobody knows
    taken = [said[segment.carrier_id] for segment in message.segment_list if segment.carrier_id is not None]
    if len(taken) == 1 and taken[0].text is not None:
        if taken[0].text != message.text:
            raise Violation(f"message {message.key} went as {taken[0].text!r}")
        return
    heads = {each.udh[:-1] for each in taken}
    if len(heads) != 1 or [each.udh[-1:] for each in taken] != [
        bytes((index,)) if len(taken) > 1 else b"" for index in range(1, len(taken) + 1)
    ]:
        raise Violation(f"message {message.key} went in parts that are not of one text: {taken}")
    text = "".join(_text(each) for each in taken)
    if text != message.text or len(taken) != message.segments:
        raise Violation(f"message {message.key} of {message.segments} segments went as {text!r}")


def _text(submission: Submission) -> str:
    if submission.encoding is Encoding.GSM7:
        return gsm0338.decode(submission.data)
    return submission.data.decode("utf-16-be")
