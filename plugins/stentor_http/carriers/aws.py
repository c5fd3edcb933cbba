"""What the description of AWS cannot say: Signature Version 4, the records that Firehose delivers, and Amazon SNS.

SNS signs by a certificate that it names: the settings say whose topics are believed, and so from which host a
certificate may be (SNS Developer Guide, "Verifying the signatures of Amazon SNS messages").
"""

import base64
import binascii
import datetime
import hashlib
import hmac
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from stentor.driver import HTTPHead
from stentor.wire.calls import HTTPRequest

SERVICE = "sms-voice"
CONTENT_TYPE = "application/x-amz-json-1.0"


def sign(request: HTTPRequest, settings: Mapping[str, str], wall_ms: int) -> HTTPRequest:
    """The request with Authorization and X-Amz-Date (AWS Signature Version 4, a POST to ``/`` without query)."""
    stamp = datetime.datetime.fromtimestamp(wall_ms // 1000, datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
    fields = {name.lower(): (name, value) for name, value in request.fields}
    fields["content-type"] = ("Content-Type", CONTENT_TYPE)
    fields["x-amz-date"] = ("X-Amz-Date", stamp)
    signed = {name: fields[name][1] for name in ("content-type", "x-amz-date", "x-amz-target")}
    signed["host"] = urlsplit(request.url).netloc
    value = authorization(signed, request.body, stamp, settings)
    fields["authorization"] = ("Authorization", value)
    return msgspec.structs.replace(request, fields=tuple(fields.values()))


def authorization(fields: Mapping[str, str], body: bytes, stamp: str, settings: Mapping[str, str]) -> str:
    """The value of Authorization over these fields, names in lower case, and the body."""
    names = ";".join(sorted(fields))
    head = "".join(f"{name}:{fields[name]}\n" for name in sorted(fields))
    canonical = f"POST\n/\n\n{head}\n{names}\n{hashlib.sha256(body).hexdigest()}"
    scope = f"{stamp[:8]}/{settings['region']}/{SERVICE}/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{settings['secret_access_key']}".encode()
    for piece in scope.split("/"):
        key = hmac.digest(key, piece.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    credential = f"{settings['access_key_id']}/{scope}"
    return f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"


class Record(msgspec.Struct):
    """One record of a delivery: Base64 of one event or of several, one a line."""

    data: str


class Delivery(msgspec.Struct):
    """What Firehose posts."""

    records: list[Record]
    requestId: str = ""


class Notice(msgspec.Struct, rename="pascal"):
    """What SNS posts."""

    type: str
    message_id: str
    topic_arn: str
    message: str
    timestamp: str
    signature_version: str
    signature: str
    certificate_url: str = msgspec.field(name="SigningCertURL")
    subject: str | None = None
    token: str | None = None
    subscribe_url: str | None = msgspec.field(default=None, name="SubscribeURL")

    @property
    def signed_text(self) -> str:
        """Names and values, one a line, in the order of names; what is not there is left out."""
        is_confirmation = self.type != "Notification"
        pairs = (
            ("Message", self.message),
            ("MessageId", self.message_id),
            ("Subject", None if is_confirmation else self.subject),
            ("SubscribeURL", self.subscribe_url if is_confirmation else None),
            ("Timestamp", self.timestamp),
            ("Token", self.token if is_confirmation else None),
            ("TopicArn", self.topic_arn),
            ("Type", self.type),
        )
        return "".join(f"{name}\n{value}\n" for name, value in pairs if value is not None)


_TOPIC = re.compile(r"arn:aws[a-z-]*:sns:([a-z0-9-]+):[0-9]+:[A-Za-z0-9_.-]+")
REPEATED_FOR_S = 3600
"""How long SNS repeats a request that was not answered, at most."""
TOLERANCE_S = 300


def needs(head: HTTPHead, body: bytes, settings: Mapping[str, str]) -> str | None:
    """Where the certificate is that signed the request; None unless it claims to be of a topic in the settings."""
    notice = _notice(body) if _is_of_sns(head) else None
    if notice is None or not _is_known(notice, settings):
        return None
    is_theirs = re.fullmatch(
        rf"{_host(notice)}/SimpleNotificationService-[0-9A-Za-z]+\.pem", notice.certificate_url
    )
    return notice.certificate_url if is_theirs else None


def check(
    head: HTTPHead, body: bytes, settings: Mapping[str, str], fetched: bytes, wall_ms: int
) -> str | None:
    """Why the request is not believed, empty when it is; None for Firehose. Raises ValueError for what is no
    certificate: SNS takes 4xx for the end, and may come again."""
    if not _is_of_sns(head):
        return None
    notice = _notice(body)
    if notice is None:
        return "signature"
    if not _is_known(notice, settings):
        return "source"
    if not fetched or not _is_signed(notice, fetched, wall_ms):
        return "signature"
    try:
        age_s = wall_ms / 1000 - datetime.datetime.fromisoformat(notice.timestamp).timestamp()
    except ValueError:
        return "stale"
    return "" if -TOLERANCE_S <= age_s <= REPEATED_FOR_S + TOLERANCE_S else "stale"


def confirm(head: HTTPHead, body: bytes) -> str | None:
    """What must be visited before a subscription delivers anything."""
    notice = _notice(body) if _is_of_sns(head) else None
    if notice is None or notice.type != "SubscriptionConfirmation" or notice.subscribe_url is None:
        return None
    is_theirs = re.fullmatch(rf"{_host(notice)}/\?[!-~]+", notice.subscribe_url)
    return notice.subscribe_url if is_theirs else None


def _is_of_sns(head: HTTPHead) -> bool:
    return "x-amz-sns-message-type" in head.headers


def _notice(body: bytes) -> Notice | None:
    try:
        return msgspec.json.decode(body, type=Notice)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _is_known(notice: Notice, settings: Mapping[str, str]) -> bool:
    return notice.topic_arn in settings["topics"].split() and _TOPIC.fullmatch(notice.topic_arn) is not None


def _host(notice: Notice) -> str:
    """A pattern for the only host whose word is taken for a topic: that of its region."""
    found = _TOPIC.fullmatch(notice.topic_arn)
    return rf"https://sns\.{found[1] if found else '-'}\.amazonaws\.com(?:\.cn)?"


def _is_signed(notice: Notice, certificate: bytes, wall_ms: int) -> bool:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    found = x509.load_pem_x509_certificate(certificate)
    key, now = found.public_key(), datetime.datetime.fromtimestamp(wall_ms / 1000, datetime.UTC)
    digest = {"1": hashes.SHA1(), "2": hashes.SHA256()}.get(notice.signature_version)
    if digest is None or not isinstance(key, rsa.RSAPublicKey):
        return False
    if not found.not_valid_before_utc <= now <= found.not_valid_after_utc:
        return False
    try:
        signature = base64.b64decode(notice.signature, validate=True)
        key.verify(signature, notice.signed_text.encode(), padding.PKCS1v15(), digest)
    except (InvalidSignature, ValueError):
        return False
    return True


def unwrap(head: HTTPHead, body: bytes) -> bytes | None:
    """The events of a delivery as a JSON list; None when it is none."""
    try:
        if _is_of_sns(head):
            notice = msgspec.json.decode(body, type=Notice)
            lines = [notice.message.encode()] if notice.type == "Notification" else []
        else:
            delivery = msgspec.json.decode(body, type=Delivery)
            lines = [
                line
                for record in delivery.records
                for line in base64.b64decode(record.data, validate=True).splitlines()
            ]
        return msgspec.json.encode([msgspec.json.decode(line) for line in lines if line.strip()])
    except (msgspec.DecodeError, binascii.Error, UnicodeDecodeError, RecursionError, ValueError):
        return None


def respond(head: HTTPHead, body: bytes, wall_ms: int) -> bytes:
    """Firehose wants its request's id and a time back, SNS nothing."""
    if _is_of_sns(head):
        return b""
    delivery = msgspec.json.decode(body, type=Delivery)
    return msgspec.json.encode({"requestId": delivery.requestId, "timestamp": wall_ms})
