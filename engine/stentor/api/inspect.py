"""``POST /v1/inspect``: how a text will be sent. Nothing is stored."""

from collections.abc import Callable
from typing import Final, Literal

import msgspec

from stentor.aio.server.exchange import Exchange
from stentor.api.answers import DECODE_ERRORS, decode_refusal, ok
from stentor.api.call import Call, give, refusal_answer
from stentor.errors import Refusal
from stentor.routing.admission import MAX_TEXT_CHARACTERS
from stentor.text.coding import DEFAULT, Coding
from stentor.text.inspection import Inspection, inspect

CodingOf = Callable[[str | None, str | None, str], Coding]
"""How the channel of this name takes texts, or the one that is preferred for a destination of this account. Raises
Refusal."""


class Inspect(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The text to look at, and the wishes a submit of it would state.

    With ``channel`` or ``to`` it is cut as that channel, or the one preferred for the destination, would cut it.
    """

    text: str
    encoding: Literal["auto", "gsm7", "ucs2"] = "auto"
    transliterate: bool = False
    channel: str | None = None
    to: str | None = None


_decode: Final = msgspec.json.Decoder(Inspect).decode


class InspectResource:
    """Inspects by the routes in force."""

    __slots__ = ("_coding_of",)

    def __init__(self, coding_of: CodingOf) -> None:
        self._coding_of = coding_of

    def handle(self, exchange: Exchange, call: Call) -> None:
        try:
            give(exchange, ok(self.inspect_body(exchange.body, call.account)))
        except Refusal as error:
            give(exchange, refusal_answer(error))

    def inspect_body(self, body: bytes, account: str) -> Inspection:
        """The inspection of a request's body. Raises Refusal."""
        try:
            wanted = _decode(body)
        except DECODE_ERRORS as error:
            raise decode_refusal(error, body) from None
        if len(wanted.text) > MAX_TEXT_CHARACTERS:
            raise Refusal("too_long", f"a message has at most {MAX_TEXT_CHARACTERS} characters", "$.text")
        coding = DEFAULT
        if wanted.channel is not None or wanted.to is not None:
            coding = self._coding_of(wanted.channel, wanted.to, account)
        return inspect(wanted.text, wanted.encoding, wanted.transliterate, coding=coding)
