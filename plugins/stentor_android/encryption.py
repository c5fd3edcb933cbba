"""End-to-end encryption of what a phone sends: a text, base64 data, a phone number. Pure but for the cipher's library.

A protected value is ``$aes-256-cbc/pbkdf2-sha1$i=ITERATIONS$SALT$OCTETS``, the last two in base64: AES-256 in CBC mode
with PKCS #7 padding, the key by PBKDF2 with HMAC-SHA-1 from the passphrase and the salt (RFC 8018 §5.2), and the salt
once more as the initialisation vector. There is no protection of integrity: what decrypts may still be forged.

Deriving a key costs as much as its iterations say, on purpose: some 20 ms for the usual number. Every value has a salt
of its own, so nothing can be saved between two of them. A passphrase that a machine made of 128 random bits needs no
iterations to be safe, and the number travels with the value.
"""

import base64
import binascii
import hashlib
from collections.abc import Callable
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher as BlockCipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

ALGORITHM: Final = "aes-256-cbc/pbkdf2-sha1"
ITERATIONS: Final = 75_000
"""What client libraries use."""
MOST_ITERATIONS: Final = 1_000_000
"""More is refused: whoever sends a value says how much work it is to read."""
SALT_OCTETS: Final = 16
_KEY_OCTETS: Final = 32


class NotDecrypted(Exception):
    """The value is not of this form, or the passphrase is not the one it was made with. Never shows the value."""


class Encryption:
    """Both directions with one passphrase. ``entropy`` gives octets that nobody can guess."""

    __slots__ = ("_entropy", "_passphrase", "iterations")

    def __init__(
        self, passphrase: str, entropy: Callable[[int], bytes], iterations: int = ITERATIONS
    ) -> None:
        if not passphrase or not 1 <= iterations <= MOST_ITERATIONS:
            raise ValueError(f"a passphrase and 1 to {MOST_ITERATIONS} iterations are needed")
        self._passphrase = passphrase.encode()
        self._entropy = entropy
        self.iterations = iterations

    def encrypt(self, text: str) -> str:
        """The protected value of a text."""
        salt = self._entropy(SALT_OCTETS)
        padder = PKCS7(AES.block_size).padder()
        padded = padder.update(text.encode()) + padder.finalize()
        encryptor = self._cipher(salt, self.iterations).encryptor()
        octets = encryptor.update(padded) + encryptor.finalize()
        return f"${ALGORITHM}$i={self.iterations}${_base64(salt)}${_base64(octets)}"

    def decrypt(self, value: str) -> str:
        """The text of a protected value. Raises NotDecrypted."""
        iterations, salt, octets = _take_apart(value)
        decryptor = self._cipher(salt, iterations).decryptor()
        unpadder = PKCS7(AES.block_size).unpadder()
        try:
            padded = decryptor.update(octets) + decryptor.finalize()
            return (unpadder.update(padded) + unpadder.finalize()).decode()
        except ValueError:  # a UnicodeDecodeError is one
            raise NotDecrypted("the passphrase does not fit the value") from None

    def _cipher(self, salt: bytes, iterations: int) -> BlockCipher[CBC]:
        key = hashlib.pbkdf2_hmac("sha1", self._passphrase, salt, iterations, _KEY_OCTETS)
        return BlockCipher(AES(key), CBC(salt))


def iterations_of(value: str) -> int:
    """How much work it is to read; 0 for what is not of the form."""
    try:
        return _take_apart(value)[0]
    except NotDecrypted:
        return 0


def is_protected(value: str) -> bool:
    """Does it look like a protected value?"""
    return value.startswith(f"${ALGORITHM}$")


def _base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


def _take_apart(value: str) -> tuple[int, bytes, bytes]:
    """Iterations, salt and octets. Raises NotDecrypted."""
    parts = value.split("$")
    if len(parts) != 5 or parts[0] or parts[1] != ALGORITHM:
        raise NotDecrypted(f"not of the form ${ALGORITHM}$i=…$…$…")
    parameters = dict(each.partition("=")[::2] for each in parts[2].split(","))
    count = parameters.get("i", "")
    if not (count.isascii() and count.isdecimal() and len(count) <= 7 and 1 <= int(count) <= MOST_ITERATIONS):
        raise NotDecrypted(f"the iterations are to be 1 to {MOST_ITERATIONS}")
    try:
        salt = base64.b64decode(parts[3], validate=True)
        octets = base64.b64decode(parts[4], validate=True)
    except binascii.Error:
        raise NotDecrypted("salt or octets are no base64") from None
    if len(salt) != SALT_OCTETS or not octets or len(octets) % (AES.block_size // 8):
        raise NotDecrypted("salt or octets have a length that cannot be")
    return int(count), salt, octets
