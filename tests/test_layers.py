"""Who may import whom. The tables are the rules, the functions below only read them.

A new room of the engine, or a module at its top, gets a line in FLOORS; a driver's shell, which alone may wait and
hold sockets, one in IMPURE_ALLOWED. Imports go downwards only; what is pure has no clock, no randomness, no I/O, no
event loop.
"""

import graphlib
from collections.abc import Iterable, Mapping, Sequence

import pytest

from tests.support.source import Module, imported, modules

CONTRACT = 1.5  # the driver contract leans on the vocabulary alone; cores and drivers both lean on it
SIDE = 3.5  # stentor.testing stands beside the floors: above the interfaces, below nobody

# Pattern -> floor. "a.b.*" is the package a.b and everything below it; the longest pattern that fits counts.
FLOORS: dict[str, float] = {
    # 1 · vocabulary
    "stentor.errors": 1,
    "stentor.clock": 1,
    "stentor.ids": 1,
    "stentor.message": 1,
    "stentor.outcome": 1,
    "stentor.address": 1,
    "stentor.text.*": 1,
    "stentor.numbers.*": 1,
    "stentor.driver": CONTRACT,
    # 2 · cores
    "stentor.rate": 2,
    "stentor.retry": 2,
    "stentor.guard": 2,
    "stentor.wire.*": 2,
    "stentor.webhooks.*": 2,
    "stentor.routing.*": 2,
    "stentor.pacing.*": 2.1,
    "stentor.journal.*": 2.2,
    "stentor.scheduling.*": 2.3,
    "stentor.settling.*": 2.4,
    "stentor.dispatch.*": 2.5,
    # 3 · interfaces
    "stentor": 3,
    "stentor.config.*": 3,
    "stentor.metrics": 3,
    # 4 · shells
    "stentor.aio.*": 4,
    "stentor.api.*": 4,
    # 5 · assembly
    "stentor.aio.daemon": 5,
    "stentor.cli.*": 5,
    "stentor.__main__": 5,
    # beside
    "stentor.testing.*": SIDE,
}

# Floor 3 programs against what lies below it; these are its only imports of a sibling, and why.
INTERFACE_SIBLINGS: dict[tuple[str, str], str] = {}

IMPURE = {"asyncio", "uvloop", "aiosqlite", "socket", "ssl", "time", "random", "os", "structlog"}

# Pattern -> the impure modules it may import all the same.
IMPURE_ALLOWED = {
    "stentor.clock": {"time"},  # the one module below the shells that reads a clock
    "stentor.testing.*": {"asyncio", "random", "time", "os", "socket"},  # runs drivers, makes seeded worlds
    "stentor_http.driver": {"asyncio"},  # the shell of the driver,
    "stentor_http.reach": {"asyncio"},  # what finds the carrier
    "stentor_http.asking": {"asyncio"},  # what asks it about messages,
    "stentor_http.errands": {"asyncio"},  # and what fetches certificates
    "stentor_smpp.driver": {"asyncio"},  # the shell of the driver,
    "stentor_smpp.bind": {"asyncio"},  # of each of its sessions,
    "stentor_smpp.connection": {"asyncio"},  # of their connections,
    "stentor_smpp.turnstile": {"asyncio"},  # and where they wait for each other
    "stentor_smpp.tls": {"ssl"},  # contexts and errors of TLS
    "stentor_android.driver": {"asyncio"},  # the shell of the driver
}

# What a driver may import of the engine: the public floors, never a shell.
PLUGIN_MAY_IMPORT = {"stentor", "stentor.driver", "stentor.rate", "stentor.retry"}
PLUGIN_MAY_IMPORT |= {"stentor.guard", "stentor.wire.calls", "stentor.wire.asking"}  # HTTP as values,
SHELL_MAY_IMPORT = {"stentor.aio.http"}  # and the client, for a module that IMPURE_ALLOWED lets have asyncio
PLUGIN_MAY_IMPORT |= {pattern for pattern, number in FLOORS.items() if number == 1}

# Bench peers are other processes on another event loop: they share pure modules only.
PEERS = "bench.peers.*"

# Files over 500 lines, and why they are still one idea.
MAX_LINES = 500
LONG_FILES: dict[str, str] = {}


def place(name: str, table: Iterable[str]) -> str | None:
    """The longest pattern of ``table`` that fits the module, or None."""
    fitting = [
        pattern
        for pattern in table
        if name == pattern or (pattern.endswith(".*") and f"{name}.".startswith(pattern[:-1]))
    ]
    return max(fitting, key=len, default=None)


def floor(name: str) -> float:
    pattern = place(name, FLOORS)
    return FLOORS[pattern] if pattern else 0


def allowed_impure(name: str) -> set[str]:
    pattern = place(name, IMPURE_ALLOWED)
    return IMPURE_ALLOWED[pattern] if pattern else set()


def edges(world: Sequence[Module]) -> list[tuple[Module, int, str]]:
    """(importer, line, imported module): names inside a module of the world are cut back to the module."""
    known = {module.name for module in world}
    found: dict[tuple[Module, int, str], None] = {}  # an ordered set: five names of one module are one import
    for module in world:
        for line, name in imported(module):
            while name not in known and name.rpartition(".")[0] in known:
                name = name.rpartition(".")[0]
            found[module, line, name] = None
    return list(found)


def violations(world: Sequence[Module]) -> list[str]:
    """Every breach of the rules in these modules, as ``path:line: sentence``."""
    found = [
        f"{module.path}:1: {module.name} has no floor: add it to FLOORS in tests/test_layers.py"
        for module in world
        if module.folder == "engine" and not floor(module.name)
    ]
    links: dict[str, set[str]] = {}
    drivers = {module.name.partition(".")[0] for module in world if module.folder == "plugins"}
    for module, line, target in edges(world):
        links.setdefault(module.name, set()).add(target)
        rule = {"engine": engine_rule, "plugins": plugin_rule, "bench": bench_rule}[module.folder]
        reason = rule(module.name, target, drivers)
        if reason:
            found.append(f"{module.path}:{line}: {module.name} imports {target}: {reason}")
    try:
        graphlib.TopologicalSorter({name: targets - {name} for name, targets in links.items()}).prepare()
    except graphlib.CycleError as error:
        found.append(f"import cycle: {' -> '.join(reversed(error.args[1]))}")
    return found + room_cycles(links)


def room_cycles(links: Mapping[str, set[str]]) -> list[str]:
    """Rooms of the engine that lead back to themselves. What stands at the top of a floor is in no room."""
    rooms: dict[str, set[str]] = {}
    for name, targets in links.items():
        own = room(name)
        rooms.setdefault(own, set()).update(room(target) for target in targets)
    graph = {own: targets - {own, ""} for own, targets in rooms.items() if own}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return [f"rooms in a circle: {' -> '.join(reversed(error.args[1]))}"]
    return []


def room(name: str) -> str:
    """The package a module of the engine is in; "" for one at the top, and for what is no module of it."""
    if name.startswith("stentor.testing."):
        return "stentor.testing"  # its packages are shelves
    package = name.rpartition(".")[0]
    return package if package.startswith("stentor.") and package != "stentor.aio" else ""


def engine_rule(name: str, target: str, drivers: set[str]) -> str | None:
    top, here, there = target.partition(".")[0], floor(name), floor(target)
    if top in drivers or top in ("bench", "tests"):
        return "the engine knows no driver by name, no bench and no test"
    if top in IMPURE and here < 4 and top not in allowed_impure(name):
        return f"{top} belongs to the shells, floors 4 and 5"
    if there == SIDE and here != SIDE:
        return "the testing kit is for plugin authors, not for the engine"
    if there > here > 0:
        return f"floor {here:g} may not look up to floor {there:g}"
    siblings = (place(name, FLOORS), place(target, FLOORS))
    if here == there == 3 and siblings[0] != siblings[1] and siblings not in INTERFACE_SIBLINGS:
        return "interfaces do not import each other: see INTERFACE_SIBLINGS"
    return None


def plugin_rule(name: str, target: str, drivers: set[str]) -> str | None:
    top, own = target.partition(".")[0], name.partition(".")[0]
    if top in (drivers - {own}) | {"bench", "tests"}:
        return "a driver knows itself and the engine's public floors"
    if top in IMPURE and top not in allowed_impure(name):
        return f"{top} belongs to the driver's shell: see IMPURE_ALLOWED"
    if target in SHELL_MAY_IMPORT:
        return None if "asyncio" in allowed_impure(name) else "the client belongs to the driver's shell"
    if top == "stentor" and not place(target, PLUGIN_MAY_IMPORT):
        return "not a public floor: see PLUGIN_MAY_IMPORT"
    return None


def bench_rule(name: str, target: str, drivers: set[str]) -> str | None:
    if place(name, [PEERS]) is None:
        return None
    top = target.partition(".")[0]
    if top in ("asyncio", "uvloop", "aiosqlite"):
        return "peers run on trio"
    if top == "stentor" and floor(target) >= 3:
        return "peers share floors 1 and 2 only"
    if top in drivers and allowed_impure(target):
        return "peers share the drivers' pure modules only"
    return None


def too_long(world: Sequence[Module]) -> list[str]:
    return [
        f"{module.path}: {lines} lines, {MAX_LINES} at most: split it, or give the reason in LONG_FILES"
        for module in world
        if (lines := module.text.count("\n")) > MAX_LINES and module.path not in LONG_FILES
    ]


def test_the_repository_keeps_the_rules() -> None:
    found = violations(modules("engine", "plugins", "bench"))
    assert not found, "\n".join(found)


def test_no_file_is_too_long_without_a_reason() -> None:
    found = too_long(modules())
    assert not found, "\n".join(found)


def test_exceptions_name_what_exists() -> None:
    paths = {module.path for module in modules()}
    names = [module.name for module in modules()]
    assert [path for path in LONG_FILES if path not in paths] == []
    assert [name for name in IMPURE_ALLOWED if not any(place(module, [name]) for module in names)] == []


def world(**sources: str) -> list[Module]:
    """Modules from sources: ``stentor__rate`` is stentor.rate, ``stentor_x__pdu`` a module of a driver."""
    made = []
    for key, text in sources.items():
        name = key.replace("__", ".")
        top = name.partition(".")[0]
        folder = {"stentor": "engine", "bench": "bench"}.get(top, "plugins")
        made.append(Module(name, f"{folder}/{name.replace('.', '/')}.py", text))
    return made


@pytest.mark.parametrize(
    ("sources", "sentence"),
    [
        ({"stentor__novel": ""}, "add it to FLOORS"),
        ({"stentor__ids": "import stentor.rate"}, "floor 1 may not look up to floor 2"),
        ({"stentor__rate": "from stentor import config"}, "floor 2 may not look up to floor 3"),
        (
            {"stentor__aio__pump": "from .daemon import Daemon", "stentor__aio__daemon": ""},
            "floor 4 may not look up to floor 5",
        ),
        ({"stentor__config": "import stentor.aio.journal.writer"}, "floor 3 may not look up to floor 4"),
        ({"stentor__testing__host": "import stentor.aio.pump"}, "floor 3.5 may not look up to floor 4"),
        (
            {"stentor__pacing__gate": "import stentor.scheduling.lanes"},
            "floor 2.1 may not look up to floor 2.3",
        ),
        ({"stentor__rate": "import time"}, "time belongs to the shells"),
        ({"stentor__rate": "def f():\n    from asyncio import sleep"}, "asyncio belongs to the shells"),
        ({"stentor__clock": "import random"}, "random belongs to the shells"),
        ({"stentor__metrics": "import os.path"}, "os belongs to the shells"),
        ({"stentor__driver": "import stentor.rate"}, "floor 1.5 may not look up to floor 2"),
        ({"stentor__metrics": "import stentor.config"}, "INTERFACE_SIBLINGS"),
        ({"stentor__aio__pump": "import stentor.testing.host"}, "for plugin authors"),
        ({"stentor__aio__plugins": "import stentor_x.driver", "stentor_x__driver": ""}, "no driver by name"),
        ({"stentor__cli__bench": "import bench.run"}, "no bench"),
        ({"stentor_x__driver": "import stentor.aio.client"}, "not a public floor"),
        ({"stentor_x__pdu": "import stentor.aio.http"}, "the driver's shell"),
        ({"stentor_x__driver": "import stentor.scheduling.scheduler"}, "not a public floor"),
        ({"stentor_x__pdu": "import socket"}, "the driver's shell"),
        ({"stentor_x__pdu": "import stentor_y.pdu", "stentor_y__pdu": ""}, "a driver knows itself"),
        ({"bench__peers__smsc": "import asyncio"}, "peers run on trio"),
        ({"bench__peers__smsc": "import stentor.aio.client"}, "floors 1 and 2 only"),
        (
            {"bench__peers__smsc": "import stentor_smpp.driver", "stentor_smpp__driver": ""},
            "pure modules only",
        ),
        (
            {
                "stentor__pacing__quota": "from stentor.pacing.window import x",
                "stentor__pacing__window": "import stentor.pacing.quota",
            },
            "import cycle: ",
        ),
        (
            {
                "stentor__api__x": "import stentor.aio.server.y",
                "stentor__aio__server__y": "import stentor.api.z",
                "stentor__api__z": "",
            },
            "rooms in a circle: ",
        ),
    ],
)
def test_each_rule_bites(sources: dict[str, str], sentence: str) -> None:
    found = violations(world(**sources))
    assert len(found) == 1
    assert sentence in found[0]


def test_what_is_allowed_passes() -> None:
    allowed = world(
        stentor__clock="import time",
        stentor__rate="from stentor.clock import Clock\nimport msgspec",
        stentor__dispatch__dispatcher="from stentor import rate",
        stentor__config__load="from stentor.driver import DriverSpec\nfrom stentor.config import fields",
        stentor__config__fields="",
        stentor__config__reload="from stentor.config.load import Config",
        stentor__driver="from stentor.errors import Refusal",
        stentor__aio__pump="import asyncio, time\nfrom stentor import __version__",
        stentor__cli__serve="from stentor.aio.daemon import Daemon",
        stentor__testing__host="import random, asyncio\nfrom stentor.config import Config",
        stentor_smpp__driver="import asyncio\nfrom stentor_smpp import pdu\nfrom stentor.driver import Host\n"
        "from stentor.aio.http import Client",
        stentor__aio__http="",
        stentor_smpp__pdu="import struct",
        bench__peers__smsc="import trio, time, stentor_smpp.pdu\nfrom stentor.text import gsm0338",
        bench__run="import asyncio\nfrom stentor.aio.client import Client",
    )
    assert violations(allowed) == []


def test_a_file_over_the_limit_needs_a_reason() -> None:
    assert len(too_long([Module("a", "engine/a.py", "\n" * (MAX_LINES + 1))])) == 1
    assert too_long([Module("a", "engine/a.py", "\n" * MAX_LINES)]) == []
