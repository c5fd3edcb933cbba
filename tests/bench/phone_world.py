"""A simulated phone in a world of its own: time is set by hand, requests are answered by the test."""

from random import Random
from typing import Any

import msgspec

from bench.peers.phone import Phone
from bench.peers.phone_agenda import Agenda
from bench.peers.phone_fleet import Fleet
from bench.peers.phone_habits import Habits
from bench.peers.phone_requests import Kind, Request

EPOCH_MS = 1_782_890_000_000
REGISTERED = b'{"id":"dv1","token":"tk1","login":"Q7MZ2K","password":"secret"}'


def item(number: int, **fields: Any) -> dict[str, Any]:
    """A message of a listing."""
    return {
        "id": f"m-{number}",
        "textMessage": {"text": f"text {number}"},
        "phoneNumbers": [f"+1555010{number:04d}"],
        **fields,
    }


class World:
    """One phone and its port: ``requests`` and ``streams`` (number to token) are open, ``closed`` were closed."""

    def __init__(self, habits: Habits | None = None, seed: int = 1, fleet: Fleet | None = None) -> None:
        self.now = 100.0
        self.agenda = Agenda()
        self.fleet = fleet or Fleet()
        self.requests: list[Request] = []
        self.streams: dict[int, str] = {}
        self.closed: list[int] = []
        self.abandoned: list[int] = []
        random = Random(seed)
        self.phone = Phone(0, "private", habits or Habits(), self.fleet, self.agenda, self, random, EPOCH_MS)

    # -- the port ------------------------------------------------------------------------------------------

    def request(self, request: Request) -> None:
        self.requests.append(request)

    def abort(self, request: Request) -> None:
        if request in self.requests:
            self.requests.remove(request)

    def open_stream(self, number: int, token: str) -> None:
        self.streams[number] = token

    def close_stream(self, number: int) -> None:
        self.streams.pop(number, None)
        self.closed.append(number)

    def abandon_stream(self, number: int) -> None:
        self.streams.pop(number, None)
        self.abandoned.append(number)

    # -- the test ------------------------------------------------------------------------------------------

    def pass_s(self, seconds: float) -> None:
        self.now += seconds
        self.agenda.run(self.now)

    def kinds(self) -> list[str]:
        return [request.kind.value for request in self.requests]

    def answer(self, kind: Kind, body: bytes = b"", status: int = 200) -> Request:
        """Answer the oldest request of a kind."""
        request = next(each for each in self.requests if each.kind is kind)
        self.requests.remove(request)
        self.phone.answered(self.now, request, status, body)
        return request

    def give(self, *items: dict[str, Any]) -> None:
        """Answer the pull in flight."""
        self.answer(Kind.PULL, msgspec.json.encode(list(items)))

    def started(self) -> "World":
        """Registered, synchronised, and its stream open."""
        self.phone.switch_on(self.now)
        self.answer(Kind.REGISTER, REGISTERED, 201)
        self.answer(Kind.WEBHOOKS, b"[]")
        self.answer(Kind.SETTINGS, b"{}")
        self.phone.stream_opened(self.now, max(self.streams))
        self.give()
        assert not self.requests
        return self

    def pull(self, *items: dict[str, Any]) -> None:
        """A hint, and the answer to the pull it triggers."""
        self.phone.stream_event(self.now, "MessageEnqueued", "null")
        self.give(*items)

    def reports(self) -> list[tuple[str, str]]:
        """Acknowledge all reports: (id, state) of each, in the order they were sent."""
        seen = []
        for request in [each for each in self.requests if each.kind is Kind.REPORT]:
            self.requests.remove(request)
            self.phone.answered(self.now, request, 204, b"")
            seen += [(report["id"], report["state"]) for report in msgspec.json.decode(request.body)]
        return seen
