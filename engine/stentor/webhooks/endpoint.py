"""Deliveries of one webhook: which goes out next, and what an attempt's outcome leads to. No I/O, no clock.

Events that have one subject, a message or a channel, go out one after the other: the next leaves when the one before
it was delivered or given up. An event that failed waits to be tried again, on the disk too, and those of its subject
behind it; all others pass it. No more than ``waiting`` may wait: then nothing new goes out but what waits, and the
cursor stands. While the breaker is open nothing is kept in memory but what waits.

Invariants: all events up to the cursor of :meth:`take_records` that concern the webhook are delivered, given up or
stored; of one subject one delivery at most is in flight.
"""

from collections.abc import Callable, Iterable, Iterator
from heapq import heapify, heappop, heappush
from math import inf
from typing import Final

import msgspec
from msgspec.structs import replace

from stentor.errors import Refusal
from stentor.message import Event
from stentor.webhooks.feed import Delivery, Feed, Page, Read, Replay, Tide
from stentor.webhooks.records import Progress, Waiting
from stentor.webhooks.schedule import (
    FAILURES,
    LONGEST_HOLD_S,
    TRANSITIONS,
    Fact,
    State,
    delay_s,
    probe_s,
)
from stentor.webhooks.subscription import Filter, Webhook
from stentor.webhooks.verdict import Ruling, Verdict

SPILL: Final = 1024
"""A delivery in flight that so many others passed is stored by itself, so that the cursor need not wait for it."""
UNPROVEN: Final = 8
"""Deliveries in flight to a receiver that has not shown that it takes more: each success allows for one more, and a
failure takes that back. So one that is dead or slow costs few connections, whatever ``concurrency`` is."""
UNPROVEN_CALLBACK: Final = 1
"""The same of where messages alone want to be told of: an account may name hundreds of hosts, and all may be dead."""
_LONGEST_S: Final = 24 * 3600.0


class EndpointLimits(msgspec.Struct, frozen=True):
    """``concurrency`` deliveries in flight, ``window`` with their bodies in memory (for a moment two and a half times
    that: what is read beside what comes), ``waiting`` to be tried again.
    ``disable_after_ms``: failing for so long disables it."""

    concurrency: int = 8
    window: int = 1024
    waiting: int = 1000
    disable_after_ms: int = 3 * 24 * 3600 * 1000


Due = tuple[float, int, Delivery]


class Endpoint:
    """One webhook at work. ``random`` is in [0, 1). ``now`` is monotonic seconds, ``wall_ms`` the wall clock."""

    def __init__(
        self,
        webhook: Webhook,
        progress: Progress,
        waiting: Iterable[Waiting],
        tide: Tide,
        limits: EndpointLimits,
        random: Callable[[], float],
        now: float,
        wall_ms: int,
    ) -> None:
        self.webhook = webhook
        self.filter = Filter(webhook)
        self.limits = limits
        self.feed = Feed(progress.seq, tide, limits.window)
        self.replay: Replay | None = None
        if progress.replay_seq < progress.replay_end_seq:
            bounds = progress.replay_since_ms, progress.replay_until_ms
            self.replay = Replay(progress.replay_seq, progress.replay_end_seq, *bounds)
        self.state = State.WORKING if webhook.is_enabled else State.DISABLED
        self.in_flight = self.delivered = self.failed = self.given_up = 0
        self.failing_since_ms = progress.failing_since_ms
        self.delivered_at_ms = progress.delivered_at_ms
        self.last_error = ""
        self._random = random
        # Mostly of one, and short otherwise: a deque's block would be made for each.
        self._lines: dict[int | str, list[Delivery]] = {}
        self._due: list[Due] = []
        self._stored: dict[int, Delivery] = {}
        self._rows: dict[int, Waiting | None] = {}
        self._blocked = self._failures = self._probes = self._place = self._proven = 0
        self._hold_until = self._probe_at = now
        self._is_replays_turn = False
        self._unproven = UNPROVEN_CALLBACK if webhook.is_callback else UNPROVEN
        self.is_told = not webhook.is_enabled
        self.is_dirty = False
        self._restore(waiting, now, wall_ms)

    def _restore(self, waiting: Iterable[Waiting], now: float, wall_ms: int) -> None:
        for row in sorted(waiting, key=lambda row: row.event.seq):
            one = Delivery(row.event, row.since_ms, attempts=row.attempts, is_stored=True)
            self._stored[row.event.seq] = one
            line = self._lines.setdefault(subject(row.event), [])
            line.append(one)
            if len(line) == 1:
                pause_s = min(max(0.0, (row.due_at_ms - wall_ms) / 1000), _LONGEST_S)
                heappush(self._due, (now + pause_s, row.event.seq, one))
            else:
                self._blocked += 1
        if self.failing_since_ms and self._stored and self.state is State.WORKING:
            # It was failing when the program ended; a probe finds out whether it still does.
            self._failures, self.state = FAILURES, State.OPEN

    # -- what comes ---------------------------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """Deliveries that wait to be tried again, or for one that does."""
        return len(self._stored)

    @property
    def ready(self) -> int:
        """Deliveries in memory that are not in flight and have not failed."""
        return len(self.feed.ready) + (len(self.replay.ready) if self.replay else 0)

    @property
    def room(self) -> int:
        """How many events may come into memory."""
        if self.state is not State.WORKING or len(self._stored) >= self.limits.waiting:
            return 0
        return self.limits.window - self.ready - self._blocked

    @property
    def wants_page(self) -> bool:
        """Whether there is something to read, and room for it."""
        feed, replay = self.feed, self.replay
        if (feed.is_live or feed.is_reading) and (replay is None or not replay.wants_page):
            return False
        return self.room * 2 >= self.limits.window

    def begin_page(self) -> Page | None:
        """The page to be read next, if any; every page is finished."""
        if not self.wants_page:
            return None
        if self.replay is not None and self.replay.wants_page:
            return self.replay.begin(self.room // 2)
        return self.feed.begin(self.room)

    def finish_page(self, page: Page, read: Read | None) -> None:
        if not page.is_replay:
            self.feed.finish(page, read)
        elif self.replay is not None:
            self.replay.finish(page, read, self._stored)
        self.is_dirty = True

    @property
    def _most_in_flight(self) -> int:
        return min(self.limits.concurrency, self._unproven + self._proven)

    # -- what goes ----------------------------------------------------------------------------------------------

    def take(self, now: float) -> Delivery | None:
        """The delivery that is to go out now; :meth:`resolve` follows, unless the program ends."""
        if self.state is State.OPEN:
            return self._probe(now)
        if (
            self.state is not State.WORKING
            or now < self._hold_until
            or self.in_flight >= self._most_in_flight
        ):
            return None
        if self._due and self._due[0][0] <= now:
            return self._start(self._unblocked())
        if len(self._stored) >= self.limits.waiting:
            return None
        return self._fresh(now)

    def wakes_at(self, now: float) -> float:
        """When there may be something to take again by itself; now, if there is room for it."""
        if self.state is State.OPEN:
            return self._probe_at if not self.in_flight else inf
        if self.state is not State.WORKING or self.in_flight >= self._most_in_flight:
            return inf
        if self.ready and len(self._stored) < self.limits.waiting:
            return max(now, self._hold_until)
        return max(self._due[0][0], self._hold_until) if self._due else inf

    def _probe(self, now: float) -> Delivery | None:
        if self.in_flight or now < self._probe_at:
            return None
        if not self._due:
            # All that waited was given up. Let one more come; if it fails, the breaker opens again.
            self._move(Fact.RESUMED)
            self._failures = FAILURES - 1
            return None
        self._move(Fact.PROBED)
        return self._start(self._unblocked())

    def _unblocked(self) -> Delivery:
        return heappop(self._due)[2]

    def _fresh(self, now: float) -> Delivery | None:
        """The first that is ready and not behind another of its subject."""
        while (one := self._pop_ready()) is not None:
            if one.event.seq in self._stored:
                continue  # after a crash, or of a replay: it is tried again anyway
            whose = subject(one.event)
            line = self._lines.get(whose)
            if line is None:
                self._lines[whose] = [one]
                return self._start(one)
            line.append(one)
            self._blocked += 1
            if line[0].is_stored:
                self._store(one, one.since_ms)
        return None

    def _pop_ready(self) -> Delivery | None:
        replay, ready = self.replay, self.feed.ready
        if replay is not None and replay.ready and (self._is_replays_turn or not ready):
            self._is_replays_turn = False
            return replay.ready.popleft()
        self._is_replays_turn = True
        return ready.popleft() if ready else None

    def _start(self, one: Delivery) -> Delivery:
        self._place += 1
        if not one.attempts:
            one.place = self._place
        self.in_flight += 1
        return one

    # -- what came of it ----------------------------------------------------------------------------------------

    def resolve(self, one: Delivery, verdict: Verdict, now: float, wall_ms: int) -> None:
        """An attempt has ended."""
        if verdict.ruling is Ruling.GONE and self.webhook.is_callback:
            # The address of one message is gone, which says nothing of those of others but that its host answers.
            self.failed += 1
            self.given_up += 1
            self.last_error = verdict.detail
            self.skip(one, now)
            return
        self.in_flight -= 1
        one.attempts += 1
        self.is_dirty = True
        if verdict.ruling is Ruling.DELIVERED:
            self._succeeded(one, now, wall_ms)
            return
        self.failed += 1
        self._proven = 0
        self.last_error = verdict.detail
        self._failures += 1
        self.failing_since_ms = self.failing_since_ms or wall_ms
        if verdict.hold_s > 0:
            self._hold_until = max(self._hold_until, now + min(verdict.hold_s, LONGEST_HOLD_S))
        self._put_off(one, now, wall_ms)
        if verdict.ruling is Ruling.GONE:
            self.disable(verdict.detail)
        elif self._failures < FAILURES:
            self._failed(Fact.FAILED, now)
        elif wall_ms - self.failing_since_ms >= self.limits.disable_after_ms:
            span = _span_text(self.limits.disable_after_ms)
            self.disable(f"nothing was delivered for {span}; the last: {verdict.detail}")
        else:
            self._failed(Fact.FAILED_OFTEN, now)

    def skip(self, one: Delivery, now: float) -> None:
        """What was taken is not to be told any more: its message is gone, or nobody wants it."""
        self.in_flight -= 1
        self.is_dirty = True
        self._finish(one, now)
        if self.state is State.PROBING:
            self._move(Fact.FAILED)

    def _succeeded(self, one: Delivery, now: float, wall_ms: int) -> None:
        self.delivered += 1
        self._proven = min(self._proven + 1, self.limits.concurrency)
        self._failures = self._probes = 0
        self.failing_since_ms = 0
        self.delivered_at_ms = wall_ms
        self._finish(one, now)
        if self.state is State.WORKING:
            return
        was_broken = self.state is not State.DISABLED
        self._move(Fact.SUCCEEDED)
        if was_broken:
            # What waited for it to come back need not wait any longer.
            self._due = [(now, seq, each) for _, seq, each in self._due]
            heapify(self._due)

    def _put_off(self, one: Delivery, now: float, wall_ms: int) -> None:
        """Try it again later, or give it up."""
        pause_s = delay_s(one.attempts, (wall_ms - one.since_ms) / 1000, self._random())
        if pause_s is None:
            self.given_up += 1
            self._finish(one, now)
            return
        due = max(now + pause_s, self._hold_until)
        one.body = None
        self._store(one, wall_ms + round((due - now) * 1000))
        for behind in self._lines[subject(one.event)]:
            if not behind.is_stored:
                self._store(behind, behind.since_ms)
        heappush(self._due, (due, one.event.seq, one))

    def _failed(self, fact: Fact, now: float) -> None:
        before = self.state
        self._move(fact)
        if self.state is not State.OPEN:
            return
        if before is State.PROBING:
            self._probes += 1
        if before is not State.OPEN:
            self._probe_at = max(now + probe_s(self._probes, self._random()), self._hold_until)
            self._leave_in_journal()

    def _finish(self, one: Delivery, now: float) -> None:
        """It is over; the next of its subject may go."""
        if one.is_stored:
            del self._stored[one.event.seq]
            self._rows[one.event.seq] = None
        whose = subject(one.event)
        line = self._lines[whose]
        assert line[0] is one, "of one subject only the first is in flight"
        if len(line) == 1:
            del self._lines[whose]
            return
        del line[0]
        self._blocked -= 1
        heappush(self._due, (now, line[0].event.seq, line[0]))

    def _store(self, one: Delivery, due_at_ms: int) -> None:
        one.is_stored = True
        seq = one.event.seq
        self._stored[seq] = one
        self._rows[seq] = Waiting(self.webhook.key, one.event, one.attempts, due_at_ms, one.since_ms)

    def _leave_in_journal(self) -> None:
        """Keep nothing in memory but what is under way or stored."""
        for line in self._lines.values():
            for one in line:
                if one is not line[0]:
                    one.body = None
                    if not one.is_stored:
                        self._store(one, one.since_ms)
        self.feed.go_back()
        if self.replay is not None:
            self.replay.go_back()

    def _move(self, fact: Fact) -> None:
        self.state = TRANSITIONS[self.state, fact]

    # -- what its account does ----------------------------------------------------------------------------------

    def change(self, webhook: Webhook, now: float) -> None:
        """Its settings are others. Enabled again it goes on where it stood."""
        was_enabled, self.webhook = self.webhook.is_enabled, webhook
        self.filter = Filter(webhook)
        self.is_dirty = True
        if webhook.is_enabled and (not was_enabled or self.state is State.OPEN):
            self._failures = self._probes = self.failing_since_ms = 0
            self._hold_until = now
            self._move(Fact.RESUMED)
            self._due = [(now, seq, each) for _, seq, each in self._due]
            heapify(self._due)
        elif was_enabled and not webhook.is_enabled:
            self.disable("")

    def disable(self, reason: str) -> None:
        """Nothing goes out any more until it is enabled."""
        self.webhook = replace(self.webhook, is_enabled=False, reason=reason[:500])
        self.is_dirty = True
        self._move(Fact.DISABLED)
        self._leave_in_journal()

    def start_replay(self, after_seq: int, since_ms: int, until_ms: int) -> int:
        """Deliver events of a time once more, as far as they are not on their way anyway; the last of them that may
        be. A replay that is under way is replaced."""
        end_seq = max(self._cursor(is_replay=False), after_seq)
        self.replay = Replay(after_seq, end_seq, since_ms, until_ms)
        self.is_dirty = True
        return end_seq

    def deliver_again(self, event: Event, now: float, wall_ms: int) -> None:
        """Deliver one event now, if it is not on its way anyway. Raises Refusal (409) while too many wait."""
        known = self._stored.get(event.seq)
        if known is not None:
            self._due = [(now if each is known else at, seq, each) for at, seq, each in self._due]
            heapify(self._due)
        elif event.seq <= self._cursor(is_replay=False):
            if len(self._stored) >= self.limits.waiting:
                detail = f"{len(self._stored)} deliveries wait to be tried again; no more are taken"
                raise Refusal("too_many_waiting", detail, "$", 409)
            one = Delivery(event, wall_ms)
            line = self._lines.setdefault(subject(event), [])
            line.append(one)
            self._store(one, wall_ms)
            if len(line) == 1:
                heappush(self._due, (now, event.seq, one))
            else:
                self._blocked += 1
        self.is_dirty = True

    # -- what the journal keeps ---------------------------------------------------------------------------------

    def take_records(self) -> tuple[Progress, dict[int, Waiting | None]]:
        """How far it is, and what changed of what waits; both belong into one commit."""
        for line in self._lines.values():
            if not line[0].is_stored and self._place - line[0].place > SPILL:
                for one in line:
                    self._store(one, one.since_ms)
        rows, self._rows = self._rows, {}
        self.is_dirty = False
        replay = self.replay
        progress = Progress(
            self.webhook.key, self._cursor(is_replay=False), self.failing_since_ms, self.delivered_at_ms
        )
        if replay is not None:
            cursor = self._cursor(is_replay=True)
            if cursor >= replay.end_seq and not replay.ready:
                self.replay = None
            else:
                progress = replace(
                    progress,
                    replay_seq=cursor,
                    replay_end_seq=replay.end_seq,
                    replay_since_ms=replay.since_ms,
                    replay_until_ms=replay.until_ms,
                )
        return progress, rows

    def _cursor(self, *, is_replay: bool) -> int:
        """Everything up to this event is delivered, given up or stored."""
        feed = self.replay if is_replay else self.feed
        assert feed is not None, "only a replay that is under way has a cursor"
        lowest = [one.event.seq for one in self._open() if one.is_replay is is_replay]
        if feed.ready:
            lowest.append(feed.ready[0].event.seq)
        return min(lowest) - 1 if lowest else feed.position

    def _open(self) -> Iterator[Delivery]:
        """Deliveries that were taken out of a feed and that the journal does not know of."""
        return (one for line in self._lines.values() for one in line if not one.is_stored)


def _span_text(span_ms: int) -> str:
    """A time for people, in days or hours."""
    count, unit = (span_ms / 86_400_000, "day") if span_ms >= 86_400_000 else (span_ms / 3_600_000, "hour")
    return f"{count:.3g} {unit}{'' if count == 1 else 's'}"


def subject(event: Event) -> int | str:
    """What an event tells of: events of one subject are delivered in order."""
    return event.key or event.channel
