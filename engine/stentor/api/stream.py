"""``POST /v1/messages`` as a stream: one submit a line, one result a line, in order, each after its commit.

Lines that one read brought are one batch: admitted together, stored in one transaction, answered by one
write. Memory is bounded whatever the length of the body: reading stops while ``IN_FLIGHT`` batches wait for
their commits, while commits fall behind, and (the connection's part) while the client leaves its results
untaken.

A line that is refused, or cannot be stored now, is answered in its place and the stream goes on. Only when
nothing was answered yet is the whole request refused: with 503 when its very first batch finds no room, with 409
when that batch has another line than came under its idempotency key before, or the body another end.

With a key each answer is stored with its line, refusals too, and at the end of the body how many lines there were. What
could not be stored for want of room, and what a stream that broke off never brought, is taken when it is repeated.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Final, cast

import msgspec

from stentor.aio.server.exchange import Exchange
from stentor.api.answers import NDJSON, refused
from stentor.api.call import Tasks, give, refusal_answer
from stentor.api.engine import Engine
from stentor.api.idempotency import (
    END,
    WHOLE,
    Turns,
    checked_key,
    digest,
    end_of_stream,
    is_held,
    reused,
)
from stentor.api.intake import Admitted, Intake, error_line, unstored_line
from stentor.api.patience import Patience
from stentor.errors import JournalError, Overloaded, Refusal
from stentor.journal.records import Idempotency
from stentor.wire.lines import Line, OverlongLine
from stentor.wire.problem import Problem, problem

IN_FLIGHT: Final = 8
"""Batches of one stream that may wait for commits: enough to fill the next while one is written, and to gather what
comes every ten milliseconds."""


_OVERLONG: Final = b"overlong"
"""Stands for the digest of a line that nobody kept."""


class _EndMark(Enum):
    """Where the record of a stream's end stands."""

    OPEN = "not asked for"
    WRITING = "waits for its commit"
    WRITTEN = "is there, or could not be"


class _Batch(msgspec.Struct):
    """What one read brought at the monotonic time ``at``. ``first`` is the number of its first line, from 0; ``lines``
    are its answers."""

    items: Sequence[Line]
    first: int
    at: float
    lines: list[bytes] = msgspec.field(default_factory=list)
    is_done: bool = False


class SubmitStream:
    """One stream. Its answer begins with the first result, or with the end of the body."""

    def __init__(
        self, engine: Engine, intake: Intake, turns: Turns, tasks: Tasks, exchange: Exchange, account: str
    ) -> None:
        self._engine = engine
        self._intake = intake
        self._turns = turns
        self._tasks = tasks
        self._exchange = exchange
        self._account = account
        self._key: str | None = None
        self._has_turn = False
        self._is_first_lookup = True
        self._may_be_known = True
        self._known_count: int | None = None
        self._end_mark = _EndMark.OPEN
        self._is_whole = False
        self._is_looking_up = False
        self._waiting: deque[_Batch] = deque()
        self._held: deque[_Batch] = deque()
        self._in_flight: deque[_Batch] = deque()
        self._count = 0
        self._patience = Patience()
        self._has_started = False
        self._has_ended = False
        self._is_over = False
        self._is_paused = False
        self._waits_for_commit = False
        self._fault: Problem | None = None

    def open(self, key: str | None) -> None:
        """Begin; with a key, once its user of the moment is through. Raises Refusal for a bad key."""
        exchange = self._exchange
        if key is not None:
            self._key = checked_key(key)
        exchange.line_handler = self
        exchange.on_drain = self._stop
        exchange.on_close = self._stop
        if self._key is not None:
            self._turns.enter(self._account, self._key, self._take_turn)

    # ---- what comes

    def on_lines(self, exchange: Exchange, lines: list[Line]) -> None:
        if self._has_ended:
            return  # the server is stopping; what it does not take any more it does not answer
        batch = _Batch(lines, self._count, self._engine.clock.now())
        self._count += len(lines)
        self._in_flight.append(batch)
        if self._key is None:
            # Of many streams that bring something at once, those that come when it is too much wait.
            self._held.append(batch)
            self._admit_held()
        else:
            self._waiting.append(batch)
            self._look_up()
        self._set_reading()

    def on_lines_end(self, exchange: Exchange, problem: Problem | None) -> None:
        self._fault = problem
        self._is_whole = problem is None and not self._has_ended
        self._has_ended = True
        self._flush()

    def _stop(self) -> None:
        """The server stops, or the client is gone: what was taken is still stored and answered."""
        self._has_ended = True
        if self._key is not None and not self._has_turn:
            self._waiting.clear()
            self._in_flight.clear()
        self._admit_held(is_last=True)
        self._flush()

    # ---- admitting and storing

    def _admit_held(self, *, is_last: bool = False) -> None:
        while self._held and (is_last or not self._engine.is_behind):
            self._admit(self._held.popleft(), {})

    def _admit(self, batch: _Batch, known: Mapping[int, Idempotency]) -> None:
        """Answer what is known, refuse what is no line, admit the rest, and have it stored."""
        admitted = Admitted()
        lines = batch.items
        if known or any(type(line) is OverlongLine for line in lines):
            self._admit_each(batch, known, admitted)
        else:
            self._intake.admit_items(cast(Sequence[bytes], lines), self._account, admitted, is_nested=True)
        batch.lines = admitted.lines
        records = self._records(batch, known)
        if not admitted.messages and not records:
            self._finish(batch)
            return

        def done(error: JournalError | None) -> None:
            if error is not None:
                self._replace(batch, admitted.places, error)
            self._finish(batch)

        try:
            is_patient = len(self._in_flight) < IN_FLIGHT and self._patience.lasts(batch.at)
            self._engine.accept(admitted.messages, records, done, is_patient=is_patient)
        except Overloaded as error:
            self._refuse(batch, admitted.places, error)

    def _admit_each(self, batch: _Batch, known: Mapping[int, Idempotency], admitted: Admitted) -> None:
        """A batch with lines that are too long, or answered already, among the others."""
        for number, line in enumerate(batch.items, batch.first):
            if number in known:
                admitted.lines.append(_known_line(known[number], line))
            elif isinstance(line, OverlongLine):
                admitted.lines.append(_overlong(line))
            else:
                self._intake.admit_items((line,), self._account, admitted, is_nested=True)

    def _records(self, batch: _Batch, known: Mapping[int, Idempotency]) -> Sequence[Idempotency]:
        """What is to be remembered of the batch: the answer to each line that was not known."""
        key = self._key
        if key is None:
            return ()
        at_ms = self._engine.clock.wall_ms()
        return [
            Idempotency(self._account, key, number, _mark(line), at_ms, answer)
            for number, (line, answer) in enumerate(zip(batch.items, batch.lines, strict=True), batch.first)
            if number not in known
        ]

    def _refuse(self, batch: _Batch, places: Sequence[int], error: Overloaded) -> None:
        """There is no room. Nothing of the batch was stored."""
        if self._has_started or len(self._in_flight) > 1:
            self._replace(batch, places, error)
            self._finish(batch)
            return
        self._refuse_all(error)

    def _refuse_all(self, error: Refusal | Overloaded) -> None:
        """Refuse the request: nothing of it was stored or answered."""
        self._waiting.clear()
        self._held.clear()
        self._in_flight.clear()
        self._has_ended = self._has_started = self._is_over = True
        give(self._exchange, refusal_answer(error))
        self._leave()

    @staticmethod
    def _replace(batch: _Batch, places: Sequence[int], error: Overloaded | JournalError) -> None:
        line = unstored_line(error)
        for place in places:
            batch.lines[place] = line

    # ---- answering

    def _finish(self, batch: _Batch) -> None:
        batch.is_done = True
        was_silent = self._count == batch.first + len(batch.items)
        now = self._engine.clock.now()
        self._patience.answered(now - batch.at, was_silent=was_silent, now=now)
        self._flush()
        self._set_reading()

    def _flush(self) -> None:
        """Send the results of all batches that are done and have no unfinished one before them."""
        exchange, in_flight = self._exchange, self._in_flight
        if self._is_over:
            return
        ready: list[bytes] = []
        while in_flight and in_flight[0].is_done:
            ready += in_flight.popleft().lines
        self._is_over = self._has_ended and not in_flight and self._is_end_kept()
        if self._is_over and self._fault is not None:
            ready.append(error_line(self._fault))
        if (ready or self._is_over) and not self._has_started:
            self._has_started = True
            exchange.start(202, NDJSON)
        if ready:
            exchange.send(b"\n".join(ready) + b"\n")
        if self._is_over:
            self._leave()
            exchange.end()

    def _is_end_kept(self) -> bool:
        """Whether nothing is left to be written of the body's end. If it is to be, that is begun, and ``_flush`` called
        again."""
        key = self._key
        if key is None or not self._is_whole or not self._count:
            return True
        if self._is_first_lookup or self._known_count is not None:
            return True  # nobody looked what stands there, or it does
        if self._end_mark is _EndMark.OPEN:
            self._end_mark = _EndMark.WRITING
            record = end_of_stream(self._account, key, self._count, self._engine.clock.wall_ms())

            def done(error: JournalError | None) -> None:
                self._end_mark = _EndMark.WRITTEN
                self._flush()

            try:
                self._engine.accept((), (record,), done)
            except Overloaded:
                self._end_mark = _EndMark.WRITTEN
        return self._end_mark is _EndMark.WRITTEN

    def _set_reading(self) -> None:
        if self._is_over:
            return
        is_behind = self._engine.is_behind
        if is_behind and not self._waits_for_commit:
            self._waits_for_commit = True
            self._engine.when_caught_up(self._caught_up)
        wants_pause = is_behind or len(self._in_flight) >= IN_FLIGHT
        if wants_pause is not self._is_paused:
            self._is_paused = wants_pause
            if wants_pause:
                self._exchange.pause_reading()
            else:
                self._exchange.resume_reading()

    def _caught_up(self) -> None:
        self._waits_for_commit = False
        self._admit_held()
        self._set_reading()

    # ---- once and once only

    def _take_turn(self) -> None:
        self._has_turn = True
        if self._is_over:
            self._leave()
        else:
            self._look_up()

    def _leave(self) -> None:
        """Let the next user of the key proceed: nothing of this stream waits to be stored any more."""
        if self._key is not None and self._has_turn:
            self._has_turn = False
            self._turns.leave(self._account, self._key)

    def _look_up(self) -> None:
        if self._waiting and self._has_turn and not self._is_looking_up:
            self._is_looking_up = True
            self._tasks.run("submit stream", self._exchange, self._admit_waiting(), is_streamed=True)

    async def _admit_waiting(self) -> None:
        """Look up which lines are stored already, batch by batch in order, and admit the others."""
        while self._waiting:
            batch = self._waiting[0]
            try:
                known = await self._known_lines(batch)
            except JournalError as error:
                self._waiting.popleft()
                batch.lines = [unstored_line(error)] * len(batch.items)
                self._finish(batch)
            except Refusal as error:
                self._refuse_all(error)
            else:
                self._waiting.popleft()
                self._admit(batch, known)
        self._is_looking_up = False

    async def _known_lines(self, batch: _Batch) -> Mapping[int, Idempotency]:
        """Lines of the batch that are stored, by number. Raises Refusal (409) if the key was no stream's, or if
        the body begins otherwise than it did."""
        key, now_ms = self._key, self._engine.clock.wall_ms()
        assert key is not None
        library = self._engine.library
        if self._is_first_lookup:
            self._take_marks(await library.idempotency(self._account, key, END, WHOLE - END + 1), now_ms)
            self._is_first_lookup = False
        count = len(batch.items)
        if batch.first == 0 and self._has_another_end(count):
            raise reused()
        if not self._may_be_known:
            return self._beyond_the_end(batch)
        stored = await library.idempotency(self._account, key, batch.first, count)
        # Lines come in order: past the last that is stored there is nothing to look up any more.
        self._may_be_known = bool(stored)
        end = batch.first + count
        known = {record.line: record for record in stored if record.line < end and is_held(record, now_ms)}
        if batch.first == 0 and any(_is_other(record, batch.items[place]) for place, record in known.items()):
            raise reused()
        return known | self._beyond_the_end(batch)

    def _take_marks(self, stored: Sequence[Idempotency], now_ms: int) -> None:
        """What is known of the key as a whole. Raises Refusal (409) for the key of an object or an array."""
        for record in stored:
            if record.line < 0 and is_held(record, now_ms):
                if record.line == WHOLE:
                    raise reused()
                self._known_count = int(record.answer)

    def _has_another_end(self, count: int) -> bool:
        """Whether the body, of which ``count`` lines are there, is shorter or longer than the one before it."""
        known = self._known_count
        return known is not None and (count > known or (self._is_whole and self._count < known))

    def _beyond_the_end(self, batch: _Batch) -> dict[int, Idempotency]:
        """Lines that the body before did not have, by number: they differ from nothing."""
        key, end = self._key, self._known_count
        assert key is not None
        last = batch.first + len(batch.items)
        if end is None or last <= end:
            return {}
        nothing = Idempotency(self._account, key, END, b"", 0, b"")
        return dict.fromkeys(range(max(end, batch.first), last), nothing)


def _mark(line: Line) -> bytes:
    """What a line is recognized by."""
    return _OVERLONG if isinstance(line, OverlongLine) else digest(line)


def _is_other(record: Idempotency, line: Line) -> bool:
    """Whether another line stood there."""
    return record.digest != _mark(line)


def _known_line(record: Idempotency, line: Line) -> bytes:
    """The answer a line was given, or 409 when another line stood there."""
    return error_line(refused(reused())) if _is_other(record, line) else record.answer


def _overlong(line: OverlongLine) -> bytes:
    return error_line(problem(413, f"the line is longer than {line.limit} octets", "line_too_long"))
