"""Group 10, fuzz: whatever octets come, they end in outcomes or in a closed link, and take bounded room."""

import asyncio
import random
import tracemalloc
from typing import Final

from stentor.driver import Inbound
from stentor.message import Status
from stentor.testing.checks.registry import check
from stentor.testing.peer import Answer, Can
from stentor.testing.world import Subject, World, play

_GROUP: Final = "fuzz"
_ROUNDS: Final = 20
_FLOOD_OCTETS: Final = 4 << 20
_FLOOD_LIMIT: Final = 3 << 20


def _pieces(octets: bytes, dice: random.Random) -> list[bytes]:
    pieces = []
    while octets:
        size = dice.choice((1, 3, 17, 200, len(octets)))
        pieces.append(octets[:size])
        octets = octets[size:]
    return pieces


async def _pour(world: World, octets: bytes, dice: random.Random) -> None:
    """Octets to the driver in pieces of any size, over the newest link."""
    for piece in _pieces(octets, dice):
        if world.network.open_links:
            world.peers_side(world.network.open_links[-1]).write(piece)
        await asyncio.sleep(0)


async def _works(world: World) -> None:
    for link in world.network.open_links:
        # What was begun with noise cannot be told from a slow message; a new link can.
        link.reset()
    await asyncio.sleep(0.01)
    world.peer.answer = Answer.SENT
    await world.ready()
    batch = world.submit(1)
    await world.resolved(batch)
    assert world.outcomes(batch) == ["Sent"], f"afterwards a submission got {world.outcomes(batch)}"


@check(_GROUP, Can.LINK, Can.SUBMITS, Can.HOLD)
def noise_is_borne(subject: Subject) -> None:
    """Random octets, before the login and after it, split anywhere, with submissions in flight."""
    dice = random.Random(subject.seed)
    for _ in range(_ROUNDS):
        noise = dice.randbytes(dice.choice((1, 15, 64, 700)))

        async def early(world: World, noise: bytes = noise) -> None:
            await world.until(lambda: world.network.open_links, "a connection")
            await _pour(world, noise, dice)
            await _works(world)

        async def later(world: World, noise: bytes = noise) -> None:
            world.peer.answer = Answer.HOLD
            await world.ready()
            batch = world.submit()
            await _pour(world, noise, dice)
            await world.resolved(batch)
            await _works(world)

        play(subject, early)
        play(subject, later)


@check(_GROUP, Can.LINK, Can.SUBMITS, Can.INBOUND)
def damaged_conversations_are_borne(subject: Subject) -> None:
    """What the peer says, with an octet changed, left out or doubled."""
    dice = random.Random(subject.seed)
    for _ in range(_ROUNDS):

        async def damaged(world: World) -> None:
            await world.ready()
            link = world.network.open_links[-1]
            octets = await _recorded(world)
            at = dice.randrange(len(octets))
            change = dice.choice(
                (b"", octets[at : at + 1] * 2, bytes((octets[at] ^ 1 << dice.randrange(8),)), b"\xff" * 4)
            )
            if not link.client.is_lost:
                world.submit()
                await _pour(world, octets[:at] + change + octets[at + 1 :], dice)
                await world.resolved()
            await _works(world)

        play(subject, damaged)


async def _recorded(world: World) -> bytes:
    """What the peer writes for a few messages, instead of sending it."""
    link = world.network.open_links[-1]
    side = world.peers_side(link)
    told: list[bytes] = []
    write, side.write = side.write, told.append  # type: ignore[method-assign,assignment]  # a tap on the wire
    try:
        for _ in range(3):
            world.peer.send_inbound(Inbound("+46701111111", "12345", "STOP"))
        if Can.RECEIPTS in world.peer.can and world.peer.seen:
            world.peer.send_receipt(world.peer.seen[-1], Status.DELIVERED)
    finally:
        side.write = write  # type: ignore[method-assign]  # and off again
    return b"".join(told)


@check(_GROUP, Can.LINK, Can.SUBMITS)
def endless_input_takes_bounded_room(subject: Subject) -> None:
    """Megabytes without an end of message: the driver gives up on the link before they fill its memory."""
    dice = random.Random(subject.seed)
    streams = (bytes(1 << 16), b"\xff" * (1 << 16), b"A" * (1 << 16), dice.randbytes(1 << 16))
    for block in streams:

        async def flooded(world: World, block: bytes = block) -> None:
            await world.ready()
            link = world.network.open_links[-1]
            side = world.peers_side(link)
            tracemalloc.start()
            try:
                for _ in range(_FLOOD_OCTETS // len(block)):
                    if side.is_closing():
                        break
                    side.write(block)
                    await asyncio.sleep(0)
                    if side.get_write_buffer_size() > 1 << 20:
                        break
                # What waits in the peer's own buffer is the peer's.
                grown = tracemalloc.get_traced_memory()[0] - side.get_write_buffer_size()
            finally:
                tracemalloc.stop()
            assert grown < _FLOOD_LIMIT, f"{grown >> 20} MiB are held of a message that never ends"
            await _works(world)

        play(subject, flooded)
