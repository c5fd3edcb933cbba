"""The conformance kit lets an honest driver pass, and every one of its checks finds the fault it is for."""

import sys

import pytest

from stentor.driver import DriverSpec
from stentor.testing.conformance import CHECKS, Subject, check_driver, conformance_tests, run_checks
from stentor.testing.peer import Can
from tests.engine.testing import broken_life, broken_traffic
from tests.engine.testing.broken import BROKEN
from tests.engine.testing.line_driver import SPEC
from tests.engine.testing.line_peer import LinePeer

FAULTS = (broken_life, broken_traffic)  # importing them fills BROKEN
ENTRY = "tests.engine.testing.line_driver:SPEC"


def subject(spec: DriverSpec = SPEC, **changes) -> Subject:
    table = {"host": "tell.test", "name": "stentor"}
    return Subject(spec=spec, peer=LinePeer, table=table, **changes)


@conformance_tests(subject(entry=ENTRY))
def test_an_honest_driver_keeps_every_promise(check):
    check()


@pytest.mark.parametrize(
    ("check", "spec", "words"),
    BROKEN,
    ids=[f"{check}-{getattr(spec.make, '__name__', 'make')}" for check, spec, _ in BROKEN],
)
def test_each_fault_is_found_by_its_check(check, spec, words):
    report = run_checks(subject(spec), frozenset({check}))
    assert words in report.failed[check]


def test_no_check_is_without_a_fault_that_it_finds():
    elsewhere = {"importing_does_nothing_else"}
    assert {check.name for check in CHECKS} - {check for check, _, _ in BROKEN} == elsewhere


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("import socket; socket.socket().close()", "socket"),
        ("open('made_by_import', 'w').close()", "for writing"),
        (
            "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()",
            "a thread",
        ),
    ],
)
def test_an_import_with_side_effects_is_found(tmp_path, monkeypatch, body, words):
    source = f"from tests.engine.testing.line_driver import SPEC\n{body}\n"
    (tmp_path / "meddling_driver.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", ":".join((str(tmp_path), *filter(None, sys.path))))
    monkeypatch.syspath_prepend(tmp_path)
    report = run_checks(subject(entry="meddling_driver:SPEC"), frozenset({"importing_does_nothing_else"}))
    sys.modules.pop("meddling_driver", None)
    assert words in report.failed["importing_does_nothing_else"]


def test_all_failures_are_listed_in_one_error():
    spec = next(spec for check, spec, _ in BROKEN if check == "nothing_is_acknowledged_before_it_is_durable")
    with pytest.raises(AssertionError, match="nothing_is_acknowledged_before_it_is_durable: 3 of 3"):
        check_driver(subject(spec))


def test_what_a_peer_cannot_play_is_skipped_and_said():
    class Quiet(LinePeer):
        can = frozenset(Can) - {Can.GOODBYE, Can.RECEIPTS}

    report = check_driver(Subject(spec=SPEC, peer=Quiet, table={"host": "tell.test", "name": "x"}))
    assert set(report.skipped) == {
        "the_peer_hears_a_goodbye",
        "a_goodbye_is_said_even_when_time_is_up",
        "a_receipt_names_what_it_is_about",
    }
    assert "the peer lacks: it sends receipts" in str(report)


def test_every_check_says_what_it_promises():
    assert [check.name for check in CHECKS if not check.promise.endswith(".")] == []
