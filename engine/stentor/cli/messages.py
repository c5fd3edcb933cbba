"""``stentor send``, ``show``, ``messages`` and ``cancel``."""

import argparse
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any, Final

import msgspec

from stentor.cli import screen
from stentor.cli.errors import DONE, FAILED, WRONG_USAGE, CommandError
from stentor.cli.link import Link
from stentor.cli.parser import socket_of
from stentor.config.values import duration_s

PAGE: Final = 1000
_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 1.0
_ARRIVED: Final = ("delivered", "sent", "received")
_TEXT_LIMIT: Final = 1024 * 1024
_SHORT_LISTING_WIDTH: Final = 36 + 14 + 18 + 11 + 4 * 2  # id, time, arrow and E.164, longest status, gaps
_LEAST_TEXT_WIDTH: Final = 8


def send(options: argparse.Namespace) -> int:
    """Submit one message; with ``--wait`` 0 only if it arrived."""
    with Link(socket_of(options), options.account) as link:
        message = link.post("messages", body=_submit(options))
        if options.wait:
            message = _follow(link, message["id"])
        elif message["status"] == "scheduled" and not options.json:
            message = link.get("messages", message["id"])  # which says until when, and why
    if options.json:
        screen.say_json(message)
    else:
        screen.say(one_line(message))
    return FAILED if options.wait and message["status"] not in _ARRIVED else DONE


def show(options: argparse.Namespace) -> int:
    with Link(socket_of(options), options.account) as link:
        message = link.get("messages", options.id)
        entries = link.get("messages", options.id, "timeline")["timeline"]
    if options.json:
        screen.say_json({**message, "timeline": entries})
    else:
        _show_message(message, entries)
    return DONE


def cancel(options: argparse.Namespace) -> int:
    with Link(socket_of(options), options.account) as link:
        message = link.delete("messages", options.id)
    if options.json:
        screen.say_json(message)
    else:
        screen.say(one_line(message))
    return DONE


def messages(options: argparse.Namespace) -> int:
    """One page, or with ``--all`` every page; as one JSON document in either case."""
    with Link(socket_of(options), options.account) as link:
        pages = _pages(link, options)
        if options.json:
            _print_json(pages)
        else:
            _print_listing(pages)
    return DONE


def _submit(options: argparse.Namespace) -> dict[str, Any]:
    text = options.text
    if text == "-":
        try:
            text = sys.stdin.buffer.read(_TEXT_LIMIT).decode().removesuffix("\n")
        except UnicodeDecodeError as error:
            raise CommandError(f"The text is not UTF-8 at octet {error.start}.", WRONG_USAGE) from None
    fields = {
        "to": options.to,
        "text": text,
        "from": options.originator,
        "priority": options.priority,
        "channel": options.channel,
        "send_at": moment(options.at, is_past=False) if options.at else None,
        "valid_for": _validity(options.valid_for) if options.valid_for else None,
        "ref": options.ref,
        "tags": options.tag,
        "batch": options.batch,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _follow(link: Link, id: str) -> Any:
    """The message once it is final. Asks again and again: the stream of events would bring everybody's."""
    pause_s = _FIRST_PAUSE_S
    # Whoever takes this for a message that was not accepted sends it twice.
    accepted = f"The message was accepted: see `stentor show {id}`."
    try:
        with screen.Progress() as line:
            while not (message := link.get("messages", id))["final_at"]:
                line.update(f"{id}  {message['status']} …")
                screen.pause(pause_s)
                pause_s = min(pause_s * 1.5, _LONGEST_PAUSE_S)
    except CommandError as error:
        raise CommandError(f"{error}\n{accepted}", error.code) from None
    except KeyboardInterrupt:
        screen.complain(accepted)
        raise
    return message


def _pages(link: Link, options: argparse.Namespace) -> Iterator[Any]:
    """Pages of at most 1000 until the limit is reached or nothing is left."""
    query = {
        "status": options.status,
        "to": options.to,
        "from": options.originator,
        "ref": options.ref,
        "channel": options.channel,
        "direction": options.direction,
        "since": moment(options.since) if options.since else None,
        "until": moment(options.until) if options.until else None,
    }
    left, cursor = options.limit, options.cursor
    while True:
        limit = PAGE if options.all else min(left, PAGE)
        page = link.get("messages", **query, limit=str(limit), cursor=cursor)
        yield page
        left -= len(page["messages"])
        cursor = page.get("next")
        if cursor is None or (left <= 0 and not options.all):
            return


def _print_json(pages: Iterator[Any]) -> None:
    """The document is written as the pages come, so that its length does not matter; nothing of it before the first."""
    separator, cursor = "", None
    write = sys.stdout.write
    first = next(pages)
    write('{"messages":[')
    for page in chain((first,), pages):
        cursor = page.get("next")
        for message in page["messages"]:
            write(separator + msgspec.json.encode(message).decode())
            separator = ",\n"
    write(f'],"next":{msgspec.json.encode(cursor).decode()}}}\n')


def _print_listing(pages: Iterator[Any]) -> None:
    count, cursor = 0, None
    with screen.Progress() as line:
        for page in pages:
            if page["messages"]:
                screen.show(_listing(page["messages"], has_header=not count))
            count, cursor = count + len(page["messages"]), page.get("next")
            line.update(screen.counted(count, "message"))
    if not count:
        screen.say("No message matches.")
    elif cursor and screen.is_terminal():
        screen.say(screen.paint(f"\nThere are older ones: --all, or --cursor {cursor}", "dim"))


def _listing(found: list[Any], has_header: bool = True) -> Any:
    """Everything where lines have no end; on a terminal the handset's side alone, and what text fits."""
    width = screen.width()
    if width is not None:
        return _short_listing(found, has_header, width - _SHORT_LISTING_WIDTH)
    table = screen.table("id", "submitted", "", "from", "to", "status", "seg", "text", right=("seg",))
    table.show_header = has_header
    for message in found:
        table.add_row(
            message["id"],
            local_time(message["submitted_at"]),
            message["direction"],
            screen.styled(message["from"] or "–"),
            message["to"],
            screen.word(message["status"]),
            str(message["segments"]),
            screen.styled(_text(message)),
        )
    return table


def _short_listing(found: list[Any], has_header: bool, text_width: int) -> Any:
    names = ("id", "submitted", "handset", "status", "text")
    table = screen.table(*(names if text_width >= _LEAST_TEXT_WIDTH else names[:-1]))
    table.show_header = has_header
    for message in found:
        is_mt = message["direction"] == "mt"
        cells = [
            message["id"],
            local_time(message["submitted_at"])[5:],
            screen.styled(f"→ {message['to']}" if is_mt else f"← {message['from']}"),
            screen.word(message["status"]),
        ]
        if text_width >= _LEAST_TEXT_WIDTH:
            text = screen.styled(_text(message))
            text.truncate(text_width, overflow="ellipsis")
            cells.append(text)
        table.add_row(*cells)
    return table


def _text(message: Any) -> str:
    return " ".join((message["text"] or "").split())


def one_line(message: Any) -> str:
    status = message["status"]
    line = f"{message['id']}  {screen.paint(status, screen.STATUS_STYLES.get(status, ''))}"
    if message.get("held"):
        line += ", held"
    line += f"  {message['encoding']}, {screen.counted(message['segments'], 'segment')}"
    if status == "scheduled" and (due := message.get("send_at")):
        line += f"  for {local_time(due)}"
    if error := message.get("error"):
        line += f"  {error_text(error)}"
    return line


def error_text(error: Any) -> str:
    """``bad_destination (carrier: 11): the sentence``."""
    text = str(error["code"])
    if error.get("carrier_code"):
        text += f" (carrier: {error['carrier_code']})"
    return screen.clean(f"{text}: {error['detail']}" if error.get("detail") else text)


def _show_message(message: Any, timeline: list[Any]) -> None:
    status = message["status"]
    names = (
        "direction",
        "to",
        "from",
        "priority",
        "channel",
        "encoding",
        "segments",
        "ref",
        "batch",
        "attempts",
    )
    times = ("submitted_at", "send_at", "expires_at", "sent_at", "final_at")
    painted = screen.paint(status, screen.STATUS_STYLES.get(status, ""))
    pairs = [("id", message["id"]), ("status", f"{painted}, held" if message.get("held") else painted)]
    pairs += [(name, "" if message.get(name) is None else screen.clean(str(message[name]))) for name in names]
    pairs += [(name.removesuffix("_at"), local_time(message.get(name))) for name in times]
    if message.get("error"):
        pairs.append(("error", screen.paint(error_text(message["error"]), "red")))
    if message.get("metadata"):
        pairs.append(("metadata", msgspec.json.encode(message["metadata"]).decode()))
    pairs.append(("text", screen.clean(message.get("text") or "")))
    screen.fields(pairs)
    if len(message.get("segment_list") or []) > 0:
        screen.say()
        screen.show(_segments(message["segment_list"]))
    screen.say()
    screen.show(_timeline(timeline))


def _segments(segments: list[Any]) -> Any:
    """Errors have a column where there is one: the rest is as wide as a terminal."""
    has_errors = any(segment["error"] for segment in segments)
    names = ("segment", "status", "sent", "final", "carrier id", *(("error",) if has_errors else ()))
    table = screen.table(*names, right=("segment",), wrapped=("error",))
    for segment in segments:
        table.add_row(
            str(segment["index"]),
            screen.word(segment["status"]),
            local_time(segment["sent_at"]),
            local_time(segment["final_at"]),
            screen.styled(segment["carrier_id"] or ""),
            *([_error(segment)] if has_errors else []),
        )
    return table


def _timeline(entries: list[Any]) -> Any:
    """Charges and errors have a column where there are any."""
    is_charged, has_errors = (any(entry.get(name) for entry in entries) for name in ("charge", "error"))
    names = ("time", "status", "segment", "attempt", "channel", "carrier id")
    more = (*(("charge",) if is_charged else ()), *(("error",) if has_errors else ()))
    table = screen.table(*names, *more, right=("segment",), wrapped=("error",))
    for entry in entries:
        table.add_row(
            local_time(entry["at"]),
            screen.word(entry["status"]),
            str(entry.get("segment") or ""),
            str(entry.get("attempt") or ""),
            entry.get("channel") or "",
            screen.styled(entry.get("carrier_id") or ""),
            *([screen.styled(_charge(entry.get("charge") or {}))] if is_charged else []),
            *([_error(entry)] if has_errors else []),
        )
    return table


def _error(part: Any) -> Any:
    return screen.styled(error_text(part["error"]) if part.get("error") else "", "red")


def _charge(charge: Any) -> str:
    """ "2 segments, 0.045 EUR", as far as the carrier said."""
    segments = charge.get("segments", 0)
    parts = [screen.counted(segments, "segment")] if segments else []
    if charge.get("price"):
        parts.append(f"{charge['price']} {charge.get('currency', '')}".strip())
    return ", ".join(parts)


def local_time(text: str | None) -> str:
    """A time of the API in the local zone, to the second; empty for none."""
    if not text:
        return ""
    return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def moment(text: str, is_past: bool = True) -> str:
    """RFC 3339 of a time as people type it: with a zone or in the local one, or "2h" from now, back or
    ahead."""
    try:
        away = timedelta(seconds=duration_s(text))
        return _rfc3339(datetime.now(UTC) + (-away if is_past else away))
    except ValueError:
        pass  # not a duration, so it should be a time
    try:
        return _rfc3339(datetime.fromisoformat(text).astimezone(UTC))
    except (ValueError, OverflowError):
        away_text = "two hours ago" if is_past else "two hours from now"
        hint = f'write "2027-01-15T08:00" (local), "2027-01-15T08:00Z", or "2h" for {away_text}'
        raise CommandError(f'"{text}" is no time; {hint}.', WRONG_USAGE) from None


def _rfc3339(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _validity(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() else text
