"""Group 2, life: run and drain in any order, a peer in any mood, and nothing left behind."""

import asyncio
import bisect
from typing import Final

from stentor.testing.checks.registry import check, scene
from stentor.testing.network import Cut, Reach
from stentor.testing.peer import Can, Login
from stentor.testing.world import Subject, World, play

_GROUP: Final = "life"
_WATCHED_S: Final = 300.0


@scene(_GROUP, Can.SUBMITS)
async def it_lives_and_ends(world: World) -> None:
    """The driver offers a lane, sends, drains, and ``run`` returns."""
    await world.ready()
    batch = world.submit(1)
    await world.resolved(batch)
    assert world.outcomes(batch) == ["Sent"]


@check(_GROUP)
def it_may_be_drained_at_once(subject: Subject) -> None:
    """``drain`` before ``run``, and right after it has begun: ``run`` returns and nothing stays."""

    async def before(world: World) -> None:
        await world.driver.drain(world.now() + 5)
        world.run()
        await asyncio.wait([world.life] if world.life else [], timeout=1.0)
        world.end()

    async def right_after(world: World) -> None:
        await asyncio.sleep(0)

    play(subject, before, is_begun=False)
    play(subject, right_after)


@check(_GROUP, Can.LINK)
def an_absent_peer_is_borne(subject: Subject) -> None:
    """Nobody listens, nobody answers, nobody has that name: tried again without hammering, drained at any moment."""
    for reach in (Reach.REFUSED, Reach.SILENT, Reach.NO_NAME):

        async def absent(world: World, reach: Reach = reach) -> None:
            world.network.reach = reach
            await asyncio.sleep(_WATCHED_S)
            world.still_runs()
            assert world.network.attempts, "it never tried to connect"
            _not_more_often(world, world.subject.connects_a_minute, f"{reach.value}: connects")
            assert not world.host.free, "a lane is offered without a peer"
            assert world.driver.status().last_error, "the status does not say what is wrong"
            world.network.reach = Reach.OPEN
            await world.ready()

        async def drained(world: World, reach: Reach = reach) -> None:
            world.network.reach = reach
            await asyncio.sleep(0.5)
            await world.finish(1.0)

        play(subject, absent)
        play(subject, drained)


@scene(_GROUP, Can.LINK, Can.LOGIN)
async def a_peer_that_never_answers_the_login_is_given_up(world: World) -> None:
    """A login without an answer ends by itself, and is tried again."""
    world.peer.login = Login.IGNORE
    await world.until(lambda: len(world.network.attempts) >= 3, "three attempts")
    assert not world.host.free, "a lane is offered before the login"
    world.peer.login = Login.ACCEPT
    await world.ready()


@scene(_GROUP, Can.LINK, Can.LOGIN)
async def a_login_under_way_may_be_drained(world: World) -> None:
    """``drain`` while the login is unanswered returns by its deadline."""
    world.peer.login = Login.IGNORE
    await world.until(lambda: world.peer.logins, "a login")
    await world.finish(1.0)


@scene(_GROUP, Can.LINK, Can.LOGIN)
async def refused_logins_are_not_hammered(world: World) -> None:
    """Accounts get locked: after a refused login the driver waits, says why, and gets in once it may."""
    world.peer.login = Login.REFUSE
    await asyncio.sleep(_WATCHED_S)
    assert world.peer.logins, "it never tried to log in"
    allowed = world.subject.logins_a_minute * _WATCHED_S / 60
    assert world.peer.logins <= allowed, (
        f"{world.peer.logins} logins in {_WATCHED_S:g} s, {allowed:g} at most"
    )
    assert world.driver.status().last_error, "the status does not say what is wrong"
    assert not world.host.free, "a lane is offered without a login"
    world.peer.login = Login.ACCEPT
    await world.ready()


@check(_GROUP, Can.LINK, Can.SUBMITS)
def a_link_may_end_at_any_octet_of_the_login(subject: Subject) -> None:
    """Reset after each octet of the handshake, in either direction: the driver comes back and works."""
    lengths: list[tuple[bool, int]] = []

    async def measured(world: World) -> None:
        await world.ready()
        link = world.network.links[0]
        lengths.append((True, link.server.received))
        lengths.append((False, link.client.received))

    play(subject, measured)
    for is_to_server, length in lengths:
        for octets in sorted({*range(0, length + 1, max(1, length // 8)), length}):

            async def cut(world: World, octets: int = octets, is_to_server: bool = is_to_server) -> None:
                await world.until(
                    lambda: len(world.network.links) > 1, f"a second connection, cut at {octets}"
                )
                await world.ready()
                batch = world.submit(1)
                await world.resolved(batch)
                assert world.outcomes(batch) == ["Sent"]

            _play_with_cut(subject, cut, Cut(octets, is_to_server))


def _play_with_cut(subject: Subject, scene_: object, cut: Cut) -> None:
    async def armed(world: World) -> None:
        world.network.cut = cut
        world.begin()
        await scene_(world)  # type: ignore[operator]  # a scene; the alias would be circular here

    play(subject, armed, is_begun=False)


@scene(_GROUP, Can.LINK, Can.SUBMITS)
async def a_peer_that_closes_is_met_again(world: World) -> None:
    """A peer that ends every connection as soon as it stands is not hammered, and gets its driver back."""
    await world.ready()
    while world.loop.time() < _WATCHED_S:
        for link in world.network.open_links:
            world.peers_side(link).close()
        await asyncio.sleep(0.05)
    _not_more_often(world, world.subject.connects_a_minute, "connects")
    await world.ready()


@scene(_GROUP, Can.SUBMITS)
async def a_restart_leaves_nothing(world: World) -> None:
    """Three incarnations one after the other, each of which sends; the last is looked at like the first."""
    for _ in range(3):
        await world.ready()
        batch = world.submit(1)
        await world.resolved(batch)
        await world.finish()
        await asyncio.sleep(0)
        open_links = [link for link in world.network.links if not world.drivers_side(link).is_lost]
        assert not open_links, "a connection outlived its incarnation"
        world.begin()
    await world.ready()


@check(_GROUP, Can.SUBMITS, Can.HOLD)
def a_cancelled_run_leaves_nothing(subject: Subject) -> None:
    """Cancelled while it connects, while it logs in, and with submissions in flight: everything is closed."""

    async def early(world: World) -> None:
        await asyncio.sleep(0)
        await world.cancel()

    async def later(world: World) -> None:
        from stentor.testing.peer import Answer

        world.peer.answer = Answer.HOLD
        await world.ready()
        world.submit()
        await asyncio.sleep(0.1)
        await world.cancel()

    play(subject, early)
    play(subject, later)


def _not_more_often(world: World, a_minute: float, what: str) -> None:
    """In no minute of what has passed."""
    attempts = world.network.attempts
    lanes = max(1, len(world.host.lanes))
    for first, at in enumerate(attempts):
        inside = bisect.bisect_left(attempts, at + 60) - first
        assert inside <= a_minute * lanes, (
            f"{what} {inside} times in a minute, {a_minute:g} at most for a lane"
        )
