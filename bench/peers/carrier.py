"""A simulated carrier with an HTTP interface: ``python -m bench.peers.carrier --help``.

Acts as a description of the HTTP driver says its carrier does, in one process. Owns what becomes of each request; the
modules ``carrier_*`` read requests, make answers and hooks, and own the sockets. A request is answered in the turn it
came in unless it is to be late; receipts leave after their answer.
"""

import os
import random
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import h11
import msgspec
import trio

from bench.peers.behaviour import Throttle
from bench.peers.carrier_answers import Answers
from bench.peers.carrier_hooks import Entry, Writer, public_key
from bench.peers.carrier_options import Options, parse_options
from bench.peers.carrier_postman import Post, Postman
from bench.peers.carrier_questions import Kept, Questions
from bench.peers.carrier_reading import Message, Reader
from bench.peers.carrier_statistics import Statistics
from bench.peers.carrier_wire import Head, Heads, Hub, Line
from bench.peers.console import is_stdin_watched, watch_signals, watch_stdin
from bench.peers.timer import Agenda
from bench.peers.usage import usage
from stentor.errors import ConfigError
from stentor.wire.asking import read_url
from stentor_http.carrier import Carrier
from stentor_http.catalog import check, load, names, samples, shipped
from stentor_http.description import Ed25519Check

BACKLOG: Final = 1024
MO_TICK_S: Final = 0.01
_BAD: Final = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_NOWHERE: Final = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
_UNAUTHORISED: Final = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"


class SimulatedCarrier:
    """Everything of one process. Raises ConfigError and ValueError for what cannot be impersonated."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.carrier = carrier = _load(options)
        words = [word for word, _ in options.errors]
        if options.throttle:
            words.append("throttled")
        self.reader = Reader(carrier)
        self._answers = Answers(carrier, [word for word in words if word != "accepted"], options.wait)
        self.private_key = bytes.fromhex(options.private_key)
        self._writer = Writer(carrier, self.private_key)
        if self._writer.receipt is not None:
            for word, _ in options.receipt_states:
                self._writer.word_of(word)
        questions = Questions(carrier, options.remember)
        self._questions = questions if questions.is_any else None
        self._random = random.Random(options.seed)
        self._is_plain = options.is_plain
        self._throttle = Throttle(options.throttle)
        self.statistics = Statistics(questions=questions.counts)
        self.heads = Heads()
        self.lines: set[Line] = set()
        self.hub = Hub(self._turned)
        self._postman: Postman | None = None
        self._known: dict[str, bytes] = {}
        self._gathered: dict[str, list[Entry]] = {}
        self._agenda = Agenda(self._turned)
        self.later = self._agenda.later
        self._last_id = time.time_ns() // 1000
        self._token, self._token_until = "", 0.0
        url = read_url(carrier.url)
        self.path = url.target
        self._send_path = url.target.partition("?")[0]
        self._method = carrier.description.send.method
        self._token_path = read_url(carrier.token_url).target if carrier.needs_token else ""
        self._credentials = {
            name.lower(): value
            for name, value in carrier.fields
            if name.lower() not in ("content-type", "accept")
        }
        if carrier.code.sign is not None:
            self._credentials = {}  # it is a signature over each request

    # ---- requests

    def asked(self, line: Line, head: Head, body: bytes) -> None:
        """One whole request."""
        self.statistics.requests += 1
        path = head.target.partition("?")[0]
        is_send = path == self._send_path and head.method == self._method
        if path == self._token_path.partition("?")[0] and self._token_path:
            line.write(self._give_token())
        elif not is_send and self._questions is None:
            line.write(_NOWHERE)
        elif not self._is_let_in(head):
            self.statistics.errors["bad_login"] += 1
            line.write(_UNAUTHORISED)
        elif is_send:
            self._submit(line, head, body)
        else:
            self._answer_question(line, head, body)

    def _is_let_in(self, head: Head) -> bool:
        fields = head.fields
        if self._token_path:
            is_fresh = self._token and time.monotonic() < self._token_until
            return bool(is_fresh) and fields.get("authorization") == f"Bearer {self._token}"
        return all(fields.get(name) == value for name, value in self._credentials.items())

    def _give_token(self) -> bytes:
        lasts_s = self.options.token_lasts
        self._token = f"token-{self._random.getrandbits(64):x}"
        self._token_until = time.monotonic() + lasts_s
        body = msgspec.json.encode({"access_token": self._token, "expires_in": int(lasts_s) or 1})
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        return head.encode() + body

    def _submit(self, line: Line, head: Head, body: bytes) -> None:
        options, statistics, drawn = self.options, self.statistics, self._random
        if options.drop and drawn.random() < options.drop:
            statistics.dropped += 1
            line.close()
            return
        try:
            messages = self.reader.read(head.target, body)
        except ValueError:
            statistics.unreadable += 1
            line.write(_BAD)
            line.close()
            return
        now = time.monotonic()
        if options.throttle and not self._throttle.take(now):
            self._answer(line, self._refuse("throttled", len(messages)))
            return
        words = self._draw_errors(len(messages)) if options.errors else None
        if words is not None:
            whole = next((word for word in words if word and self._answers.is_whole(word)), "")
            if whole:
                self._answer(line, self._refuse(whole, len(messages)))
                return
        octets = self._take(messages, words, now)
        if options.lost and drawn.random() < options.lost:
            statistics.lost += 1
            line.close()
        else:
            self._answer(line, octets)

    def _answer_question(self, line: Line, head: Head, body: bytes) -> None:
        assert self._questions is not None, "looked at by who calls"
        reply = self._questions.answer(head.method, head.target, body, time.time_ns() // 1_000_000)
        if reply is None:
            line.write(_NOWHERE)
            return
        if reply.reports is not None:
            self._report_cancelled(reply.reports)
        octets = msgspec.json.encode(reply.document) if reply.document is not None else b""
        self._answer(line, self._answers.respond(reply.status, "", octets, "application/json"))

    def _refuse(self, word: str, count: int) -> bytes:
        self.statistics.errors[word] += count
        return self._answers.refused(word)

    def _answer(self, line: Line, octets: bytes) -> None:
        if self.options.latency.is_none:
            line.write(octets)
        else:
            self.later(self.options.latency.draw(self._random), line.write, octets)

    def _draw_errors(self, count: int) -> list[str] | None:
        words = [self._draw_error() for _ in range(count)]
        return words if any(words) else None

    def _draw_error(self) -> str:
        point = self._random.random()
        for word, share in self.options.errors:
            point -= share
            if point < 0:
                return word if word != "accepted" else ""
        return ""

    def _take(self, messages: Sequence[Message], words: Sequence[str] | None, now: float) -> bytes:
        """Take the messages that have no error; the answer."""
        statistics = self.statistics
        ids: list[bytes] = []
        parts: list[int] = []
        taken = 0
        for at, message in enumerate(messages):
            known = self._known.get(message.own) if message.own else None
            if words is not None and words[at]:
                statistics.errors[words[at]] += 1
                ids.append(b"")
                parts.append(1)
                continue
            if known is not None and self.carrier.is_idempotent:
                statistics.known += 1
                ids.append(known)
                parts.append(_parts(message.text))
                continue
            statistics.twice += known is not None
            self._last_id += 1
            carrier_id = b"%d" % self._last_id
            if message.own and len(self._known) < self.options.remember:
                self._known[message.own] = carrier_id
            ids.append(carrier_id)
            parts.append(_parts(message.text))
            taken += 1
            self._plan_receipt(message, carrier_id, parts[-1])
        statistics.submits += taken
        statistics.last_submit_at = now
        statistics.first_submit_at = statistics.first_submit_at or now
        return self._answers.mixed(messages, ids, parts, words)

    # ---- receipts

    def _plan_receipt(self, message: Message, carrier_id: bytes, parts: int) -> None:
        url = self._receipt_url(message)
        if not url and self._questions is None:
            return
        options, drawn = self.options, self._random
        entry = _entry_of(message, carrier_id)
        if self._is_plain and self._questions is None:
            self._gather(url, options.receipt_states[0][0], entry, parts)
            return
        if options.receipt_never and drawn.random() < options.receipt_never:
            url = ""
        names, shares = zip(*options.receipt_states, strict=True)
        word = names[0] if len(names) == 1 else drawn.choices(names, shares)[0]
        times = 2 if options.receipt_twice and drawn.random() < options.receipt_twice else 1
        delay_s = options.receipt_delay.draw(drawn) + options.latency.high_s
        kept = None
        if self._questions is not None:
            now_ms = time.time_ns() // 1_000_000
            kept = self._questions.keep(
                carrier_id.decode(), message, now_ms, now_ms + round(delay_s * 1000), word
            )
        for _ in range(times if url else 0):
            self.later(delay_s, self._report, kept, url, word, entry, parts)

    def _receipt_url(self, message: Message) -> str:
        """Where a message's receipts go, empty for nowhere."""
        if self._writer.receipt is None:
            return ""
        return message.hook or (self._hook_url("receipt") if not self._names_hooks else "")

    def _report(self, kept: Kept | None, url: str, word: str, entry: Entry, parts: int) -> None:
        if kept is None or not kept.is_cancelled:
            self._gather(url, word, entry, parts)

    def _report_cancelled(self, kept: Kept) -> None:
        url = self._receipt_url(kept.message)
        if url:
            self._gather(
                url, kept.word, _entry_of(kept.message, kept.carrier_id.encode()), _parts(kept.message.text)
            )

    @property
    def _names_hooks(self) -> bool:
        """Requests say where receipts are to go."""
        body = self.carrier.body
        return bool({"receipt_url", "receipt_url_with_id"} & body.variables)

    def _hook_url(self, kind: str) -> str:
        base, token = self.options.public_url.rstrip("/"), self.carrier.hook_token
        return f"{base}/{kind}" + (f"?token={token}" if token else "") if base else ""

    def _gather(self, url: str, word: str, entry: Entry, parts: int) -> None:
        """Receipts of one URL and state go together, where the carrier has lists."""
        writer, limit = self._writer, self.options.receipt_batch
        if limit > 1 and writer.has_lists:
            gathered = self._gathered.setdefault(f"{word} {url}", [])
            gathered.append(entry)
            if len(gathered) >= limit:
                self._post_gathered(f"{word} {url}")
            return
        count = parts if writer.is_per_part else 1
        for _ in range(count):
            self._post(url, word, [entry], count)

    def _post_gathered(self, key: str) -> None:
        word, _, url = key.partition(" ")
        self._post(url, word, self._gathered.pop(key), 1)

    def _post(self, url: str, word: str, entries: Sequence[Entry], parts: int) -> None:
        octets = self._writer.receipts(url, word, entries, time.time_ns() // 1_000_000, parts)
        self.statistics.receipts += len(entries)
        self.statistics.posts += 1
        self._posts_to(url).post(Post(octets, len(entries)))

    def _posts_to(self, url: str) -> Postman:
        if self._postman is None:
            host, _, port = (self.options.hooks or _place_of(url)).rpartition(":")
            options = self.options
            self._postman = Postman(
                self.hub,
                (host.strip("[]"), int(port)),
                options.hook_connections,
                options.hook_depth,
                self.statistics,
                self.later,
                time.monotonic,
            )
        return self._postman

    def _turned(self) -> None:
        """After each turn: what was gathered leaves."""
        for key in list(self._gathered):
            self._post_gathered(key)
        if self._postman is not None:
            self._postman.push()

    # ---- tasks

    async def run(self, listener: socket.socket) -> None:
        """Until cancelled."""
        self.hub.add(listener.fileno(), lambda _: self._accept(listener))
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.hub.run)
                nursery.start_soon(self._agenda.run)
                if self.options.mo:
                    nursery.start_soon(self._make_inbound)
        finally:
            self._agenda.close()

    def _accept(self, listener: socket.socket) -> None:
        try:
            sock, _ = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.statistics.connections += 1
        Serving(self, Line(self.hub, sock))

    async def _make_inbound(self) -> None:
        options, made, started = self.options, 0, time.monotonic()
        url = self._hook_url("mo")
        while True:
            await trio.sleep(MO_TICK_S)
            due = int((time.monotonic() - started) * options.mo)
            for number in range(made, due):
                sender, text = f"+4477{number % 10**8:08d}", options.mo_text.replace("{n}", str(number))
                self._last_id += 1
                wall_ms = time.time_ns() // 1_000_000
                octets = self._writer.inbound(url, self._last_id, options.mo_to, sender, text, wall_ms)
                self.statistics.inbound += 1
                self._posts_to(url).post(Post(octets, 0, inbound=1))
            made = due
            self._turned()

    def drop(self) -> None:
        """Cut every connection of the client."""
        for line in tuple(self.lines):
            line.close()

    def summary(self) -> bytes:
        """What was counted, as one line of JSON."""
        waiting = self._postman.waiting if self._postman is not None else 0
        return msgspec.json.encode({**msgspec.to_builtins(self.statistics), "waiting": waiting, **usage()})

    def tell(self) -> None:
        print(self.summary().decode(), flush=True)


class Serving:
    """One connection of the client: octets to whole requests, one after the other."""

    __slots__ = ("_data", "_line", "_owner")

    def __init__(self, owner: SimulatedCarrier, line: Line) -> None:
        self._owner, self._line, self._data = owner, line, b""
        owner.lines.add(line)
        line.received = self._received
        line.lost = lambda: owner.lines.discard(line)

    def _received(self, data: bytes) -> None:
        data = self._data + data if self._data else data
        line, owner = self._line, self._owner
        while data and line.is_open:
            end = data.find(b"\r\n\r\n") + 4
            if end < 4:
                break
            try:
                head = owner.heads.read(data[:end])
            except h11.RemoteProtocolError:
                owner.statistics.unreadable += 1
                line.write(_BAD)
                line.close()
                return
            whole = end + head.length
            if len(data) < whole:
                break
            body = data[end:whole]
            data = data[whole:]
            owner.asked(line, head, body)
        self._data = data


def _load(options: Options) -> Carrier:
    name = options.carrier
    is_shipped = name in names()
    description = shipped(name) if is_shipped or not Path(name).exists() else check(name)
    settings = samples(description) | dict(options.settings)
    return load(name if is_shipped else "", "" if is_shipped else name, settings, options.public_url)


def _entry_of(message: Message, carrier_id: bytes) -> Entry:
    return carrier_id, message.own.encode(), message.to.encode()


def _parts(text: str) -> int:
    """Segments of a text, as a carrier counts them that knows ASCII and UCS-2."""
    one, several = (160, 153) if text.isascii() else (70, 67)
    return 1 if len(text) <= one else -(-len(text) // several)


def _place_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


async def _serve(carrier: SimulatedCarrier, listener: socket.socket) -> None:
    async with trio.open_nursery() as nursery:
        scope = nursery.cancel_scope
        nursery.start_soon(watch_signals, scope)
        if is_stdin_watched():
            commands: dict[bytes, Callable[[], object]] = {
                b"statistics": carrier.tell,
                b"drop": carrier.drop,
            }
            nursery.start_soon(watch_stdin, scope, "carrier", commands)
        nursery.start_soon(carrier.run, listener)
        print("ready", listener.getsockname()[1], carrier.path, flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run until told to stop; 0, or 1 if it cannot listen, or cannot be what it was asked to be."""
    options = parse_options(argv)
    try:
        carrier = SimulatedCarrier(options)
        listener = socket.create_server((options.host, options.port), backlog=BACKLOG)
    except (ConfigError, ValueError) as error:
        print(f"carrier: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        print(f"carrier: cannot listen on {options.host}:{options.port}: {reason}", file=sys.stderr)
        return 1
    if any(isinstance(check, Ed25519Check) for check in carrier.carrier.description.verify):
        print(f"carrier: the key to check with is {public_key(carrier.private_key)}", file=sys.stderr)
    with closing(listener):
        listener.setblocking(False)
        trio.run(_serve, carrier, listener)
    carrier.tell()
    return 0


if __name__ == "__main__":
    sys.exit(main())
