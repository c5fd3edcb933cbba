"""Signatures of webhooks: published examples, and the carriers' own client libraries as judges."""

import base64
import hashlib
import importlib.util
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import jwt as pyjwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from stentor_http import signatures
from stentor_http.description import HMACCheck, PlivoCheck, TwilioCheck, VonageCheck
from stentor_http.verify import Call, compile_check

NOW_MS = 1_790_000_000_000
FORM = {"content-type": "application/x-www-form-urlencoded"}
NAMES = st.text("abcXYZ09_", min_size=1, max_size=6)
VALUES = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=12)
PLAIN = st.dictionaries(
    NAMES, st.text(st.characters(codec="ascii", exclude_categories=("Cc",)), max_size=12), min_size=1
)
FIELDS = st.dictionaries(NAMES, VALUES, min_size=1, max_size=5)


def test_twilio_signs_urls_and_forms_as_published() -> None:
    url = "https://gw.example.test/cb/twilio/7?uuid=m1"
    form = {
        "MessageSid": "SM00000000000000000000000000000001",
        "MessageStatus": "delivered",
        "To": "+3725550001",
        "From": "+12025550100",
        "ErrorCode": "",
    }
    assert signatures.twilio("tw-secret-1", url, list(form.items())) == "fUB/b+h3ZMMGkNc3jPyT+NyEYV0="
    digest = "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"
    url = f"https://gw.example.test/cb/twilio/7?bodySHA256={digest}"
    assert signatures.twilio("tw-secret-1", url, None) == "Lxy5Ew1sLtjwzGnE+/pOUnF+sQY="


def test_plivo_signs_as_published() -> None:
    form = [
        ("From", "12025550100"),
        ("MessageUUID", "u-1"),
        ("ParentMessageUUID", "u-1"),
        ("Status", "delivered"),
        ("To", "3725550001"),
        ("Units", "1"),
    ]
    url = "https://gw.example.test/cb/plivo/7"
    sign = signatures.plivo
    assert (
        sign("pl-secret-1", "POST", url, [], form, "n-42") == "AKU3Y7cXM04MXF2lIdu46kYtPHHEWHsol5hvT+qUSIE="
    )
    query = [("z", "9"), ("a", "1")]
    assert (
        sign("pl-secret-1", "POST", url, query, form, "n-42")
        == "CnWPZajXJg/DQ8pOcAVEancemx8epbq/RQfCGw4biPA="
    )
    assert (
        sign("pl-secret-1", "GET", url, [("a", "1")], [], "n-42")
        == "7Aqn8a0U2fKfYh7wErOzssUpbYh8M4Fs/6HC93+EEaE="
    )


@pytest.mark.parametrize(
    ("method", "signature"),
    [
        ("md5hash", "1ad7bad94c17f2bc37cd7ae4a63ce20d"),
        ("md5", "fa94329fab757525dd4adb8e1d2b8977"),
        ("sha1", "3fd2bdc0c423c0b917047677324e2ac980e6645e"),
        ("sha256", "584c84953869e661fd9a9d623d7e6be232d715530b9bc4b9d7b346482fa7e4a4"),
    ],
)
def test_vonage_signs_as_published(method: str, signature: str) -> None:
    fields = [
        ("messageId", "0A0000000000AB01"),
        ("msisdn", "3725550001"),
        ("nonce", "n-1"),
        ("text", "a&b=c"),
        ("timestamp", "1790000000"),
        ("to", "12025550100"),
        ("type", "text"),
    ]
    assert signatures.vonage("vg-secret-1", fields, method) == signature


def test_sinch_and_telnyx_sign_as_published() -> None:
    message = b'{"type":"mo_text","id":"m1"}.n-1.1790000000'
    wanted = "GdTwDXbVW3O2o/ZzwG2OzU5KFT4CpFGrpbP4VXAQngA="
    assert signatures.hmac_text("si-secret-1", message, "sha256", "base64") == wanted
    key = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
    right = "M2Z0APBALjuPTE2xDLuJFct5T0jOL+LCXCzd8rRvRKLK/lKJ0tnsIYDLGsRuOWwIfSQzWwqaR319/2QFV30NAw=="
    message = b'1790000000|{"data":{"event_type":"message.sent"}}'
    assert signatures.ed25519_is_right(["not a key", key], message, right)
    assert not signatures.ed25519_is_right([key], message + b" ", right)
    assert not signatures.ed25519_is_right([key], message, "nonsense")


def own_verifier_of_telnyx() -> Any:
    """The module alone: all of the package takes seconds to import."""
    package = importlib.util.find_spec("telnyx")
    if package is None or package.origin is None or importlib.util.find_spec("nacl") is None:
        pytest.skip("the carrier's library is not installed")
    path = Path(package.origin).with_name("lib") / "webhook_verification.py"
    spec = importlib.util.spec_from_file_location("telnyx_webhook_verification", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_telnyxs_own_verifier_takes_our_signatures() -> None:
    verifier = own_verifier_of_telnyx()
    private, now = bytes(range(32)), str(int(time.time()))
    public = Ed25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()
    key, body = base64.b64encode(public).decode(), '{"data":{"event_type":"message.sent"}}'
    signature = signatures.ed25519(private, f"{now}|{body}".encode())
    fields = {"telnyx-signature-ed25519": signature, "telnyx-timestamp": now}
    verifier.verify_webhook_signature(body, fields, key)
    with pytest.raises(verifier.WebhookVerificationError):
        verifier.verify_webhook_signature(body + " ", fields, key)


@given(FIELDS, NAMES)
def test_twilios_own_validator_takes_our_signatures(form: dict[str, str], key: str) -> None:
    from twilio.request_validator import RequestValidator

    url = "https://gw.example.test/in/c7/receipt?token=t&id=1"
    assert RequestValidator(key).validate(url, form, signatures.twilio(key, url, list(form.items())))


@given(FIELDS, NAMES)
def test_we_take_what_twilios_own_validator_computes(form: dict[str, str], key: str) -> None:
    from twilio.request_validator import RequestValidator

    url = "https://gw.example.test:443/in/c7/receipt?token=t"
    made = RequestValidator(key).compute_signature("https://gw.example.test/in/c7/receipt?token=t", form)
    body = urlencode(form).encode()
    test = compile_check(TwilioCheck(key=["", key]), str)
    assert test is not None
    fields = FORM | {"x-twilio-signature": made}
    assert test(Call("POST", url, "token=t", fields, body, NOW_MS)) == ""
    assert test(Call("POST", url, "token=t", fields, body + b"&new=1", NOW_MS)) == "signature"


@given(PLAIN, FIELDS, st.sampled_from(["GET", "POST"]))
def test_plivos_own_validator_takes_our_signatures(
    query: dict[str, str], form: dict[str, str], method: str
) -> None:
    from plivo.utils.signature_v3 import validate_v3_signature

    pairs = list(form.items()) if method == "POST" else []
    base, encoded = "https://gw.example.test/in/c7/receipt", urlencode(query)
    read = parse_qsl(encoded, keep_blank_values=True)
    made = signatures.plivo("key", method, base, read, pairs, "n-42")
    if method == "POST":
        assert validate_v3_signature(method, f"{base}?{encoded}", "n-42", "key", made, dict(pairs))
    else:
        assert validate_v3_signature(method, f"{base}?{encoded}", "n-42", "key", made)
    test = compile_check(PlivoCheck(key="key"), str)
    assert test is not None
    fields = FORM | {"x-plivo-signature-v3": f"AA, {made}", "x-plivo-signature-v3-nonce": "n-42"}
    call = Call(method, f"{base}?{encoded}", encoded, fields, urlencode(pairs).encode(), NOW_MS)
    assert test(call) == ""


@pytest.mark.parametrize("body", [b"", b'{"a":1}'])
def test_messagebirds_own_validator_takes_our_tokens(body: bytes) -> None:
    from messagebird.request_validator import RequestValidator  # type: ignore[import-untyped]  # ships no types

    url = "https://gw.example.test/in/c7/receipt?id=abc&status=delivered"
    claims = {
        "iss": "MessageBird",
        "nbf": 1_790_000_000,
        "exp": 4_000_000_000,
        "jti": "j-2",
        "url_hash": hashlib.sha256(url.encode()).hexdigest(),
    }
    if body:
        claims["payload_hash"] = hashlib.sha256(body).hexdigest()
    token = signatures.jwt("mb-secret-1-of-32-octets-at-least", claims)
    decoded = RequestValidator("mb-secret-1-of-32-octets-at-least").validate_signature(token, url, body)
    assert decoded["jti"] == "j-2"


def test_vonages_own_verifiers_take_our_signatures() -> None:
    from vonage_http_client.auth import Auth
    from vonage_jwt import verify_signature

    token = signatures.jwt("a-secret-of-at-least-32-octets-long", {"iat": 1_790_000_000, "iss": "Vonage"})
    assert verify_signature(token, "a-secret-of-at-least-32-octets-long")
    fields = {"messageId": "A1", "text": "a&b=c", "msisdn": "3725550001", "timestamp": "1790000000"}
    for method in ("md5", "sha1", "sha256", "sha512"):
        auth = Auth(
            api_key="key",
            api_secret="secret",
            signature_secret="vg-secret-1",
            signature_method=method,
        )
        made = signatures.vonage("vg-secret-1", list(fields.items()), method)
        assert auth.check_signature(fields | {"sig": made}), method


@given(st.text(st.characters(codec="ascii"), max_size=40), st.text("ab1-", min_size=1, max_size=8))
def test_sinchs_own_validator_takes_our_signatures(body: str, nonce: str) -> None:
    from sinch.domains.authentication.sinch_events.v1.authentication_validation import (
        validate_sinch_event_signature_with_nonce,
    )

    stamp = "1790000000"
    made = signatures.hmac_text("si-secret-1", f"{body}.{nonce}.{stamp}".encode(), "sha256", "base64")
    fields = {
        "x-sinch-webhook-signature": made,
        "x-sinch-webhook-signature-nonce": nonce,
        "x-sinch-webhook-signature-timestamp": stamp,
        "x-sinch-webhook-signature-algorithm": "HmacSHA256",
    }
    assert validate_sinch_event_signature_with_nonce("si-secret-1", fields, body)


@given(st.sampled_from(["HS256", "HS384", "HS512"]), FIELDS)
def test_tokens_are_those_of_another_library(algorithm: str, claims: dict[str, str]) -> None:
    key = "k" * 64
    made = pyjwt.encode(claims, key, algorithm)
    assert signatures.read_jwt(["other", key], made, [algorithm]) == claims
    assert (
        pyjwt.decode(
            signatures.jwt(key, claims, algorithm),
            key,
            [algorithm],
            options={"verify_sub": False, "verify_jti": False, "verify_iat": False, "verify_aud": False},
        )
        == claims
    )
    assert signatures.read_jwt([key], made, ["HS256"] if algorithm != "HS256" else ["HS512"]) is None
    assert signatures.read_jwt([key], made[:-2], [algorithm]) is None


def test_a_token_without_a_signature_is_refused() -> None:
    """The algorithm "none" was the undoing of many."""
    made = pyjwt.encode({"a": 1}, None, "none")
    assert signatures.read_jwt(["k"], made, ["HS256"]) is None


@given(st.text(max_size=40), st.text(max_size=40), st.binary(max_size=40))
def test_nonsense_is_never_right_and_never_raises(header: str, query: str, body: bytes) -> None:
    for check in (
        TwilioCheck(key="k"),
        PlivoCheck(key="k"),
        VonageCheck(key="k"),
        HMACCheck(key="k", header="x-s"),
    ):
        test = compile_check(check, str)
        assert test is not None
        fields = dict.fromkeys(("x-twilio-signature", "x-plivo-signature-v3", "x-s"), header)
        for kind in ("application/json", "application/x-www-form-urlencoded"):
            call = Call(
                "POST", f"https://x.example/?{query}", query, fields | {"content-type": kind}, body, NOW_MS
            )
            assert test(call) == "signature"
