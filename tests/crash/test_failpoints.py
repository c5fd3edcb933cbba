"""The table of fail points is true: what it names stands in the code and nothing else does; none acts unasked."""

import ast
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from stentor.aio.failpoints import POINTS, Action, parse
from tests.support.source import modules


def hits() -> Iterator[str]:
    """The name of each point that the engine's code passes."""
    for module in modules("engine"):
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func).removeprefix("failpoints.") in (
                "hit",
                "hit_soon",
            ):
                assert isinstance(node.args[0], ast.Constant), (
                    f"{module.path}:{node.lineno}: name the point in full"
                )
                yield node.args[0].value


def test_every_point_of_the_table_stands_in_the_code_and_the_other_way_round() -> None:
    assert set(hits()) == set(POINTS)


def test_commits_are_surrounded_in_the_pump() -> None:
    (pump,) = [module for module in modules("engine") if module.name == "stentor.aio.pump"]
    calls = [ast.unparse(node.func) for node in ast.walk(pump.tree) if isinstance(node, ast.Call)]
    assert calls.count("failpoints.before_commit") == calls.count("failpoints.after_commit") == 1


@pytest.mark.parametrize(
    ("text", "name", "action"),
    [
        ("checkpoint", "checkpoint", Action.KILL),
        ("checkpoint:3", "checkpoint", Action.KILL),
        ("checkpoint:3:late", "checkpoint", Action.LATE),
        ("drained::stop", "drained", Action.STOP),
    ],
)
def test_the_environment_names_a_point_a_count_and_an_action(text: str, name: str, action: Action) -> None:
    armed = parse(text)
    assert (armed.name, armed.action) == (name, action)


@pytest.mark.parametrize("text", ["nowhere", "checkpoint:soon", "checkpoint:1:explode"])
def test_what_cannot_be_meant_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"nowhere|soon|explode"):
        parse(text)


PROGRAM = """
from stentor.aio import failpoints
for number in range(4):
    print(number, flush=True)
    failpoints.hit("checkpoint")
    failpoints.hit("drained")
"""


@pytest.mark.parametrize(
    ("setting", "printed", "code"),
    [
        ("", 4, 0),
        ("drained:2", 2, -signal.SIGKILL),
        ("checkpoint:4", 4, -signal.SIGKILL),
        ("checkpoint:5", 4, 0),
        ("before-ready", 4, 0),
    ],
)
def test_the_process_dies_at_the_named_point_and_nowhere_else(setting: str, printed: int, code: int) -> None:
    environment = {**os.environ, "STENTOR_FAILPOINT": setting}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, timeout=30)
    assert (len(done.stdout.splitlines()), done.returncode) == (printed, code), done.stderr
