"""Group 4, exactly one outcome: whatever the peer answers and wherever the link is cut."""

import asyncio
import random
from typing import Final

from stentor.outcome import Deferred, Refused, Sent
from stentor.testing.checks.registry import check, scene
from stentor.testing.peer import Answer, Can, Seen
from stentor.testing.world import Subject, World, play

_GROUP: Final = "once"


@scene(_GROUP, Can.SUBMITS, Can.REFUSE)
async def answers_become_outcomes(world: World) -> None:
    """Taken is Sent with the carrier's id, refused is Refused, not now is Deferred."""
    await world.ready()
    for answer, kind in ((Answer.SENT, Sent), (Answer.REFUSED, Refused), (Answer.DEFERRED, Deferred)):
        world.peer.answer = answer
        batch = world.submit(1)
        await world.resolved(batch)
        outcome = world.host.outcomes[batch[0].token]
        assert type(outcome) is kind, f"{answer.value!r} became {type(outcome).__name__}"
        if isinstance(outcome, Sent) and world.capabilities.receipts != "none":
            assert outcome.match_id, "Sent without a match_id: its receipt could not be matched"


@check(_GROUP, Can.SUBMITS, Can.HOLD)
def answers_may_come_in_any_order(subject: Subject) -> None:
    """Late, backwards or shuffled, each answer settles its own submission."""
    for order in ("late", "backwards", "shuffled"):

        async def reordered(world: World, order: str = order) -> None:
            world.peer.answer = Answer.HOLD
            await world.ready()
            batch = world.submit()
            await world.until(lambda: len(world.peer.held) == len(batch), "everything on the wire")
            await asyncio.sleep(1.0)
            held = list(world.peer.held)
            if order == "backwards":
                held.reverse()
            elif order == "shuffled":
                random.Random(world.subject.seed).shuffle(held)
            for number, seen in enumerate(held):
                world.peer.reply(
                    seen, Answer.SENT if number % 2 or Can.REFUSE not in world.peer.can else Answer.REFUSED
                )
            await world.resolved(batch)
            for number, seen in enumerate(held):
                (submission,) = (each for each in batch if each.to == seen.to)
                got = world.host.outcomes[submission.token]
                is_sent = bool(number % 2) or Can.REFUSE not in world.peer.can
                assert isinstance(got, Sent if is_sent else Refused), f"{seen.to} got {type(got).__name__}"
                if isinstance(got, Sent) and got.carrier_id is not None:
                    assert got.carrier_id == seen.carrier_id, "the id of another answer"

        play(subject, reordered)


@scene(_GROUP, Can.SUBMITS, Can.HOLD, Can.STRAY)
async def answers_nobody_waits_for_are_borne(world: World) -> None:
    """An answer twice, and one to what was never sent, change nothing."""
    await world.ready()
    batch = world.submit()
    await world.resolved(batch)
    for seen in list(world.peer.seen):
        world.peer.reply(seen, Answer.SENT)
        world.peer.reply(seen, Answer.REFUSED)
    world.peer.reply_stray()
    await asyncio.sleep(1.0)
    assert set(world.outcomes(batch)) == {"Sent"}
    await world.ready()
    again = world.submit(1)
    await world.resolved(again)
    assert world.outcomes(again) == ["Sent"]


@scene(_GROUP, Can.SUBMITS, Can.HOLD)
async def a_missing_answer_is_doubt(world: World) -> None:
    """What is not answered becomes Unknown in time; an answer that comes later is told as Sent, once, or not at all."""
    await world.ready()
    world.peer.answer = Answer.HOLD
    batch = world.submit()
    await world.until(lambda: len(world.peer.seen) == len(batch), "everything on the wire")
    silent = world.peer.seen[: len(batch) // 2 + 1]
    for seen in world.peer.seen[len(silent) :]:
        world.peer.reply(seen, Answer.SENT)
    await world.resolved(batch)
    told = {seen.to for seen in silent}
    for submission, outcome in zip(batch, world.outcomes(batch), strict=True):
        assert outcome == ("Unknown" if submission.to in told else "Sent"), f"{submission.to}: {outcome}"
    for seen in silent:
        world.peer.reply(seen, Answer.SENT)
        world.peer.reply(seen, Answer.SENT)
    await _late_answers_name_their_own(world, silent)
    world.peer.answer = Answer.SENT
    await world.ready()
    again = world.submit(1)
    await world.resolved(again)
    assert world.outcomes(again) == ["Sent"]


async def _late_answers_name_their_own(world: World, silent: list[Seen]) -> None:
    await asyncio.sleep(1.0)
    ids = {seen.to: seen.carrier_id for seen in silent}
    for late in world.host.late.values():
        assert late.carrier_id is None or late.carrier_id == ids.get(late.submission.to), (
            f"the late answer for {late.submission.to} carries the id of another"
        )


@scene(_GROUP, Can.SUBMITS, Can.HOLD, Can.REFUSE)
async def a_refusal_after_doubt_changes_nothing(world: World) -> None:
    """What was in doubt may have been sent again already: only that the peer took it is still of use."""
    await world.ready()
    world.peer.answer = Answer.HOLD
    batch = world.submit(min(2, world.host.free))
    await world.until(lambda: len(world.peer.seen) == len(batch), "all on the wire")
    await world.resolved(batch)
    for seen, answer in zip(world.peer.seen, (Answer.REFUSED, Answer.DEFERRED), strict=False):
        world.peer.reply(seen, answer)
    await asyncio.sleep(1.0)
    assert set(world.outcomes(batch)) == {"Unknown"}


@scene(_GROUP, Can.LINK, Can.SUBMITS)
async def what_comes_after_the_link_is_returned(world: World) -> None:
    """A batch handed over when the link is already gone never left: Returned, and never sent later."""
    await world.ready()
    key = world.roomiest()
    late = [world.submission() for _ in range(min(3, world.host.lanes[key].free))]
    world.network.reset_all()
    await asyncio.sleep(0.01)
    assert not world.host.lanes or not world.host.lanes[key].free, "the lane is still offered"
    if key not in world.host.lanes:
        return
    world.host.submit(world.driver, key, late, is_leased=True)
    await world.resolved(late)
    assert set(world.outcomes(late)) == {"Returned"}, f"they became {world.outcomes(late)}"
    await world.ready()
    await asyncio.sleep(5.0)
    assert not world.peer.seen, "it was returned, and sent all the same"


@check(_GROUP, Can.LINK, Can.SUBMITS, Can.HOLD)
def a_link_cut_while_writing(subject: Subject) -> None:
    """Cut at any octet of a batch: Returned only for what the peer saw no octet of, else Unknown, and sent once."""
    sizes: list[int] = []
    course: list[Seen] = []

    async def whole(world: World) -> None:
        world.peer.answer = Answer.HOLD
        await world.ready()
        side = world.peers_side(world.network.links[0])
        before = side.received
        batch = world.submit()
        await world.until(lambda: len(world.peer.seen) == len(batch), "everything on the wire")
        sizes.extend((before, side.received - before))
        course.extend(seen for seen in world.peer.seen)

    play(subject, whole)
    before, length = sizes
    for octets in sorted({*range(1, length, max(1, length // 12)), 1, 15, 16, 17, length - 1, length}):
        if 0 < octets <= length:
            play(subject, lambda world, octets=octets: _cut_after(world, octets, before, course))  # type: ignore[misc]  # bound now


async def _cut_after(world: World, octets: int, before: int, course: list[Seen]) -> None:
    world.peer.answer = Answer.HOLD
    await world.ready()
    key = world.roomiest()
    link = world.network.links[0]
    world.drivers_side(link).limit(octets)
    batch = world.submit(lane=key)
    await world.resolved(batch)
    began = {seen.to for seen in course if seen.link == 0 and seen.first_octet < before + octets}
    for submission, outcome in zip(batch, world.outcomes(batch), strict=True):
        if submission.to in began:
            assert outcome != "Returned", (
                f"cut after {octets} octets: {submission.to} had begun to leave, and was Returned"
            )
        assert outcome in ("Returned", "Unknown"), (
            f"cut after {octets} octets: {submission.to} became {outcome}"
        )
    await world.ready()
    await asyncio.sleep(5.0)
    twice = len(world.peer.seen) - len({seen.to for seen in world.peer.seen})
    assert not twice, f"{twice} submissions were sent again by the driver itself"
    assert not any(seen.link for seen in world.peer.seen), "a submission that was resolved was sent later"


@check(_GROUP, Can.LINK, Can.SUBMITS, Can.HOLD)
def a_link_cut_after_writing(subject: Subject) -> None:
    """Reset or closed after everything was written: Sent for what was answered, Unknown for the rest."""
    for is_reset in (True, False):

        async def cut(world: World, is_reset: bool = is_reset) -> None:
            world.peer.answer = Answer.HOLD
            await world.ready()
            batch = world.submit()
            await world.until(lambda: len(world.peer.seen) == len(batch), "everything on the wire")
            answered = world.peer.seen[: len(batch) // 2]
            for seen in answered:
                world.peer.reply(seen, Answer.SENT)
            await asyncio.sleep(0.1)
            link = world.network.links[0]
            link.reset() if is_reset else world.peers_side(link).close()
            await world.resolved(batch)
            told = {seen.to for seen in answered}
            for submission, outcome in zip(batch, world.outcomes(batch), strict=True):
                assert outcome == ("Sent" if submission.to in told else "Unknown"), (
                    f"{submission.to}: {outcome}"
                )

        play(subject, cut)


@check(_GROUP, Can.LINK, Can.SUBMITS, Can.HOLD)
def a_link_cut_while_answers_arrive(subject: Subject) -> None:
    """Cut at any octet of the answers: Sent for those that came whole, Unknown for the rest."""
    for octets in (1, 4, 6, 7, 8, 9, 15, 16, 17, 20, 30, 40, 57):

        async def cut(world: World, octets: int = octets) -> None:
            world.peer.answer = Answer.HOLD
            await world.ready()
            batch = world.submit()
            await world.until(lambda: len(world.peer.seen) == len(batch), "everything on the wire")
            world.peers_side(world.network.links[0]).limit(octets)
            for seen in list(world.peer.seen):
                world.peer.reply(seen, Answer.SENT)
            await world.resolved(batch)
            kinds = world.outcomes(batch)
            assert set(kinds) <= {"Sent", "Unknown"}, f"cut after {octets} octets: {kinds}"
            for seen, submission in zip(world.peer.seen, batch, strict=True):
                got = world.host.outcomes[submission.token]
                is_whole = not isinstance(got, Sent) or got.carrier_id == seen.carrier_id
                assert is_whole, f"cut after {octets} octets: half an answer was taken for a whole one"

        play(subject, cut)
