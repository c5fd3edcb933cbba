"""Group 1, declaration: what a driver says about itself before it runs."""

import importlib
import re
import subprocess
import sys
from typing import Final

import msgspec

from stentor.driver import CONTRACT_VERSION, DriverSpec
from stentor.outcome import Deferred, Refused, Sent
from stentor.testing.checks.registry import check, scene
from stentor.testing.peer import Answer, Can, Login
from stentor.testing.world import CANARY, Subject, World, play

_GROUP: Final = "declaration"

_PROBE: Final = """
import sys, threading
told = []
def watch(event, args):
    if event.startswith(("socket.", "subprocess.", "os.system", "os.remove", "os.mkdir", "shutil.", "urllib.")):
        told.append(event)
    elif event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+"):
        told.append(f"open of {args[0]} for writing")
import asyncio, importlib, msgspec, stentor.driver
sys.addaudithook(watch)
importlib.import_module(MODULE)
if threading.active_count() > 1:
    told.append("a thread")
print("; ".join(told))
"""


@check(_GROUP)
def the_spec_is_complete(subject: Subject) -> None:
    """The spec names driver, contract and a config that is closed; secrets are fields of it."""
    spec = subject.spec
    assert re.fullmatch(r"[a-z][a-z0-9_]*", spec.name), (
        f"name {spec.name!r}: lower case letters, digits and _"
    )
    assert spec.contract == CONTRACT_VERSION, f"contract {spec.contract}, this kit checks {CONTRACT_VERSION}"
    assert issubclass(spec.config, msgspec.Struct), "config is no msgspec.Struct"
    assert spec.config.__struct_config__.forbid_unknown_fields, "config lacks forbid_unknown_fields"
    assert spec.config.__struct_config__.frozen, "config is not frozen: a driver must not change it"
    fields = {item.name for item in msgspec.structs.fields(spec.config)}
    assert spec.secrets <= fields, f"secrets that config has not: {sorted(spec.secrets - fields)}"
    config = subject.config()
    if spec.check is not None:
        spec.check(config)


@check(_GROUP)
def the_capabilities_are_consistent(subject: Subject) -> None:
    """Capabilities use the contract's words and do not contradict each other."""
    capabilities = subject.spec.capabilities(subject.config())
    assert capabilities.unit in ("segment", "message"), f"unit {capabilities.unit!r}"
    assert capabilities.receipts in ("none", "segment", "message"), f"receipts {capabilities.receipts!r}"
    assert capabilities.batch_limit >= 1, "a batch of nothing"
    assert capabilities.encodings, "no encoding at all"
    assert not (capabilities.unit == "message" and capabilities.receipts == "segment"), (
        "receipts for segments of a driver that never sees one"
    )
    assert subject.spec.capabilities(subject.config()) == capabilities, "asked twice, two answers"


@check(_GROUP)
def the_config_refuses_unknown_keys(subject: Subject) -> None:
    """A key with a spelling mistake is refused, not ignored."""
    table = {**subject.full_table(), "no_such_key": 1}
    try:
        msgspec.convert(table, subject.spec.config)
    except msgspec.ValidationError as error:
        refusal = str(error)
    else:
        raise AssertionError("an unknown key was accepted")
    assert "no_such_key" in refusal, f"the refusal does not name the key: {refusal}"


@check(_GROUP)
def importing_does_nothing_else(subject: Subject) -> None:
    """Importing the module opens no socket, writes no file, starts no thread or process."""
    if subject.entry is None:
        return
    module, _, name = subject.entry.partition(":")
    assert isinstance(getattr(importlib.import_module(module), name), DriverSpec), (
        f"{subject.entry} is no DriverSpec"
    )
    probe = _PROBE.replace("MODULE", repr(module))
    command = [sys.executable, "-B", "-c", probe]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"the module cannot be imported by itself: {done.stderr.strip()[-300:]}"
    assert not done.stdout.strip(), f"importing has side effects: {done.stdout.strip()}"


@check(_GROUP)
def making_a_driver_does_nothing(subject: Subject) -> None:
    """``make`` connects nowhere and declares no lane; ``status`` works before ``run``."""

    async def made(world: World) -> None:
        world.driver.status()
        await world.until(lambda: world.loop.time() > 60, "a minute")
        assert not world.network.attempts, "make connected"
        assert not world.host.lanes, "make declared a lane"

    play(subject, made, is_begun=False)


@scene(_GROUP, Can.SUBMITS, Can.REFUSE)
async def secrets_stay_secret(world: World) -> None:
    """No secret shows in status, log lines, errors or outcomes, whatever goes wrong."""
    world.peer.login = Login.REFUSE if Can.LOGIN in world.peer.can else Login.ACCEPT
    await world.until(lambda: world.loop.time() > 30, "half a minute")
    world.look_for_secrets()
    world.peer.login = Login.ACCEPT
    await world.ready()
    for answer in (Answer.REFUSED, Answer.DEFERRED, Answer.SENT):
        world.peer.answer = answer
        await world.send([world.submission(), world.submission(originator=CANARY.replace("-", ""))])
    world.network.reset_all()
    world.look_for_secrets()
    kinds = {type(outcome) for outcome in world.host.order}
    assert kinds == {Refused, Deferred, Sent}, f"the answers became {sorted(kind.__name__ for kind in kinds)}"
