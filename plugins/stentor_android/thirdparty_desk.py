"""The messages of the third-party API: submitted, shown, listed and cancelled through our own API.

Every step is asked of the host and goes on when that answers. Invariant: an id that is being submitted is not
submitted again meanwhile.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

import msgspec

from stentor.driver import Host
from stentor_android.encryption import Encryption, NotDecrypted
from stentor_android.thirdparty_calls import Call, give, refuse
from stentor_android.thirdparty_listing import Walk, read_filter
from stentor_android.thirdparty_messages import (
    Message,
    MessageState,
    Rejected,
    State,
    accepted_state,
    message_state,
    protected_values,
    read_message,
    rejection,
    submits,
)

_uuid: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII).fullmatch

Answered = Callable[[int, bytes], None]
Offload = Callable[[Callable[[], Any], Callable[[Any], None]], None]
"""Does work that takes long somewhere else, then calls back on the loop with what it returned."""


class Desk:
    """Where messages are asked for. ``check_phones(login, device_id, active_h)`` raises Rejected where the login has no
    such phone, or none that was seen within so many hours; 0 for whenever."""

    def __init__(
        self,
        host: Host,
        check_phones: Callable[[str, str, int], None],
        entropy: Callable[[int], bytes],
        encryption: Encryption | None,
        offload: Offload,
    ) -> None:
        self._host = host
        self._check_phones = check_phones
        self._entropy = entropy
        self._encryption = encryption
        self._offload = offload
        self._submitting: set[tuple[str, str]] = set()

    def _ask(self, call: Call, method: str, target: str, answered: Answered, body: bytes = b"") -> None:
        """Ask our own API for the caller's account; a Rejected that ``answered`` raises becomes the answer."""

        def guarded(status: int, octets: bytes) -> None:
            try:
                answered(status, octets)
            except Rejected as error:
                refuse(call.exchange, error)

        fields = (("Content-Type", "application/json"),) if body else ()
        self._host.request(method, target, body, guarded, fields, call.login.account)

    def submit(self, call: Call) -> None:
        message = read_message(call.exchange.body)
        protected = protected_values(message)
        if not protected:
            self._check_id(call, message, {})
            return
        encryption = self._encryption
        if encryption is None:
            raise Rejected(400, "encrypted messages need the passphrase in the channel's configuration")

        def work() -> dict[str, str] | None:
            try:
                return {value: encryption.decrypt(value) for value in protected}
            except NotDecrypted:
                return None

        def done(plain: dict[str, str] | None) -> None:
            try:
                if plain is None:
                    raise Rejected(400, "the message is not encrypted with the channel's passphrase")
                self._check_id(call, message, plain)
            except Rejected as error:
                refuse(call.exchange, error)

        self._offload(work, done)

    def _check_id(self, call: Call, message: Message, plain: dict[str, str]) -> None:
        """An id of the client's own must be new; one of ours is."""
        if message.id is None:
            self._submit(call, message, self._entropy(10).hex(), plain, lambda: None)
            return
        message_id, key = message.id, (call.login.account, message.id)
        if key in self._submitting:
            raise Rejected(409, "there is a message of this id")
        self._submitting.add(key)

        def release() -> None:
            self._submitting.discard(key)

        def answered(status: int, octets: bytes) -> None:
            try:
                if status != 200:
                    raise rejection(status, octets)
                if _messages(octets):
                    raise Rejected(409, "there is a message of this id")
                self._submit(call, message, message_id, plain, release)
            except Rejected:
                release()
                raise

        self._ask(call, "GET", _by_ref(message_id, 1), answered)

    def _submit(
        self,
        call: Call,
        message: Message,
        message_id: str,
        plain: dict[str, str],
        release: Callable[[], None],
    ) -> None:
        device_id = message.device_id or ""
        self._check_phones(call.login.login, device_id, active_hours(call.query))
        items = submits(message, message_id, self._host.channel, self._host.clock.wall_ms(), plain)

        def answered(status: int, octets: bytes) -> None:
            release()
            if status != 202:
                raise rejection(status, octets)
            faults = [_fault(result) for result in msgspec.json.decode(octets)["results"]]
            if all(faults):
                raise Rejected(400, faults[0])
            state = accepted_state(message, message_id, device_id, faults)
            location = f"{call.base}/messages/{quote(message_id, safe='')}"
            give(call.exchange, 202, state, (("Location", location),))

        self._ask(call, "POST", "/v1/messages", answered, msgspec.json.encode(items))

    def _find(self, call: Call, found: Callable[[list[dict[str, Any]]], None]) -> None:
        """Our messages of the Message that the path names, in the order of submitting; 404 when there is none."""
        message_id = call.path[1]

        def by_ref(status: int, octets: bytes) -> None:
            if status == 200 and (messages := _messages(octets)):
                found(messages[::-1])
            elif _uuid(message_id):
                self._ask(call, "GET", f"/v1/messages/{message_id}", by_id)
            else:
                raise Rejected(404, "there is no message of this id")

        def by_id(status: int, octets: bytes) -> None:
            if status != 200:
                raise Rejected(404, "there is no message of this id")
            message = msgspec.json.decode(octets)
            if message["direction"] != "mt":
                raise Rejected(404, "there is no message of this id")
            found([message])

        if not message_id or len(message_id) > 64:
            raise Rejected(404, "there is no message of this id")
        self._ask(call, "GET", _by_ref(message_id, 1000), by_ref)

    def show(self, call: Call) -> None:
        has_content = call.query.get("includeContent") == "true"
        self._find(
            call, lambda messages: give(call.exchange, 200, message_state(messages, has_content=has_content))
        )

    def cancel(self, call: Call) -> None:
        """All that is pending of it. What a carrier was asked to take back counts: its status will tell."""

        def found(messages: list[dict[str, Any]]) -> None:
            waiting = [str(message["id"]) for message in messages]
            cancelled: list[str] = []

            def go_on() -> None:
                if waiting:
                    self._ask(call, "DELETE", f"/v1/messages/{waiting[-1]}", answered)
                elif cancelled:
                    state = message_state(messages)
                    give(call.exchange, 200, _cancelling(state, messages, cancelled))
                else:
                    raise Rejected(409, "the message is not pending any more")

            def answered(status: int, octets: bytes) -> None:
                message_id = waiting.pop()
                if status == 200 or (status == 409 and b'"withdrawal_requested"' in octets):
                    cancelled.append(message_id)
                go_on()

            go_on()

        self._find(call, found)

    def list_messages(self, call: Call) -> None:
        self._walk(call, Walk(read_filter(call.query)))

    def _walk(self, call: Call, walk: Walk) -> None:
        """Page after page until there are enough."""

        def answered(status: int, octets: bytes) -> None:
            if status != 200:
                raise rejection(status, octets)
            page = msgspec.json.decode(octets)
            if walk.take(page["messages"], page["next"]):
                self._ask(call, "GET", walk.target(), answered)
                return
            states, total = walk.result()
            give(call.exchange, 200, states, (("X-Total-Count", str(total)),))

        self._ask(call, "GET", walk.target(), answered)


def active_hours(query: Mapping[str, str]) -> int:
    """Within how many hours a phone must have been seen to be chosen; 0 where nobody asks for that. Raises Rejected."""
    asked = query.get("deviceActiveWithin", "") or "0"
    if not (asked.isascii() and asked.isdigit() and len(asked) <= 5):
        raise Rejected(400, "deviceActiveWithin is a number of hours")
    return int(asked)


def _by_ref(message_id: str, limit: int) -> str:
    return f"/v1/messages?direction=mt&ref={quote(message_id, safe='')}&limit={limit}"


def _messages(octets: bytes) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = msgspec.json.decode(octets)["messages"]
    return found


def _fault(result: dict[str, Any]) -> str:
    """Why a number was refused; empty when it was not."""
    problem = result.get("error")
    return "" if problem is None else str(problem.get("detail") or problem["title"])


def _cancelling(
    state: MessageState, messages: list[dict[str, Any]], cancelled: Sequence[str]
) -> MessageState:
    """The state as that API tells it at once: what is taken back is on its way to be."""
    recipients = [
        msgspec.structs.replace(recipient, state=State.CANCELLING)
        if message["id"] in cancelled
        else recipient
        for recipient, message in zip(state.recipients, messages, strict=True)
    ]
    return msgspec.structs.replace(state, state=State.CANCELLING, recipients=recipients)
