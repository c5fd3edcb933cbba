"""The API as an application of the HTTP server: from a request's head to the operation that takes it.

In this order, all before any of the body is read: is the asker let in (401, 403), is there such a path (404),
such a method (405), is the body of a kind that is taken (415). Who is not let in on the Unix socket learns nothing
of the paths; by TCP a wrong one is 404 for anybody, so that a carrier that was given a wrong URL is told so.
"""

import asyncio
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

import msgspec

from stentor.aio.server.exchange import Answer, Application, Exchange, Peer, Route
from stentor.api.answers import JSON, problem_answer
from stentor.api.call import Call, Spawn, Tasks, give, refusal_answer
from stentor.api.credentials import Access, Doorkeeper, GroupsOf, Principal
from stentor.api.engine import Engine
from stentor.api.events import EventResource
from stentor.api.intake import Intake
from stentor.api.openapi import document
from stentor.api.operations import Body, Operation, json_reply
from stentor.api.render import encode
from stentor.api.table import build_operations
from stentor.errors import Refusal
from stentor.pacing.caps import CapRules, Caps
from stentor.pacing.quiet import Quiet
from stentor.routing.admission import References
from stentor.routing.routes import RouteTable
from stentor.wire.head import RequestHead
from stentor.wire.problem import problem

_CHALLENGE: Final = (("WWW-Authenticate", "Bearer"),)
KNOWN_PATHS: Final = 256
_NO_PARAMETERS: Final[Mapping[str, str]] = {}


class _Place(msgspec.Struct):
    """What a path leads to: its operations by method, and its segments for a path with parameters."""

    segments: list[str]
    operations: dict[str, Operation] = msgspec.field(default_factory=dict)

    @property
    def allow(self) -> str:
        return ", ".join(self.operations)


class App:
    """Implements :class:`stentor.aio.server.exchange.Application`.

    To be made on the server's loop. ``spawn`` runs a coroutine as a supervised task; ``reference_start`` is a
    random number, where counting of concatenation references begins. ``region``: whose national numbers are
    taken for destinations.
    """

    def __init__(
        self,
        engine: Engine,
        routes: RouteTable,
        access: Access,
        groups_of: GroupsOf,
        valid_for_s: int,
        *,
        reference_start: int,
        spawn: Spawn,
        region: str = "",
    ) -> None:
        self._groups_of = groups_of
        self._doorkeeper = Doorkeeper(access, groups_of)
        self._intake = Intake(engine, routes, valid_for_s, References(reference_start), region)
        tasks = Tasks(spawn)
        self._events = EventResource(engine, tasks, asyncio.get_running_loop().call_later)
        self._mounts: dict[str, Application] = {}
        self._mounted_at: dict[str, Application] = {}
        self._places: dict[str, _Place] = {}
        self._templates: list[_Place] = []
        self.operations = (*build_operations(engine, self._intake, tasks, self._events), self._describe())
        for operation in self.operations:
            self._add(operation)
        self.description = encode(document(self.operations))

    def adjust(self, routes: RouteTable, access: Access, valid_for_s: int, region: str = "") -> None:
        """What a reloaded configuration says; requests in hand go on by what they were let in with."""
        self._doorkeeper = Doorkeeper(access, self._groups_of)
        self._intake.set_rules(routes, valid_for_s, region)

    def set_caps(self, rules: CapRules) -> Caps | None:
        """How many messages one number may be sent from now on."""
        return self._intake.set_caps(rules)

    def set_quiet(self, quiet: Quiet | None) -> None:
        """The quiet hours of destinations from now on."""
        self._intake.quiet = quiet

    @property
    def subscribers(self) -> int:
        """How many read the stream of events now."""
        return len(self._events)

    def mount(self, prefix: str, application: Application) -> None:
        """Give ``prefix`` and all paths below it to an application that looks after credentials by itself."""
        assert prefix.startswith("/"), "a prefix is a path"
        assert not prefix.endswith("/"), "a prefix has no slash at its end"
        self._mounts[prefix] = application
        self._mounted_at.clear()

    def unmount(self, prefix: str) -> None:
        del self._mounts[prefix]
        self._mounted_at.clear()

    # ---- the application

    def route(self, head: RequestHead, peer: Peer) -> Route | Answer:
        mounted = self._mounted(head.path)
        if mounted is not None:
            return mounted.route(head, peer)
        return self._route(head, peer.uid, None)

    def route_for(self, head: RequestHead, account: str) -> Route | Answer:
        """As :meth:`route`, for a request from within the daemon on behalf of an account. Knows no mounts."""
        return self._route(head, None, account)

    def _route(self, head: RequestHead, uid: int | None, account: str | None) -> Route | Answer:
        place, parameters = self._find(head.path)
        operation = place.operations.get(head.method) if place is not None else None
        principal: Principal | None = None
        try:
            if place is None and uid is None:
                raise Refusal("not_found", "there is nothing at this path", "$", 404)  # whoever asks
            if operation is None or not operation.is_open:
                keeper = self._doorkeeper
                principal = (
                    keeper.identify(uid, head.headers) if account is None else keeper.speak_for(account)
                )
            if place is None:
                raise Refusal("not_found", "there is nothing at this path", "$", 404)
            if operation is None:
                fault = problem(405, f"this path takes {place.allow}", "method_not_allowed")
                return problem_answer(fault, (("Allow", place.allow),))
            body = _choose_body(operation, head.headers)
        except Refusal as error:
            answer = refusal_answer(error)
            return msgspec.structs.replace(answer, fields=_CHALLENGE) if error.status == 401 else answer
        call = Call(operation.handle, parameters, principal)
        if body is None:
            return Route(call, output_limit=operation.output_limit)
        return Route(call, body.mode, body.limit, operation.output_limit)

    def handle(self, exchange: Exchange) -> None:
        call = exchange.route.context
        if type(call) is Call:
            call.handle(exchange, call)
            return
        mounted = self._mounted(exchange.head.path)
        if mounted is None:
            # Its driver was taken away while the body came.
            give(exchange, problem_answer(problem(404, "there is nothing at this path", "not_found")))
        else:
            mounted.handle(exchange)

    # ---- the table

    def _describe(self) -> Operation:
        return Operation(
            "GET",
            "/openapi.json",
            "describe",
            "This description.",
            lambda exchange, call: exchange.respond(200, self.description),
            json_reply(dict, "an OpenAPI 3.1 document"),
        )

    def _add(self, operation: Operation) -> None:
        place = self._places.get(operation.path)
        if place is None:
            place = self._places[operation.path] = _Place(operation.path.split("/"))
            if "{" in operation.path:
                self._templates.append(place)
        place.operations[operation.method] = operation
        if operation.method == "GET" and operation.has_head:
            place.operations["HEAD"] = operation

    def _find(self, path: str) -> tuple[_Place | None, Mapping[str, str]]:
        place = self._places.get(path)
        if place is not None and "{" not in path:
            return place, _NO_PARAMETERS
        segments = path.split("/")
        for template in self._templates:
            if len(template.segments) == len(segments):
                parameters = _match(template.segments, segments)
                if parameters is not None:
                    return template, parameters
        return None, _NO_PARAMETERS

    def _mounted(self, path: str) -> Application | None:
        """What looks after this path. A crowd asks for the same few again and again, and these are remembered."""
        if (known := self._mounted_at.get(path)) is not None or not self._mounts:
            return known
        prefix = path
        while prefix:
            found = self._mounts.get(prefix)
            if found is not None:
                if len(self._mounted_at) >= KNOWN_PATHS:
                    self._mounted_at.clear()
                self._mounted_at[path] = found
                return found
            prefix = prefix.rpartition("/")[0]
        return None


def _match(template: list[str], segments: list[str]) -> dict[str, str] | None:
    parameters: dict[str, str] = {}
    for wanted, given in zip(template, segments, strict=True):
        if wanted.startswith("{"):
            parameters[wanted[1:-1]] = unquote(given) if "%" in given else given
        elif wanted != given:
            return None
    return parameters


def _choose_body(operation: Operation, headers: Mapping[str, str]) -> Body | None:
    """How the body is to be read. Raises Refusal (415). A body without a type is taken for JSON."""
    bodies = operation.bodies
    if not bodies:
        return None
    content_type = headers.get("content-type", JSON)
    body = bodies.get(content_type)
    if body is None:
        body = bodies.get(content_type.partition(";")[0].strip().lower())
    if body is None or headers.get("content-encoding", "identity").lower() != "identity":
        detail = f"the body is to be {' or '.join(bodies)}, not compressed"
        raise Refusal("unsupported_media_type", detail, "$", 415)
    return body
