"""Signatures by the Standard Webhooks scheme, version 1.0.0: who posts an event, and that nobody changed it.

The signed content is ``id.timestamp.body`` ("Signature scheme"), the signature HMAC-SHA256 in base64 behind ``v1,``. A
secret is 24 to 64 octets, written ``whsec_`` and base64. With two secrets there are two signatures, a blank between
them: a receiver that knows either accepts the request, so a secret can be changed without losing one.
"""

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from binascii import b2a_base64
from collections.abc import Iterable, Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final

from stentor.errors import Refusal

PREFIX: Final = "whsec_"
SHORTEST_OCTETS: Final = 24
LONGEST_OCTETS: Final = 64
MADE_OCTETS: Final = 32
"""Length of a secret that is made here."""
_INNER: Final = bytes(octet ^ 0x36 for octet in range(256))
_OUTER: Final = bytes(octet ^ 0x5C for octet in range(256))


def secret_text(secret: bytes) -> str:
    """A secret as people copy it."""
    return PREFIX + b64encode(secret).decode()


def parse_secret(text: str, path: str = "$.secret") -> bytes:
    """The octets of a secret that was given. Raises Refusal, which never quotes it."""
    try:
        secret = b64decode(text.removeprefix(PREFIX), validate=True)
    except (Base64Error, ValueError):
        secret = b""
    if not SHORTEST_OCTETS <= len(secret) <= LONGEST_OCTETS:
        detail = (
            f"a secret is {PREFIX} and the base64 of {SHORTEST_OCTETS} to {LONGEST_OCTETS} octets; "
            "without one, it is made"
        )
        raise Refusal("bad_secret", detail, path)
    return secret


@lru_cache(256)
def _pads(secret: bytes) -> tuple[Any, Any]:
    """The two hashes of an HMAC (RFC 2104 §2) with the secret in them: to copy them is half the work of beginning."""
    block = secret.ljust(sha256().block_size, b"\0")
    return sha256(block.translate(_INNER)), sha256(block.translate(_OUTER))


def sign(secrets: Iterable[bytes], webhook_id: str, timestamp_s: int, body: bytes) -> str:
    """The value of ``webhook-signature``: a signature for each secret."""
    content = b"%b.%d.%b" % (webhook_id.encode(), timestamp_s, body)
    return b" ".join([_signature(secret, content) for secret in secrets]).decode("ascii")


def _signature(secret: bytes, content: bytes) -> bytes:
    inner, outer = _pads(secret)
    inner, outer = inner.copy(), outer.copy()
    inner.update(content)
    outer.update(inner.digest())
    return b"v1," + b2a_base64(outer.digest(), newline=False)


def signed_fields(
    secrets: Iterable[bytes], webhook_id: str, timestamp_s: int, body: bytes
) -> tuple[tuple[str, str], ...]:
    """The header fields of the scheme; without a secret there is no signature."""
    fields = (("webhook-id", webhook_id), ("webhook-timestamp", str(timestamp_s)))
    signature = sign(secrets, webhook_id, timestamp_s, body)
    return (*fields, ("webhook-signature", signature)) if signature else fields


def signed_end(secrets: Sequence[bytes], webhook_id: bytes, timestamp_s: int, body: bytes) -> bytes:
    """The same fields as octets, the body's length and the body: what ends a request that has been begun."""
    content = b"%b.%d.%b" % (webhook_id, timestamp_s, body)
    if not secrets:
        signature = b""
    elif len(secrets) == 1:
        signature = b"\r\nwebhook-signature: " + _signature(secrets[0], content)
    else:
        signature = b"\r\nwebhook-signature: " + b" ".join([_signature(each, content) for each in secrets])
    return b"webhook-id: %b\r\nwebhook-timestamp: %d%b\r\nContent-Length: %d\r\n\r\n%b" % (
        webhook_id,
        timestamp_s,
        signature,
        len(body),
        body,
    )
