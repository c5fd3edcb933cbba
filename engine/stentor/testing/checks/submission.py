"""Group 3, submission: at once, within the window, in order, and exactly as asked."""

import asyncio
import time
from math import inf
from typing import Final

from stentor.outcome import Submission
from stentor.testing.checks.registry import scene
from stentor.testing.peer import Answer, Can, Seen
from stentor.testing.world import World
from stentor.text import gsm0338
from stentor.text.segments import Encoding, split

_GROUP: Final = "submission"
_SECONDS_EACH: Final = 0.002
_TIMES: Final = 3
"""Other processes may hold up one submission; a driver that takes its time takes it each time."""
_TEXTS: Final = {
    Encoding.GSM7: ("", "Hi", "@£$¥èé_{}[]~\\|^€ and so on", "0123456789" * 16),
    Encoding.UCS2: ("Ж", "你好，世界", "שלום", "👩‍👩‍👧 ends", "字" * 70),
    Encoding.LATIN1: ("ê", "voilà, ça va ¹²³", "\xff" * 140),
}
_LONG: Final = {Encoding.GSM7: "{long} " * 60, Encoding.UCS2: "👍长" * 60, Encoding.LATIN1: "être " * 60}
_CODECS: Final = {Encoding.UCS2: "utf-16-be", Encoding.LATIN1: "latin-1"}
_OCTETS: Final = (b"\0", bytes(range(140)), b"\xff" * 134)


@scene(_GROUP, Can.SUBMITS)
async def submit_returns_at_once(world: World) -> None:
    """``submit`` takes a full batch in well under two milliseconds an item, and waits for nothing."""
    await world.ready()
    quickest_s, most = inf, 0
    for _ in range(_TIMES):
        began, at = time.perf_counter(), world.loop.time()
        batch = world.submit()
        quickest_s, most = min(quickest_s, time.perf_counter() - began), max(most, len(batch))
        assert world.loop.time() == at, "submit let time pass"
        await world.resolved(batch)
    assert quickest_s < max(0.05, _SECONDS_EACH * most), f"{quickest_s:.3f} s for {most} submissions"


@scene(_GROUP, Can.SUBMITS, Can.HOLD)
async def the_window_is_the_peers(world: World) -> None:
    """No lane offers more than the peer grants, and no more than was handed over is ever in flight."""
    world.peer.answer = Answer.HOLD
    await world.ready()
    for key in list(world.host.lanes):
        world.submit(lane=key)
    handed = len(world.host.handed)
    await world.until(lambda: len(world.peer.seen) >= handed, "everything handed over")
    await asyncio.sleep(1.0)
    for lane in world.host.lanes.values():
        assert lane.widest <= world.peer.window, (
            f"lane {lane.key} offers {lane.widest}, the peer {world.peer.window}"
        )
    most = world.peer.most_in_flight
    assert most <= world.peer.window, f"{most} in flight on one link, the peer grants {world.peer.window}"
    assert len(world.peer.seen) == handed, f"{handed} handed over, {len(world.peer.seen)} sent"
    for seen in world.peer.held:
        world.peer.reply(seen, Answer.SENT)
    await world.resolved()


@scene(_GROUP, Can.SUBMITS)
async def any_batch_is_taken(world: World) -> None:
    """Batches of one, of the limit, and of nothing."""
    await world.ready()
    world.host.submit(world.driver, world.roomiest(), [])
    count = min(world.host.lanes[world.roomiest()].free, world.capabilities.batch_limit)
    for size in (1, count):
        await world.ready(size)
        batch = world.submit(size)
        await world.resolved(batch)
        assert set(world.outcomes(batch)) == {"Sent"}


@scene(_GROUP, Can.SUBMITS, Can.ORDER)
async def order_is_kept_within_a_lane(world: World) -> None:
    """What was handed over first is sent first."""
    await world.ready()
    key = world.roomiest()
    batch: list[Submission] = []
    for _ in range(5):
        await world.until(lambda: world.host.lanes[key].free, "room")
        piece = world.submit(lane=key)
        batch += piece
        await world.resolved(piece)
    assert [seen.to for seen in world.peer.seen] == [submission.to for submission in batch]


@scene(_GROUP, Can.SUBMITS)
async def every_encoding_arrives_as_it_was(world: World) -> None:
    """Texts in each claimed encoding, long ones joined as said, and binary data, octet for octet."""
    batch = [
        submission
        for encoding in Encoding
        if encoding in world.capabilities.encodings
        for submission in _variety(world, encoding)
    ]
    await world.send(batch)
    found = {seen.to: seen for seen in world.peer.seen}
    for submission in batch:
        _is_same(submission, found.get(submission.to), world)


def _variety(world: World, encoding: Encoding) -> list[Submission]:
    if encoding is Encoding.BINARY:
        made = [world.submission(encoding, octets) for octets in _OCTETS]
        made.append(world.submission(encoding, b"\1\2\3", udh=bytes.fromhex("0605040b8423f0")))
        return made
    made = []
    for text in _TEXTS[encoding]:
        data = gsm0338.encode(text) if encoding is Encoding.GSM7 else text.encode(_CODECS[encoding])
        is_whole = world.capabilities.unit == "message"
        made.append(world.submission(encoding, data, text=text if is_whole else None))
    if world.capabilities.unit == "segment":
        wide = world.capabilities.coding.wide_reference
        pieces = split(_LONG[encoding], encoding, 0x1234, wide_reference=wide)
        for index, piece in enumerate(pieces, 1):
            made.append(
                world.submission(encoding, piece.data, udh=piece.udh, index=index, segments=len(pieces))
            )
    if encoding is not Encoding.LATIN1:  # it has no message classes
        made.append(world.submission(encoding, flash=True))
    made.append(world.submission(encoding, wants_receipt=False))
    made += [world.submission(encoding, originator=each) for each in world.subject.originators]
    return made


def _is_same(submission: Submission, seen: Seen | None, world: World) -> None:
    what = f"{submission.encoding.value} to {submission.to}"
    assert seen is not None, f"{what} never arrived"
    unit, can = world.capabilities.unit, world.peer.can
    assert Can.ENCODING not in can or seen.encoding is submission.encoding, (
        f"{what} arrived as {seen.encoding.value}"
    )
    assert Can.ORIGINATOR not in can or seen.originator == submission.originator, (
        f"{what}: originator {seen.originator!r}"
    )
    assert Can.FLASH not in can or seen.flash is submission.flash, f"{what}: flash became {seen.flash}"
    assert seen.wants_receipt is submission.wants_receipt, (
        f"{what}: a receipt wanted became {seen.wants_receipt}"
    )
    if unit == "message" and submission.text is not None:
        assert seen.text == submission.text, f"{what}: the text became {seen.text!r}"
        return
    assert seen.udh == submission.udh, f"{what}: the header became {seen.udh.hex()}"
    assert seen.data == submission.data, f"{what}: the data became {seen.data.hex()}"
