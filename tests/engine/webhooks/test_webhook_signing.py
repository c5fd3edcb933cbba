"""Signatures are judged by the reference library of Standard Webhooks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from stentor.errors import Refusal
from stentor.webhooks.signing import parse_secret, secret_text, sign, signed_end, signed_fields

SECRET = bytes(range(32))
OTHER = bytes(range(100, 124))


def now_s() -> int:
    from time import time

    return int(time())


@given(
    st.binary(min_size=24, max_size=64),
    st.integers(1, 2**60),
    st.dictionaries(
        st.text(st.characters(exclude_categories=("Cs",)), max_size=5), st.integers(), max_size=3
    ),
)
def test_the_library_accepts_what_is_signed_here(secret: bytes, seq: int, value: dict[str, int]) -> None:
    import msgspec

    body = msgspec.json.encode(value)
    fields = dict(signed_fields((secret,), str(seq), now_s(), body))
    assert Webhook(secret_text(secret)).verify(body, fields) == value


def test_while_a_secret_is_changed_a_receiver_may_know_either() -> None:
    body = b'{"a":1}'
    fields = dict(signed_fields((SECRET, OTHER), "7", now_s(), body))
    for known in (SECRET, OTHER):
        assert Webhook(secret_text(known)).verify(body, fields) == {"a": 1}
    with pytest.raises(WebhookVerificationError):
        Webhook(secret_text(b"x" * 24)).verify(body, fields)


@pytest.mark.parametrize("secrets", [(), (SECRET,), (SECRET, OTHER)])
def test_the_end_of_a_request_has_the_same_fields_as_octets(secrets: tuple[bytes, ...]) -> None:
    head, _, body = signed_end(secrets, b"4711", 1_800_000_000, b'{"a":1}\r\n\r\n').partition(b"\r\n\r\n")
    assert body == b'{"a":1}\r\n\r\n'
    *lines, length = head.decode().split("\r\n")
    fields = signed_fields(secrets, "4711", 1_800_000_000, body)
    assert [tuple(line.split(": ")) for line in lines] == list(fields)
    assert length == f"Content-Length: {len(body)}"


def test_the_signature_is_that_of_the_specifications_example() -> None:
    secret = parse_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    wanted = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert sign((secret,), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body) == wanted


def test_without_a_secret_there_is_no_signature() -> None:
    assert [name for name, _ in signed_fields((), "7", 1, b"")] == ["webhook-id", "webhook-timestamp"]


@given(st.binary(min_size=24, max_size=64))
def test_a_secret_is_read_as_it_is_written_with_or_without_its_prefix(secret: bytes) -> None:
    text = secret_text(secret)
    assert parse_secret(text) == parse_secret(text.removeprefix("whsec_")) == secret


@pytest.mark.parametrize(
    "text", ["", "whsec_", "whsec_c2hvcnQ=", "not base64!" * 4, "whsec_" + "QUFB" * 30, "ünï" * 20]
)
def test_a_secret_of_the_wrong_form_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(Refusal) as refusal:
        parse_secret(text)
    assert refusal.value.code == "bad_secret"
    assert not text or text not in str(refusal.value) or text == "whsec_"
