"""The commands as data: names, options, help, and where the function stands that runs each.

A function is named by its module and imported when its command runs. Commands of plugins are looked up only
when the engine has none of that name, for that means searching everything that is installed.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NoReturn

from stentor import __version__
from stentor.cli.errors import WRONG_USAGE
from stentor.message import PRIORITY_WORDS, STATUS_WORDS

if TYPE_CHECKING:
    from stentor.cli.explain import Option

_EPILOG: Final = (
    "Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 the daemon cannot be reached."
)
_WHICH_MESSAGE: Final = "the message, as `stentor send` and `stentor messages` show it"


def run(argv: Sequence[str]) -> int:
    """Parse and run one command; its exit code. Raises SystemExit as argparse does, with 0 or 2."""
    if argv and argv[0] == "bench":
        # The suite has a parser of its own; every option is its own too.
        return int(_function("bench:bench")(argv[1:]))
    options = build(argv).parse_args(argv)
    if callable(options.run):
        with _function("desk:Desk")(options) as desk:
            return int(options.run(options, desk))
    return int(_function(options.run)(options))


def _function(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(f"stentor.cli.{module}"), name)


class _Parser(argparse.ArgumentParser):
    """Errors point to the help of the command at fault."""

    def parse_known_args(self, *arguments: Any, **more: Any) -> Any:
        """What a command does not know is its own error: handed on, it would become that of the program."""
        found, unknown = super().parse_known_args(*arguments, **more)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, unknown

    def error(self, message: str) -> NoReturn:
        from stentor.cli.screen import complain

        complain(f"{message}\nTry `{self.prog} --help`.")
        sys.exit(WRONG_USAGE)


_Commands = Any  # argparse gives the type of add_subparsers' result no public name


def build(argv: Sequence[str]) -> argparse.ArgumentParser:
    """The parser. ``argv`` decides whether plugins are asked for commands."""
    parser = _Parser(
        prog="stentor", description="Dispatch daemon for SMS.", epilog=_EPILOG, allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"stentor {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)
    _add_daemon(commands)
    _add_messages(commands)
    _add_batches(commands)
    _add_watching(commands)
    _add_webhooks(commands)
    _add_tools(commands)
    first = next((argument for argument in argv if not argument.startswith("-")), None)
    if first not in commands.choices:
        _add_plugins(commands)
    return parser


def _command(
    commands: _Commands, name: str, run: str, help: str, talks: bool = False, json: bool = False
) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=help, description=help[0].upper() + help[1:] + ".", allow_abbrev=False
    )
    command.set_defaults(run=run)
    if talks:
        command.add_argument(
            "--socket",
            metavar="PATH",
            help="the daemon's socket (default: $STENTOR_SOCKET, else /run/stentor/stentor.sock)",
        )
        command.add_argument(
            "--account", metavar="NAME", help="act for this account; for root and front offices"
        )
    if json:
        command.add_argument("--json", action="store_true", help="print JSON")
    return command


def _add_daemon(commands: _Commands) -> None:
    serve = _command(commands, "serve", "serve:serve", "run the daemon in the foreground")
    serve.add_argument("--config", metavar="FILE", required=True, help="the configuration")
    check = _command(commands, "check", "serve:check", "validate a configuration without starting", json=True)
    check.add_argument("--config", metavar="FILE", required=True, help="the configuration")
    check.add_argument(
        "--effective", action="store_true", help="print it whole, with defaults, secrets masked"
    )


def _add_messages(commands: _Commands) -> None:
    send = _command(commands, "send", "messages:send", "submit one message", talks=True, json=True)
    send.add_argument("--to", metavar="NUMBER", required=True, help="destination, with + and country code")
    send.add_argument("--from", metavar="ORIGINATOR", dest="originator", help="number, short code or name")
    send.add_argument("--priority", choices=PRIORITY_WORDS, help="default: normal")
    send.add_argument("--channel", metavar="NAME", help="send by this channel and no other")
    send.add_argument(
        "--at",
        metavar="TIME",
        help='not before: "2027-01-15T08:00" (local), "2027-01-15T08:00Z", or "2h" from now',
    )
    send.add_argument(
        "--tag", metavar="TAG", action="append", help="a word that routes can ask for; repeatable"
    )
    send.add_argument("--valid-for", metavar="TIME", help='expire if unsent after, like "10m"; or seconds')
    send.add_argument("--ref", metavar="TEXT", help="your own reference, at most 64 characters")
    send.add_argument("--batch", metavar="LABEL", help="the batch it belongs to, at most 64 characters")
    send.add_argument(
        "--wait", action="store_true", help="follow the message to its final status; exit 1 if it fails"
    )
    send.add_argument("text", metavar="TEXT", help="the text; - reads it from standard input")

    help = "show which way a message would take, and why"
    route = _command(commands, "route", "route:route", help, talks=True, json=True)
    route.add_argument("number", metavar="NUMBER", help="destination, with + and country code")
    route.add_argument("--from", metavar="ORIGINATOR", dest="originator", help="number, short code or name")
    route.add_argument("--tag", metavar="TAG", action="append", help="a tag of the message; repeatable")
    route.add_argument("--at", metavar="TIME", help="when it is to be sent, as for `send`; default: now")
    route.add_argument("--channel", metavar="NAME", help="the channel it pins")

    show = _command(
        commands, "show", "messages:show", "show a message, its segments and timeline", True, True
    )
    show.add_argument("id", metavar="ID", help=_WHICH_MESSAGE)

    listing = _command(commands, "messages", "messages:messages", "list messages, newest first", True, True)
    listing.add_argument("--status", choices=STATUS_WORDS, metavar="STATUS", help=", ".join(STATUS_WORDS))
    listing.add_argument("--to", metavar="NUMBER", help="to this number, with + and country code")
    listing.add_argument("--from", metavar="ORIGINATOR", dest="originator", help="from this originator")
    listing.add_argument("--ref", metavar="TEXT", help="with this reference of yours")
    listing.add_argument("--channel", metavar="NAME", help="by this channel")
    listing.add_argument("--direction", choices=("mt", "mo"), help="mt went out, mo came in")
    listing.add_argument("--since", metavar="TIME", help='a time, or how long ago: "2h"')
    listing.add_argument("--until", metavar="TIME", help="likewise")
    listing.add_argument("--limit", metavar="N", type=_count, default=50, help="default: 50")
    listing.add_argument(
        "--cursor", metavar="NEXT", help="go on where a listing ended: its `next`, as --json tells it"
    )
    listing.add_argument("--all", action="store_true", help="every message, page by page")

    cancel = _command(commands, "cancel", "messages:cancel", "cancel a message that has not left", True, True)
    cancel.add_argument("id", metavar="ID", help=_WHICH_MESSAGE)


def _add_batches(commands: _Commands) -> None:
    hold = _command(commands, "hold", "batches:hold", "hold back a message that has not left", True, True)
    hold.add_argument("id", metavar="ID", help=_WHICH_MESSAGE)
    release = _command(commands, "release", "batches:release", "let a held message go on", True, True)
    release.add_argument("id", metavar="ID", help=_WHICH_MESSAGE)

    help = "show how far a batch is; pause, resume or cancel it"
    batch = _command(commands, "batch", "batches:batch", help, True, True)
    batch.add_argument(
        "label", metavar="LABEL", help="the batch, as it was named when messages were submitted"
    )
    actions = ("pause", "resume", "cancel")
    help = "what to do with its messages that have not left; left out: show how far it is"
    batch.add_argument("action", nargs="?", choices=actions, metavar="|".join(actions), help=help)


def _add_watching(commands: _Commands) -> None:
    help = "show channels, lanes, windows, rates, backlog and journal"
    status = _command(commands, "status", "status:status", help, talks=True, json=True)
    status.add_argument("--queue", action="store_true", help="show what is queued by country and by age")
    status.add_argument("--watch", action="store_true", help="keep showing, every two seconds")

    help = "list channels; pause or resume one"
    channels = _command(commands, "channels", "status:channels", help, talks=True, json=True)
    help = "stop sending by a channel (what comes in is taken all the same), or go on; left out: list all"
    channels.add_argument("action", nargs="?", choices=("pause", "resume"), metavar="pause|resume", help=help)
    channels.add_argument("name", nargs="?", metavar="NAME", help="the channel to pause or resume")

    events = _command(commands, "events", "events:events", "follow what happens", talks=True, json=True)
    events.add_argument("--after", metavar="ID", help="go on after this event instead of from now")


def _add_webhooks(commands: _Commands) -> None:
    help = "where events are posted: list, add, show, test, replay, enable, disable, remove"
    group = commands.add_parser("webhooks", help=help, description=help[0].upper() + help[1:] + ".")
    inner = group.add_subparsers(metavar="ACTION", required=True, parser_class=_Parser)
    _command(inner, "list", "webhooks:listing", "list the account's webhooks", True, True)
    add = _command(inner, "add", "webhooks:add", "have events posted to an address", True, True)
    add.add_argument("url", metavar="URL", help="https://… ; the answer alone shows the secret that signs")
    add.add_argument("--event", metavar="TYPE", action="append", help="like message.delivered or message.*")
    add.add_argument("--channel", metavar="NAME", action="append", help="only events of this channel")
    add.add_argument("--header", metavar="NAME: VALUE", action="append", help="a header to send along")
    show = _command(inner, "show", "webhooks:show", "show a webhook and its last attempts", True, True)
    test = _command(inner, "test", "webhooks:test", "send a test event now", True, True)
    help = "deliver events once more, as far as they are kept"
    replay = _command(inner, "replay", "webhooks:replay", help, True, True)
    enable = _command(inner, "enable", "webhooks:enable", "go on where it stood", True, True)
    help = "post nothing until it is enabled; what happens meanwhile waits"
    disable = _command(inner, "disable", "webhooks:disable", help, True, True)
    remove = _command(inner, "remove", "webhooks:remove", "remove a webhook", True, True)
    for command in (show, test, replay, enable, disable, remove):
        command.add_argument("id", metavar="ID", help="the webhook, as `stentor webhooks list` shows it")
    replay.add_argument("--since", metavar="TIME", help='events from then on: a time, or how long ago: "2h"')
    replay.add_argument("--until", metavar="TIME", help="and before then")
    replay.add_argument("--delivery", metavar="EVENT", help="one event, by its id")


def _add_tools(commands: _Commands) -> None:
    help = "show how a text will be sent: encoding, segments, units"
    inspect = _command(commands, "inspect", "inspect:inspect", help, json=True)
    inspect.add_argument("--encoding", choices=("auto", "gsm7", "ucs2"), default="auto", help="default: auto")
    inspect.add_argument(
        "--channel", metavar="NAME", help="as this channel of the running daemon would cut it"
    )
    inspect.add_argument("--to", metavar="NUMBER", help="as the channel preferred for this destination would")
    inspect.add_argument(
        "--socket", metavar="PATH", help="the daemon's socket, for --channel and --to (or STENTOR_SOCKET)"
    )
    inspect.add_argument(
        "text", metavar="TEXT", help="the text; - reads one a line from standard input and answers JSON lines"
    )
    commands.add_parser("bench", help="run the benchmark suite of a checkout", add_help=False)


def _add_plugins(commands: _Commands) -> None:
    from stentor.cli.explain import plugin_commands

    for name, tools in plugin_commands().items():
        if name in commands.choices:
            continue
        if not isinstance(tools, dict):
            tools.add(commands)
            continue
        help = f"tools for {name}: {', '.join(tools)}"
        group = commands.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".")
        inner = group.add_subparsers(metavar="TOOL", required=True, parser_class=_Parser)
        for word, tool in tools.items():
            command = _command(inner, word, "explain:explain", tool.help, json=True)
            for option in tool.options:
                _add_option(command, option)
            if tool.argument:
                help = "" if tool.options else "- reads one a line from standard input and answers JSON lines"
                command.add_argument("argument", metavar=tool.argument, help=help)
            command.set_defaults(tool=tool)


def _add_option(command: argparse.ArgumentParser, option: "Option") -> None:
    flag = f"--{option.name.rstrip('_').replace('_', '-')}"
    if option.kind is bool:
        command.add_argument(flag, dest=option.place, action="store_true")
    else:
        action = "append" if option.kind is tuple else "store"
        word = option.name.rstrip("_").upper()
        command.add_argument(
            flag, dest=option.place, metavar=word, action=action, required=option.is_required
        )


def _count(text: str) -> int:
    """A number of messages; argparse names the option when it is none."""
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= 1_000_000):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 1000000")
    return int(text)


def socket_of(options: argparse.Namespace) -> str:
    """The socket a command's options name."""
    from stentor.cli.link import socket_path

    return socket_path(options.socket, os.environ)
