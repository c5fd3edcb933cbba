"""``stentor phones``: pair phones, look at them, pause and remove them.

An entry point in the group ``stentor.commands`` names it. The daemon is asked over its Unix socket; nothing is decided
here but how an answer is shown.
"""

import argparse
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol
from urllib.parse import quote

from stentor_android.qr import beside, code_lines

_STEPS: Final = (
    "In the app: Settings, Cloud Server. Type in API URL and Private token, set Notification channel to SSE Only.",
    "Then on the home screen: switch Cloud server on and press the start button.",
)


_WORDS: Final = {
    "unauthorised": "with a wrong token or password",
    "barred": "from addresses that tried too many",
    "malformed": "malformed",
    "foreign_devices": "updates of another phone",
    "forged": "with a wrong signature",
    "stale": "signed too long ago",
    "full": "registrations beyond the most phones there may be",
    "inbound_unreadable": "inbound without sense",
    "inbound_oversized": "inbound too long",
    "reports_foreign": "reports of messages the phone never had",
    "reports_unreadable": "unreadable reports",
    "reports_unfitting": "reports that fit no message",
}


_NAMED: Final = 8
"""Phones named before the same advice; the rest are counted."""


class Desk(Protocol):
    """What the command line gives a command (``stentor.cli.desk``)."""

    is_json: bool

    @property
    def is_terminal(self) -> bool: ...

    def ask(self, method: str, target: str, body: Any = None) -> Any: ...

    def fail(self, text: str) -> Any: ...

    def say(self, text: str = "") -> None: ...

    def say_json(self, value: Any) -> None: ...

    def fields(self, pairs: Sequence[tuple[str, str]]) -> None: ...

    def table(
        self, columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()
    ) -> None: ...


class Phones:
    """The command and its actions."""

    def add(self, commands: Any) -> None:
        """Add the parsers."""
        help = "list the phones of a channel; add, show, pause, resume or remove one"
        parser = commands.add_parser("phones", help=help, description=help[0].upper() + help[1:] + ".")
        _options(parser, None, False)
        parser.set_defaults(run=list_phones)
        actions = parser.add_subparsers(metavar="ACTION")
        for name, run, said in (
            ("list", list_phones, "list all phones; the default"),
            ("show", show, "show one phone: battery, SIMs, allowances, last error"),
            ("add", add, "make URL and token for a new phone, or a new token for one that lost it"),
            ("remove", remove, "forget a phone; its token is worth nothing from then on"),
            ("pause", pause, "give a phone nothing; it gives back what it has not sent"),
            ("resume", pause, "give it messages again"),
        ):
            action = actions.add_parser(name, help=said, description=said[0].upper() + said[1:] + ".")
            # What stands before the action is not forgotten for its own defaults.
            _options(action, argparse.SUPPRESS, argparse.SUPPRESS)
            if name != "list":
                action.add_argument("name", metavar="NAME")
            if name == "show":
                action.add_argument(
                    "--to", metavar="NUMBER", help="which phone a message there would go by, and why"
                )
            action.set_defaults(run=run, action=name)


def _options(parser: argparse.ArgumentParser, text: str | None, flag: bool | str) -> None:
    help = "needed where there are several of phones"
    parser.add_argument("--channel", metavar="NAME", default=text, help=help)
    help = "the daemon's socket (or STENTOR_SOCKET)"
    parser.add_argument("--socket", metavar="PATH", default=text, help=help)
    parser.add_argument("--json", action="store_true", default=flag, help="print JSON")


def list_phones(options: argparse.Namespace, desk: Desk) -> int:
    answer = desk.ask("GET", _target(options, desk))
    if desk.is_json:
        desk.say_json(answer)
        return 0
    phones = answer["phones"]
    if not phones:
        desk.say("There is no phone yet: `stentor phones add NAME` makes URL and token for one.")
        _say_refused(answer["refused"], desk)
        return 0
    columns = ("phone", "state", "seen", "battery", "in flight", "sent", "failed", "SIMs")
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    rows = [_row(phone, now_ms) for phone in phones]
    desk.table(columns, rows, right=("seen", "battery", "in flight", "sent", "failed"))
    _say_advice(phones, desk)
    _say_refused(answer["refused"], desk)
    return 0


def _say_advice(phones: Sequence[Mapping[str, Any]], desk: Desk) -> None:
    """What to change on phones, once for all that need the same."""
    names: dict[str, list[str]] = {}
    for phone in phones:
        for text in phone["advice"]:
            names.setdefault(text, []).append(phone["name"])
    if names:
        desk.say()
    for text, those in names.items():
        more = f" and {len(those) - _NAMED:,} more" if len(those) > _NAMED else ""
        desk.say(_plain(f"{', '.join(those[:_NAMED])}{more}: {text}"))


def _say_refused(refused: Mapping[str, int], desk: Desk) -> None:
    if refused:
        told = ", ".join(f"{count:,} {_WORDS.get(name, name)}" for name, count in refused.items())
        desk.say(f"\nRefused since the start: {told}.")


def show(options: argparse.Namespace, desk: Desk) -> int:
    target = _target(options, desk, options.name)
    answer = desk.ask("GET", target + (f"?to={quote(options.to, safe='')}" if options.to else ""))
    if desk.is_json:
        desk.say_json(answer)
        return 0
    phone = answer["phone"]
    has_come = bool(phone["id"])
    error = phone["last_error"] and f"{phone['last_error']}  {_time(phone['last_error_at_ms'])}"
    desk.fields(
        [
            ("phone", phone["name"]),
            ("state", "paused" if phone["paused"] else phone["presence"]),
            ("seen", _time(phone["seen_at_ms"])),
            ("battery", _percent(phone["battery"])),
            ("model", phone["model"]),
            ("app", phone["version"]),
            *(
                (name, f"{phone[name.replace(' ', '_')]:,}")
                for name in ("streams", "in flight", "sent", "failed", "received")
                if has_come
            ),
            ("last error", error),
        ]
    )
    if phone["sims"]:
        desk.say()
        columns = ("SIM", "number", "carrier", "waiting", "failures", "hour", "day", "month", "left")
        rows = [_sim_row(sim) for sim in phone["sims"]]
        desk.table(columns, rows, right=("waiting", "failures", "hour", "day", "month", "left"))
    for text in phone["advice"]:
        desk.say(f"\n{_plain(text)}")
    _show_choice(answer.get("choice"), desk)
    return 0


def add(options: argparse.Namespace, desk: Desk) -> int:
    pairing = desk.ask("POST", _target(options, desk), {"name": options.name})
    if desk.is_json:
        desk.say_json(pairing)
        return 0
    url, token = pairing["url"], pairing["token"]
    desk.fields([("API URL", url), ("Private token", token)])
    if desk.is_terminal:
        desk.say()
        desk.say("\n".join(beside(code_lines(url), code_lines(token))))
        desk.say("The left code is the API URL, the right one the private token: scan one, copy, paste.")
    desk.say()
    desk.say("\n".join(_STEPS))
    if pairing["replaced"]:
        desk.say(
            f"It takes the place of the token made before for {options.name}, which is worth nothing any more."
        )
    desk.say("The token is shown this once; it stays valid for this phone until it is removed.")
    return 0


def remove(options: argparse.Namespace, desk: Desk) -> int:
    answer = desk.ask("DELETE", _target(options, desk, options.name))
    if desk.is_json:
        desk.say_json(answer)
    else:
        desk.say(f"{options.name} is forgotten.")
    return 0


def pause(options: argparse.Namespace, desk: Desk) -> int:
    """Pause or resume."""
    answer = desk.ask("POST", f"{_target(options, desk, options.name)}/{options.action}")
    if desk.is_json:
        desk.say_json(answer)
    else:
        phone = answer["phone"]
        desk.say(f"{phone['name']} is {'paused' if phone['paused'] else phone['presence']}.")
    return 0


def _target(options: argparse.Namespace, desk: Desk, *names: str) -> str:
    channel = options.channel
    found = [
        each["name"] for each in desk.ask("GET", "/v1/channels")["channels"] if each["driver"] == "android"
    ]
    if not found:
        desk.fail("No channel has the driver android.")
    if channel is None and len(found) > 1:
        desk.fail(f"Several channels are of phones: --channel {', '.join(found)}")
    if channel is None:
        channel = found[0]
    elif channel not in found:
        desk.fail(f"{channel} is no channel of phones; there is {', '.join(found)}.")
    return "/in/" + "/".join(quote(part, safe="") for part in (channel, "phones", *names))


def _row(phone: Mapping[str, Any], now_ms: int) -> tuple[str, ...]:
    sims = ", ".join(str(sim["slot"] or "any") for sim in phone["sims"])
    return (
        phone["name"],
        "paused" if phone["paused"] else phone["presence"],
        age(phone["seen_at_ms"], now_ms),
        _percent(phone["battery"]),
        str(phone["in_flight"]),
        f"{phone['sent']:,}",
        f"{phone['failed']:,}",
        sims,
    )


def _sim_row(sim: Mapping[str, Any]) -> tuple[str, ...]:
    used = sim["used"]
    return (
        str(sim["slot"] or "any"),
        sim["number"],
        sim["carrier"],
        str(sim["waiting"]),
        str(sim["failures"]),
        *(f"{used[window]:,}" for window in ("hour", "day", "month")),
        "no limit" if sim["left"] is None else f"{sim['left']:,}",
    )


def _show_choice(choice: Sequence[Mapping[str, Any]] | None, desk: Desk) -> None:
    if choice is None:
        return
    desk.say()
    if not choice:
        desk.say("No phone could take a message there now.")
        return
    names = tuple(choice[0]["factors"])
    rows = [
        (each["key"], f"{each['score']:.2f}", *(f"{each['factors'][name]:.2f}" for name in names))
        for each in choice
    ]
    desk.table(("phone/SIM", "score", *names), rows, right=("score", *names))


def _time(at_ms: int) -> str:
    if not at_ms:
        return ""
    return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def age(at_ms: int, now_ms: int) -> str:
    """How long ago, in the largest unit of which there are two: short, so that a table fits 80 columns."""
    if not at_ms:
        return ""
    passed_s = max(0, now_ms - at_ms) // 1000
    for seconds, unit in ((86_400, "days"), (3600, "h"), (60, "min")):
        if passed_s >= 2 * seconds:
            return f"{passed_s // seconds} {unit} ago"
    return f"{passed_s} s ago"


def _percent(level: int | None) -> str:
    return "" if level is None else f"{level} %"


def _plain(text: str) -> str:
    """Names of models and SIMs come from phones: nothing in them commands a terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)


PHONES: Final = Phones()
