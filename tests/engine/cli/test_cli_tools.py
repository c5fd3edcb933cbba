"""Everything that needs no daemon: usage, exit codes, inspect, check, the tools of plugins."""

import argparse
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from stentor import __version__
from stentor.cli import explain, main, screen
from stentor.cli.link import DEFAULT_SOCKET
from stentor.cli.parser import build
from stentor.text.coding import Coding
from stentor.text.inspection import inspect
from stentor.text.languages import Language
from tests.engine.cli.conftest import FakeDaemon, Run

COMMANDS = (
    "serve",
    "check",
    "send",
    "show",
    "messages",
    "cancel",
    "status",
    "channels",
    "events",
    "inspect",
    "smpp",
)
ENQUIRE_LINK = "00000010000000150000000000000001"
RECEIPT = "id:abc sub:001 dlvrd:001 submit date:2401011200 done date:2401011201 stat:DELIVRD err:000 text:hi"


def feed(monkeypatch: pytest.MonkeyPatch, octets: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(octets)))


@pytest.mark.parametrize("arguments", [(), *((command,) for command in COMMANDS), ("smpp", "decode")])
def test_help_is_everywhere(run: Run, arguments: tuple[str, ...]) -> None:
    result = run(*arguments, "--help")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(f"usage: stentor {' '.join(arguments)}".rstrip())
    if not arguments:
        assert all(re.search(rf"^    {command} ", result.out, re.MULTILINE) for command in COMMANDS)


def without_help(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Arguments that ``--help`` names and says nothing about, those of inner commands too."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from without_help(inner)
        elif not action.help:
            yield f"{parser.prog} {action.metavar or action.dest}"


def test_the_help_says_what_each_argument_is() -> None:
    assert list(without_help(build(COMMANDS))) == []


def test_the_default_socket_in_the_help_is_the_default(run: Run) -> None:
    assert DEFAULT_SOCKET in run("status", "--help").out


def test_version(run: Run) -> None:
    assert run("--version").out == f"stentor {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("sned",),
        ("send", "text"),
        ("send", "--to", "+4"),
        ("send", "--to", "+4", "--priority", "soon", "x"),
        ("send", "--to", "+4", "--at", "soon", "x"),
        ("messages", "--limit", "0"),
        ("messages", "--limit", "many"),
        ("messages", "--status", "lost"),
        ("messages", "--since", "yesterday"),
        ("show",),
        ("status", "--verbose"),
        ("inspect", "--encoding", "morse", "x"),
        ("smpp",),
        ("smpp", "encode", "x"),
        ("serve",),
        ("check",),
    ],
)
def test_wrong_usage_is_2_and_a_sentence(run: Run, arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("stentor: ")


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (("status", "--verbose"), "stentor status"),
        (("status", "more"), "stentor status"),
        (("webhooks", "add", "https://example.org", "--verbose"), "stentor webhooks add"),
        (("webhooks", "--verbose"), "stentor webhooks"),
        (("--verbose", "status"), "stentor"),
    ],
)
def test_a_wrong_option_points_to_the_help_of_its_command(
    run: Run, arguments: tuple[str, ...], command: str
) -> None:
    assert run(*arguments).err.endswith(f"Try `{command} --help`.\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ("send", "--to", "+4", "x"),
        ("show", "i"),
        ("messages",),
        ("cancel", "i"),
        ("status",),
        ("channels",),
        ("events",),
    ],
)
def test_without_a_daemon_it_is_3_and_what_to_do(
    run: Run, socket_dir: Path, arguments: tuple[str, ...]
) -> None:
    path = str(socket_dir / "s")
    result = run(*arguments, "--socket", path)
    assert (result.code, result.out) == (3, "")
    assert f"Cannot reach the daemon at {path}: there is no such socket." in result.err
    assert "stentor serve --config FILE" in result.err


def test_a_file_that_is_no_socket_is_out_of_reach(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.touch()
    result = run("status", "--socket", str(path))
    assert result.code == 3
    assert "nobody listens there" in result.err


# -- inspect --------------------------------------------------------------------------------


def test_inspect_tells_encoding_segments_and_units(run: Run) -> None:
    assert run("inspect", "hello €").out == "gsm7, 1 segment, 8 septets used, 152 left\n"
    assert run("inspect", "x" * 161).out.splitlines() == [
        "gsm7, 2 segments, 161 septets used, 145 left",
        "  1  153 septets  header 050003000201",
        "  2    8 septets  header 050003000202",
    ]
    assert (
        run("inspect", "--encoding", "ucs2", "x").out
        == "ucs2, 1 segment, 1 UTF-16 code units used, 69 left\n"
    )


def test_inspect_as_json_has_udh_and_data_of_each_segment(run: Run) -> None:
    found = run("inspect", "--json", "a€" + "x" * 160).json
    assert {
        key: found[key] for key in ("encoding", "segments", "units", "units_left", "units_per_segment")
    } == {
        "encoding": "gsm7",
        "segments": 2,
        "units": 163,
        "units_left": 143,
        "units_per_segment": [153, 10],
    }
    first = found["segment_list"][0]
    assert (first["index"], first["units"], first["udh"]) == (1, 153, "050003000201")
    assert first["data"].startswith("611b6578")


def test_a_text_that_cannot_be_sent_as_wanted_fails_with_the_reason(run: Run) -> None:
    result = run("inspect", "--encoding", "gsm7", "я")
    assert result.code == 1
    assert "U+044F" in result.err
    result = run("inspect", "--json", "--encoding", "gsm7", "я")
    assert (result.code, result.json["error"]["code"]) == (1, "not_gsm7")


def test_inspect_asks_the_daemon_how_one_of_its_channels_would_cut(run: Run, daemon: FakeDaemon) -> None:
    daemon.answers["POST /v1/inspect"] = msgspec.json.decode(
        msgspec.json.encode(inspect("ş" * 153, coding=Coding(languages=(Language.TURKISH,))))
    )
    result = run("inspect", "--channel", "alpha", "--socket", str(daemon.path), "ş" * 153)
    assert result.out.splitlines() == [
        "gsm7, 1 segment, 153 septets used, 2 left",
        "  turkish locking shift table",
    ]
    assert daemon.requests[0][3] == {"text": "ş" * 153, "encoding": "auto", "channel": "alpha"}
    result = run("inspect", "--json", "--to", "+90555", "--socket", str(daemon.path), "ş")
    assert result.json["locking_shift"] == "turkish"
    assert daemon.requests[1][3] == {"text": "ş", "encoding": "auto", "to": "+90555"}


def test_inspect_tells_what_the_daemon_refuses(
    run: Run, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = {
        "title": "x",
        "status": 422,
        "detail": "there is no channel of this name",
        "errors": [{"path": "$.channel", "detail": "there is no channel of this name"}],
    }
    daemon.answers["POST /v1/inspect"] = (422, problem)
    options = ("--channel", "nowhere", "--socket", str(daemon.path))
    result = run("inspect", *options, "x")
    assert result.code == 1
    assert "channel: there is no channel of this name" in result.err
    feed(monkeypatch, b"one\ntwo\n")
    result = run("inspect", *options, "-")
    assert result.code == 1
    assert [msgspec.json.decode(line)["error"]["code"] for line in result.out.splitlines()] == ["refused"] * 2


def test_inspect_without_the_daemon_it_needs_cannot_reach_it(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("inspect", "--to", "+4070", "--socket", str(tmp_path / "s"), "x").code == 3
    feed(monkeypatch, b"one\n")
    assert run("inspect", "--to", "+4070", "--socket", str(tmp_path / "s"), "-").code == 3


def test_inspect_answers_each_line_of_standard_input(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    feed(monkeypatch, "hello\n\n  ü \r\n\U0001f600".encode())
    result = run("inspect", "-")
    answers = [msgspec.json.decode(line) for line in result.out.splitlines()]
    assert [(answer["encoding"], answer["units"]) for answer in answers] == [
        ("gsm7", 5),
        ("gsm7", 0),
        ("gsm7", 4),
        ("ucs2", 2),
    ]
    assert (result.code, result.err) == (0, "")


def test_a_line_that_is_no_text_harms_no_other(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    feed(monkeypatch, b"a\nb\xff\n" + b"x" * (2 << 20) + b"\nc\n")
    result = run("inspect", "-")
    answers = [msgspec.json.decode(line) for line in result.out.splitlines()]
    assert [answer.get("error", {}).get("detail") for answer in answers] == [
        None,
        "the line is not UTF-8",
        "the line is longer than 1 MiB",
        None,
    ]
    assert answers[1]["error"]["octet"] == 1
    assert result.code == 1


# -- tools of plugins -----------------------------------------------------------------------


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard output is a terminal."""
    for module in (screen, explain):
        monkeypatch.setattr(module, "is_terminal", lambda stream=None: True)
    monkeypatch.setenv("NO_COLOR", "1")


def test_a_pdu_is_explained(run: Run) -> None:
    assert run("smpp", "decode", "--json", ENQUIRE_LINK).json["command"] == "enquire_link"
    lines = run("smpp", "decode", ENQUIRE_LINK * 2).out.splitlines()
    assert [msgspec.json.decode(line)["command"] for line in lines] == ["enquire_link"] * 2


def test_people_at_a_terminal_get_a_table(run: Run, terminal: None) -> None:
    result = run("smpp", "decode", ENQUIRE_LINK)
    assert (result.code, result.out.splitlines()[0].split()) == (0, ["command", "enquire_link"])
    assert "octet" in run("smpp", "decode", "zz").out
    assert "DELIVERED" in run("smpp", "receipt", RECEIPT).out


@pytest.mark.parametrize("octets", ["zz", "000000", ENQUIRE_LINK[:-2], "0000000f000000150000000000000001"])
def test_a_malformed_pdu_is_explained_too_and_fails(run: Run, octets: str) -> None:
    result = run("smpp", "decode", "--json", octets)
    assert result.code == 1
    assert result.json["error"].keys() >= {"octet", "detail"}
    assert "octet" in run("smpp", "decode", octets).out


def test_a_plugins_tool_may_have_options(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its parameters after * are options: texts, switches, and what may be given several times."""

    def weigh(
        text: str, *, unit: str, by: str = "hand", heavy: bool = False, mark: tuple[str, ...] = ()
    ) -> object:
        """Weigh a text."""
        return {"text": text, "unit": unit, "by": by, "heavy": heavy, "marks": list(mark)}

    def ready() -> object:
        """Say whether the scales are ready."""
        return {"ready": True}

    tools = {"weigh": explain._tool(weigh), "ready": explain._tool(ready)}
    monkeypatch.setattr(explain, "plugin_commands", lambda: {"scales": tools})
    least = {"text": "x", "unit": "g", "by": "hand", "heavy": False, "marks": []}
    assert run("scales", "weigh", "x", "--unit", "g", "--json").json == least
    every = run(
        "scales", "weigh", "-", "--unit", "kg", "--by", "eye", "--heavy", "--mark", "a", "--mark", "b"
    )
    assert every.json == {"text": "-", "unit": "kg", "by": "eye", "heavy": True, "marks": ["a", "b"]}
    assert run("scales", "ready").json == {"ready": True}
    assert run("scales", "weigh", "x").code == 2


def test_what_a_tool_lists_is_a_table_that_fits_the_screen(
    run: Run, terminal: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a pipe too, as other listings; --json gives an array."""

    def shelf() -> object:
        """List what there is."""
        return [
            {"name": "scales", "count": 12, "is_new": True, "parts": ["a", "b"], "about": "weigh [things]"},
            {"name": "rod", "count": 3, "is_new": False, "parts": [], "about": "x"},
        ]

    monkeypatch.setattr(explain, "plugin_commands", lambda: {"shop": {"shelf": explain._tool(shelf)}})
    monkeypatch.setattr(screen, "is_terminal", lambda stream=None: False)
    whole = [
        "name    count  is_new  parts  about",
        "scales     12  yes     a, b   weigh [things]",
        "rod         3  no      –      x",
    ]
    assert run("shop", "shelf").out.splitlines() == whole
    assert run("shop", "shelf", "--json").json == shelf()
    monkeypatch.setattr(screen, "is_terminal", lambda stream=None: True)
    for columns, wanted in ((60, whole), (34, [line[:29].rstrip() for line in whole])):
        monkeypatch.setenv("COLUMNS", str(columns))
        assert run("shop", "shelf").out.splitlines() == wanted


def test_a_receipt_is_explained(run: Run) -> None:
    found = run("smpp", "receipt", "--json", RECEIPT).json
    assert (found["id"], found["stat"], found["state"], found["text"]) == (
        "abc",
        "DELIVRD",
        "DELIVERED",
        "hi",
    )
    assert "DELIVERED" in run("smpp", "receipt", RECEIPT).out


@pytest.mark.parametrize(
    ("text", "octet", "word"),
    [
        ("nonsense", 0, "no id"),
        ("é id: sub:001 stat:DELIVRD", 7, "id has no value"),
        ("id:1 sub:001", 0, "no stat"),
        ("id:1 stat: err:000", 11, "stat has no value"),
    ],
)
def test_a_malformed_receipt_is_explained_too_and_fails(run: Run, text: str, octet: int, word: str) -> None:
    result = run("smpp", "receipt", "--json", text)
    assert result.code == 1
    assert result.json["error"]["octet"] == octet
    assert word in result.json["error"]["detail"]


def test_tools_answer_each_line_of_standard_input(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    feed(monkeypatch, f"{ENQUIRE_LINK}\nzz\n".encode())
    result = run("smpp", "decode", "-")
    first, second = (msgspec.json.decode(line) for line in result.out.splitlines())
    assert (result.code, first["command"], second["error"]["octet"]) == (1, "enquire_link", 0)
    feed(monkeypatch, f"{RECEIPT}\n".encode())
    assert run("smpp", "receipt", "-").json["id"] == "abc"


# -- check and serve ------------------------------------------------------------------------

CHANNEL = '[channels.alpha]\ndriver = "smpp"\nhost = "h"\nsystem_id = "s"\npassword = "canary-5e6f"\n'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "stentor.toml"
    path.write_text(CHANNEL)
    path.chmod(0o600)
    return path


def test_check_of_a_valid_file(run: Run, config: Path) -> None:
    result = run("check", "--config", str(config))
    assert (result.code, result.out, result.err) == (0, f"{config}: valid, 1 channel, 0 routes\n", "")


def test_check_effective_prints_it_whole_and_masks_secrets(run: Run, config: Path) -> None:
    import tomllib

    result = run("check", "--config", str(config), "--effective")
    document = tomllib.loads(result.out)
    assert document["channels"]["alpha"]["password"] == "********"
    assert document["daemon"]["drain_timeout"] == "20s"
    assert "canary" not in result.out


@pytest.mark.parametrize("command", ["check", "serve"])
def test_a_faulty_file_is_2_with_every_fault(run: Run, config: Path, command: str) -> None:
    config.write_text(CHANNEL + "wndow = 1\nrate = -1\n")
    result = run(command, "--config", str(config))
    assert (result.code, result.out) == (2, "")
    assert result.err.splitlines() == [
        "stentor: 2 faults in the configuration",
        f'{config}:6: channels.alpha.wndow: unknown key (did you mean "window"?)',
        f"{config}:7: channels.alpha.rate: must be at least 0",
    ]


def test_check_as_json(run: Run, config: Path) -> None:
    assert run("check", "--config", str(config), "--json").json["valid"] is True
    config.write_text("[daemon]\nx = 1\n")
    result = run("check", "--config", str(config), "--json")
    assert result.code == 2
    suggestion = "there are drain_timeout, runtime_dir, state_dir"
    assert result.json["errors"] == [
        {"line": 2, "path": "daemon.x", "detail": "unknown key", "suggestion": suggestion}
    ]


def test_a_file_that_is_not_there_is_2(run: Run, tmp_path: Path) -> None:
    result = run("check", "--config", str(tmp_path / "no.toml"))
    assert result.code == 2
    assert "No such file" in result.err


# -- the process ----------------------------------------------------------------------------


def test_an_interrupt_is_quiet(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(argv: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("stentor.cli.parser.run", interrupt)
    result = run("status")
    assert (result.code, result.out, result.err) == (130, "", "")


def test_bench_hands_over_or_says_where_it_is(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stentor.cli import bench

    monkeypatch.setattr(
        sys, "path", [path for path in sys.path if not (Path(path or ".") / "bench").is_dir()]
    )
    for name in [name for name in sys.modules if name.partition(".")[0] == "bench"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(bench, "_CHECKOUT", tmp_path)
    monkeypatch.chdir(tmp_path)
    assert "in a checkout of the repository" in run("bench", "canonical").err
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "run.py").write_text(
        "def main(argv):\n    print(argv)\n    return 0 if argv else 1\n"
    )
    assert run("bench", "canonical", "--json", "f").out == "['canonical', '--json', 'f']\n"
    for name in [name for name in sys.modules if name.partition(".")[0] == "bench"]:
        monkeypatch.delitem(sys.modules, name)


def test_main_answers_a_number_and_never_raises_for_a_user_s_mistake(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["show", "x", "--socket", "/nowhere/s"]) == 3
    assert "Traceback" not in capsys.readouterr().err
