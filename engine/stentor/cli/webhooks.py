"""``stentor webhooks``: where events are posted; show, add, test, replay, enable, disable and remove webhooks."""

import argparse
from typing import Any

from stentor.cli import screen
from stentor.cli.errors import DONE, FAILED, WRONG_USAGE, CommandError
from stentor.cli.link import Link
from stentor.cli.messages import local_time
from stentor.cli.parser import socket_of


def listing(options: argparse.Namespace) -> int:
    """All webhooks of the account."""
    with Link(socket_of(options), options.account) as link:
        answer = link.get("webhooks")
    if options.json:
        screen.say_json(answer)
    elif answer["webhooks"]:
        table = screen.table(
            "id", "state", "waiting", "events", "url", right=("waiting",), wrapped=("events", "url")
        )
        for one in answer["webhooks"]:
            url = f"{one['url']} (callbacks)" if one["callback"] else one["url"]
            events = screen.styled(" ".join(one["events"]))
            table.add_row(
                one["id"], screen.word(one["state"]), f"{one['waiting']:,}", events, screen.styled(url)
            )
        screen.show(table)
    else:
        screen.say("There is no webhook.")
    return DONE


def show(options: argparse.Namespace) -> int:
    """One webhook and its last attempts."""
    with Link(socket_of(options), options.account) as link:
        webhook = link.get("webhooks", options.id)
        log = link.get("webhooks", options.id, "deliveries", limit="20")["deliveries"]
    if options.json:
        screen.say_json({**webhook, "deliveries": log})
        return DONE
    _say(webhook)
    if log:
        columns = ("at", "event", "type", "attempt", "outcome", "ms")
        table = screen.table(*columns, right=("attempt", "ms"), wrapped=("outcome",))
        for one in log:
            style = "" if one["delivered"] else "red"
            row = (local_time(one["at"]), one["event"], one["type"], str(one["attempt"]))
            table.add_row(*row, screen.styled(_outcome(one), style), f"{one['duration_ms']:,}")
        screen.show("", table)
    return DONE


def add(options: argparse.Namespace) -> int:
    """Make a webhook; its secret is shown here and never again."""
    headers = {}
    for text in options.header or ():
        name, colon, value = text.partition(":")
        if not colon:
            raise CommandError(f"A header is NAME: VALUE, not {name!r}.", WRONG_USAGE)
        headers[name.strip()] = value.strip()
    body: dict[str, Any] = {"url": options.url, "headers": headers}
    if options.event:
        body["events"] = options.event
    if options.channel:
        body["channels"] = options.channel
    with Link(socket_of(options), options.account) as link:
        answer = link.post("webhooks", body=body)
    if options.json:
        screen.say_json(answer)
    else:
        _say(answer)
        screen.say("\nKeep the secret: it is not shown again.")
    return DONE


def test(options: argparse.Namespace) -> int:
    """Send a test event; fails if the receiver does not take it."""
    with Link(socket_of(options), options.account) as link:
        answer = link.post("webhooks", options.id, "test")
    if options.json:
        screen.say_json(answer)
    else:
        screen.say(f"{_outcome(answer)} ({answer['duration_ms']} ms)")
        if answer["response"] is not None and answer["response"]["body"]:
            screen.say(screen.clean(answer["response"]["body"]))
    return DONE if answer["delivered"] else FAILED


def replay(options: argparse.Namespace) -> int:
    """Deliver the events of a time once more, or one of them."""
    from stentor.cli.messages import moment

    if (options.since is None) is (options.delivery is None) or (options.until and options.delivery):
        raise CommandError("Name either --since, with or without --until, or --delivery.", WRONG_USAGE)
    body = {"delivery": options.delivery} if options.delivery else {"since": moment(options.since)}
    if options.until:
        body["until"] = moment(options.until)
    with Link(socket_of(options), options.account) as link:
        answer = link.post("webhooks", options.id, "replay", body=body)
    if options.json:
        screen.say_json(answer)
    else:
        screen.say(
            "The event is on its way." if options.delivery else "The events of that time are on their way."
        )
    return DONE


def enable(options: argparse.Namespace) -> int:
    """Go on where it stood."""
    return _switch(options, is_enabled=True)


def disable(options: argparse.Namespace) -> int:
    """Post nothing until it is enabled; what happens meanwhile waits, as long as events are kept."""
    return _switch(options, is_enabled=False)


def _switch(options: argparse.Namespace, *, is_enabled: bool) -> int:
    with Link(socket_of(options), options.account) as link:
        answer = link.patch("webhooks", options.id, body={"enabled": is_enabled})
    if options.json:
        screen.say_json(answer)
    else:
        screen.say(f"{answer['id']} is {answer['state']}.")
    return DONE


def remove(options: argparse.Namespace) -> int:
    """Remove a webhook with all that waits for it."""
    with Link(socket_of(options), options.account) as link:
        answer = link.delete("webhooks", options.id)
    if options.json:
        screen.say_json(answer)
    else:
        screen.say(f"{answer['id']} is removed.")
    return DONE


def _say(webhook: dict[str, Any]) -> None:
    def time(name: str) -> str:
        return local_time(webhook[name]) if webhook.get(name) else ""

    screen.fields(
        (
            ("id", webhook["id"]),
            ("url", screen.clean(webhook["url"])),
            ("secret", webhook.get("secret") or ""),
            ("state", webhook["state"] + (", behind" if webhook["behind"] else "")),
            ("reason", screen.clean(webhook["disabled_reason"] or "")),
            ("events", " ".join(webhook["events"])),
            ("channels", screen.clean(" ".join(webhook["channels"]))),
            ("headers", " ".join(webhook["headers"])),
            ("waiting", f"{webhook['waiting']:,}" if webhook["waiting"] else ""),
            ("delivered", time("delivered_at")),
            ("failing since", time("failing_since")),
            ("last error", screen.clean(webhook["last_error"] or "")),
        )
    )


def _outcome(delivery: dict[str, Any]) -> str:
    if delivery["response"] is None:
        # Behind the kind of failure, which is for programs.
        return "failed: " + screen.clean(str(delivery["error"]).partition(": ")[2])
    status = delivery["response"]["status"]
    if delivery["delivered"]:
        return f"delivered: {status}"
    return f"refused: {status}" + ("; redirects are not followed" if 300 <= status < 400 else "")
