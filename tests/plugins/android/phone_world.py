"""A driver for phones with its host in memory and in virtual time, and exchanges written as they are on the wire."""

import asyncio
import base64
import json

import msgspec

from stentor.message import Priority
from stentor.outcome import Submission
from stentor.testing.host import LoopClock, MemoryHost
from stentor.testing.vloop import run_virtual
from stentor.text.segments import Encoding
from stentor_android.config import AndroidConfig
from stentor_android.driver import AndroidDriver

BASE = "/api/mobile/v1"
PRIVATE = "enroll-north-7f3a"
AGENT = "me.capcom.smsgateway/1.68.0"


def submission(token, to="+15550100042", text="Your code is 4821", **changes):
    made = Submission(
        token=token,
        attempt=1,
        to=to,
        originator="+15550100001",
        encoding=Encoding.GSM7,
        data=b"",
        udh=b"",
        index=1,
        segments=1,
        wants_receipt=True,
        valid_for_s=3600,
        priority=Priority.NORMAL,
        text=text,
    )
    return msgspec.structs.replace(made, **changes)


class PhoneWorld:
    """One incarnation; ``again`` makes the next, which remembers what this one kept."""

    def __init__(self, loop, memory=None, **config):
        self.loop = loop
        self.table = {"url": "https://gw.example.test", "private_token": PRIVATE, **config}
        self.host = MemoryHost(LoopClock(loop), "phones")
        self.host.memory = {} if memory is None else memory
        self.host.durable_memory = dict(self.host.memory)
        self.driver = AndroidDriver(msgspec.convert(self.table, AndroidConfig), self.host)
        self.driver.gather_s = 0.0
        self.life = None

    async def begin(self):
        self.life = asyncio.ensure_future(self.driver.run())
        await asyncio.sleep(0)
        return self

    async def again(self, drain_s=0.0):
        await self.finish(drain_s)
        return await PhoneWorld(self.loop, self.host.memory, **self.table).begin()

    async def finish(self, drain_s=0.0):
        await self.driver.drain(self.host.clock.now() + drain_s)
        await asyncio.wait([self.life], timeout=1.0)
        self.host.end()
        self.host.verify()

    def ask(self, method, path, body=None, authorization=None, agent=AGENT, base=BASE, **more):
        headers = {"User-Agent": agent, **more.pop("headers", {})}
        if authorization:
            headers["Authorization"] = authorization
        octets = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        return self.host.ask(method, base + path, octets, headers, **more)

    def register(self, authorization=f"Bearer {PRIVATE}", agent=AGENT, **body):
        body = {"name": "samsung/beyond0ltexx", "simCards": [{"slotIndex": 0, "simNumber": 1}], **body}
        return AppPhone(self, self.ask("POST", "/device", body, authorization, agent), agent)

    def people(self, method, path="", body=None):
        """A request of the command line."""
        return self.ask(method, f"/phones{path}", body, base="/in/phones", address="")

    def submit(self, *batch):
        self.host.submit(self.driver, "fleet", list(batch))

    @property
    def counters(self):
        return self.driver.status().counters


class AppPhone:
    """A phone that registered."""

    def __init__(self, world, visit, agent=AGENT):
        self.world, self.visit, self.agent = world, visit, agent
        told = json.loads(visit.sent)
        self.id, self.token, self.login = told.get("id"), told.get("token"), told.get("login")
        self.password = told.get("password")

    def ask(self, method, path, body=None, **more):
        return self.world.ask(method, path, body, f"Bearer {self.token}", self.agent, **more)

    def stream(self):
        return self.ask("GET", "/events")

    def pull(self, query="?order=fifo"):
        visit = self.ask("GET", f"/message{query}")
        assert visit.status == 200
        return json.loads(visit.sent)

    def report(self, message_id, number, state, error=None, states=None):
        told = {"phoneNumber": number, "state": state, **({"error": error} if error else {})}
        states = {state: "2026-07-01T09:15:02.310+02:00"} if states is None else states
        body = [{"id": message_id, "state": state, "recipients": [told], "states": states}]
        return self.ask("PATCH", "/message", body)

    @property
    def basic(self):
        return "Basic " + base64.b64encode(f"{self.login}:{self.password}".encode()).decode()


def kinds(world):
    return [type(each).__name__ for each in world.host.order]


def add(world, name):
    """Invite a phone and let it register."""
    told = json.loads(world.people("POST", body={"name": name}).sent)
    assert told["url"] == "https://gw.example.test/api/mobile/v1"
    return world.register(f"Bearer {told['token']}"), told["token"]


def played(scene, **config):
    """Play a scene in virtual time and end it as the engine would."""

    async def life(loop):
        world = await PhoneWorld(loop, **config).begin()
        last = await scene(world)
        last = last if isinstance(last, PhoneWorld) else world
        if not last.host.is_over:
            await last.finish()
        assert not loop.errors, loop.errors

    run_virtual(life)
