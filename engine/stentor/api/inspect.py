"""``POST /v1/inspect``: how a text will be sent. Nothing is stored."""

from typing import Final, Literal

import msgspec

from stentor.admission import MAX_TEXT_CHARACTERS
from stentor.aio.exchange import Exchange
from stentor.api.answers import DECODE_ERRORS, decode_refusal, ok
from stentor.api.call import Call, give, refusal_answer
from stentor.errors import Refusal
from stentor.text.segments import inspect


class Inspect(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The text to look at, and the wishes a submit of it would state."""

    text: str
    encoding: Literal["auto", "gsm7", "ucs2"] = "auto"
    transliterate: bool = False


_decode: Final = msgspec.json.Decoder(Inspect).decode


def handle(exchange: Exchange, call: Call) -> None:
    try:
        give(exchange, ok(inspect_body(exchange.body)))
    except Refusal as error:
        give(exchange, refusal_answer(error))


def inspect_body(body: bytes) -> object:
    """The inspection of a request's body. Raises Refusal."""
    try:
        wanted = _decode(body)
    except DECODE_ERRORS as error:
        raise decode_refusal(error, body) from None
    if len(wanted.text) > MAX_TEXT_CHARACTERS:
        raise Refusal("too_long", f"a message has at most {MAX_TEXT_CHARACTERS} characters", "$.text")
    return inspect(wanted.text, wanted.encoding, wanted.transliterate)
