"""``stentor batch``, ``hold`` and ``release``: what is held back, and what of it goes on."""

import argparse
from typing import Any

from stentor.cli import screen
from stentor.cli.errors import DONE
from stentor.cli.link import Link
from stentor.cli.messages import local_time, one_line
from stentor.cli.parser import socket_of


def batch(options: argparse.Namespace) -> int:
    """Show a batch, or pause, resume or cancel it and show what it is then."""
    with Link(socket_of(options), options.account) as link:
        if options.action:
            answer = link.post("batches", options.label, options.action)
        else:
            answer = link.get("batches", options.label)
    if options.json:
        screen.say_json(answer)
    else:
        screen.show(*_picture(answer))
    return DONE


def hold(options: argparse.Namespace) -> int:
    return _change(options, "hold")


def release(options: argparse.Namespace) -> int:
    return _change(options, "release")


def _change(options: argparse.Namespace, word: str) -> int:
    with Link(socket_of(options), options.account) as link:
        message = link.post("messages", options.id, word)
    if options.json:
        screen.say_json(message)
    else:
        screen.say(one_line(message))
    return DONE


def _picture(batch: dict[str, Any]) -> list[Any]:
    head = screen.line((f"{batch['batch']}  ", "bold"), screen.word(batch["state"]))
    done = (
        f"{screen.counted(batch['total'], 'message')}, {batch['progress']:.1%} done, {batch['left']:,} left"
    )
    if batch["held"]:
        done += f", {batch['held']:,} held"
    if batch["rate"]:
        done += f", {batch['rate']:,.1f} a second"
    if batch["expected_end"]:
        done += f", expected to end {local_time(batch['expected_end'])}"
    counts = screen.table("status", "messages", right=("messages",))
    for word, count in batch["counts"].items():
        counts.add_row(screen.word(word), f"{count:,}")
    return [head, screen.styled(done), "", counts]
