"""What a description of a carrier may say: TOML into Structs, every fault with its place.

Facts alone, no code and no account: the same file serves everybody who buys there. ``README.md`` beside this file is
the author's guide. Nothing is compiled here; templates, paths and patterns are checked by :mod:`stentor_http.carrier`
and by :func:`stentor_http.catalog.check`, which names their places in the same way.
"""

import datetime
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from stentor.errors import ConfigError

SCHEMA: Final = 1
OWN_SETTINGS: Final = ("hook_token",)
"""Settings every carrier has; ``hook_token`` guards the URLs we give to carriers."""

Path = str | list[str]
"""``a.b[0].c``; ``^.a`` from the root of the document, ``?a`` in the URL's query, ``#a`` among the header fields,
``a.#`` the length of a list. In a list of paths the first that is there counts."""

Code = str | int
HTTPStatus = int | Literal["2xx", "3xx", "4xx", "5xx"]
Texts = str | list[str]


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Any table of a description."""


class Taken(Table, frozen=True, kw_only=True):
    """A value and what is to be cut out of it: the pattern's first group, or all it matches. ``text`` stands alone:
    the same everywhere, and told nowhere."""

    path: Path = ""
    regex: str = ""
    """Without a path it is looked for in the body."""
    text: str = ""


Place = str | list[str] | Taken


class Setting(Table, frozen=True, kw_only=True):
    """Something that differs from account to account."""

    description: str = ""
    default: str | None = None
    secret: bool = False


class Limits(Table, frozen=True, kw_only=True):
    """What the carrier takes. What a template does not mention (flash, binary, udh) is not taken."""

    numbers: Literal["plus", "digits"] = "plus"
    text_characters: Annotated[int, Meta(ge=0)] = 0
    valid_min_s: Annotated[int, Meta(ge=1)] = 1
    valid_max_s: Annotated[int, Meta(ge=1)] = 31 * 86_400
    connections: Annotated[int, Meta(ge=1, le=1000)] = 8
    rate: Annotated[float, Meta(gt=0)] = 10.0


class NoAuth(Table, frozen=True, kw_only=True, tag="none", tag_field="kind"):
    """Nothing, or what stands among the fields."""


class BasicAuth(Table, frozen=True, kw_only=True, tag="basic", tag_field="kind"):
    """RFC 7617."""

    user: str
    password: str


class BearerAuth(Table, frozen=True, kw_only=True, tag="bearer", tag_field="kind"):
    """RFC 6750."""

    token: str


class HeaderAuth(Table, frozen=True, kw_only=True, tag="header", tag_field="kind"):
    """A key in a header field."""

    name: str
    value: str


class QueryAuth(Table, frozen=True, kw_only=True, tag="query", tag_field="kind"):
    """A key in the URL."""

    name: str
    value: str


class VonageAuth(Table, frozen=True, kw_only=True, tag="vonage", tag_field="kind"):
    """A signature over the sorted fields of a form, with a timestamp among them."""

    key: str
    method: Literal["md5hash", "md5", "sha1", "sha256", "sha512"] = "sha256"


class TokenAuth(Table, frozen=True, kw_only=True, tag="token", tag_field="kind"):
    """OAuth 2.0 client credentials (RFC 6749 §4.4): a token is fetched, used as bearer, fetched anew."""

    url: str
    user: str
    password: str
    scope: str = ""


Auth = NoAuth | BasicAuth | BearerAuth | HeaderAuth | QueryAuth | VonageAuth | TokenAuth


class Batch(Table, frozen=True, kw_only=True):
    """Several messages in one request."""

    max: Annotated[int, Meta(ge=2, le=10_000)]


class Send(Table, frozen=True, kw_only=True):
    """The request. ``body`` is for JSON, ``fields`` for forms and queries."""

    url: str
    method: Literal["POST", "PUT", "GET"] = "POST"
    encoding: Literal["json", "form", "query"] = "json"
    headers: dict[str, str] = {}
    body: dict[str, Any] = {}
    fields: dict[str, str] = {}
    auth: Auth = msgspec.field(default_factory=NoAuth)
    batch: Batch | None = None
    repeat: Literal["never", "safe"] = "never"
    """``safe``: the carrier knows ``{id}`` again and delivers once however often it is asked."""


Is = Annotated[list[Code | bool], Meta(min_length=1)]


class Condition(Table, frozen=True, kw_only=True):
    """All that is given must hold."""

    http: list[HTTPStatus] = []
    path: Path = ""
    is_: Is | None = msgspec.field(default=None, name="is")
    matches: str = ""
    exists: bool | None = None


class Result(Table, frozen=True, kw_only=True):
    """One message's part of an answer. Without ``accepted`` whatever has an id was taken."""

    id: Place | None = None
    accepted: Condition | None = None
    own: Place | None = None
    to: Place | None = None
    segments: Place | None = None
    price: Place | None = None
    price_decimals: Annotated[int, Meta(ge=0, le=9)] = 0
    """The price is a whole number of units of 10^-this."""
    currency: Place | None = None
    code: Place | None = None
    detail: Place | None = None


class Reply(Table, frozen=True, kw_only=True):
    """How to read an answer. ``code`` and ``detail`` say why the whole was not taken."""

    format: Literal["json", "form", "text"] = "json"
    code: Place | None = None
    detail: Place | None = None
    accepted: Condition | None = None
    """Beyond a status of 2xx, what an answer must be like for its results to be looked at."""
    results: str = ""
    pair: Literal["position", "own", "to", "parts"] = "position"
    """How results find their messages; ``parts``: all of them belong to the only message there is."""
    match: Literal["id", "own"] = "id"
    """By what receipts name a message: the carrier's id, or ours that it repeats."""
    result: Result = Result()


class Wait(Table, frozen=True, kw_only=True):
    """How long to leave the carrier alone."""

    path: Path = ""
    regex: str = ""
    unit: Literal["s", "ms"] = "s"


Means = Literal[
    "bad_destination",
    "bad_originator",
    "bad_content",
    "bad_request",
    "not_permitted",
    "opted_out",
    "rejected",
    "bad_login",
    "no_credit",
    "misdirected",
    "throttled",
    "destination_throttled",
    "busy",
    "failed",
    "duplicate",
    "doubt",
    "accepted",
]


class ErrorRow(Table, frozen=True, kw_only=True):
    """What an answer means; the first row that fits decides."""

    means: Means
    http: list[HTTPStatus] = []
    codes: list[Code] = []
    matches: str = ""
    """A pattern in code and detail; in the body where there is neither."""
    path: Path = ""
    """Where the code is, if not where ``reply`` says."""
    wait: Wait | None = None
    scope: Literal["message", "destination", "lane", "channel"] | None = None


class BasicCheck(Table, frozen=True, kw_only=True, tag="basic", tag_field="kind"):
    """Name and password in the URL we gave (RFC 7617)."""

    user: str
    password: str


class HeaderCheck(Table, frozen=True, kw_only=True, tag="header", tag_field="kind"):
    """A secret in a header field."""

    name: str
    value: Texts


class HMACCheck(Table, frozen=True, kw_only=True, tag="hmac", tag_field="kind"):
    """HMAC over ``message``: ``{body}``, ``{sha256}`` (its hash, 32 octets), ``{url}``, ``{header.NAME}``."""

    key: Texts
    header: str
    digest: Literal["md5", "sha1", "sha224", "sha256", "sha384", "sha512"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    prefix: str = ""
    message: str = "{body}"
    timestamp_header: str = ""


class TwilioCheck(Table, frozen=True, kw_only=True, tag="twilio", tag_field="kind"):
    """HMAC-SHA1 over URL and sorted fields."""

    key: Texts
    header: str = "x-twilio-signature"


class PlivoCheck(Table, frozen=True, kw_only=True, tag="plivo", tag_field="kind"):
    """Plivo's signature V3."""

    key: Texts


class VonageCheck(Table, frozen=True, kw_only=True, tag="vonage", tag_field="kind"):
    """The field ``sig`` over the sorted fields."""

    key: Texts
    method: Literal["md5hash", "md5", "sha1", "sha256", "sha512"] = "sha256"


class JWTCheck(Table, frozen=True, kw_only=True, tag="jwt", tag_field="kind"):
    """A JSON Web Token in a header field (RFC 7519), HMAC only. Claims are texts, ``{sha256_body}``, ``{sha256_url}``
    or settings; ``optional_claims`` must be right when they are there, the hash of a body if there is a body."""

    key: Texts
    header: str
    bearer: bool = False
    algorithms: tuple[Literal["HS256", "HS384", "HS512"], ...] = ("HS256",)
    claims: dict[str, str] = {}
    is_payload: bool = msgspec.field(default=False, name="payload")
    """The claims are the content, whatever the body says."""


class Ed25519Check(Table, frozen=True, kw_only=True, tag="ed25519", tag_field="kind"):
    """An Ed25519 signature (RFC 8032) in Base64 over ``message``; keys in Base64."""

    key: Texts
    header: str
    message: str
    timestamp_header: str = ""


Check = (
    BasicCheck | HeaderCheck | HMACCheck | TwilioCheck | PlivoCheck | VonageCheck | JWTCheck | Ed25519Check
)


class Answer(Table, frozen=True, kw_only=True):
    """What the carrier wants to hear."""

    status: Annotated[int, Meta(ge=200, le=299)] = 200
    body: str = ""
    type: str = "text/plain"


ReceiptWord = Literal[
    "accepted",
    "sent",
    "delivered",
    "undelivered",
    "unreachable",
    "failed",
    "rejected",
    "bad_destination",
    "bad_originator",
    "bad_content",
    "not_permitted",
    "opted_out",
    "no_credit",
    "throttled",
    "deleted",
    "cancelled",
    "expired",
    "unknown",
]


class Hook(Table, frozen=True, kw_only=True):
    """What the requests of a carrier have in common."""

    methods: tuple[Literal["POST", "GET"], ...] = ("POST",)
    format: Literal["json", "form", "query", "any"] = "json"
    """``any``: a form, a query or JSON, as the request itself says."""
    only: Condition | None = None
    """Which entries are meant; others may be of the other kind, or are skipped."""
    items: str = ""
    split: Annotated[str, Meta(max_length=1)] = ""
    """Several entries in one form, the values of each field joined by this character."""
    answer: Answer = Answer()


class Costs(Table, frozen=True, kw_only=True):
    """What a receipt says that the carrier counted for the whole message."""

    segments: Place | None = None
    price: Place | None = None
    price_decimals: Annotated[int, Meta(ge=0, le=9)] = 0
    """The price is a whole number of units of 10^-this."""
    price_of: Literal["message", "segment"] = "message"
    """``segment``: the price is to be multiplied by ``segments``."""
    currency: Place | None = None


class ReceiptHook(Hook, frozen=True, kw_only=True):
    """Delivery receipts."""

    id: Place | None = None
    own: Place | None = None
    to: Place | None = None
    status: Place
    map: dict[str, ReceiptWord]
    group: Place | None = None
    groups: dict[str, ReceiptWord] = {}
    """For a status that is not in ``map``."""
    code: Place | None = None
    codes: dict[str, ReceiptWord] = {}
    """Words for failures by code; they say more than the status."""
    detail: Place | None = None
    at: Place | None = None
    at_format: str = "iso"
    """``iso``, ``unix``, ``unix_ms`` or a pattern of strptime, in UTC."""
    part: Place | None = None
    parts: Place | None = None
    """How many receipts make one message; with ``own`` alone they are those we counted."""
    is_per_part: bool = msgspec.field(default=False, name="per_part")
    charge: Costs | None = None


class MOHook(Hook, frozen=True, kw_only=True):
    """Messages that came in."""

    id: Place | None = None
    from_: Place = msgspec.field(name="from")
    to: Place
    text: Place | None = None
    data: Place | None = None
    """Hexadecimal octets of a binary message."""
    segments: Place | None = None
    reference: Place | None = None
    part: Place | None = None
    parts: Place | None = None


class Question(Table, frozen=True, kw_only=True):
    """A request about one message, with the login of ``send``. What is in braces names the message. ``fields`` are a
    query with GET and DELETE, else a form; ``body`` is JSON."""

    url: str
    method: Literal["GET", "POST", "PUT", "DELETE"] = "GET"
    body: dict[str, Any] = {}
    fields: dict[str, str] = {}


class Lookup(Question, frozen=True, kw_only=True):
    """How doubt is settled: whether the carrier has a message whose answer was lost."""

    items: str = ""
    """A list in which it is looked for; without, the answer is the message."""
    same: dict[str, str] = {}
    """Paths in an entry, and what must stand there for it to be ours."""
    id: Place
    at: Place | None = None
    """When the carrier took it: an older one is not ours."""
    at_format: str = "iso"
    whole: Condition | None = None
    """When this holds of an answer in which it is not, the carrier does not have it; else nobody knows."""
    after_s: Annotated[float, Meta(ge=1, le=3600)] = 10.0
    """How long the carrier is given first; each further try waits twice as long."""
    tries: Annotated[int, Meta(ge=1, le=8)] = 3


class Query(Question, frozen=True, kw_only=True):
    """What became of a message whose receipt is overdue. ``map``, ``groups`` and ``codes`` are those of the receipt
    unless they are given."""

    after_s: Annotated[float, Meta(ge=60, le=2_592_000)] = 3600.0
    status: Place
    map: dict[str, ReceiptWord] = {}
    group: Place | None = None
    groups: dict[str, ReceiptWord] = {}
    code: Place | None = None
    codes: dict[str, ReceiptWord] = {}
    detail: Place | None = None
    at: Place | None = None
    at_format: str = "iso"
    charge: Costs | None = None


class Cancel(Question, frozen=True, kw_only=True):
    """Takes back what has left. ``cancelled`` beyond a status of 2xx says that it was; with ``reported`` no answer
    does, and the receipt tells."""

    method: Literal["GET", "POST", "PUT", "DELETE"] = "DELETE"
    cancelled: Condition | None = None
    reported: bool = False


class Description(Table, frozen=True, kw_only=True):
    """One carrier."""

    schema: Literal[1]
    name: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]
    title: str = ""
    checked: datetime.date | None = None
    """When the facts were last compared with the carrier's documentation."""
    code: str = ""
    """A Python file beside this one, of pure functions: :mod:`stentor_http.code` says which."""
    settings: dict[Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,31}$")], Setting] = {}
    limits: Limits = Limits()
    send: Send
    reply: Reply = Reply()
    errors: list[ErrorRow] = []
    verify: list[Check] = []
    lookup: Lookup | None = None
    query: Query | None = None
    cancel: Cancel | None = None
    receipt: ReceiptHook | None = None
    mo: MOHook | None = None


def fault(source: str, place: str, detail: str) -> ConfigError:
    """A fault of the description at ``place`` in it."""
    return ConfigError(f"{source}: {place}" if place else source, detail)
