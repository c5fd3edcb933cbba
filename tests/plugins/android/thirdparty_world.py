"""A host that has the few parts of the API that the third-party adapter asks for, and exchanges to hand to it."""

import base64
import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

from stentor.errors import Overloaded
from stentor_android.encryption import Encryption
from stentor_android.thirdparty import PhoneBody, ThirdParty
from stentor_android.thirdparty_inbox import Refresh
from stentor_android.thirdparty_tokens import Login

START_MS = 1_782_890_000_000
START = "2026-07-01T07:13:20.000Z"
BASIC = "Basic " + base64.b64encode(b"Q7MZ2K:n4vexq0lahs7td").decode()
DEVICE = "dvKq3nT8wZ1xYbV6mR2pL"


class Clock:
    def __init__(self) -> None:
        self.at_ms = START_MS

    def now(self) -> float:
        return self.at_ms / 1000

    def wall_ms(self) -> int:
        return self.at_ms


class API:
    """Answers as our own API does, from a dict. ``later`` holds back answers until it is called."""

    def __init__(self) -> None:
        self.channel = "phones"
        self.clock = Clock()
        self.messages: dict[str, dict[str, Any]] = {}
        self.memory: dict[str, bytes] = {}
        self.requests: list[tuple[str, str, bytes, str]] = []
        self.overload = False
        self.is_full = False
        self.held: list[Callable[[], None]] | None = None
        self._numbers = itertools.count(1)

    def keep(self, name: str, value: bytes | None) -> None:
        if self.is_full:
            raise Overloaded("memory_full", "too many names", 2)
        if value is None:
            self.memory.pop(name, None)
        else:
            self.memory[name] = value

    def kept(self) -> Mapping[str, bytes]:
        return dict(self.memory)

    def request(
        self,
        method: str,
        target: str,
        body: bytes,
        answered: Callable[[int, bytes], None],
        fields: Iterable[tuple[str, str]] = (),
        account: str = "",
    ) -> None:
        self.requests.append((method, target, body, account))
        parts = urlsplit(target)
        status, value = self._answer(method, parts.path, dict(parse_qsl(parts.query)), body, account)
        octets = msgspec.json.encode(value)
        if self.held is None:
            answered(status, octets)
        else:
            self.held.append(lambda: answered(status, octets))

    def _answer(
        self, method: str, path: str, query: dict[str, str], body: bytes, account: str
    ) -> tuple[int, Any]:
        mine = [each for each in self.messages.values() if each["account"] == account]
        match method, path:
            case "GET", "/readyz":
                return (503, {}) if self.overload else (200, {})
            case "POST", "/v1/messages":
                if self.overload:
                    return 503, {"detail": "the backlog is full", "code": "backlog_full"}
                results = [self._submit(item, account) for item in msgspec.json.decode(body)]
                return 202, {"accepted": len(results), "rejected": 0, "results": results}
            case "GET", "/v1/messages":
                return 200, self._page(mine, query)
        message = self.messages.get(path.removeprefix("/v1/messages/"))
        if message is None or message not in mine:
            return 404, {"detail": "there is no message of this id"}
        if method == "DELETE":
            if message["status"] == "sent":
                return 409, {"code": "withdrawal_requested"}
            if message["status"] not in ("queued", "scheduled"):
                return 409, {"code": "already_left"}
            message |= {"status": "cancelled", "final_at": START}
        return 200, message

    def _page(self, mine: list[dict[str, Any]], query: dict[str, str]) -> dict[str, Any]:
        if "ref" in query:
            mine = [each for each in mine if each["ref"] == query["ref"]]
        newest = mine[::-1]
        first, limit = int(query.get("cursor", "0"), 16), min(int(query.get("limit", 100)), 3)
        rest = newest[first:]
        more = f"{first + limit:x}" if "ref" not in query and len(rest) > limit else None
        return {"messages": rest if "ref" in query else rest[:limit], "next": more}

    def _submit(self, item: dict[str, Any], account: str) -> dict[str, Any]:
        if not item["to"].lstrip("+").isdigit():
            return {"error": {"title": "Unprocessable Content", "detail": "not a number"}}
        message_id = f"01980000-0000-7000-8000-{next(self._numbers):012x}"
        self.messages[message_id] = {
            "id": message_id,
            "account": account,
            "direction": "mt",
            "to": item["to"],
            "status": "scheduled" if "send_at" in item else "queued",
            "ref": item["ref"],
            "text": item.get("text"),
            "data": item.get("data"),
            "udh": item.get("udh"),
            "metadata": item.get("metadata"),
            "submitted_at": START,
            "sent_at": None,
            "final_at": None,
            "error": None,
            "asked": item,
        }
        return {"id": message_id, "to": item["to"], "status": "queued"}

    def set(self, status: str, **fields: Any) -> None:
        """Let all messages come so far."""
        for message in self.messages.values():
            message |= {"status": status, **fields}

    @property
    def submitted(self) -> list[dict[str, Any]]:
        return [message["asked"] for message in self.messages.values()]


class Head:
    def __init__(self, method: str, target: str, headers: Mapping[str, str]) -> None:
        self.method = method
        self.path, _, self.query = target.partition("?")
        self.headers = headers


class Exchange:
    """One request; ``status``, ``value`` and ``fields`` are its answer."""

    def __init__(self, method: str, target: str, body: bytes, headers: Mapping[str, str]) -> None:
        self.head = Head(method, target, headers)
        self.body = body
        self.address = "192.0.2.7:40000"
        self.is_closed = False
        self.on_close: Callable[[], None] | None = None
        self.on_drain: Callable[[], None] | None = None
        self.status = 0
        self.value: Any = None
        self.fields: dict[str, str] = {}

    def respond(
        self,
        status: int,
        body: bytes,
        content_type: str = "application/json",
        fields: Iterable[tuple[str, str]] = (),
    ) -> None:
        assert self.status == 0, "one answer for one request"
        assert content_type == "application/json"
        self.status = status
        self.value = msgspec.json.decode(body) if body else None
        self.fields = dict(fields)

    def start(self, status: int, content_type: str, fields: Iterable[tuple[str, str]] = ()) -> None: ...

    def send(self, data: bytes) -> None: ...

    def end(self) -> None: ...

    def drop(self) -> None: ...


class World:
    """The adapter with one login and one phone."""

    def __init__(self, passphrase: str = "", api: API | None = None) -> None:
        self.api = api or API()
        self.removed: list[str] = []
        self.told: list[str] = []
        self.refreshes: list[Refresh] = []
        self.suspects: list[str] = []
        self.is_barred = False
        self.checks = 0
        self.password = "n4vexq0lahs7td"
        self.is_known = True
        counter = itertools.count(1)

        def entropy(octets: int) -> bytes:
            return next(counter).to_bytes(octets)

        encryption = Encryption(passphrase, entropy, 10) if passphrase else None
        host: Any = self.api  # the few of its members that are used
        self.third = ThirdParty(host, self, self, entropy, encryption, suspect=self.suspect)

    # -- logins

    def suspect(self, authorization):
        self.suspects.append(authorization)
        return not self.is_barred

    def check(self, login: str, password: str) -> Login | None:
        self.checks += 1
        return self.find(login) if password == self.password else None

    def find(self, login: str) -> Login | None:
        return Login(login, "north") if self.is_known and login == "Q7MZ2K" else None

    # -- phones

    def listed(self, login: str) -> list[PhoneBody]:
        return [] if DEVICE in self.removed else [PhoneBody(DEVICE, "samsung/x", START, START, START)]

    def remove(self, login: str, device_id: str) -> bool:
        is_there = device_id == DEVICE and device_id not in self.removed
        if is_there:
            self.removed.append(device_id)
        return is_there

    def hooks_changed(self, login: str) -> None:
        self.told.append("hooks")

    def settings_changed(self, login: str) -> None:
        self.told.append("settings")

    def refresh_inbox(self, login: str, refresh: Refresh) -> bool:
        self.refreshes.append(refresh)
        return refresh.device_id in (None, DEVICE)

    # -- the test

    def begin(self, method: str, target: str, value: Any = None, authorization: str = BASIC) -> Exchange:
        body = b"" if value is None else value if isinstance(value, bytes) else msgspec.json.encode(value)
        headers = {"authorization": authorization} if authorization else {}
        prefix = "" if target.startswith("//") else "/api/3rdparty/v1"
        exchange = Exchange(method, prefix + target, body, headers)
        self.third.handle(exchange)
        return exchange

    def ask(self, method: str, target: str, value: Any = None, authorization: str = BASIC) -> Exchange:
        exchange = self.begin(method, target, value, authorization)
        assert exchange.status, "it was not answered"
        return exchange
