"""The habits of the house as tests. Each rule is a function from a module to sentences, and is itself tested.

An exception is a line in a table below with its reason; there is no other way around a rule.
"""

import ast
import re
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from tests.support.source import ROOT, Module, imported, modules, text_files

MAX_FUNCTION_LINES = 60

# "path::function" -> why it is longer.
LONG_FUNCTIONS: dict[str, str] = {}

# Module -> why it may start tasks by itself.
TASK_MAKERS = {
    "stentor.aio.supervisor": "the one place where tasks are made",
    "stentor.aio.client": "runs in programs of others, who have no supervisor; it waits for its own task",
    "stentor.aio.http.resolve": "a lookup outlives whoever asked first; close() waits for it",
    "stentor.aio.server.server": "one short task for each connection that opens; its end is looked at",
}

# Module -> why it may sleep.
SLEEPERS = {"tests.support.waiting": "polls other processes, which send no event"}

# Folder -> the document that must stand in it.
DOCUMENTS = {
    "bench": "README.md",
    "config": "README.md",
    "engine": "ARCHITECTURE.md",
    "plugins": "README.md",
    "systemd": "README.md",
}

# Words that name something the house has one other word for: synonym -> the word.
SYNONYMS = {
    "tenant": "account",
    "recipient": "destination",
    "sender": "originator",
    "gateway": "channel",
    "provider": "channel",
    "connector": "route or channel",
    "manager": "dispatcher, supervisor, or what it really does",
    "notification": "event",
    "fragment": "segment",
    "semaphore": "window",
}

# Paths of a developer's machine. Written so that they do not find themselves.
FOREIGN_PATH = re.compile(r"(?<![\w.])/(?:work|root|home|Users)/[\w.]|\.py" "env")

Rule = Callable[[Module], Iterator[str]]


def engine_or_plugin(module: Module) -> bool:
    return module.folder in ("engine", "plugins")


def has_docstring(module: Module) -> Iterator[str]:
    if not ast.get_docstring(module.tree):
        yield "1: a module begins with a docstring that says what it owns"


def starts_no_task(module: Module) -> Iterator[str]:
    """A TaskGroup is fine, it looks at how its tasks end; a loop's or asyncio's own create_task does not."""
    if not engine_or_plugin(module) or module.name in TASK_MAKERS:
        return
    for line, name in imported(module):
        if name in ("asyncio.create_task", "asyncio.ensure_future"):
            yield f"{line}: tasks are started by the supervisor or a TaskGroup"
    for call in calls(module):
        if re.search(r"(asyncio|loop\w*(\(\))?)\.(create_task|ensure_future)$", ast.unparse(call.func)):
            yield f"{call.lineno}: tasks are started by the supervisor or a TaskGroup"


def does_not_sleep(module: Module) -> Iterator[str]:
    if module.folder == "bench" or module.name in SLEEPERS:
        return
    for line, name in imported(module):
        if name == "time.sleep":
            yield f"{line}: wait for an event; tests/support/waiting.py waits for other processes"
    for call in calls(module):
        if ast.unparse(call.func) == "time.sleep":
            yield f"{call.lineno}: wait for an event; tests/support/waiting.py waits for other processes"


def prints_in_the_cli_only(module: Module) -> Iterator[str]:
    if not engine_or_plugin(module) or module.name.startswith("stentor.cli"):
        return
    for call in calls(module):
        if ast.unparse(call.func) == "print":
            yield f"{call.lineno}: only the command line prints; the rest logs or returns"


def swallows_nothing(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.ExceptHandler):
            continue
        if node.type is None:
            yield f"{node.lineno}: a bare except catches what nobody can name"
        elif names_everything(node.type) and all(is_nothing(statement) for statement in node.body):
            yield f"{node.lineno}: every exception there is, swallowed"


def fits_a_screen(module: Module) -> Iterator[str]:
    if module.folder == "tests":
        return  # a test's table may be as long as its subject
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > MAX_FUNCTION_LINES and f"{module.path}::{node.name}" not in LONG_FUNCTIONS:
                yield f"{node.lineno}: {node.name} has {lines} lines, {MAX_FUNCTION_LINES} at most"


def can_fail(module: Module) -> Iterator[str]:
    if module.folder != "tests":
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Assert) and is_always_true(node.test):
            yield f"{node.lineno}: an assertion that cannot fail"


def speaks_the_glossary(module: Module) -> Iterator[str]:
    if module.folder != "engine":
        return
    for line, identifier in identifiers(module):
        for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", identifier):
            if word.lower() in SYNONYMS:
                yield f"{line}: {identifier}: not {word.lower()} but {SYNONYMS[word.lower()]}"


def suppresses_with_a_reason(module: Module) -> Iterator[str]:
    """``# noqa: E501 - why`` or ``# type: ignore[code]  # why``, or a comment on the line above."""
    lines = module.text.splitlines()
    for number, line in enumerate(lines, start=1):
        found = re.search(r"#\s*(?:noqa|type:\s*ignore)\b([^#]*)(.*)$", line)
        if found and is_code_before(line, found.start()):
            said = re.sub(r"^[:\s]*(\[[^\]]*\]|[A-Z]+\d+([,\s]+[A-Z]+\d+)*)?", "", found[1]) + found[2]
            above = lines[number - 2].strip() if number > 1 else ""
            if len(said.strip(" #-:")) < 8 and not above.startswith("#"):
                yield f"{number}: a suppression says why"


RULES: list[Rule] = [
    has_docstring,
    starts_no_task,
    does_not_sleep,
    prints_in_the_cli_only,
    swallows_nothing,
    fits_a_screen,
    can_fail,
    speaks_the_glossary,
    suppresses_with_a_reason,
]


def calls(module: Module) -> Iterator[ast.Call]:
    return (node for node in ast.walk(module.tree) if isinstance(node, ast.Call))


def names_everything(type_: ast.expr) -> bool:
    return ast.unparse(type_) in ("Exception", "BaseException")


def is_always_true(expression: ast.expr) -> bool:
    if isinstance(expression, ast.Tuple):
        return bool(expression.elts)
    return isinstance(expression, ast.Constant) and bool(expression.value)


def is_nothing(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Pass | ast.Continue) or (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    )


def is_code_before(line: str, column: int) -> bool:
    """A suppression stands after code; a mention of one in a docstring or string does not count."""
    before = line[:column].strip()
    return bool(before) and not before.startswith("#") and before.count('"') % 2 == 0 and "``" not in before


def identifiers(module: Module) -> Iterator[tuple[int, str]]:
    """What a module names itself: functions, classes, arguments, variables and attributes it assigns."""
    for node in ast.walk(module.tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.lineno, node.name
            case ast.arg():
                yield node.lineno, node.arg
            case ast.Name(ctx=ast.Store()):
                yield node.lineno, node.id
            case ast.Attribute(ctx=ast.Store()):
                yield node.lineno, node.attr


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_module_keeps_the_rule(rule: Rule) -> None:
    found = [f"{module.path}:{sentence}" for module in modules() for sentence in rule(module)]
    assert not found, "\n".join(found)


def test_nothing_points_into_a_developers_machine() -> None:
    found = []
    for path in text_files():
        for number, line in enumerate(path.read_bytes().decode(errors="replace").splitlines(), start=1):
            if FOREIGN_PATH.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}")
    assert not found, "\n".join(found)


def test_each_folder_has_its_document() -> None:
    expected = [ROOT / folder / name for folder, name in DOCUMENTS.items()]
    assert [str(path.relative_to(ROOT)) for path in expected if not path.is_file()] == []


def test_test_files_have_names_of_their_own_and_stand_in_no_package() -> None:
    files = [path.name for path in (ROOT / "tests").rglob("*.py")]
    assert [name for name, count in Counter(files).items() if count > 1 and name.startswith("test_")] == []
    assert "__init__.py" not in files


def test_exceptions_to_the_rules_name_what_exists() -> None:
    names = {module.name for module in modules()}
    assert [name for name in [*TASK_MAKERS, *SLEEPERS] if name not in names] == []
    functions = {
        f"{module.path}::{node.name}"
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert [name for name in LONG_FUNCTIONS if name not in functions] == []


ENGINE, CLI, TEST = "engine/stentor/x.py", "engine/stentor/cli/x.py", "tests/x.py"
LONG_BODY = "def f():\n" + "    x = 1\n" * MAX_FUNCTION_LINES


@pytest.mark.parametrize(
    ("rule", "path", "source", "breaches"),
    [
        (has_docstring, ENGINE, "x = 1", 1),
        (has_docstring, ENGINE, '"""Owns x."""', 0),
        (starts_no_task, ENGINE, "asyncio.create_task(f())", 1),
        (starts_no_task, ENGINE, "self._loop.create_task(f())", 1),
        (starts_no_task, ENGINE, "asyncio.get_running_loop().create_task(f())", 1),
        (starts_no_task, ENGINE, "asyncio.ensure_future(f())", 1),
        (starts_no_task, ENGINE, "from asyncio import create_task", 1),
        (starts_no_task, ENGINE, "group.create_task(f())", 0),
        (starts_no_task, TEST, "asyncio.create_task(f())", 0),
        (does_not_sleep, ENGINE, "time.sleep(1)", 1),
        (does_not_sleep, TEST, "from time import sleep", 1),
        (does_not_sleep, TEST, "await asyncio.sleep(0)", 0),
        (prints_in_the_cli_only, ENGINE, "print(1)", 1),
        (prints_in_the_cli_only, CLI, "print(1)", 0),
        (swallows_nothing, ENGINE, "try: f()\nexcept: g()", 1),
        (swallows_nothing, ENGINE, "try: f()\nexcept Exception: pass", 1),
        (swallows_nothing, ENGINE, "while 1:\n try: f()\n except BaseException: continue", 1),
        (swallows_nothing, ENGINE, "try: f()\nexcept Exception: 'why not'", 1),
        (swallows_nothing, ENGINE, "try: f()\nexcept OSError: pass", 0),
        (swallows_nothing, ENGINE, "try: f()\nexcept Exception as error: log(error)", 0),
        (fits_a_screen, ENGINE, LONG_BODY, 1),
        (fits_a_screen, ENGINE, LONG_BODY.rpartition("    x")[0], 0),
        (can_fail, TEST, "assert True", 1),
        (can_fail, TEST, "assert 1, 'yes'", 1),
        (can_fail, TEST, "assert (x == 1, 'oops')", 1),
        (can_fail, TEST, "assert False, 'not reached'", 0),
        (can_fail, TEST, "assert x", 0),
        (speaks_the_glossary, ENGINE, "def find_recipient(): ...", 1),
        (speaks_the_glossary, ENGINE, "class SessionManager: ...", 1),
        (speaks_the_glossary, ENGINE, "self.tenant_id = 1", 1),
        (speaks_the_glossary, ENGINE, "def f(sender): ...", 1),
        (speaks_the_glossary, ENGINE, "message.originator = x", 0),
        (suppresses_with_a_reason, ENGINE, "x = 1  # noqa: E501", 1),
        (suppresses_with_a_reason, ENGINE, "x = f()  # type: ignore[misc]", 1),
        (suppresses_with_a_reason, ENGINE, "x = f()  # type: ignore[misc]  # the stub lacks it", 0),
        (suppresses_with_a_reason, ENGINE, "x = 1  # noqa: E501 - a URL has no better place to break", 0),
        (suppresses_with_a_reason, ENGINE, "# the stub lacks it\nx = f()  # type: ignore[misc]", 0),
    ],
)
def test_each_rule_bites_and_lets_good_code_pass(rule: Rule, path: str, source: str, breaches: int) -> None:
    name = path.partition("/")[2].removesuffix(".py").replace("/", ".")
    assert len(list(rule(Module(name, path, source)))) == breaches


@pytest.mark.parametrize("top", ["work", "root", "home", "Users"])
def test_a_developers_path_is_found_and_a_relative_one_is_not(top: str) -> None:
    assert FOREIGN_PATH.search(f"see /{top}/x/notes.md")
    assert not FOREIGN_PATH.search(f"see docs/{top}/x")
    assert not FOREIGN_PATH.search(f"see ./{top}/x")
