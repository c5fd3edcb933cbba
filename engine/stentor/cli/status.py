"""``stentor status`` and ``stentor channels``: the running daemon at a glance."""

import argparse
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import msgspec

from stentor.cli import screen
from stentor.cli.errors import DONE, WRONG_USAGE, CommandError
from stentor.cli.link import Link
from stentor.cli.messages import local_time
from stentor.cli.parser import socket_of
from stentor.cli.waiting import duration, limits, queue_shape
from stentor.dispatch.snapshot import (
    ChannelSnapshot,
    EngineSnapshot,
    JournalSnapshot,
    LaneSnapshot,
    QueueShape,
    WebhooksSnapshot,
)

WATCH_PAUSE_S: Final = 2.0
_NEARLY_FULL: Final = 0.8
_PEERS_WIDTH: Final = 96

FormT = TypeVar("FormT", bound=msgspec.Struct)


def status(options: argparse.Namespace) -> int:
    with Link(socket_of(options), options.account) as link:
        if options.queue:
            answer = link.get("queue")
            if options.json:
                screen.say_json(answer)
            else:
                screen.show(*queue_shape(_converted(answer, QueueShape)))
            return DONE
        if options.watch:
            return _watch(link, options.json)
        answer = link.get("status")
    if options.json:
        screen.say_json(answer)
    else:
        screen.show(*_picture(_snapshot(answer)))
    return DONE


def channels(options: argparse.Namespace) -> int:
    """All channels, or the one that was paused or resumed."""
    if options.action and not options.name:
        raise CommandError(f"Which channel is to be {options.action}d? Name it.", WRONG_USAGE)
    with Link(socket_of(options), options.account) as link:
        if options.action:
            answer = link.post("channels", options.name, options.action)
            found = [answer]
        else:
            answer = link.get("channels")
            found = answer["channels"]
    if options.json:
        screen.say_json(answer)
    elif found:
        screen.show(*_channels([_channel_snapshot(channel) for channel in found]))
    else:
        screen.say("No channel is configured.")
    return DONE


def _watch(link: Link, is_json: bool) -> int:
    """Until interrupted: on a terminal in place, elsewhere one picture after the other."""
    if is_json or not screen.is_terminal():
        while True:
            answer = link.get("status")
            if is_json:
                screen.say_json(answer, is_indented=False)
            else:
                screen.show(*_picture(_snapshot(answer)), "")
            screen.flush()
            screen.pause(WATCH_PAUSE_S)
    from rich.console import Group
    from rich.live import Live

    with Live(console=screen.console(), screen=True, auto_refresh=False) as live:
        while True:
            live.update(Group(*_picture(_snapshot(link.get("status")))), refresh=True)
            screen.pause(WATCH_PAUSE_S)


def _webhooks(webhooks: WebhooksSnapshot) -> str:
    """One line: how many there are in which state, and what they have before them."""
    states = ", ".join(f"{count:,} {word}" for word, count in webhooks.states.items() if count)
    line = f"webhooks: {states}; {webhooks.in_flight:,} under way, {webhooks.waiting:,} to be tried again"
    if webhooks.behind:
        line += f", {webhooks.behind:,} behind"
    line += f", {webhooks.given_up:,} given up" if webhooks.given_up else ""
    return line + ("; paced, for sending goes first" if webhooks.is_paced else "")


def _snapshot(answer: Any) -> EngineSnapshot:
    return _converted(answer, EngineSnapshot)


def _converted(answer: Any, form: type[FormT]) -> FormT:
    try:
        return msgspec.convert(answer, form)
    except msgspec.ValidationError as error:
        raise CommandError(f"The daemon is of another version than this command: {error}.") from None


def _channel_snapshot(answer: Any) -> ChannelSnapshot:
    """A channel's resource in the form it has inside the daemon's picture of itself."""
    error = answer["last_error"] or {"at": None, "detail": None}
    at_ms = datetime.fromisoformat(error["at"]).timestamp() * 1000 if error["at"] else 0
    form = {"driver_status": {}, "last_error": error["detail"], "last_error_at_ms": int(at_ms)}
    return _converted({**answer, **form}, ChannelSnapshot)


def _picture(snapshot: EngineSnapshot) -> list[Any]:
    up = f"  up {duration(snapshot.uptime_s)}, loop lag {snapshot.loop_lag_ms:.0f} ms"
    head = screen.line(f"stentor {snapshot.version}  ", screen.word(snapshot.state), up)
    totals = (
        f"{snapshot.accepted:,} accepted, {snapshot.sent:,} sent, {snapshot.finished:,} finished,"
        f" {snapshot.received:,} received, {snapshot.scheduled:,} scheduled"
    )
    parts = [head, screen.styled(totals)]
    if snapshot.clock_held_ms:
        ahead = duration(abs(snapshot.clock_held_ms) / 1000)
        side = "ahead of" if snapshot.clock_held_ms > 0 else "behind"
        parts.append(
            screen.styled(f"the machine's clock is {ahead} {side} ours; reload when it is right", "red")
        )
    if snapshot.webhooks.states:
        parts.append(screen.styled(_webhooks(snapshot.webhooks)))
    parts += ["", *_channels(snapshot.channels)]
    if snapshot.backlog:
        parts += ["", _backlog(snapshot)]
    if snapshot.limits:
        parts += ["", limits(snapshot.limits)]
    return [*parts, "", _queues(snapshot), "", *_journal(snapshot.journal)]


def _channels(found: Sequence[ChannelSnapshot]) -> list[Any]:
    """A row for each channel, one below it for each lane; then the last errors."""
    width = screen.width()
    has_peers = width is None or width >= _PEERS_WIDTH
    names = ("channel", "state", "in flight", "rate", "queued", "sent", "throttled", "driver, peer")
    table = screen.table(
        *(names if has_peers else names[:-1]),
        right=("in flight", "rate", "queued", "sent", "throttled"),
        wrapped=("driver, peer",),
    )
    for channel in found:
        for cells in (_channel_cells(channel), *map(_lane_cells, channel.lanes)):
            table.add_row(*(cells if has_peers else cells[:-1]))
    errors = [_circuit(channel) for channel in found if channel.breaker != "closed" and not channel.waits_for]
    errors += [_waits(channel) for channel in found if channel.waits_for]
    errors += [_last_error(channel) for channel in found if channel.last_error]
    return [table, *(["", *errors] if errors else [])]


def _channel_cells(channel: ChannelSnapshot) -> list[Any]:
    return [
        screen.styled(channel.name, "bold"),
        screen.channel_word(channel.state if channel.breaker == "closed" else channel.breaker),
        f"{channel.in_flight:,} / {sum(lane.window for lane in channel.lanes):,}",
        _pace(channel),
        f"{channel.queued:,}",
        f"{sum(lane.sent for lane in channel.lanes):,}",
        f"{sum(lane.throttled for lane in channel.lanes):,}",
        screen.styled(channel.driver if channel.can_send else f"{channel.driver}, receives only", "dim"),
    ]


def _lane_cells(lane: LaneSnapshot) -> list[Any]:
    """A window that the engine keeps below what the driver offers shows both."""
    window = f"{lane.window:,}" if lane.window == lane.offered else f"{lane.window:,} of {lane.offered:,}"
    return [
        screen.styled(f"  {lane.key}"),
        screen.word(lane.state),
        f"{lane.in_flight:,} / {window}",
        _rate(lane.rate),
        "",
        f"{lane.sent:,}",
        f"{lane.throttled:,}",
        screen.styled("  ".join(part for part in (lane.peer, lane.detail) if part)),
    ]


def _circuit(channel: ChannelSnapshot) -> Any:
    """Why nothing, or a probe alone, is given to a channel that is up. Where something waits for it, that says so."""
    what = "the next message is the probe" if channel.breaker == "probing" else "nothing gets through"
    reason = (f"circuit {channel.breaker}, {what}: {channel.breaker_reason}", "yellow")
    return screen.line((f"{channel.name}: ", "bold"), reason)


def _last_error(channel: ChannelSnapshot) -> Any:
    at = datetime.fromtimestamp(channel.last_error_at_ms / 1000, UTC).isoformat()
    error = screen.styled(channel.last_error, "red")
    return screen.line((f"{channel.name}: ", "bold"), error, (f"  {local_time(at)}", "dim"))


def _backlog(snapshot: EngineSnapshot) -> Any:
    any_held = any(part.held for part in snapshot.backlog)
    table = screen.table(
        "backlog",
        "priority",
        "in memory",
        "in journal",
        *(["of it held"] if any_held else []),
        "oldest",
        right=("in memory", "in journal", "of it held", "oldest"),
    )
    for part in snapshot.backlog:
        table.add_row(
            screen.styled(part.route),
            part.priority,
            f"{part.active:,}",
            f"{part.journal:,}",
            *([f"{part.held:,}"] if any_held else []),
            duration(part.oldest_age_s) if part.active else "–",
        )
    return table


def _queues(snapshot: EngineSnapshot) -> Any:
    table = screen.table(
        "queue", "length", "bound", "when full", right=("length", "bound"), wrapped=("when full",)
    )
    for queue in snapshot.queues:
        is_nearly_full = queue.limit and queue.length >= _NEARLY_FULL * queue.limit
        table.add_row(
            queue.name,
            screen.styled(f"{queue.length:,}", "red" if is_nearly_full else ""),
            f"{queue.limit:,}" if queue.limit else "–",
            screen.styled(queue.when_full, "dim"),
        )
    return table


def _journal(journal: JournalSnapshot) -> list[Any]:
    commits, rows = screen.counted(journal.commits, "commit"), screen.counted(journal.rows, "row")
    facts = f"  {journal.durability}, {commits} of {rows}, last {journal.last_commit_ms:.1f} ms"
    sizes = f"         {size(journal.file_octets)} + {size(journal.wal_octets)} log"
    lines = [screen.line(("journal  ", "dim"), screen.word(journal.state), facts), screen.styled(sizes)]
    if journal.space != "roomy":
        room = f"         room on its disk is {journal.space}: {size(journal.free_octets)} are free"
        lines.append(screen.styled(room, "red" if journal.space == "short" else "yellow"))
    if journal.detail:
        lines.append(screen.styled(f"         {journal.detail}", "red"))
    if journal.sqlite_is_affected:
        version = f"SQLite {journal.sqlite_version}"
        warning = f"         {version} can damage the journal if a second program writes to it"
        lines.append(screen.styled(warning, "yellow"))
    return lines


def _waits(channel: ChannelSnapshot) -> Any:
    reasons = screen.styled(f"waits for {', '.join(channel.waits_for)}", "yellow")
    return screen.line((f"{channel.name}: ", "bold"), reasons)


def _pace(channel: ChannelSnapshot) -> str:
    """What leaves, of what may."""
    allowed = _rate(channel.rate_now)
    if not channel.pace:
        return allowed
    return f"{_rate(channel.pace)} of {allowed}" if channel.rate_now else _rate(channel.pace)


def _rate(rate: float) -> str:
    return f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s" if rate else "–"


def size(octets: int) -> str:
    """In the largest binary unit that leaves a number of at least one."""
    amount = float(octets)
    for unit in ("B", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GiB"
