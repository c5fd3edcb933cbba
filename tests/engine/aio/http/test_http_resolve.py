"""Names: remembered while they are fresh, and for longer while nobody can tell anything newer."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from stentor.aio.http.resolve import AGAIN_S, FRESH_S, NAMES, PATIENCE_S, STALE_S, Resolver
from stentor.testing.vloop import VirtualLoop

DOWN = socket.gaierror(socket.EAI_AGAIN, "try again")
NOBODY = socket.gaierror(socket.EAI_NONAME, "no such name")
SLOW_S = 60.0


class Names(VirtualLoop):
    """A loop whose resolver answers ``answer``: an address, an error, or an address after a long while."""

    def __init__(self) -> None:
        super().__init__()
        self.answer: str | OSError = "192.0.2.1"
        self.is_slow = False
        self.asked = 0

    async def getaddrinfo(self, host: Any, port: Any, **_: Any) -> Any:
        self.asked += 1
        if self.is_slow:
            await asyncio.sleep(SLOW_S)
        if isinstance(self.answer, OSError):
            raise self.answer
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (self.answer, port))]


def run(main: Callable[[Names, Resolver], Awaitable[None]]) -> None:
    async def resolving() -> None:
        resolver = Resolver()
        await main(loop, resolver)
        await resolver.close()

    loop = Names()
    try:
        loop.run_until_complete(resolving())
        assert loop.errors == []
    finally:
        loop.close()


def test_a_name_is_looked_up_again_when_it_is_no_longer_fresh() -> None:
    async def main(loop: Names, resolver: Resolver) -> None:
        for _ in range(3):
            assert await resolver("customer.test", 443) == ("192.0.2.1",)
        assert loop.asked == 1
        loop.answer = "192.0.2.2"
        loop.pass_time(FRESH_S + 1)
        assert await resolver("customer.test", 443) == ("192.0.2.2",)

    run(main)


def test_while_the_resolver_is_down_what_was_known_serves_for_an_hour() -> None:
    async def main(loop: Names, resolver: Resolver) -> None:
        await resolver("customer.test", 443)
        loop.answer = DOWN
        loop.pass_time(FRESH_S + 1)
        for _ in range(3):
            assert await resolver("customer.test", 443) == ("192.0.2.1",)
        assert loop.asked == 2, "and it is not asked by everybody"
        loop.pass_time(AGAIN_S + 1)
        assert await resolver("customer.test", 443) == ("192.0.2.1",)
        assert loop.asked == 3
        loop.pass_time(STALE_S)
        with pytest.raises(OSError, match="try again"):
            await resolver("customer.test", 443)

    run(main)


def test_a_slow_resolver_is_not_waited_for_by_who_knows_the_name() -> None:
    async def main(loop: Names, resolver: Resolver) -> None:
        await resolver("customer.test", 443)
        loop.answer, loop.is_slow = "192.0.2.2", True
        loop.pass_time(FRESH_S + 1)
        began = loop.time()
        assert await resolver("customer.test", 443) == ("192.0.2.1",)
        assert loop.time() - began == PATIENCE_S
        await asyncio.sleep(SLOW_S)
        assert await resolver("customer.test", 443) == ("192.0.2.2",), "what it said in the end"
        assert loop.asked == 2

    run(main)


def test_a_name_that_is_no_more_is_not_gone_by() -> None:
    async def main(loop: Names, resolver: Resolver) -> None:
        await resolver("customer.test", 443)
        loop.answer = NOBODY
        loop.pass_time(FRESH_S + 1)
        with pytest.raises(OSError, match="no such name"):
            await resolver("customer.test", 443)

    run(main)


def test_of_too_many_names_the_one_looked_up_first_is_forgotten() -> None:
    async def main(loop: Names, resolver: Resolver) -> None:
        for number in range(NAMES + 1):
            await resolver(f"{number}.test", 443)
        await resolver(f"{NAMES}.test", 443)
        await resolver("1.test", 443)
        assert loop.asked == NAMES + 1
        await resolver("0.test", 443)
        assert loop.asked == NAMES + 2

    run(main)
