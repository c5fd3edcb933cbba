"""A carrier ready for work: its description and one account's settings, compiled once when the channel is loaded."""

import base64
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote, quote_plus, urlsplit

from stentor.errors import ConfigError
from stentor.outcome import Submission
from stentor_http.body import Body, Compiler
from stentor_http.code import Code
from stentor_http.description import (
    OWN_SETTINGS,
    BasicAuth,
    BearerAuth,
    Description,
    HeaderAuth,
    JWTCheck,
    QueryAuth,
    TokenAuth,
    VonageAuth,
    fault,
)
from stentor_http.errors import ErrorTable
from stentor_http.extraction import ExtractionFault
from stentor_http.hooks import MO, Receipts
from stentor_http.questions import Login, compile_questions
from stentor_http.replies import Replies
from stentor_http.template import VARIABLES, Constants, Render, Value, digits, own_id
from stentor_http.verify import Test, compile_check, faults_of

FORM: Final = "application/x-www-form-urlencoded"
MASK: Final = "********"


class Carrier:
    """What the driver holds of a carrier. Immutable once made; never shows a secret.

    ``unit`` of such a channel is ``"message"``. ``is_idempotent``, ``echoes_reference``, ``honours_validity``,
    ``has_receipts``, ``has_inbound`` and ``takes_binary`` are for its Capabilities; ``batch_limit`` is how many
    messages go into one request, ``connections`` and ``rate`` what the description advises. ``questions`` are what the
    carrier can be asked about messages.
    """

    def __init__(
        self, description: Description, settings: Mapping[str, str], public_url: str, code: Code
    ) -> None:
        """:func:`compile_carrier` checks the settings first."""
        self.description = description
        self.name = description.name
        self.settings = settings
        self.public_url = public_url
        self.code = code
        self._source = description.name
        self._names = frozenset(settings)
        constants = self._constants(settings, public_url)
        compiler = Compiler(self._names, constants, self._variables(), self._fail)
        self._compile_send(compiler)
        self._compile_texts(compiler)
        self._compile_checks(compiler, constants)
        limits = description.limits
        self.text_characters = limits.text_characters
        self.connections, self.rate = limits.connections, limits.rate
        self.secrets = _secret_texts(description, settings)

    def mask(self, text: str) -> str:
        """The text without the secrets of this account, as they are and as they are encoded."""
        for secret in self.secrets:
            text = text.replace(secret, MASK)
        return text

    def _fail(self, place: str, detail: str) -> ConfigError:
        return fault(self._source, place, detail)

    def _constants(self, settings: Mapping[str, str], public_url: str) -> Constants:
        constants: dict[str, str | None] = {
            f"settings.{name}": text or None for name, text in settings.items()
        }
        mark = f"?token={quote(settings['hook_token'], safe='')}" if settings.get("hook_token") else ""
        constants["mo_url"] = f"{public_url}/mo{mark}" if public_url else None
        return constants

    def _variables(self) -> dict[str, Render]:
        """The variables as this carrier spells numbers and validity, and the URLs for its receipts."""
        limits, variables = self.description.limits, dict(VARIABLES)
        if limits.numbers == "digits":
            variables["to"] = lambda submission, _: digits(submission.to)
            variables["from"] = lambda submission, _: digits(submission.originator) or None
        low, high = limits.valid_min_s, limits.valid_max_s
        variables["valid_for_s"] = lambda submission, _: min(max(submission.valid_for_s, low), high)
        variables["expires_at_ms"] = lambda submission, wall_ms: (
            wall_ms + min(max(submission.valid_for_s, low), high) * 1000
        )
        base, token = self.public_url, self.settings.get("hook_token")
        plain = f"{base}/receipt" + (f"?token={quote(token, safe='')}" if token else "")
        with_id = f"{plain}{'&' if token else '?'}id="

        def receipt_url(submission: Submission, _: int) -> Value:
            return plain if base and submission.wants_receipt else None

        def receipt_url_with_id(submission: Submission, _: int) -> Value:
            return with_id + own_id(submission) if base and submission.wants_receipt else None

        return variables | {"receipt_url": receipt_url, "receipt_url_with_id": receipt_url_with_id}

    def _compile_send(self, compiler: Compiler) -> None:
        send = self.description.send
        if (send.encoding == "json") != bool(send.body) or (send.encoding != "json") != bool(send.fields):
            raise self._fail("send", "JSON has a body, forms and queries have fields")
        if send.encoding == "json":
            self.body: Body = compiler.json(send.body, "send.body")
        else:
            self.body = compiler.form(send.fields, "send.fields", FORM if send.encoding == "form" else "")
        if self.body.is_batch != (send.batch is not None):
            raise self._fail(
                "send.batch", "goes with `each` in a body or `join` in a field, and they with it"
            )
        self.batch_limit = send.batch.max if send.batch else 1
        self.shared: tuple[Callable[[Submission], Any], ...] = _shared(self.body.shared)
        if "id" in self.body.shared and self.batch_limit > 1:
            raise self._fail("send", "{id} is one message's: in a batch it stands inside `each`")
        self.honours_validity = bool({"valid_for_s", "expires_at_ms"} & self.body.variables)
        self.takes_flash = "flash" in self.body.variables
        self.takes_binary = "data" in self.body.variables
        self.takes_udh = "udh" in self.body.variables
        self.is_idempotent = send.repeat == "safe"
        if self.is_idempotent and "id" not in self.body.variables | set(_named(send.headers)):
            raise self._fail("send.repeat", "is safe only where the carrier is told {id}")
        for names in (("to",), ("text", "data")):
            if not self.body.variables.intersection(names):
                place = "send.body" if send.encoding == "json" else "send.fields"
                raise self._fail(place, f"has no {{{names[0]}}}: the carrier would not be told")
        self.url = self._url(compiler, send.url, "send.url")
        self._compile_fields(compiler)

    def _url(self, compiler: Compiler, text: str, place: str) -> str:
        """A URL of settings. The first of them may be a base; every other is percent-encoded."""
        base, rest = "", text
        if text.startswith("{settings."):
            name, _, rest = text[len("{settings.") :].partition("}")
            base = self._constant(compiler, f"{{settings.{name}}}", place)
        template = compiler.text(rest, place)
        if any(not name.startswith("settings.") for name in template.variables):
            raise self._fail(place, "a URL is made of settings")
        filled = template.bind(compiler.constants, {}, lambda value: quote(value, safe=""))
        if filled is None or callable(filled):
            raise self._fail(place, "a URL is made of settings that are given")
        url = base.rstrip("/") + filled
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.username is not None:
            raise self._fail(place, f"{self.mask_settings(url)!r} is no http or https URL")
        return url

    def mask_settings(self, text: str) -> str:
        """As :meth:`mask`, while the carrier is being made."""
        for secret in _secret_texts(self.description, self.settings):
            text = text.replace(secret, MASK)
        return text

    def _constant(self, compiler: Compiler, text: str, place: str) -> str:
        template = compiler.text(text, place)
        if any(not name.startswith("settings.") for name in template.variables):
            raise self._fail(place, "is made of settings alone")
        bound = template.bind(compiler.constants, {})
        return bound if isinstance(bound, str) else ""

    def _compile_fields(self, compiler: Compiler) -> None:
        """Header fields: constants, and those that name the message."""
        send = self.description.send
        fields: list[tuple[str, str]] = []
        self.live_fields: list[tuple[str, Render]] = []
        if send.encoding != "query":
            fields.append(("Content-Type", self.body.content_type))
        fields.append(("Accept", "application/json" if self.description.reply.format == "json" else "*/*"))
        for name, text in send.headers.items():
            place = f"send.headers.{name}"
            template = compiler.text(text, place)
            if not template.variables <= {"id", "now_ms"} | {f"settings.{one}" for one in self._names}:
                raise self._fail(place, "a header field knows settings, {id} and {now_ms}")
            bound = template.bind(compiler.constants, compiler.variables)
            if callable(bound):
                self.live_fields.append((name, bound))
            elif bound is not None:
                fields.append((name, bound))
        self.query, self.vonage_key, self.vonage_method = "", "", ""
        self.token_auth: TokenAuth | None = None
        self._compile_auth(compiler, fields)
        self.fields = tuple(fields)
        self.needs_token = self.token_auth is not None

    def _compile_auth(self, compiler: Compiler, fields: list[tuple[str, str]]) -> None:
        def fill(text: str) -> str:
            return self._constant(compiler, text, "send.auth")

        match self.description.send.auth:
            case BasicAuth(user=user, password=password):
                fields.append(("Authorization", basic(fill(user), fill(password))))
            case BearerAuth(token=token):
                fields.append(("Authorization", f"Bearer {fill(token)}"))
            case HeaderAuth(name=name, value=value):
                fields.append((name, fill(value)))
            case QueryAuth(name=name, value=value):
                self.query = f"{quote_plus(name)}={quote_plus(fill(value))}"
            case VonageAuth(key=key, method=method):
                if self.description.send.encoding == "json":
                    raise self._fail("send.auth", "signs the fields of a form")
                self.vonage_key, self.vonage_method = fill(key), method
            case TokenAuth() as auth:
                self.token_auth = auth
                self.token_url = self._url(compiler, auth.url, "send.auth.url")
                self.token_fields = (
                    ("Content-Type", FORM),
                    ("Authorization", basic(fill(auth.user), fill(auth.password))),
                )
                self.token_scope = fill(auth.scope)

    def _compile_texts(self, compiler: Compiler) -> None:
        description = self.description
        login = Login(tuple(field for field in self.fields if field[0] != "Content-Type"), self.query)
        tables = description.lookup, description.query, description.cancel
        numbers = description.limits.numbers
        if description.lookup is not None and self.is_idempotent:
            raise self._fail("lookup", "is for carriers that cannot be asked again: send.repeat is safe")
        if any(tables) and (self.vonage_key or self.code.sign is not None):
            raise self._fail("send", "has a signature over what is sent, and questions have none")
        try:
            self.questions = compile_questions(tables, description.receipt, numbers, compiler, login)
            self.errors = ErrorTable(description.errors)
            self.replies = Replies(description.reply)
            self.receipts = Receipts(description.receipt, numbers) if description.receipt else None
            self.mo = MO(description.mo, numbers) if description.mo else None
        except ExtractionFault as error:
            place, _, detail = str(error).partition(": ")
            raise self._fail(place, detail) from None
        self.matches_own = description.reply.match == "own"
        named = "own" if self.matches_own else "id"
        if description.receipt is not None and getattr(description.receipt, named) is None:
            raise self._fail(
                f"receipt.{named}",
                f'is missing: receipts are matched by it, as match = "{named}" in [reply] says',
            )
        self.has_receipts = self.receipts is not None and bool(self.public_url)
        self.has_inbound = self.mo is not None
        self.echoes_reference = description.receipt is not None and description.receipt.own is not None

    def _compile_checks(self, compiler: Compiler, constants: Constants) -> None:
        self.checks: list[Test] = []
        self.payload_header = ""
        for index, check in enumerate(self.description.verify):
            place = f"verify[{index}]"
            wrong = faults_of(getattr(check, "message", ""))
            if wrong is not None:
                raise self._fail(f"{place}.message", wrong)
            stamp = getattr(check, "timestamp_header", "").lower()
            if stamp and f"{{header.{stamp}}}" not in getattr(check, "message", "").lower():
                raise self._fail(
                    f"{place}.timestamp_header", "is not in `message`: whoever repeats it could change it"
                )

            def fill(text: str, place: str = place) -> str:
                if text in ("{sha256_body}", "{sha256_url}"):
                    return text
                return self._constant(compiler, text, place)

            test = compile_check(check, fill)
            if test is None:
                continue
            self.checks.append(test)
            if isinstance(check, JWTCheck) and check.is_payload:
                self.payload_header = check.header.lower()
        self.hook_token = self.settings.get("hook_token", "")


def basic(user: str, password: str) -> str:
    """A value of Authorization (RFC 7617 §2)."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def compile_carrier(
    description: Description, settings: Mapping[str, str], public_url: str = "", code: Code | None = None
) -> Carrier:
    """Raises ConfigError (``settings.api_key``) for settings that are missing, unknown or unusable, and (with the
    description's name in front) for a template, path or pattern that is wrong.

    ``settings``: texts by name, those of ``[settings]`` of the description; which of them are secret it says there,
    so a channel's configuration gives them as ``[[settings]]`` tables of ``name`` and the secret ``value``, or in
    any other shape. ``public_url`` is where carriers reach the channel, ``https://sms.example.org/in/CHANNEL``,
    without ``/receipt`` or ``/mo``; empty: no receipts are asked for. ``code``: the functions of the description's
    Python file, as :func:`stentor_http.catalog.code_of` loads it.
    """
    whole = _settings(description, settings)
    carrier = Carrier(description, whole, public_url.rstrip("/"), code or Code())
    if public_url and (carrier.receipts or carrier.mo) and not carrier.checks and not carrier.hook_token:
        raise ConfigError(
            "settings.hook_token",
            f"with these settings nothing that {description.name} sends proves itself, so the URLs that it is given "
            "must hold a secret",
            "a random text of 32 letters and digits",
        )
    return carrier


def _settings(description: Description, given: Mapping[str, str]) -> dict[str, str]:
    for name in given:
        if name not in description.settings and name not in OWN_SETTINGS:
            known = ", ".join([*description.settings, *OWN_SETTINGS])
            raise ConfigError(
                f"settings.{name}", f"{description.name} has no such setting", f"it has {known}"
            )
    whole = {name: given.get(name, "") for name in OWN_SETTINGS}
    for name, setting in description.settings.items():
        text = given.get(name, setting.default)
        if text is None:
            raise ConfigError(
                f"settings.{name}", f"is missing: {setting.description or description.name + ' needs it'}"
            )
        whole[name] = text
    for name, text in whole.items():
        if not text.isprintable():
            raise ConfigError(f"settings.{name}", "has a line break or another character that is not printed")
    return whole


def _secret_texts(description: Description, settings: Mapping[str, str]) -> tuple[str, ...]:
    """Secrets in every form in which they may stand somewhere, the longest first."""
    found: set[str] = set()
    secret = {name for name, setting in description.settings.items() if setting.secret} | set(OWN_SETTINGS)
    for name in secret & set(settings):
        if len(text := settings[name]) >= 3:
            quoted = quote(text, safe="")
            found |= {text, quoted, quote_plus(text), quote_plus(quoted)}
    auth = description.send.auth
    if isinstance(auth, BasicAuth | TokenAuth):
        user, password = (_filled(text, settings) for text in (auth.user, auth.password))
        found.add(basic(user, password).removeprefix("Basic "))
    return tuple(sorted(found, key=len, reverse=True))


def _filled(text: str, settings: Mapping[str, str]) -> str:
    for name, value in settings.items():
        text = text.replace(f"{{settings.{name}}}", value)
    return text


def _named(headers: Mapping[str, str]) -> list[str]:
    return ["id" for text in headers.values() if "{id" in text]


_KEYS: Final[dict[str, Callable[[Submission], Any]]] = {
    "to": lambda submission: submission.to,
    "from": lambda submission: submission.originator,
    "text": lambda submission: submission.text,
    "data": lambda submission: submission.data,
    "udh": lambda submission: submission.udh,
    "binary": lambda submission: submission.encoding,
    "unicode": lambda submission: submission.encoding,
    "flash": lambda submission: submission.flash,
    "named": lambda submission: submission.originator,
    "wants_receipt": lambda submission: submission.wants_receipt,
    "receipt_url": lambda submission: submission.wants_receipt,
    "receipt_url_with_id": lambda submission: submission.token,
    "segments": lambda submission: submission.segments,
    # Messages of one text are submitted within seconds: a minute's difference must not tear them apart.
    "valid_for_s": lambda submission: submission.valid_for_s // 60,
    "expires_at_ms": lambda submission: submission.valid_for_s // 60,
}


def _shared(names: frozenset[str]) -> tuple[Callable[[Submission], Any], ...]:
    return tuple(_KEYS[name] for name in sorted(names) if name in _KEYS)
