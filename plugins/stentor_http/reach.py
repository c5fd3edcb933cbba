"""Whether the carrier can be reached: connects, fetches a login's token, and opens or closes the lane.

No message is used to find out. Invariants: the lane is open only while the last thing known of the carrier is that it
can be reached; tries follow each other after pauses that double up to a minute, and begin anew once it has answered.
"""

import asyncio
from typing import Final

from stentor.aio.http import Client
from stentor.driver import Host
from stentor.wire.calls import HTTPFailure, InvalidRequest
from stentor_http.carrier import Carrier
from stentor_http.exchange import Token, read_token, token_request
from stentor_http.trouble import Trouble

LANE: Final = "http"
FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 60.0


class Reach:
    """The lane of one channel. ``token`` is the login's, where the carrier wants one."""

    def __init__(
        self, carrier: Carrier, host: Host, client: Client, trouble: Trouble, window: int, rate: float
    ) -> None:
        self._carrier, self._host, self._client, self._trouble = carrier, host, client, trouble
        self._window, self._rate = window, rate
        self._extra = 0
        self._pause_s = FIRST_PAUSE_S
        self._is_lost = asyncio.Event()
        self._turn = asyncio.Lock()
        self._token: Token | None = None
        self.is_up = False
        self.is_over = False
        self.state = "down"
        self.since_ms = host.clock.wall_ms()

    async def watch(self) -> None:
        """For as long as the channel lives."""
        while True:
            fault = await self._try()
            if fault is None:
                self._open()
                await self._is_lost.wait()
            else:
                self._trouble.tell(fault)
                self._set("down")
            await asyncio.sleep(self._pause_s * (0.5 + self._host.random()))
            self._pause_s = min(LONGEST_PAUSE_S, self._pause_s * 2)

    def lose(self) -> None:
        """The carrier cannot be reached, or may not be there any more: nothing new until it is found again."""
        self._is_lost.set()
        self._close("lost")

    def widen(self, extra: int) -> None:
        """So many submissions more than requests can carry are held, and wait for no request."""
        if extra != self._extra:
            self._extra = extra
            if self.is_up and not self.is_over:
                self._host.lane(LANE, self._window + extra, self._rate or None)

    def answered(self) -> None:
        """It is there and speaks."""
        self._pause_s = FIRST_PAUSE_S

    def end(self) -> None:
        """Nothing new from now on."""
        self.is_over = True
        self._close("closing")

    async def token(self) -> str | None:
        """The token in force, empty for a carrier without; None when there is none now."""
        if not self._carrier.needs_token:
            return ""
        if not self._has_token() and await self._fetch() is not None:
            return None
        return self._token.value if self._token is not None else None

    def forget_token(self) -> None:
        """The carrier does not take it any more."""
        self._token = None

    def _has_token(self) -> bool:
        return self._token is not None and self._token.expires_at_ms > self._host.clock.wall_ms()

    async def _try(self) -> str | None:
        """Why the carrier cannot be used, None if it can."""
        self._is_lost.clear()
        try:
            failure = await self._client.connect(self._carrier.url)
            return failure.detail if failure is not None else await self._need_token()
        except InvalidRequest as error:
            return str(error)

    async def _need_token(self) -> str | None:
        return None if not self._carrier.needs_token or self._has_token() else await self._fetch()

    async def _fetch(self) -> str | None:
        async with self._turn:
            if self._has_token():
                return None  # somebody else was quicker
            wall_ms = self._host.clock.wall_ms()
            answer = await self._client.send(token_request(self._carrier, wall_ms))
            found = read_token(self._carrier, answer, wall_ms)
            if isinstance(found, Token):
                self._token = found
                return None
            return f"no token: {found}" if not isinstance(answer, HTTPFailure) else answer.detail

    def _open(self) -> None:
        if self.is_over or self._is_lost.is_set():
            return
        self.is_up = True
        self._set("up")
        self._host.lane(LANE, self._window + self._extra, self._rate or None)

    def _close(self, state: str) -> None:
        if self.is_up:
            self.is_up = False
            self._host.lane(LANE, 0)
        self._set(state)

    def _set(self, state: str) -> None:
        if state != self.state:
            self.state, self.since_ms = state, self._host.clock.wall_ms()
