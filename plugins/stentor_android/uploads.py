"""Messages that phones upload by themselves, ``POST /inbox``: many at once, each value of them encrypted.

No published version of the app does so; the form is that of its development branches, so it is taken only where the
configuration says it. Pure, and slow on purpose where keys are derived: :func:`opened` is for a thread. Invariant: who
uploads is answered after all of it is durable, for what is refused alone is dropped by the phone.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from stentor_android.encryption import Encryption, NotDecrypted, iterations_of
from stentor_android.inbound import Delivery
from stentor_android.protocol import decode

MOST_UPLOADED: Final = 500
MOST_ROUNDS: Final = 10_000_000
"""Of key derivation for one request: some seconds. For more it is refused, and the phone halves what it sends."""
_EVENTS: Final = {"SMS": "sms:received", "DATA_SMS": "sms:data-received", "MMS_DOWNLOADED": "mms:downloaded"}
_CONTENT: Final = {"SMS": "message", "DATA_SMS": "data", "MMS_DOWNLOADED": "body"}


class Upload(msgspec.Struct, frozen=True, rename="camel"):
    """One message of an upload. With ``is_encrypted`` sender, recipient and content are protected values; attachments
    are not read."""

    id: str
    type: str
    sender: str
    content: str
    recipient: str | None = None
    sim_number: int | None = None
    is_encrypted: bool = True
    created_at: str = ""

    @property
    def protected(self) -> list[str]:
        """What is to be decrypted of it."""
        return [self.sender, self.content, self.recipient or ""] if self.is_encrypted else []


def read_uploads(body: bytes) -> tuple[list[Upload], int] | None:
    """The messages of a body and how many of its elements were none; None for a body that is no list, or too long a
    one, or too much work."""
    elements = decode(body, list[msgspec.Raw])
    if elements is None or len(elements) > MOST_UPLOADED:
        return None
    found = [upload for each in elements if (upload := decode(bytes(each), Upload)) is not None]
    if sum(iterations_of(value) for upload in found for value in upload.protected) > MOST_ROUNDS:
        return None
    return found, len(elements) - len(found)


def opened(uploads: Sequence[Upload], device_id: str, encryption: Encryption | None) -> list[Delivery | None]:
    """Each as the delivery that would have told of it; None for what cannot be read."""
    return [_opened(upload, device_id, encryption) for upload in uploads]


def _opened(upload: Upload, device_id: str, encryption: Encryption | None) -> Delivery | None:
    event = _EVENTS.get(upload.type)
    sender, content, recipient = upload.sender, upload.content, upload.recipient
    if event is None:
        return None
    if upload.is_encrypted:
        if encryption is None:
            return None
        try:
            sender, content = encryption.decrypt(sender), encryption.decrypt(content)
            recipient = encryption.decrypt(recipient) if recipient else None
        except NotDecrypted:
            return None
    payload = {
        "messageId": upload.id,
        "sender": sender,
        "recipient": recipient,
        "simNumber": upload.sim_number,
        "receivedAt": upload.created_at,
        _CONTENT[upload.type]: content,
    }
    return Delivery(upload.id, event, device_id, payload=payload)
