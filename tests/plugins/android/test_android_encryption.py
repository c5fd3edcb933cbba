"""What the phone decrypts we encrypt, and the other way round."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stentor_android.encryption import Encryption, NotDecrypted, is_protected

PASSPHRASE = "open sesame 42"
SALT = bytes(range(16))
HEAD = "$aes-256-cbc/pbkdf2-sha1$i=1000$AAECAwQFBgcICQoLDA0ODw=="

EXAMPLES = [
    ("Grüße, code 7741", f"{HEAD}$520rm3w6y/0NcZqjqrPngbNFtTmIoH3FD+/qzeQoi3k="),
    ("+15550100042", f"{HEAD}$SUB0yGi8OyxVFyWgecSL6w=="),
]


def made(iterations: int = 1000) -> Encryption:
    return Encryption(PASSPHRASE, lambda count: SALT[:count], iterations)


@pytest.mark.parametrize(("text", "value"), EXAMPLES)
def test_known_values_hold_in_both_directions(text: str, value: str) -> None:
    assert made().encrypt(text) == value
    assert made(7).decrypt(value) == text
    assert is_protected(value)
    assert not is_protected(text)


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=200))
def test_every_text_comes_back(text: str) -> None:
    encryption = Encryption(PASSPHRASE, os.urandom, 2)
    value = encryption.encrypt(text)
    assert encryption.decrypt(value) == text
    assert encryption.encrypt(text) != value


@pytest.mark.parametrize(("text", "value"), EXAMPLES)
def test_another_passphrase_does_not_give_the_text(text: str, value: str) -> None:
    with pytest.raises(NotDecrypted) as refused:
        Encryption("another", os.urandom, 1000).decrypt(value)
    assert value not in str(refused.value)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "plain",
        "$aes-256-cbc/pbkdf2-sha1",
        "$aes-128-cbc/pbkdf2-sha1$i=1000$AAECAwQFBgcICQoLDA0ODw==$SUB0yGi8OyxVFyWgecSL6w==",
        "$aes-256-cbc/pbkdf2-sha1$$AAECAwQFBgcICQoLDA0ODw==$SUB0yGi8OyxVFyWgecSL6w==",
        "$aes-256-cbc/pbkdf2-sha1$i=$AAECAwQFBgcICQoLDA0ODw==$SUB0yGi8OyxVFyWgecSL6w==",
        "$aes-256-cbc/pbkdf2-sha1$i=0$AAECAwQFBgcICQoLDA0ODw==$SUB0yGi8OyxVFyWgecSL6w==",
        "$aes-256-cbc/pbkdf2-sha1$i=²$AAECAwQFBgcICQoLDA0ODw==$SUB0yGi8OyxVFyWgecSL6w==",
        "$aes-256-cbc/pbkdf2-sha1$i=99999999999$AAECAwQFBgcICQoLDA0ODw==$SUB0yGi8OyxVFyWgecSL6w==",
        "$aes-256-cbc/pbkdf2-sha1$i=1000$AAEC$SUB0yGi8OyxVFyWgecSL6w==",
        "$aes-256-cbc/pbkdf2-sha1$i=1000$AAECAwQFBgcICQoLDA0ODw==$",
        "$aes-256-cbc/pbkdf2-sha1$i=1000$AAECAwQFBgcICQoLDA0ODw==$SUB0",
        "$aes-256-cbc/pbkdf2-sha1$i=1000$AAECAwQFBgcICQoLDA0ODw==$!!!!",
        EXAMPLES[1][1] + "$more",
    ],
)
def test_what_is_not_of_the_form_is_refused(value: str) -> None:
    with pytest.raises(NotDecrypted):
        made().decrypt(value)


@given(st.text(max_size=100))
def test_no_text_makes_it_raise_anything_else(value: str) -> None:
    with pytest.raises(NotDecrypted):
        made().decrypt(value)


@pytest.mark.parametrize(("passphrase", "iterations"), [("", 1), ("x", 0), ("x", 1_000_001)])
def test_what_cannot_be_an_encryption_is_refused(passphrase: str, iterations: int) -> None:
    with pytest.raises(ValueError):
        Encryption(passphrase, os.urandom, iterations)
