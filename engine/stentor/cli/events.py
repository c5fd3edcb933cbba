"""``stentor events``: the stream of events, one line each, until interrupted."""

import argparse

import msgspec

from stentor.cli.errors import DONE
from stentor.cli.link import Link
from stentor.cli.messages import error_text, local_time
from stentor.cli.parser import socket_of
from stentor.cli.screen import STATUS_STYLES, clean, flush, paint, say


def events(options: argparse.Namespace) -> int:
    with Link(socket_of(options), options.account) as link:
        for event in link.events(options.after):
            say(" ".join(event.data.split("\n")) if options.json else _line(msgspec.json.decode(event.data)))
            flush()
    return DONE


def _line(event: dict[str, object]) -> str:
    kind = str(event["type"])
    style = STATUS_STYLES.get(kind.partition(".")[2], "")
    line = f"{local_time(str(event['at']))}  {paint(kind.ljust(19), style)}"
    message = event.get("message")
    if isinstance(message, dict):
        line += f"  {message['id']}  {clean(message.get('from') or '–')} → {clean(message['to'])}"
        if message.get("error"):
            line += f"  {error_text(message['error'])}"
    channel = event.get("channel")
    if isinstance(channel, dict):
        line += f"  {clean(channel['name'])}  {clean(channel['detail'])}"
    webhook = event.get("webhook")
    if isinstance(webhook, dict):
        line += f"  {webhook['id']}  {clean(webhook['detail'])}"
    return line.rstrip()
