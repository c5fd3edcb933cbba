"""Virtual time jumps, and the network in memory behaves as TCP does."""

import asyncio
import itertools

import pytest

from stentor.testing.network import Cut, Reach
from stentor.testing.vloop import Stuck, run_virtual

ADDRESS = ("peer.test", 1)


class Recorder(asyncio.Protocol):
    """Writes down what it hears."""

    def __init__(self, keeps_open: bool = False) -> None:
        self.told: list[object] = []
        self.data = b""
        self.keeps_open = keeps_open

    def connection_made(self, transport):
        self.transport = transport
        self.told.append("made")

    def data_received(self, data):
        self.data += data

    def eof_received(self):
        self.told.append("eof")
        return self.keeps_open

    def connection_lost(self, exc):
        self.told.append(("lost", type(exc).__name__))

    def pause_writing(self):
        self.told.append("pause")

    def resume_writing(self):
        self.told.append("resume")


async def connected(loop, **server) -> tuple[Recorder, Recorder]:
    theirs = Recorder(**server)
    await loop.create_server(lambda: theirs, *ADDRESS)
    _, ours = await loop.create_connection(Recorder, *ADDRESS)
    await rest()
    return ours, theirs


async def rest() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


def test_an_hour_passes_at_once_and_to_the_second():
    async def main(loop):
        began = loop.time()
        await asyncio.sleep(3600)
        return loop.time() - began

    assert run_virtual(main) == pytest.approx(3600)


def test_timers_fire_in_order_each_at_its_time():
    async def main(loop):
        fired = []
        for delay_s in (5.0, 1.0, 3.0):
            loop.call_later(delay_s, lambda delay_s=delay_s: fired.append((delay_s, loop.time())))
        cancelled = loop.call_later(2.0, fired.append, "never")
        cancelled.cancel()
        assert len(loop.pending_timers()) == 3
        await asyncio.sleep(10)
        return fired

    assert run_virtual(main) == [(1.0, 1.0), (3.0, 3.0), (5.0, 5.0)]


def test_waiting_for_nothing_is_an_error_not_a_hang():
    async def main(loop):
        await loop.create_future()

    with pytest.raises(Stuck, match="no timer runs"):
        run_virtual(main)


def test_spinning_is_an_error_not_a_hang():
    async def main(loop):
        for _ in itertools.count():
            await asyncio.sleep(0)

    with pytest.raises(Stuck, match="something spins"):
        run_virtual(main)


def test_timers_for_ever_are_an_error_not_a_hang():
    async def main(loop):
        for _ in itertools.count():
            await asyncio.sleep(86_400)

    with pytest.raises(Stuck, match="for ever"):
        run_virtual(main)


def test_octets_travel_both_ways_and_a_close_is_heard():
    async def main(loop):
        ours, theirs = await connected(loop)
        ours.transport.write(b"ping")
        theirs.transport.write(b"pong")
        ours.transport.close()
        await rest()
        assert (ours.data, theirs.data) == (b"", b"ping")
        assert ours.told == ["made", ("lost", "NoneType")]
        assert theirs.told == ["made", "eof", ("lost", "NoneType")]

    run_virtual(main)


def test_a_half_closed_connection_still_carries_the_other_way():
    async def main(loop):
        ours, theirs = await connected(loop, keeps_open=True)
        ours.transport.write(b"question")
        ours.transport.write_eof()
        await rest()
        assert theirs.told == ["made", "eof"]
        theirs.transport.write(b"answer")
        theirs.transport.close()
        await rest()
        assert (theirs.data, ours.data) == (b"question", b"answer")
        with pytest.raises(RuntimeError, match="write_eof"):
            ours.transport.write(b"more")

    run_virtual(main)


def test_a_reset_is_heard_on_both_sides_and_loses_what_was_on_its_way():
    async def main(loop):
        ours, theirs = await connected(loop)
        ours.transport.write(b"lost")
        loop.network.reset_all()
        await rest()
        assert theirs.data == b""
        assert ours.told[-1] == theirs.told[-1] == ("lost", "ConnectionResetError")
        ours.transport.write(b"ignored")
        assert loop.network.open_links == []

    run_virtual(main)


def test_an_abort_is_no_error_for_who_did_it():
    async def main(loop):
        ours, theirs = await connected(loop)
        ours.transport.abort()
        await rest()
        assert ours.told[-1] == ("lost", "NoneType")
        assert theirs.told[-1] == ("lost", "ConnectionResetError")

    run_virtual(main)


def test_a_side_that_does_not_read_pauses_the_writer_until_it_does():
    async def main(loop):
        ours, theirs = await connected(loop)
        ours.transport.set_write_buffer_limits(high=1000, low=100)
        theirs.transport.pause_reading()
        octets = bytes(range(256)) * 400
        ours.transport.write(octets)
        await rest()
        assert ours.told == ["made", "pause"]
        assert ours.transport.get_write_buffer_size() == len(octets) - 65_536
        assert theirs.data == b""
        theirs.transport.resume_reading()
        await rest()
        assert ours.told == ["made", "pause", "resume"]
        assert theirs.data == octets

    run_virtual(main)


def test_close_waits_for_what_is_unsent_and_abort_does_not():
    async def main(loop):
        ours, theirs = await connected(loop)
        theirs.transport.pause_reading()
        ours.transport.write(bytes(100_000))
        ours.transport.close()
        await rest()
        assert ours.told == ["made"]
        assert ours.transport.is_closing()
        ours.transport.abort()
        await rest()
        assert ours.told[-1] == ("lost", "NoneType")

    run_virtual(main)


@pytest.mark.parametrize("is_to_server", [True, False])
@pytest.mark.parametrize("octets", [0, 1, 3])
def test_a_cut_delivers_exactly_its_octets(octets, is_to_server):
    async def main(loop):
        loop.network.cut = Cut(octets, is_to_server)
        ours, theirs = await connected(loop)
        (ours if is_to_server else theirs).transport.write(b"abcdef")
        await rest()
        assert (theirs if is_to_server else ours).data == b"abcdef"[:octets]
        assert theirs.told[-1] == ("lost", "ConnectionResetError")

    run_virtual(main)


def test_pieces_and_latency():
    async def main(loop):
        loop.network.piece, loop.network.latency_s = 1, 0.25
        ours, theirs = await connected(loop)
        ours.transport.write(b"abc")
        await asyncio.sleep(0.249)
        assert theirs.data == b""
        await asyncio.sleep(0.002)
        assert theirs.data == b"a"
        await asyncio.sleep(0.5)
        assert theirs.data == b"abc"

    run_virtual(main)


@pytest.mark.parametrize(
    ("reach", "error"),
    [(Reach.REFUSED, ConnectionRefusedError), (Reach.NO_NAME, OSError), (Reach.SILENT, TimeoutError)],
)
def test_attempts_to_connect_fail_as_told(reach, error):
    async def main(loop):
        await loop.create_server(Recorder, *ADDRESS)
        loop.network.reach = reach
        async with asyncio.timeout(10):
            await loop.create_connection(Recorder, *ADDRESS)

    with pytest.raises(error):
        run_virtual(main)


def test_an_exception_out_of_a_protocol_is_reported_and_ends_the_connection():
    class Broken(Recorder):
        def data_received(self, data):
            raise ValueError("oops")

    async def main(loop):
        await loop.create_server(Broken, *ADDRESS)
        _, ours = await loop.create_connection(Recorder, *ADDRESS)
        await rest()
        ours.transport.write(b"x")
        await rest()
        assert ours.told[-1] == ("lost", "ConnectionResetError")
        return [context["exception"] for context in loop.errors]

    assert str(run_virtual(main)) == "[ValueError('oops')]"


def test_streams_work_over_it():
    async def main(loop):
        async def echo(reader, writer):
            writer.write(await reader.readline())
            writer.close()

        server = await asyncio.start_server(echo, *ADDRESS)
        reader, writer = await asyncio.open_connection(*ADDRESS)
        writer.write(b"hello\n")
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        server.close()
        return answer

    assert run_virtual(main) == b"hello\n"


def test_there_are_no_threads_and_no_tls():
    async def main(loop):
        with pytest.raises(RuntimeError, match="no threads"):
            await asyncio.to_thread(print)
        with pytest.raises(RuntimeError, match="without TLS"):
            await loop.create_connection(Recorder, *ADDRESS, ssl=True)

    run_virtual(main)
