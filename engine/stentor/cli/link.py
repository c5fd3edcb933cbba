"""A command's conversation with the daemon: a request, its answer, and what went wrong as a sentence.

The client is the asynchronous one of ``stentor.aio.client``; a command does one thing at a time, so this is a
synchronous face over it with a loop of its own.
"""

import asyncio
import errno
import os
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec

from stentor.aio.client import Client, ClientError, Interrupted, Response, Unsuccessful
from stentor.cli.errors import FAILED, UNREACHABLE, WRONG_USAGE, CommandError
from stentor.cli.screen import clean
from stentor.config.schema import Config
from stentor.wire.sse import ServerSentEvent

DEFAULT_SOCKET: Final = Config().socket_path
SOCKET_VARIABLE: Final = "STENTOR_SOCKET"
SILENCE_S: Final = 30.0
_HOW_TO_START: Final = (
    "Start the daemon with `stentor serve --config FILE` or `systemctl start stentor`,\n"
    f"or name its socket with --socket or {SOCKET_VARIABLE}."
)


def socket_path(given: str | None, environ: Mapping[str, str] = os.environ) -> str:
    """The socket to talk to: as given, else from the environment, else the default configuration's."""
    return given or environ.get(SOCKET_VARIABLE) or DEFAULT_SOCKET


class Link:
    """A connection to the daemon at ``path``, kept open between requests. ``account`` is the one acted for.

    Every method raises CommandError: FAILED with the daemon's refusal, UNREACHABLE when it does not answer,
    WRONG_USAGE for an argument that no request can carry.
    """

    def __init__(self, path: str, account: str | None = None) -> None:
        self._path = path
        self._headers = {"Stentor-Account": _field_value(account)} if account else {}
        self._client = Client(path, silence_s=SILENCE_S)
        self._runner = asyncio.Runner()

    def __enter__(self) -> "Link":
        return self

    def __exit__(self, *exception: object) -> None:
        self._client.close()
        self._runner.close()

    def get(self, *parts: str, **query: str | None) -> Any:
        """The decoded answer to GET of the path made of ``parts``."""
        given = {name: value for name, value in query.items() if value is not None}
        return self._exchange("GET", _target(parts, given))

    def post(self, *parts: str, body: Any = None) -> Any:
        return self._exchange("POST", _target(parts), _octets(body))

    def patch(self, *parts: str, body: Any) -> Any:
        return self._exchange("PATCH", _target(parts), _octets(body))

    def delete(self, *parts: str) -> Any:
        return self._exchange("DELETE", _target(parts))

    def ask(self, method: str, target: str, body: Any = None) -> Any:
        """The decoded answer of any path, those of drivers too."""
        return self._exchange(method, target, _octets(body))

    def events(self, after: str | None = None) -> Iterator[ServerSentEvent]:
        """Events as they happen. Ends with CommandError when the daemon ends the stream."""
        stream = self._client.events("/v1/events", _field_value(after or ""), self._headers)

        async def next_event() -> ServerSentEvent | None:
            return await anext(stream, None)

        try:
            while (event := self._runner.run(next_event())) is not None:
                yield event
        except Unsuccessful as error:
            raise _refusal(error.response) from None
        except ClientError as error:
            raise self._failure(error) from None
        raise CommandError("The daemon ended the stream of events.", UNREACHABLE)

    def _exchange(self, method: str, target: str, body: bytes | None = None) -> Any:
        try:
            response = self._runner.run(self._client.request(method, target, body, self._headers))
        except ClientError as error:
            raise self._failure(error) from None
        if not response.is_success:
            raise _refusal(response)
        try:
            return response.json()
        except msgspec.DecodeError:
            raise CommandError(f"What answers at {self._path} is not stentor.", FAILED) from None

    def _failure(self, error: ClientError) -> CommandError:
        if isinstance(error, Interrupted):
            return CommandError(f"The daemon broke off: {error}.", UNREACHABLE)
        place, cause = f"Cannot reach the daemon at {self._path}", error.__cause__
        match cause.errno if isinstance(cause, OSError) else None:
            case errno.ENOENT:
                return CommandError(f"{place}: there is no such socket.\n{_HOW_TO_START}", UNREACHABLE)
            case errno.ECONNREFUSED:
                return CommandError(f"{place}: nobody listens there.\n{_HOW_TO_START}", UNREACHABLE)
            case errno.EACCES | errno.EPERM:
                hint = "Become a member of the socket's group; see api.unix_groups in the configuration."
                return CommandError(f"{place}: permission denied.\n{hint}", UNREACHABLE)
        reason = str(error).removeprefix(f"{self._path}: ")
        return CommandError(f"{place}: {reason}.\n{_HOW_TO_START}", UNREACHABLE)


def _target(parts: tuple[str, ...], query: Mapping[str, str] | None = None) -> str:
    try:
        path = "/v1/" + "/".join(quote(part, safe="") for part in parts)
        return f"{path}?{urlencode(query)}" if query else path
    except UnicodeEncodeError as error:
        raise _no_text(error) from None


def _octets(body: Any) -> bytes | None:
    try:
        return None if body is None else msgspec.json.encode(body)
    except UnicodeEncodeError as error:
        raise _no_text(error) from None


def checked_text(argument: str) -> str:
    """An argument that a request can carry. What a shell hands over need not be text: its stray octets arrive as halves
    of surrogate pairs."""
    try:
        argument.encode()
    except UnicodeEncodeError as error:
        raise _no_text(error) from None
    return argument


def _no_text(error: UnicodeEncodeError) -> CommandError:
    return CommandError(clean(f"An argument is not UTF-8: {error.object}"), WRONG_USAGE)


def _field_value(text: str) -> str:
    if not (text.isascii() and text.isprintable()):
        raise CommandError(clean(f"Printable ASCII only, please: {text}"), WRONG_USAGE)
    return text


def _refusal(response: Response) -> CommandError:
    """A refusal (RFC 9457) as sentences that name the field at fault."""
    try:
        problem = response.json()
        detail = str(
            problem.get("detail")
            or problem.get("title")
            or problem.get("message")
            or f"refused with status {response.status}"
        )
        faults = [(_field(fault["path"]), str(fault["detail"])) for fault in problem.get("errors", ())]
    except (msgspec.DecodeError, AttributeError, KeyError, TypeError):
        return CommandError(f"Refused with status {response.status} and no reason.")
    if len(faults) == 1 and faults[0][1] == detail:
        field = faults[0][0]
        return CommandError(clean(f"Refused: {field}: {detail}" if field else f"Refused: {detail}"))
    lines = [clean(f"  {field}: {fault}" if field else f"  {fault}") for field, fault in faults]
    return CommandError("\n".join([clean(f"Refused: {detail}"), *lines]))


def _field(path: str) -> str:
    return path.removeprefix("$").removeprefix(".")
