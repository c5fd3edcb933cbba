"""The daemon: builds everything in order, serves, reloads, and takes everything down again in the reverse order.

Start: journal, dispatcher, channels, API; only then ``ready``. Stop: no new work (503), what is in flight is finished
or given back up to the drain timeout, binds say goodbye, the last results are committed, the log of the journal is
folded in, the file is closed.
"""

import asyncio
import gc
import os
import random
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import uvloop

from stentor.aio import failpoints
from stentor.aio.access import access_of, groups_of
from stentor.aio.channel import Facilities, RunningChannel
from stentor.aio.door import Door
from stentor.aio.engine import RunningEngine
from stentor.aio.housekeeping import Housekeeping, ask_for_time
from stentor.aio.journal.flight_file import open_flights
from stentor.aio.journal.library import JournalLibrary
from stentor.aio.journal.reader import Reader
from stentor.aio.journal.room import Room
from stentor.aio.journal.writer import Journal
from stentor.aio.logs import Logger, Logs
from stentor.aio.plugins import Plugins, load_plugins
from stentor.aio.pump import Pump
from stentor.aio.sdnotify import Notifier, listen_fds
from stentor.aio.server.connection import ServerLimits
from stentor.aio.server.listeners import Listener, adopt_listener, allow_descriptors, listen_tcp, listen_unix
from stentor.aio.server.server import Server
from stentor.aio.settings import load_config
from stentor.aio.supervisor import Supervisor
from stentor.aio.webhooks.wiring import WebhookService
from stentor.api.app import App
from stentor.clock import SteadyClock, SystemClock
from stentor.config import Config, ConfigErrors
from stentor.config.reload import Action, Plan, diff
from stentor.dispatch.dispatcher import Dispatcher, Limits
from stentor.dispatch.memory import Memory
from stentor.ids import IdGenerator
from stentor.pacing.caps import DAY_MS, KEYS, Sent
from stentor.routing.sticky import Sticky
from stentor.text.segments import MAX_SEGMENTS

JOURNAL_NAME: Final = "journal.db"
SERVER_DRAIN_S: Final = 2.0
WEBHOOK_DRAIN_S: Final = 1.0
STOP_TASKS_S: Final = 5.0
SWITCH_INTERVAL_S: Final = 0.0005
DRAIN_GRACE_S: Final = 2.0
"""What a driver may take beyond its deadline to say goodbye."""
OTHER_DESCRIPTORS: Final = 1_000  # the journal's, drivers' and webhooks' connections


def serve(config_path: Path, announce: Callable[[str], None]) -> int:
    """Run the daemon in the foreground until it is told to stop; returns its exit code (contract: commands).

    ``announce`` is given one line once work can be taken: ``ready`` and the listeners. Raises ConfigErrors for a
    configuration that cannot be used, StentorError for what else keeps it from starting.
    """
    plugins = load_plugins()
    config = load_config(config_path, plugins)
    return uvloop.run(_serve(config_path, config, plugins, announce))


async def _serve(config_path: Path, config: Config, plugins: Plugins, announce: Callable[[str], None]) -> int:
    logs = Logs(config.log.level, config.log.format, config.log.reveal)
    handler = logs.take_standard()
    daemon = Daemon(config_path, config, plugins, logs)
    try:
        await daemon.start()
        announce(" ".join(("ready", *(listener.name for listener in daemon.listeners))))
        return await daemon.run()
    finally:
        logs.flush(everything=True)
        handler.close()


class Daemon:
    """Everything that runs. Made and used on one loop."""

    def __init__(self, config_path: Path, config: Config, plugins: Plugins, logs: Logs) -> None:
        self._path = config_path
        self._config = self._started = config
        self._plugins = plugins
        self._logs = logs
        self._log: Logger = logs.logger()
        self._notifier = Notifier()
        self._supervisor = Supervisor()
        self._root = Supervisor()
        """Holds what must outlive a failure of any other task: the writer, and the watch over the others."""
        self._failure: BaseException | None = None
        system = SystemClock()
        self._clock = SteadyClock(system, system.uptime)
        self._random = random.SystemRandom().random
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._channel_tasks: dict[str, asyncio.Task[None]] = {}
        self._reloads = asyncio.Lock()
        self._sticky = Sticky(config.routing.sticky_destinations)

    # -- start ------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Everything that can fail fails here, and then leaves nothing open or running behind."""
        # A reload asked for meanwhile comes after it.
        async with self._reloads, AsyncExitStack() as undo:
            patience = self._root.start("patience", ask_for_time(self._notifier))
            try:
                await self._start(undo)
            finally:
                patience.cancel()
            undo.pop_all()

    async def _start(self, undo: AsyncExitStack) -> None:
        config = self._config
        for warning in config.warnings:
            self._log.warning("configuration", detail=warning, each_time=True)
        self._watch_signals()
        self._notifier.status("opening the journal")
        path = _journal_path(config)
        self._journal = await Journal.open(path, config.journal.durability, wall_ms=self._clock.wall_ms())
        undo.push_async_callback(self._journal.close)
        self._room = Room(path.parent, self._log)
        await self._room.look(self._clock.now())
        self._readers = [await Reader.open(path) for _ in range(3)]
        undo.push_async_callback(self._close_readers)
        self._flights = await open_flights(self._journal, self._readers[0], self._log)
        undo.callback(self._flights.close)
        self._build_engine()
        self._build_app(await self._counted())
        undo.push_async_callback(self._end_tasks)
        self._writer = self._root.start("writer", self._write())
        self._root.start("watch", self._watch_tasks())
        self._supervisor.start("reader", self._pump.read())
        self._start_server(undo)
        for name in config.channels:
            self._start_channel(name)
        self._dispatcher.set_limits(config.limit_rules, self._clock.now(), self._clock.wall_ms())
        self._dispatcher.restraint.set_quiet(config.quiet_rules)
        self._app.set_quiet(self._dispatcher.restraint.quiet)
        self._dispatcher.start(self._clock.now(), self._clock.wall_ms())
        self._pump.kick()
        self._supervisor.start("housekeeping", self._housekeeping.run())
        self._webhooks.start(self._journal.recovery.webhooks)
        failpoints.hit("before-ready")
        self._engine.state = "ready"
        self._notifier.ready()
        _tune_interpreter()
        names = [listener.name for listener in self.listeners]
        self._log.info("ready", listeners=names, journal=str(path), **self._recovered())

    def _build_engine(self) -> None:
        config, recovery = self._config, self._journal.recovery
        ids = IdGenerator(os.urandom, recovery.last_key)
        self._dispatcher = Dispatcher(
            recovery, _limits(config), config.retry_policy, ids, self._random, record=self._flights.record
        )
        self._pump = Pump(
            self._dispatcher,
            self._journal,
            self._readers[0],
            self._clock,
            self._log,
            config.limits.backlog,
            self._room,
        )
        library = JournalLibrary(self._readers[1], self._dispatcher)
        self._engine = RunningEngine(self._pump, library, ids)
        self._webhooks = WebhookService(
            config, self._pump, self._readers[2], ids, self._log, self._random, self._supervisor.start
        )
        self._engine.webhooks = self._webhooks.desk
        self._housekeeping = Housekeeping(
            self._engine, self._journal, self._notifier, self._logs, self._log, self._room, self._clock
        )

    def _recovered(self) -> dict[str, int]:
        recovery = self._journal.recovery
        return {
            "queued": sum(recovery.backlog.values()),
            "scheduled": recovery.scheduled,
            "in_doubt": len({message.key for message in (*recovery.leased, *recovery.departed)}),
        }

    def _start_channel(self, name: str) -> None:
        channel = self._config.channels[name]
        running = RunningChannel(
            name,
            self._plugins.specs[channel.keys.driver],
            channel.settings,
            channel.keys.rate,
            self._facilities,
            self._logs.logger(channel=name),
        )
        self._engine.running[name] = running
        self._dispatcher.set_enabled(name, channel.keys.enabled, self._clock.wall_ms())
        if channel.keys.enabled:
            self._channel_tasks[name] = self._supervisor.start(f"channel {name}", running.run())

    async def _counted(self) -> Sequence[Sent]:
        """What caps have counted before: the newest messages of the last day, as many as they remember."""
        if not self._config.caps.rules.is_any:
            return ()
        return await self._readers[1].admitted(self._clock.wall_ms() - DAY_MS, KEYS)

    def _build_app(self, counted: Sequence[Sent]) -> None:
        """Before any channel: drivers may serve paths and ask the API from their first moment."""
        config = self._config
        self._app = App(
            self._engine,
            config.route_table(self._sticky),
            access_of(config),
            groups_of,
            int(config.defaults.valid_for_s),
            reference_start=int(self._random() * 65536),
            spawn=self._supervisor.start,
            region=config.numbers.region,
        )
        caps = self._app.set_caps(config.caps.rules)
        if caps is not None:
            caps.restore(counted)
        memory = Memory(self._dispatcher.ledger, self._journal.recovery.memory)
        self._facilities = Facilities(self._pump, Door(self._app), memory, self._random)

    def _start_server(self, undo: AsyncExitStack) -> None:
        limits = ServerLimits(connections=self._config.api.max_connections)
        wanted = 2 * (limits.connections + limits.refused_connections) + OTHER_DESCRIPTORS
        if (allowed := allow_descriptors(wanted)) < wanted:
            self._log.warning("too few descriptors for api.max_connections", allowed=allowed, wanted=wanted)
        self._server = Server(self._app, limits)
        self._engine.extra_queues = self._server.queues
        self.listeners: list[Listener] = []
        for listener in self._open_listeners():
            undo.callback(listener.close)
            self.listeners.append(listener)
        self._server.start(*self.listeners)

    def _open_listeners(self) -> Iterator[Listener]:
        """What the service manager opened is taken, and what it did not is opened here."""
        config = self._config
        families: set[int] = set()
        for passed in listen_fds():
            listener = adopt_listener(passed.fd)
            families.add(listener.sock.family)
            yield listener
        if socket.AF_UNIX not in families:
            Path(config.daemon.runtime_dir).mkdir(mode=0o750, parents=True, exist_ok=True)
            yield listen_unix(config.socket_path)
        if config.tcp_address is not None and families <= {socket.AF_UNIX}:
            yield listen_tcp(*config.tcp_address)

    # -- run --------------------------------------------------------------------------------------------------------

    def _watch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._asked_to_stop)
        loop.add_signal_handler(signal.SIGHUP, self._asked_to_reload)

    def _asked_to_stop(self) -> None:
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    def _fail(self, error: BaseException) -> None:
        """Something the daemon cannot go on without has failed: end in good order, and not with 0."""
        self._failure = error
        self._hurry.set()
        self._stop.set()

    async def _write(self) -> None:
        try:
            await self._pump.write()
        except Exception as error:
            self._fail(error)

    async def _watch_tasks(self) -> None:
        try:
            await self._supervisor.wait()
        except BaseExceptionGroup as errors:
            self._fail(errors)

    async def run(self) -> int:
        """Until told to stop, or until a task fails."""
        await self._stop.wait()
        await self._shut_down()
        if self._failure is not None:
            self._log.error("stopped by a failure", error=repr(self._failure), exc_info=self._failure)
            return 1
        self._log.info("stopped")
        return 0

    # -- stop -------------------------------------------------------------------------------------------------------

    async def _shut_down(self) -> None:
        self._notifier.stopping()
        self._engine.state = "draining"
        self._pump.is_stopping = True
        self._dispatcher.stop(self._clock.wall_ms())
        in_flight = len(self._dispatcher.settler.flights)
        self._log.info("stopping", in_flight=in_flight)
        failpoints.hit("stopping")
        await self._drain_channels(self._config.daemon.drain_timeout_s)
        failpoints.hit("drained")
        await self._server.close(0.0 if self._hurry.is_set() else SERVER_DRAIN_S)
        await self._webhooks.stop(0.0 if self._hurry.is_set() else WEBHOOK_DRAIN_S)
        await self._end_tasks()
        await self._close_readers()
        failpoints.hit("closing")
        self._flights.close()
        await self._journal.close()
        self._notifier.close()

    async def _end_tasks(self) -> None:
        """The writer first, which is never cancelled: it writes what there is and ends."""
        self._pump.finish()
        await asyncio.wait({self._writer})
        for tasks in (self._supervisor, self._root):
            try:
                await tasks.stop(asyncio.get_running_loop().time() + STOP_TASKS_S)
            except BaseExceptionGroup as errors:
                self._log.error("a task failed while stopping", error=repr(errors.exceptions))
                self._failure = self._failure or errors

    async def _close_readers(self) -> None:
        for reader in self._readers:
            await reader.close()

    async def _drain_channels(self, limit_s: float) -> None:
        """All channels at once, until the limit or until somebody is in a hurry."""
        running = [channel for name, channel in self._engine.running.items() if name in self._channel_tasks]
        if not running:
            return
        deadline = self._clock.now() + (0.0 if self._failure is not None else limit_s)
        loop = asyncio.get_running_loop()
        drains = [
            self._root.start(f"drain {channel.name}", self._drain(channel, deadline)) for channel in running
        ]
        hurry = self._root.start("hurry", _wait(self._hurry))
        pending: set[asyncio.Task[None]] = set(drains)
        loop_deadline = loop.time() + limit_s + DRAIN_GRACE_S
        while pending and not hurry.done() and loop.time() < loop_deadline:
            _, pending = await asyncio.wait(
                pending | {hurry}, return_when=asyncio.FIRST_COMPLETED, timeout=loop_deadline - loop.time()
            )
            pending.discard(hurry)
        hurry.cancel()
        if pending:
            self._log.warning("drain cut short", in_flight=len(self._dispatcher.settler.flights))
            for task in pending:
                task.cancel()
            await asyncio.wait(pending)

    async def _drain(self, channel: RunningChannel, deadline: float) -> None:
        try:
            await channel.drain(deadline)
        except Exception as error:
            # A driver's bug must not keep the others from saying goodbye.
            self._log.error("drain failed", channel=channel.name, error=repr(error), exc_info=True)

    # -- reload -----------------------------------------------------------------------------------------------------

    def _asked_to_reload(self) -> None:
        if not self._stop.is_set():
            self._supervisor.start("reload", self._reload())

    async def _reload(self) -> None:
        """Read the file again and apply what changed. A faulty file changes nothing and is reported."""
        async with self._reloads:
            self._notifier.reloading()
            try:
                new = load_config(self._path, self._plugins)
            except ConfigErrors as errors:
                self._log.error("reload refused, nothing was changed", detail=str(errors), each_time=True)
            else:
                await self._apply(new, diff(self._config, new, self._started))
            self._notifier.ready()

    async def _apply(self, new: Config, plan: Plan) -> None:
        failpoints.hit("reload-planned")
        # Whoever reloads has looked after things, the machine's clock among them.
        self._clock.believe()
        routes = new.route_table(self._sticky)
        for item in plan.restart:
            self._log.warning("needs a restart", key=item.path, reason=item.reason, each_time=True)
        self._config = new
        # Routes may name new channels and no longer name old ones: they change when both are there.
        for name in plan.named(Action.ADD):
            self._start_channel(name)
        self._app.adjust(
            routes,
            access_of(new),
            int(new.defaults.valid_for_s),
            new.numbers.region,
        )
        if any(change.path.startswith("webhooks.") for change in plan.live):
            self._webhooks.adjust(new)
        self._app.set_caps(new.caps.rules)
        self._dispatcher.restraint.set_quiet(new.quiet_rules)
        self._app.set_quiet(self._dispatcher.restraint.quiet)
        for change in plan.channels:
            await self._apply_to_channel(change.name, change.action)
        self._engine.running = {name: self._engine.running[name] for name in new.channels}
        failpoints.hit("reload-applied")
        self._logs.set_level(new.log.level)
        self._logs.set_reveal(new.log.reveal)
        self._sticky.limit = new.routing.sticky_destinations
        self._pump.backlog_limit = new.limits.backlog
        self._dispatcher.adjust(_limits(new), new.retry_policy)
        if plan.rate_limits:
            self._dispatcher.set_limits(new.limit_rules, self._clock.now(), self._clock.wall_ms())
        self._pump.kick()
        self._log.info(
            "reloaded",
            live=[change.path for change in plan.live],
            channels={change.name: change.action.value for change in plan.channels},
            restart=[item.path for item in plan.restart],
            # Read again each time, whether it changed or not.
            **({"prices": len(new.price_list)} if new.routing.prices_file else {}),
        )

    async def _apply_to_channel(self, name: str, action: Action) -> None:
        match action:
            case Action.ADJUST:
                await self._adjust_channel(name)
            case Action.RESTART:
                await self._stop_channel(name)
                if not self._stop.is_set():
                    self._start_channel(name)
            case Action.REMOVE:
                await self._stop_channel(name)
                self._facilities.door.forget(name)
                self._dispatcher.remove_channel(name, self._clock.now(), self._clock.wall_ms())
                del self._engine.running[name]

    async def _adjust_channel(self, name: str) -> None:
        keys, channel = self._config.channels[name].keys, self._dispatcher.channels[name]
        channel.set_rate(keys.rate, self._clock.now())
        if keys.enabled is channel.enabled:
            return
        if keys.enabled:
            self._start_channel(name)
        else:
            self._dispatcher.set_enabled(name, False, self._clock.wall_ms())
            await self._stop_channel(name)
            self._facilities.door.forget(name)

    async def _stop_channel(self, name: str) -> None:
        task = self._channel_tasks.get(name)
        if task is None:
            return
        await self._engine.running[name].drain(self._clock.now() + self._config.daemon.drain_timeout_s)
        task.cancel()
        await asyncio.wait({task})
        del self._channel_tasks[name]


def _tune_interpreter() -> None:
    """The writer's thread takes the interpreter's lock back at each statement: it must not wait five milliseconds for
    it behind a busy loop. What was loaded to start stays for ever, so the collector need not look at it again; what
    comes and goes by the thousand holds no cycles, so young collections may be rare."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


async def _wait(event: asyncio.Event) -> None:
    await event.wait()


def _journal_path(config: Config) -> Path:
    state_dir = Path(config.daemon.state_dir)
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    return state_dir / JOURNAL_NAME


def _limits(config: Config) -> Limits:
    return Limits(
        active=config.limits.active,
        parked=config.limits.active,
        receipt_horizon_ms=int(config.receipts.horizon_s * 1000),
        doubt_horizon_ms=int(config.receipts.doubt_horizon_s * 1000),
        missing_receipt_is_unknown=config.receipts.on_missing == "unknown",
        # A message of 255 parts must be able to be complete, whatever the memory.
        parts=max(MAX_SEGMENTS, config.limits.active),
        join_timeout_ms=int(config.inbound.join_timeout_s * 1000),
    )
