"""Requests to others as octets, and the URLs they go to (RFC 9112 §3, RFC 3986).

What comes in may have been put together from a template and a message: nothing of it can break out of its place.
"""

import base64
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final
from urllib.parse import unquote

import msgspec

from stentor.wire.calls import HTTPRequest, InvalidRequest

_URL: Final = re.compile(
    r"(?i:(https?))://(\[[0-9A-Fa-f:.]+\]|[^\s/?#@:\[\]\\%]+)(?::([0-9]{1,5}))?(?=[/?#]|\Z)"
    r"((?:[/?][!\"$-~]*)?)(?:#.*)?"
)
_PROXY: Final = re.compile(r"http://(?:([^@/?#\s]*)@)?([^@/?#\s]+)/?")
_HOST: Final = re.compile(r"[0-9a-z](?:[0-9a-z._-]{0,252})")
_METHOD: Final = re.compile(r"[A-Z]{1,20}")
_FIELDS: Final = re.compile(
    r"(?:(?!(?:host|content-length|connection|transfer-encoding|upgrade|te|trailer|proxy-authorization|expect):)"
    r"[-!#$%&'*+.^_`|~0-9a-z]++: [\t\x20-\x7e\x80-\xff]*+\r\n)*+",
    re.IGNORECASE,
)
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_NO_BODY: Final = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})  # an empty body needs no Content-Length


class URL(msgspec.Struct, frozen=True, gc=False):
    """Where a request goes. ``host``: a lower-case name, or an address without brackets. ``authority``: as the Host
    field has it. ``origin``: scheme, host and port, the key of what may share a connection."""

    is_tls: bool
    host: str
    port: int
    authority: str
    target: str
    origin: str


class Proxy(msgspec.Struct, frozen=True, gc=False):
    """Where a proxy is, and the value of the Proxy-Authorization field it wants, empty for none."""

    host: str
    port: int
    authorization: str


@lru_cache(1024)
def read_url(text: str) -> URL:
    """Raises InvalidRequest for what is no absolute http or https URL, or carries user information."""
    match = _URL.fullmatch(text)
    if match is None:
        raise InvalidRequest("the URL is not an absolute http or https URL in its encoded form")
    scheme, host = match[1].lower(), _host(match[2])
    default = _DEFAULT_PORTS[scheme]
    port = int(match[3]) if match[3] else default
    if not 0 < port < 65536:
        raise InvalidRequest("the URL's port is out of range")
    bracketed = f"[{host}]" if ":" in host else host
    authority = bracketed if port == default else f"{bracketed}:{port}"
    target = match[4]
    if not target.startswith("/"):
        target = "/" + target
    return URL(scheme == "https", host, port, authority, target, f"{scheme}://{bracketed}:{port}")


def read_proxy(text: str) -> Proxy | None:
    """``http://[user:password@]host:port``; None for the empty string. Raises InvalidRequest, quoting nothing."""
    if not text:
        return None
    match = _PROXY.fullmatch(text)
    if match is None:
        raise InvalidRequest("a proxy is written http://[user:password@]host:port")
    place = read_url(f"http://{match[2]}")
    if match[1] is None:
        return Proxy(place.host, place.port, "")
    pair = base64.b64encode(unquote(match[1]).encode()).decode("ascii")
    return Proxy(place.host, place.port, f"Basic {pair}")


def write_request(request: HTTPRequest, url: URL, user_agent: str = "", proxy: Proxy | None = None) -> bytes:
    """The request as it goes over a connection to ``url``, or to a proxy that forwards it (RFC 9112 §3.2.2).

    Raises InvalidRequest for a method or field that cannot be sent, and for fields that are the client's own.
    """
    head = begin_request(request.method, request.fields, url, user_agent, proxy)
    body = request.body
    if body or request.method not in _NO_BODY:
        return b"%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body)
    return head + b"\r\n"


def begin_request(
    method: str,
    fields: Sequence[tuple[str, str]],
    url: URL,
    user_agent: str = "",
    proxy: Proxy | None = None,
) -> bytes:
    """A request up to where its last fields follow, its length among them. Raises InvalidRequest as above."""
    if _METHOD.fullmatch(method) is None or method == "CONNECT":
        raise InvalidRequest("the method is not one that can be sent")
    lines = "".join([f"{name}: {value}\r\n" for name, value in fields])
    # One expression reads them all; counting ends of lines finds the field that would be two.
    if _FIELDS.fullmatch(lines) is None or lines.count("\r\n") != len(fields):
        raise InvalidRequest("a header field is not one that can be sent")
    target = url.target
    if proxy is not None:
        target = f"http://{url.authority}{target}"
        if proxy.authorization:
            lines = f"{lines}Proxy-Authorization: {proxy.authorization}\r\n"
    if user_agent and "user-agent:" not in lines.lower():
        lines = f"{lines}User-Agent: {user_agent}\r\n"
    return f"{method} {target} HTTP/1.1\r\nHost: {url.authority}\r\n{lines}".encode("latin-1")


def write_connect(url: URL, proxy: Proxy) -> bytes:
    """What asks a proxy for a tunnel to the URL's host (RFC 9110 §9.3.6)."""
    host = f"[{url.host}]" if ":" in url.host else url.host
    place = f"{host}:{url.port}"
    fields = f"Proxy-Authorization: {proxy.authorization}\r\n" if proxy.authorization else ""
    return f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n{fields}\r\n".encode("ascii")


def _host(text: str) -> str:
    if text.startswith("["):
        return text[1:-1].lower()
    try:
        host = text.lower() if text.isascii() else text.encode("idna").decode("ascii").lower()
    except UnicodeError:
        host = ""
    if _HOST.fullmatch(host) is None:
        raise InvalidRequest("the URL's host is not a name that can be looked up")
    return host
