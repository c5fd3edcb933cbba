"""Signatures of carriers' requests: made and checked. Pure; the time is an argument, comparisons take constant time.

Made by the functions, so that a simulated carrier signs as the real one does; checked by :class:`Checks`. Several
keys may be valid at once, so that one can be changed without losing a request.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from stentor_http.extraction import read_json

TOLERANCE_S: Final = 300
"""How far a signed time may be from ours."""

Pairs = Sequence[tuple[str, str]]


def is_same(one: str, other: str) -> bool:
    """Equality of two texts in a time that does not tell where they differ."""
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass"))


def hmac_text(key: str, message: bytes, digest: str, encoding: str) -> str:
    """An HMAC in ``hex`` or ``base64``."""
    made = hmac.digest(key.encode(), message, digest)
    return made.hex() if encoding == "hex" else base64.b64encode(made).decode()


def twilio(key: str, url: str, pairs: Pairs | None) -> str:
    """X-Twilio-Signature: Base64 of HMAC-SHA1 over the URL and the sorted fields of a form.

    A field that occurs several times counts once for each distinct value. ``pairs`` None: JSON, whose hash is in the
    URL as ``bodySHA256``.
    """
    distinct = sorted(set(pairs or ()))
    return hmac_text(
        key, (url + "".join(name + value for name, value in distinct)).encode(), "sha1", "base64"
    )


def with_port(url: str) -> str:
    """The URL with its scheme's port written out."""
    parts = urlsplit(url)
    port = 443 if parts.scheme == "https" else 80
    host = parts.netloc
    return parts._replace(netloc=f"{host}:{port}").geturl() if ":" not in host.rpartition("]")[2] else url


def without_port(url: str) -> str:
    """The URL without a port."""
    parts = urlsplit(url)
    head, mark, port = parts.netloc.rpartition(":")
    return parts._replace(netloc=head).geturl() if mark and port.isdigit() else url


def plivo(key: str, method: str, url: str, query: Pairs, pairs: Pairs, nonce: str) -> str:
    """X-Plivo-Signature-V3. ``url`` is without its query."""
    base = url + ("?" if query or pairs else "")
    base += "&".join(f"{name}={value}" for name, value in sorted(query))
    if method == "POST" and pairs:
        if query:
            base += "."
        base += "".join(name + value for name, value in sorted(pairs))
    return hmac_text(key, f"{base}.{nonce}".encode(), "sha256", "base64")


def vonage(key: str, pairs: Pairs, method: str) -> str:
    """``sig``: over all other fields, sorted; ``method`` is that of the account's settings."""
    clean = str.maketrans("&=", "__")
    text = "".join(f"&{name}={value.translate(clean)}" for name, value in sorted(pairs) if name != "sig")
    if method == "md5hash":
        return hashlib.md5((text + key).encode(), usedforsecurity=False).hexdigest()
    return hmac_text(key, text.encode(), method, "hex")


_JWT_DIGESTS: Final = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}


def _unpadded(octets: bytes) -> bytes:
    return base64.urlsafe_b64encode(octets).rstrip(b"=")


def jwt(key: str, claims: Mapping[str, Any], algorithm: str = "HS256") -> str:
    """A signed JSON Web Token (RFC 7515 §3.1)."""
    head = _unpadded(msgspec.json.encode({"alg": algorithm, "typ": "JWT"}))
    signed = head + b"." + _unpadded(msgspec.json.encode(claims))
    return (signed + b"." + _unpadded(hmac.digest(key.encode(), signed, _JWT_DIGESTS[algorithm]))).decode()


def read_jwt(keys: Iterable[str], token: str, algorithms: Sequence[str]) -> dict[str, Any] | None:
    """The claims of a token whose signature is right for one of the keys, else None."""
    signed, mark, signature = token.rpartition(".")
    head, dot, payload = signed.partition(".")
    if not mark or not dot or "." in payload:
        return None
    header = read_json(_decoded(head))
    algorithm = header.get("alg") if isinstance(header, dict) else None
    if not isinstance(algorithm, str) or algorithm not in algorithms:
        return None
    given, octets = _decoded(signature), signed.encode("utf-8", "replace")
    digest = _JWT_DIGESTS[algorithm]
    if not any(hmac.compare_digest(hmac.digest(key.encode(), octets, digest), given) for key in keys):
        return None
    claims = read_json(_decoded(payload))
    return claims if isinstance(claims, dict) else None


def unverified_claims(token: str) -> dict[str, Any] | None:
    """The claims of a token that has been verified before."""
    claims = read_json(_decoded(token.partition(".")[2].partition(".")[0]))
    return claims if isinstance(claims, dict) else None


def _decoded(text: str) -> bytes:
    """Base64 of either alphabet, padded or not; nothing for what is none."""
    try:
        return base64.b64decode(text.translate({45: 43, 95: 47}) + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        return b""


def ed25519_is_right(keys: Iterable[str], message: bytes, signature: str) -> bool:
    """Whether one of the public keys signed the message (RFC 8032 §5.1)."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    given = _decoded(signature)
    for key in keys:
        try:
            Ed25519PublicKey.from_public_bytes(_decoded(key)).verify(given, message)
        except (InvalidSignature, ValueError):
            continue
        return True
    return False


def ed25519(private_key: bytes, message: bytes) -> str:
    """A signature in Base64. ``private_key``: 32 octets."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return base64.b64encode(Ed25519PrivateKey.from_private_bytes(private_key).sign(message)).decode()


def is_near(timestamp: str, wall_ms: int) -> bool:
    """Whether a time in Unix seconds is within the tolerance."""
    text = timestamp.strip()
    return (
        text.isascii()
        and text.isdigit()
        and len(text) <= 11
        and abs(int(text) - wall_ms / 1000) <= TOLERANCE_S
    )
