"""One simulated phone with the app's habits: registration, streams, pulls, reports, webhooks, restarts. Pure.

Times are monotonic seconds given by the caller, randomness is the caller's too; everything that leaves goes through
a :class:`Port` and everything that is to happen later through an :class:`Agenda`. Invariant: at most one pull is in
flight; ``_life`` tells calls of an earlier start from those of the present one.
"""

from random import Random
from typing import Any, Final

import msgspec

from bench.peers.phone_agenda import Agenda
from bench.peers.phone_fleet import Fleet
from bench.peers.phone_habits import Habits, version_of
from bench.peers.phone_inbox import Inbox, health, read_hooks, received
from bench.peers.phone_listing import Item, read_items
from bench.peers.phone_modem import Modem
from bench.peers.phone_outbox import Entry, Outbox, date_text
from bench.peers.phone_reports import Reports
from bench.peers.phone_requests import Kind, Port, Request

FOREIGN_TOKEN: Final = "tkOldOldOldOldOldOldO"
_ORDERED_SINCE: Final = (1, 46, 0)
_CANCELS_SINCE: Final = (1, 67, 0)
_PULLS_ON_STREAM_SINCE: Final = (1, 53, 1)
_SIMS_SINCE: Final = (1, 65, 0)


class Phone:
    """One phone. ``number`` names it in the fleet; ``private_token`` is what its user typed in."""

    def __init__(
        self,
        number: int,
        private_token: str,
        habits: Habits,
        fleet: Fleet,
        agenda: Agenda,
        port: Port,
        random: Random,
        epoch_ms: int,
    ) -> None:
        self.number = number
        self.name = f"simulated/phone{number}"
        self.device_id = ""
        self.token = ""
        self.handed = 0
        self.is_running = False
        self.habits = habits
        self.version = random.choices(*zip(*habits.versions, strict=True))[0]
        self._version = version_of(self.version)
        self._private_token = private_token
        self._fleet = fleet
        self._count = fleet.statistics
        self._agenda = agenda
        self._port = port
        self._random = random
        self._epoch_ms = epoch_ms + round(habits.skew.draw(random) * random.choice((-1000, 1000)))
        self._is_pushed = random.random() < habits.pushed
        self._zone_minutes = random.choice((0, 60, 120, 180, -300))
        if random.random() < habits.foreign:
            self.device_id, self.token = "dvOldOldOldOldOldOldO", FOREIGN_TOKEN
        self.outbox = Outbox()
        self._reports = Reports(
            habits,
            agenda,
            random,
            self._count,
            self._send,
            self._may_run_jobs,
            self._zone_minutes,
            random.random() < habits.old_dates,
        )
        self.modem = Modem(
            habits, self.outbox, agenda, random, self.wall_ms, self._reports.make, self._handed, self._count
        )
        self._inbox = Inbox(agenda, random, habits.periods, self._count, self._send, self.wall_ms)
        self._ping_s = 0.0
        self._life = 0
        self._in_flight: set[Request] = set()
        self._pull: Request | None = None
        self._pull_failures = 0
        self._polls = 0
        self._streams: dict[int, int] = {}
        self._last_stream = 0
        self._has_network = True
        self._dozes_until = 0.0

    def wall_ms(self, now: float) -> int:
        """What the phone's clock shows."""
        return self._epoch_ms + round(now * 1000)

    def _may_run_jobs(self, now: float) -> bool:
        return self._has_network and now >= self._dozes_until

    @property
    def is_pulling(self) -> bool:
        """A pull is in flight."""
        return self._pull is not None

    # -- starting and stopping -----------------------------------------------------------------------------

    def switch_on(self, now: float) -> None:
        """For the first time: start, and let accidents begin."""
        self.start(now)
        habits = self.habits
        for every, happens in (
            (habits.restart_every, self._restart),
            (habits.radio_lost_every, self._lose_radio),
            (habits.doze_every, self._doze),
            (habits.inbound_every, self._receive),
        ):
            if not every.is_none:
                self._agenda.add(now + every.draw(self._random), happens)

    def start(self, now: float) -> None:
        """The user presses start."""
        self.is_running = self.modem.is_on = True
        self._life += 1
        if self.token:
            self._update(now, self._life)
            self._synchronise(now)
        else:
            self._register(now, self._life)
        if self._ping_s:
            self._agenda.add(now + self._ping_s, self._ping, self._life)
        self.modem.consider(now)

    def stop(self, now: float) -> None:
        """Streams are closed, pulls and sending cease; the queue stays."""
        self.is_running = self.modem.is_on = False
        self._life += 1
        for number in self._streams:
            self._port.close_stream(number)
        self._streams.clear()
        if self._pull is not None:
            self._abort(self._pull)
            self._pull = None

    def _restart(self, now: float) -> None:
        habits, random = self.habits, self._random
        self._count.restarts += 1
        self.stop(now)
        if random.random() < habits.wiped:
            self._count.wipes += 1
            self.device_id = self.token = ""
            self.outbox.clear()
        takes_s = habits.restart_takes.draw(random)
        self._agenda.add(now + takes_s, self.start)
        self._agenda.add(now + takes_s + habits.restart_every.draw(random), self._restart)

    # -- registration --------------------------------------------------------------------------------------

    def _equipment(self) -> dict[str, Any]:
        """What both requests about the device say of it."""
        fields: dict[str, Any] = {"pushToken": f"push-{self.number}:EXAMPLE"} if self._is_pushed else {}
        if self._version >= _SIMS_SINCE:
            slots = range(self.habits.sims)
            fields["simCards"] = [
                {"slotIndex": slot, "simNumber": slot + 1, "carrierName": "****"} for slot in slots
            ]
        return fields

    def _register(self, now: float, life: int, repeats: int = 0) -> None:
        if life != self._life:
            return
        authorization = f"Bearer {self._private_token}" if self._private_token else ""
        fields = {"name": self.name, **self._equipment()}
        self._begin(
            now, Kind.REGISTER, "POST", "/device", fields, authorization=authorization, repeats=repeats
        )

    def _update(self, now: float, life: int, repeats: int = 0) -> None:
        if life == self._life:
            fields = {"id": self.device_id, **self._equipment()}
            self._begin(now, Kind.UPDATE, "PATCH", "/device", fields, repeats=repeats)

    def _registered(self, now: float, body: bytes) -> None:
        try:
            answer = msgspec.json.decode(body, type=dict[str, Any])
            self.device_id, self.token, _ = answer["id"], answer["token"], answer["login"]
        except (msgspec.DecodeError, KeyError):
            self._fleet.violated("a registration without id, token or login")
            return
        self._count.registrations += 1
        self._synchronise(now)
        self._begin_streams(now)

    def _begin_streams(self, now: float) -> None:
        if self._is_pushed:
            return
        self._open_stream(now, self._life)
        if self._random.random() < self.habits.duplicates:
            self._agenda.add(now + 0.1, self._update, self._life)

    # -- streams -------------------------------------------------------------------------------------------

    def _open_stream(self, now: float, life: int, attempts: int = 0) -> None:
        if life != self._life or not self.is_running:
            return
        self._last_stream += 1
        self._streams[self._last_stream] = attempts
        if self._has_network:
            self._port.open_stream(self._last_stream, self.token)
        else:
            self._agenda.add(now + 0.01, self.stream_ended, self._last_stream)

    def stream_opened(self, now: float, number: int) -> None:
        """The head of the response came."""
        if number not in self._streams:
            return
        self._streams[number] = 0
        self._count.last_stream_at = now
        if self._version >= _PULLS_ON_STREAM_SINCE:
            self.pull(now)

    def stream_ended(self, now: float, number: int) -> None:
        """It could not be opened, or the server or the network ended it: all are built anew."""
        if number not in self._streams:
            return
        for other, attempts in self._streams.items():
            if other != number:
                self._port.close_stream(other)
            pause_s = self.habits.periods.reconnect_s(attempts + 1)
            self._agenda.add(now + pause_s, self._open_stream, self._life, attempts + 1)
        self._streams.clear()

    def stream_event(self, now: float, name: str, data: str) -> None:
        """One event of any stream."""
        self._count.hints += 1
        try:
            values = msgspec.json.decode(data, type=dict[str, str] | None) or {}
        except msgspec.DecodeError:
            self._fleet.violated("an event whose data are not an object of strings")
            return
        match name or "MessageEnqueued":
            case "MessageEnqueued":
                self.pull(now)
            case "WebhooksUpdated":
                self._begin(now, Kind.WEBHOOKS, "GET", "/webhooks")
            case "SettingsUpdated":
                self._begin(now, Kind.SETTINGS, "GET", "/settings")
            case "MessageCancelled" if self._version >= _CANCELS_SINCE:
                entry = self.outbox.entries.get(values.get("messageId", ""))
                if entry is not None:
                    self._cancel(now, entry)
            case _:
                pass  # logged on the phone and ignored

    # -- pulling -------------------------------------------------------------------------------------------

    def _synchronise(self, now: float) -> None:
        self.pull(now)
        self._refresh(now, self._life)

    def _refresh(self, now: float, life: int) -> None:
        if life != self._life:
            return
        self._begin(now, Kind.WEBHOOKS, "GET", "/webhooks")
        self._begin(now, Kind.SETTINGS, "GET", "/settings")
        self._agenda.add(now + self.habits.periods.refresh, self._refresh, life)

    def pull(self, now: float) -> None:
        """A trigger: the pull in flight is cancelled, the poll counted from now."""
        if not self.is_running or not self.token:
            return
        if self._pull is not None:
            self._count.pulls_aborted += 1
            self._abort(self._pull)
        self._polls += 1
        self._agenda.add(now + self.habits.periods.poll, self._poll, self._polls)
        order = f"?order={self.modem.pace.order}" if self._version >= _ORDERED_SINCE else ""
        self._count.pulls += 1
        self._pull = self._begin(now, Kind.PULL, "GET", f"/message{order}")

    def _poll(self, now: float, number: int) -> None:
        if number != self._polls:
            return
        if now < self._dozes_until:
            self._agenda.add(self._dozes_until, self._poll, number)
        else:
            self.pull(now)

    def _pull_again(self, now: float, life: int) -> None:
        if life == self._life and self._pull is None:
            self.pull(now)

    def _listed(self, now: float, body: bytes) -> None:
        try:
            items = read_items(body)
        except ValueError as error:
            self._fleet.violated(f"a listing the app cannot read: {error}")
            return
        seen: set[str] = set()
        self._count.listed += len(items)
        for item in items:
            if item.id in seen:
                self._fleet.violated("a message twice in one listing")
                continue
            seen.add(item.id)
            self._take(now, item)
        self.modem.consider(now)

    def _take(self, now: float, item: Item) -> None:
        entry = self.outbox.entries.get(item.id)
        is_cancelling = item.state == "Cancelling"
        if is_cancelling and self._version < _CANCELS_SINCE:
            self._fleet.violated("a message in the state Cancelling, listed to an app that sends it")
            is_cancelling = False
        if entry is not None:
            if not (is_cancelling and self._cancel(now, entry)):
                self._reports.make(now, entry)
            return
        fault = item.fault()
        if fault:
            self._fleet.violated(fault)
            return
        try:
            entry = item.entry(self.wall_ms(now))
        except ValueError as error:
            self._fleet.violated(str(error))
            return
        entry.note(self.wall_ms(now))
        self.outbox.add(entry)
        if is_cancelling:
            entry.reached.clear()
            self._cancel(now, entry)
        else:
            self._fleet.accepted(now, self.number, entry)

    def _cancel(self, now: float, entry: Entry) -> bool:
        if not self.outbox.cancel(entry):
            return False
        self._count.cancelled += 1
        entry.note(self.wall_ms(now))
        self._reports.make(now, entry)
        return True

    def _handed(self, now: float, entry: Entry) -> None:
        self.handed += 1
        self._fleet.handed(now, self.number, entry)

    # -- inbound and webhooks ------------------------------------------------------------------------------

    def _receive(self, now: float) -> None:
        """A message comes in."""
        self._agenda.add(now + self.habits.inbound_every.draw(self._random), self._receive)
        self._count.inbound += 1
        date = date_text(self.wall_ms(now), self._zone_minutes)
        payload = received(self._random, f"Reply {self._count.inbound} & thanks", date)
        for _ in range(2 if self._random.random() < self.habits.inbound_twice else 1):
            self._inbox.emit(now, "sms:received", self.device_id, payload)

    def _ping(self, now: float, life: int) -> None:
        if life != self._life:
            return
        self._agenda.add(now + self._ping_s, self._ping, life)
        self._inbox.emit(now, "system:ping", self.device_id, health(self.version))
        self.pull(now)

    # -- accidents -----------------------------------------------------------------------------------------

    def _lose_radio(self, now: float) -> None:
        """No network: streams hang half open, what is in flight fails."""
        habits, random = self.habits, self._random
        self._count.radio_lost += 1
        self._has_network = self.modem.has_network = False
        for number in self._streams:
            self._port.abandon_stream(number)
        for request in tuple(self._in_flight):
            self._abort(request)
            self._failed(now, request)
        lasts_s = habits.radio_lost_for.draw(random)
        self._agenda.add(now + lasts_s, self._find_radio)
        self._agenda.add(now + lasts_s + habits.radio_lost_every.draw(random), self._lose_radio)

    def _find_radio(self, now: float) -> None:
        self._has_network = self.modem.has_network = True
        for number in tuple(self._streams):
            self.stream_ended(now, number)
        self._reports.catch_up(now)

    def _doze(self, now: float) -> None:
        """Polls and reports wait for the next maintenance window; an open stream keeps its wake lock."""
        self._count.dozes += 1
        self._dozes_until = now + self.habits.doze_for.draw(self._random)
        self._agenda.add(self._dozes_until, self._reports.catch_up)
        self._agenda.add(self._dozes_until + self.habits.doze_every.draw(self._random), self._doze)

    # -- requests ------------------------------------------------------------------------------------------

    def _begin(
        self,
        now: float,
        kind: Kind,
        method: str,
        path: str,
        fields: dict[str, Any] | None = None,
        *,
        authorization: str | None = None,
        repeats: int = 0,
    ) -> Request:
        body = b"" if fields is None else msgspec.json.encode(fields)
        bearer = f"Bearer {self.token}" if authorization is None else authorization
        request = Request(kind, method, path, bearer, body, repeats=repeats)
        self._send(now, request)
        return request

    def _send(self, now: float, request: Request) -> None:
        if request.kind is Kind.REPORT:
            request.authorization = f"Bearer {self.token}"
        request.begun_at = now
        self._in_flight.add(request)
        self._count.requests += 1
        if self._has_network:
            self._port.request(request)
        else:
            self._agenda.add(now + 0.01, self._failed, request)

    def _abort(self, request: Request) -> None:
        self._in_flight.discard(request)
        self._port.abort(request)

    def answered(self, now: float, request: Request, status: int, body: bytes) -> None:
        """The whole answer came."""
        if request not in self._in_flight:
            return
        self._count.answers[f"{request.kind.value} {status}"] += 1
        self._in_flight.discard(request)
        if request.kind is Kind.UPDATE and status == 401:
            self._register(now, self._life)
        elif 200 <= status < 300:
            self._fleet.answering.add(now - request.begun_at)
            self._done(now, request, body)
        else:
            self._failed(now, request)

    def _done(self, now: float, request: Request, body: bytes) -> None:
        match request.kind:
            case Kind.REGISTER:
                self._registered(now, body)
            case Kind.UPDATE:
                self._count.updates += 1
                self._begin_streams(now)
            case Kind.PULL:
                self._pull, self._pull_failures = None, 0
                self._count.last_pull_at = now
                self._listed(now, body)
            case Kind.REPORT:
                self._fleet.acknowledged(now, request)
            case Kind.WEBHOOKS:
                self._take_hooks(body)
            case Kind.SETTINGS:
                self._take_settings(body)
            case Kind.HOOK:
                self._inbox.ended(now, request, is_done=True)

    def failed(self, now: float, request: Request, reason: str) -> None:
        """No answer came."""
        if request in self._in_flight:
            self._count.failures[f"{request.kind.value}: {reason}"] += 1
            self._failed(now, request)

    def _failed(self, now: float, request: Request) -> None:
        self._in_flight.discard(request)
        periods = self.habits.periods
        pause_s = periods.retry_s(request.repeats)
        match request.kind:
            case Kind.REGISTER:
                self._agenda.add(now + pause_s, self._register, self._life, request.repeats + 1)
            case Kind.UPDATE:
                self._agenda.add(now + pause_s, self._update, self._life, request.repeats + 1)
            case Kind.PULL:
                self._pull = None
                self._agenda.add(now + periods.retry_s(self._pull_failures), self._pull_again, self._life)
                self._pull_failures += 1
            case Kind.REPORT:
                self._reports.failed(now, request)
            case Kind.HOOK:
                self._inbox.ended(now, request, is_done=False)
            case Kind.WEBHOOKS | Kind.SETTINGS:
                pass  # the next start or event asks again

    def _take_hooks(self, body: bytes) -> None:
        try:
            self._inbox.hooks = read_hooks(body, self._version)
        except ValueError as error:
            self._fleet.violated(f"webhooks the app cannot take: {error}")

    def _take_settings(self, body: bytes) -> None:
        try:
            sections = msgspec.json.decode(body, type=dict[str, dict[str, Any]])
            self.modem.settings(sections.get("messages", {}))
            self._ping_s = float(sections.get("ping", {}).get("interval_seconds") or 0)
        except (ValueError, TypeError) as error:
            self._fleet.violated(f"settings the app cannot take: {error}")
            return
        self._inbox.signing_key = sections.get("webhooks", {}).get("signing_key") or self._inbox.signing_key
