"""From the JSON of submits to messages ready to be stored, and their answers in order.

Shared by the three forms of a submit. Refused items stay in their place as ``{"error": problem}``; what is
admitted is answered by the line that its commit makes true. Nothing here waits: storing is the caller's.
"""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Final

import msgspec

from stentor.address import parse_destination
from stentor.api.answers import DECODE_ERRORS, busy, decode_refusal, refused
from stentor.api.engine import Engine
from stentor.api.render import Result, encode, result
from stentor.errors import JournalError, Overloaded, Refusal
from stentor.message import Message
from stentor.pacing.caps import CapRules, Caps
from stentor.pacing.quiet import Quiet
from stentor.routing.admission import Policy, References, Submit, admit, each_destination
from stentor.routing.routes import Query, RouteTable
from stentor.text.coding import Coding
from stentor.wire.problem import Problem

ITEM_LIMIT: Final = 100_000
"""Messages one request may submit at once: about 100 MB while they wait for their commit."""

decode_submit: Final = msgspec.json.Decoder(Submit).decode


class ErrorItem(msgspec.Struct, frozen=True):
    """Stands in an array or a stream where a refused item stood."""

    error: Problem


# msgspec knows no union of Structs without tags, so the description of one is said here.
_EITHER: Final = {
    "anyOf": [{"$ref": f"#/components/schemas/{kind.__name__}"} for kind in (Result, ErrorItem)]
}


class Results(msgspec.Struct, frozen=True):
    """The answer to an array, or to a list of destinations: one result for each message, in order."""

    accepted: int
    rejected: int
    results: list[Annotated[Any, msgspec.Meta(extra_json_schema=_EITHER)]]


def error_line(fault: Problem) -> bytes:
    """A refused item's place in an array or a stream."""
    return encode(ErrorItem(fault))


def unstored_line(error: Overloaded | JournalError) -> bytes:
    """What an item is answered that was admitted and could not be stored."""
    return error_line(busy(error))


def results_body(lines: Sequence[bytes], accepted: int) -> bytes:
    """The answer to an array, from its results' lines."""
    head = b'{"accepted":%d,"rejected":%d,"results":[' % (accepted, len(lines) - accepted)
    return b"%b%b]}" % (head, b",".join(lines))


class Admitted(msgspec.Struct):
    """Items of one body, or of one read of a stream, in order.

    ``lines`` are the answers. Those at ``places`` hold once ``messages`` are stored; the others are refusals.
    """

    messages: list[Message] = msgspec.field(default_factory=list)
    lines: list[bytes] = msgspec.field(default_factory=list)
    places: list[int] = msgspec.field(default_factory=list)


class Intake:
    """Admits submits by the rules in force; a reload sets new ones."""

    __slots__ = ("_engine", "_policies", "_references", "_region", "_routes", "_valid_for_s", "caps", "quiet")

    def __init__(
        self,
        engine: Engine,
        routes: RouteTable,
        valid_for_s: int,
        references: References,
        region: str = "",
    ) -> None:
        self._engine = engine
        self._references = references
        self._policies: dict[str, Policy] = {}
        self.caps: Caps | None = None
        self.quiet: Quiet | None = None
        self.set_rules(routes, valid_for_s, region)

    def set_rules(self, routes: RouteTable, valid_for_s: int, region: str = "") -> None:
        """What holds for messages from now on; those accepted keep the route they have."""
        self._routes = routes
        self._valid_for_s = valid_for_s
        self._region = region
        self._policies.clear()

    @property
    def routes(self) -> RouteTable:
        """The table in force."""
        return self._routes

    @property
    def region(self) -> str:
        """Whose national numbers are taken."""
        return self._region

    def set_caps(self, rules: CapRules) -> Caps | None:
        """The caps from now on; what was counted stays counted. Returns the windows, None without caps."""
        if not rules.is_any:
            self.caps = None
        elif self.caps is None:
            self.caps = Caps(rules)
        else:
            self.caps.rules = rules
        return self.caps

    def policy(self, account: str) -> Policy:
        found = self._policies.get(account)
        if found is None:
            # As many as there are accounts; a front office that invents them must not fill the memory.
            if len(self._policies) >= 10_000:
                self._policies.clear()
            found = self._policies[account] = Policy(account, self._valid_for_s, self._region)
        return found

    def coding(self, channel: str | None, to: str | None, account: str) -> Coding:
        """How the channel takes texts, or without one the channel preferred for the destination. Raises Refusal."""
        routes = self._routes
        if to is None:
            assert channel is not None, "one of the two"
            return routes.pin(channel).coding
        now_ms = self._engine.clock.wall_ms()
        # With steps to tell, nothing is remembered of the decision.
        query = Query(parse_destination(to, self._region), now_ms, now_ms, account, None, (), channel, 0)
        return routes.decide(query, []).route.coding

    def admit(self, submit: Submit, account: str) -> Message:
        """One submit with one destination. Raises Refusal."""
        engine = self._engine
        now_ms = engine.clock.wall_ms()
        key, tail = engine.ids.next(now_ms)
        message = admit(submit, self.policy(account), self._routes, now_ms, key, tail, self._references)
        if submit.callback_url is not None:
            message.callback_url = engine.webhooks.callback(account, submit.callback_url)
        if self.quiet is not None:
            self.quiet.shift(message, now_ms, submit.tags or ())
        if submit.refuse_if_late:
            engine.check_in_time(message)
        if self.caps is not None:
            self.caps.admit(message, now_ms)
        return message

    def admit_items(self, items: Iterable[bytes], account: str, into: Admitted, *, is_nested: bool) -> None:
        """Each item is the JSON of one submit: lines that came together, or items of an array.

        A list of destinations is one result each; with ``is_nested`` these stand in one answer, like an
        array's. The hot path: one clock reading for all, and nothing but ``admit`` and ``result`` for an item
        in order.
        """
        routes, references = self._routes, self._references
        policy, caps, quiet = self.policy(account), self.caps, self.quiet
        now_ms = self._engine.clock.wall_ms()
        next_id = self._engine.ids.next
        messages, lines, places = into.messages, into.lines, into.places
        for item in items:
            try:
                submit = decode_submit(item)
                if type(submit.to) is list:
                    self._admit_list(submit, account, into, is_nested=is_nested)
                    continue
                key, tail = next_id(now_ms)
                message = admit(submit, policy, routes, now_ms, key, tail, references)
                if submit.callback_url is not None:
                    message.callback_url = self._engine.webhooks.callback(account, submit.callback_url)
                if quiet is not None:
                    quiet.shift(message, now_ms, submit.tags or ())
                if submit.refuse_if_late:
                    self._engine.check_in_time(message)
                if caps is not None:
                    caps.admit(message, now_ms)
            except Refusal as error:
                lines.append(error_line(refused(error)))
            except DECODE_ERRORS as error:
                lines.append(error_line(refused(decode_refusal(error, item))))
            else:
                messages.append(message)
                places.append(len(lines))
                lines.append(result(message))

    def admit_list(self, submit: Submit, account: str) -> Admitted:
        """A submit with a list of destinations. Raises Refusal for a list that is empty or too long."""
        into = Admitted()
        for index, single in enumerate(each_destination(submit)):
            try:
                message = self.admit(single, account)
            except Refusal as error:
                path = f"$.to[{index}]" if error.path == "$.to" else error.path
                placed = Refusal(error.code, error.detail, path, error.status)
                into.lines.append(error_line(refused(placed)))
            else:
                into.messages.append(message)
                into.places.append(len(into.lines))
                into.lines.append(result(message))
        return into

    def _admit_list(self, submit: Submit, account: str, into: Admitted, *, is_nested: bool) -> None:
        if len(into.lines) + len(submit.to) > ITEM_LIMIT:
            raise Refusal("too_many_messages", f"a request submits at most {ITEM_LIMIT} messages", "$.to")
        found = self.admit_list(submit, account)
        into.messages += found.messages
        first = len(into.lines)
        if is_nested:
            if found.messages:
                into.places.append(first)
            into.lines.append(results_body(found.lines, len(found.messages)))
        else:
            into.places += [first + place for place in found.places]
            into.lines += found.lines
