"""``stentor route``: which way a message would take, step by step, before anything is sent."""

import argparse
from typing import Any

from stentor.cli import screen
from stentor.cli.errors import DONE, FAILED
from stentor.cli.link import Link
from stentor.cli.messages import local_time, moment
from stentor.cli.parser import socket_of


def route(options: argparse.Namespace) -> int:
    """Explain; 1 if such a message would be refused."""
    with Link(socket_of(options), options.account) as link:
        found = link.get(
            "route",
            **{
                "to": options.number,
                "from": options.originator,
                "tag": ",".join(options.tag) if options.tag else None,
                "at": moment(options.at, is_past=False) if options.at else None,
                "channel": options.channel,
            },
        )
    if options.json:
        screen.say_json(found)
    else:
        _show(found)
    return FAILED if found["refusal"] else DONE


def _show(found: Any) -> None:
    refusal = found["refusal"]
    screen.fields(
        [
            ("to", screen.clean(" ".join(part for part in (found["to"], found["country"]) if part))),
            ("account", screen.clean(found["account"])),
            ("from", screen.clean(found["from"] or "")),
            ("tags", ", ".join(found["tags"])),
            ("at", local_time(found["at"])),
        ]
    )
    screen.say()
    screen.show(_steps(found["steps"]))
    screen.say()
    if refusal:
        screen.say(f"{screen.paint('refused', 'red')}  {refusal['code']}: {screen.clean(refusal['detail'])}")
        return
    screen.show(_channels(found["channels"], found["channel"]))


def _steps(steps: list[Any]) -> Any:
    table = screen.table("step", "subject", "result", "why", wrapped=("subject", "why"))
    for step in steps:
        table.add_row(
            step["step"],
            screen.styled(step["subject"]),
            screen.word(step["result"]),
            screen.styled(step["detail"]),
        )
    return table


def _channels(channels: list[Any], chosen: str | None) -> Any:
    is_priced = any(channel["price"] for channel in channels)
    table = screen.table("", "channel", "state", *(["price"] if is_priced else []), right=("", "price"))
    for place, channel in enumerate(channels, 1):
        name = screen.styled(channel["name"], "bold" if channel["name"] == chosen else "")
        price = (
            [f"{channel['price']} {channel['currency']}" if channel["price"] else "–"] if is_priced else []
        )
        table.add_row(str(place), name, screen.channel_word(channel["state"]), *price)
    return table
