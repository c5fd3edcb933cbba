"""``POST /v1/messages`` with a JSON body: an object, or an array whose items stand and fall each by itself.

The answer is given once the messages are in the journal, never before. A submit without an idempotency key
and with one destination, by far the commonest, is served without a task.
"""

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from stentor.aio.server.exchange import Answer, Exchange
from stentor.api.answers import DECODE_ERRORS, JSON, decode_refusal, without_lone_halves
from stentor.api.call import Call, Tasks, give, next_turn, refusal_answer
from stentor.api.engine import Engine
from stentor.api.idempotency import HEADER, REPLAYED, WHOLE, Turns, checked_key, digest, is_held, reused
from stentor.api.intake import ITEM_LIMIT, Admitted, Intake, decode_submit, results_body
from stentor.api.render import result
from stentor.errors import JournalError, Overloaded, Refusal
from stentor.journal.records import Idempotency
from stentor.message import Message
from stentor.routing.admission import Submit

BODY_LIMIT: Final = 16 * 1024 * 1024
_SLICE: Final = 500
"""Items admitted before others have a turn: 2 or 3 ms."""

_is_array: Final = re.compile(rb"[ \t\r\n]*\[").match
_decode_items: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode


def _items(body: bytes) -> Sequence[bytes]:
    """The items of an array as they stand in it."""
    try:
        return _decode_items(body)
    except msgspec.DecodeError:
        readable = without_lone_halves(body)
        if readable == body:
            raise
    items: list[bytes] = []
    start = 0
    for item in map(bytes, _decode_items(readable)):
        start = readable.index(item, start)  # between two items there are blanks and a comma
        items.append(body[start : start + len(item)])
        start += len(item)
    return items


class _Ready(msgspec.Struct, frozen=True):
    """A body admitted: what is to be stored, and the octets to answer once it is."""

    messages: list[Message]
    answer: bytes
    fields: tuple[tuple[str, str], ...] = ()


class SubmitResource:
    """Takes objects and arrays."""

    __slots__ = ("_engine", "_intake", "_tasks", "_turns")

    def __init__(self, engine: Engine, intake: Intake, turns: Turns, tasks: Tasks) -> None:
        self._engine = engine
        self._intake = intake
        self._turns = turns
        self._tasks = tasks

    def handle(self, exchange: Exchange, call: Call) -> None:
        account = call.account
        key = exchange.head.headers.get(HEADER)
        try:
            if key is not None:
                key = checked_key(key)
                self._turns.enter(account, key, lambda: self._start_once(exchange, account, key))
            elif _is_array(exchange.body):
                self._tasks.run("submit", exchange, self._submit_array(exchange, account))
            else:
                self._store(exchange, self._admit_object(exchange.body, account))
        except (Refusal, Overloaded) as error:
            give(exchange, refusal_answer(error))

    # ---- admitting

    def _admit_object(self, body: bytes, account: str) -> _Ready:
        try:
            submit: Submit = decode_submit(body)
        except DECODE_ERRORS as error:
            raise decode_refusal(error, body) from None
        if isinstance(submit.to, list):
            admitted = self._intake.admit_list(submit, account)
            return _Ready(admitted.messages, results_body(admitted.lines, len(admitted.messages)))
        message = self._intake.admit(submit, account)
        return _Ready([message], result(message))

    async def _admit_array(self, body: bytes, account: str) -> _Ready:
        try:
            # Items are only skipped over here, and what is skipped is not looked at for its encoding.
            body.decode()
            items = _items(body)
        except DECODE_ERRORS as error:
            raise decode_refusal(error, body) from None
        if len(items) > ITEM_LIMIT:
            raise Refusal("too_many_messages", f"a request submits at most {ITEM_LIMIT} messages", "$", 413)
        admitted = Admitted()
        for start in range(0, len(items), _SLICE):
            self._intake.admit_items(items[start : start + _SLICE], account, admitted, is_nested=False)
            await next_turn()
        return _Ready(admitted.messages, results_body(admitted.lines, len(admitted.messages)))

    async def _submit_array(self, exchange: Exchange, account: str) -> None:
        try:
            self._store(exchange, await self._admit_array(exchange.body, account))
        except (Refusal, Overloaded) as error:
            give(exchange, refusal_answer(error))

    # ---- storing

    def _store(self, exchange: Exchange, ready: _Ready) -> None:
        """Have the messages stored, and answer then. Raises Overloaded."""

        def done(error: JournalError | None) -> None:
            if error is None:
                exchange.respond(202, ready.answer)
            else:
                give(exchange, refusal_answer(error))

        if ready.messages:
            self._engine.accept(ready.messages, (), done)
        else:
            done(None)

    # ---- once and once only

    def _start_once(self, exchange: Exchange, account: str, key: str) -> None:
        self._tasks.run("submit", exchange, self._submit_once(exchange, account, key))

    async def _submit_once(self, exchange: Exchange, account: str, key: str) -> None:
        """Answer what the first request with this key was answered, or be the first."""

        def finish(answer: Answer) -> None:
            self._turns.leave(account, key)
            give(exchange, answer)

        try:
            ready, record = await self._admit_once(exchange.body, account, key)
            answer = Answer(202, ready.answer, JSON, ready.fields)
            if record is None:
                finish(answer)
                return
            self._engine.accept(
                ready.messages,
                (record,),
                lambda error: finish(answer if error is None else refusal_answer(error)),
            )
        except (Refusal, Overloaded, JournalError) as error:
            finish(refusal_answer(error))
        except Exception:
            self._turns.leave(account, key)
            raise

    async def _admit_once(self, body: bytes, account: str, key: str) -> tuple[_Ready, Idempotency | None]:
        """What was answered before, or the body admitted and the record to store with it.

        What is answered 202 leaves a record, though all of an array was refused; a problem leaves none.
        """
        now_ms = self._engine.clock.wall_ms()
        mark = digest(body)
        stored = await self._engine.library.idempotency(account, key, WHOLE, 1)
        if stored and is_held(stored[0], now_ms):
            if stored[0].line != WHOLE or stored[0].digest != mark:
                raise reused()
            return _Ready([], stored[0].answer, (REPLAYED,)), None
        if _is_array(body):
            ready = await self._admit_array(body, account)
        else:
            ready = self._admit_object(body, account)
        return ready, Idempotency(account, key, WHOLE, mark, now_ms, ready.answer)
