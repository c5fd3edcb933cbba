"""What the description of AWS cannot say: Signature Version 4, and the records that Firehose delivers."""

import base64
import binascii
import datetime
import hashlib
import hmac
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


def unwrap(_: HTTPHead, body: bytes) -> bytes | None:
    """The events of a delivery as a JSON list; None when it is none."""
    try:
        delivery = msgspec.json.decode(body, type=Delivery)
        lines = [
            line
            for record in delivery.records
            for line in base64.b64decode(record.data, validate=True).splitlines()
        ]
        return msgspec.json.encode([msgspec.json.decode(line) for line in lines if line.strip()])
    except (msgspec.DecodeError, binascii.Error, UnicodeDecodeError, RecursionError, ValueError):
        return None


def respond(_: HTTPHead, body: bytes, wall_ms: int) -> bytes:
    """Firehose wants its request's id and a time back."""
    delivery = msgspec.json.decode(body, type=Delivery)
    return msgspec.json.encode({"requestId": delivery.requestId, "timestamp": wall_ms})
