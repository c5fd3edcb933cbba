"""Scenes with the SMPP driver in virtual time, as tests."""

import itertools

from stentor.testing.world import Subject, World, play
from stentor_smpp.spec import SPEC
from tests.plugins.smpp.smsc_peer import HOST, SMSCPeer


def subject(**table) -> Subject:
    return Subject(spec=SPEC, peer=SMSCPeer, table={"host": HOST, "system_id": "stentor", **table})


def scene(**table):
    """Play the decorated coroutine as a test, in a world whose channel has these keys."""

    def decorate(function):
        def test():
            play(subject(**table), function)

        test.__name__, test.__doc__ = function.__name__, function.__doc__
        return test

    return decorate


def lane(world: World, key: str):
    return next(each for each in world.driver.status().lanes if each.key == key)


def gaps(world: World) -> list[float]:
    return [round(after - before, 6) for before, after in itertools.pairwise(world.network.attempts)]
