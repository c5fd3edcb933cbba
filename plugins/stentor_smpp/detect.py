"""Which dress a carrier gives its message ids in receipts, found out from what comes in. Pure.

A response's id is always kept under one key, its text folded (upper case, no zeros in front), in every dress. Only
how a receipt is read changes: as it stands (alike), as a decimal whose hexadecimal form the response had, or the
other way round. So what was written to the journal before anything was found is found afterwards too, and a channel
changes between ``fold`` and ``auto`` without losing a receipt.

While a *watch* is on, ids of responses are remembered, and a receipt that names exactly one of them in one dress is
read in that dress, if its form allows that. The rest is read in the present one, and held as well if no remembered
response is named so, to be read again should another dress be found. A dress is found when ``SURE`` different
receipts name responses in it, none names one in any other, and the forms agree: hexadecimal has been seen to have
letters where it should be, and decimal has none. Anything that contradicts starts the count anew. Guaranteed:

- without proof nothing is read otherwise than ``fold`` would, but for receipts that can mean one response only;
- each receipt is passed on at once; being held costs it no acknowledgement;
- memory is bounded: ``SAMPLE`` responses, the first since the watch began or since they were given up as
  unanswered, and ``HELD`` receipts, beyond which none is held.

Not guaranteed: receipts that came for messages of an earlier run and were held when the process ended are not read
again. A watch ends with what it found and costs nothing then; a new bind starts another, for carriers change.
"""

import re
from enum import Enum
from typing import Final

import msgspec

from stentor.driver import Receipt
from stentor_smpp.matching import WIDEST, IdKey, Mode, fold, id_keys

SURE: Final = 5
SAMPLE: Final = 4096
HELD: Final = 10_000
PATIENCE: Final = 65_536
"""So many receipts that name none of the sample: whoever is in it will not be heard of any more."""

_DECIMAL: Final = re.compile(r"[0-9]+")
_HEXADECIMAL: Final = re.compile(r"[0-9A-Fa-f]+")


class Dress(Enum):
    """How the id of a receipt looks beside that of the response; the value is for people."""

    ALIKE = "alike in response and receipt"
    HEX_DEC = "response hexadecimal, receipt decimal"
    DEC_HEX = "response decimal, receipt hexadecimal"


class Finding(msgspec.Struct, frozen=True):
    """What a watch ended with. ``receipts`` were passed on under another name before: pass them on again."""

    dress: Dress
    evidence: int
    receipts: tuple[Receipt, ...] = ()


class Ids:
    """How ids are compared, when the configuration says it. What the driver asks of either kind is here."""

    __slots__ = ("detail", "is_watching", "receipt_key", "response_key")

    def __init__(self, mode: Mode) -> None:
        self.response_key: IdKey
        self.receipt_key: IdKey
        self.response_key, self.receipt_key = id_keys(mode)
        self.is_watching = False
        self.detail = ""

    def watch(self) -> None:
        """A bind stands: see whether things are as they were."""

    def saw(self, message_id: str, receipt: Receipt) -> None:
        """While a watch is on: a receipt was read from this id just now."""

    def take_finding(self) -> Finding | None:
        """What was found since the last call."""
        return None


class Detector(Ids):
    """Finds it out. See the module."""

    __slots__ = (
        "_evidence",
        "_finding",
        "_has_letters",
        "_held",
        "_responses",
        "_strangers",
        "conflicts",
        "dress",
    )

    def __init__(self) -> None:
        super().__init__(Mode.FOLD)
        self.dress = Dress.ALIKE
        self.conflicts = 0
        self._finding: Finding | None = None
        self.watch()

    def watch(self) -> None:
        """Begin a watch, unless one is on."""
        if self.is_watching:
            return
        self.is_watching = True
        self._responses: dict[str, None] = {}
        self._held: list[tuple[str, Receipt]] = []
        self._evidence: dict[Dress, dict[str, str]] = {dress: {} for dress in Dress}
        self._has_letters = {"response": False, "receipt": False}
        self._strangers = 0
        self.response_key, self.receipt_key = self._response, self._receipt

    def saw(self, message_id: str, receipt: Receipt) -> None:
        is_placed = receipt.match_id in self._responses or not self.is_watching
        if not is_placed and len(self._held) < HELD and len(_keys(message_id)) > 1:
            self._held.append((message_id, receipt))

    def take_finding(self) -> Finding | None:
        found, self._finding = self._finding, None
        return found

    # -- the keys while a watch is on -------------------------------------------------------------------------------

    def _response(self, message_id: str) -> str | None:
        key = fold(message_id)
        if key is not None and len(self._responses) < SAMPLE:
            self._responses[key] = None
            if not key.isdecimal():
                self._has_letters["response"] = True
        return key

    def _receipt(self, message_id: str) -> str | None:
        keys = _keys(message_id)
        if not keys:
            return None
        if not message_id.isdecimal():
            self._has_letters["receipt"] = True
        known = [dress for dress, key in keys.items() if key in self._responses]
        if len(known) == 1 and self._is_possible(known[0]):
            if len(keys) > 1 or _HEXADECIMAL.fullmatch(message_id) is None:
                # A single digit is the same in every dress and proves none.
                self._count(known[0], message_id, keys[known[0]])
            return keys[known[0]]
        if not known:
            self._miss()
        return keys.get(self.dress, keys[Dress.ALIKE])

    def _is_possible(self, dress: Dress) -> bool:
        """Do the forms seen so far agree? What has letters is not decimal, and hexadecimal has some sooner or later."""
        letters = self._has_letters
        match dress:
            case Dress.HEX_DEC:
                return letters["response"] and not letters["receipt"]
            case Dress.DEC_HEX:
                return letters["receipt"] and not letters["response"]
            case _:
                return True

    # -- evidence ---------------------------------------------------------------------------------------------------

    def _miss(self) -> None:
        self._strangers += 1
        if self._strangers >= PATIENCE:
            self._strangers = 0
            self._responses.clear()

    def _count(self, dress: Dress, message_id: str, key: str) -> None:
        found = self._evidence[dress]
        found[message_id] = key
        if any(other for each, other in self._evidence.items() if each is not dress):
            self.conflicts += 1
            for each in self._evidence.values():
                each.clear()
        elif len(found) >= SURE and _shows_letters(dress, found):
            self._conclude(dress, len(found))

    def _conclude(self, dress: Dress, evidence: int) -> None:
        held, was = self._held, self.dress
        self.dress = dress
        self.is_watching = False
        self.response_key, self.receipt_key = fold, _READERS[dress]
        self._held, self._responses = [], {}
        again: tuple[Receipt, ...] = ()
        if dress is not was:
            again = tuple(
                msgspec.structs.replace(receipt, match_id=key)
                for message_id, receipt in held
                if (key := self.receipt_key(message_id)) is not None and key != receipt.match_id
            )
        self.detail = "" if dress is Dress.ALIKE else f"{dress.value}, found after {evidence} receipts"
        self._finding = Finding(dress, evidence, again)


def _shows_letters(dress: Dress, found: dict[str, str]) -> bool:
    """Is one of these ids hexadecimal beyond doubt, on the side that should be?"""
    match dress:
        case Dress.HEX_DEC:
            return not all(map(str.isdecimal, found.values()))
        case Dress.DEC_HEX:
            return not all(map(str.isdecimal, found))
        case _:
            return True


def _keys(message_id: str) -> dict[Dress, str]:
    """Which response a receipt names in each dress that its form allows and that makes a difference."""
    alike = fold(message_id)
    if alike is None:
        return {}
    keys = {Dress.ALIKE: alike}
    for dress in (Dress.HEX_DEC, Dress.DEC_HEX):
        key = _READERS[dress](message_id)
        if key is not None and key != alike:
            keys[dress] = key
    return keys


def _from_decimal(message_id: str) -> str | None:
    if len(message_id) > WIDEST or _DECIMAL.fullmatch(message_id) is None:
        return fold(message_id)
    return f"{int(message_id):X}"


def _from_hexadecimal(message_id: str) -> str | None:
    if len(message_id) > WIDEST or _HEXADECIMAL.fullmatch(message_id) is None:
        return fold(message_id)
    return str(int(message_id, 16))


_READERS: Final[dict[Dress, IdKey]] = {
    Dress.ALIKE: fold,
    Dress.HEX_DEC: _from_decimal,
    Dress.DEC_HEX: _from_hexadecimal,
}
