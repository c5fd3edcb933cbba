"""Every scenario runs, small; so none can rot, and none passes with a message missing."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from bench.harness import BenchError, Workplace, channel
from bench.machine import describe_machine
from bench.report import number, target, write_report
from bench.run import SCENARIOS, main, run_one
from bench.scenario import Figure, Result, Scenario, Size, Verdict
from bench.scenarios.accidents import sent_texts
from tests.support.source import ROOT


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_scenario_runs_and_loses_nothing(name: str) -> None:
    output = io.StringIO()
    report = run_one(SCENARIOS[name], Size.TINY, Console(file=output, width=200))
    assert report.failure == ""
    assert report.figures
    assert all(figure["value"] is not None for figure in report.figures)
    assert all(figure["name"] in output.getvalue() for figure in report.figures)
    # Speed says nothing at this size; what must not happen says the same at any.
    never = [figure for figure in report.figures if figure["at_most"] == 0]
    assert [figure["name"] for figure in never if figure["verdict"] != Verdict.REACHED.value] == []


def test_each_scenario_says_beforehand_what_it_expects() -> None:
    readme = (ROOT / "bench" / "README.md").read_text()
    for name, scenario in SCENARIOS.items():
        assert scenario.limit
        assert scenario.estimate
        assert scenario.refutation
        assert f"`{name}`" in readme


@pytest.mark.parametrize("cut", range(1, 40))
def test_a_record_that_is_being_written_counts_its_whole_lines(cut: int, tmp_path: Path) -> None:
    record = tmp_path / "record"
    line = f"s 1000 1 {{}} 00000000000a1 40700000000 0 0 {b'stop 7'.hex()}\n"
    record.write_text(line.format(1) + "d 2 a1 DELIVRD\n" + line.format(2)[:-cut])
    assert sent_texts(record) == {"stop 7": 1}


def test_a_message_without_its_receipt_is_an_error() -> None:
    with Workplace() as place:
        smsc, port = place.start_smsc("--receipt-never", "0.2", "--seed", "1")
        place.start_daemon(channel(port))
        place.load("stream", messages=20)
        with pytest.raises(BenchError, match="of 20 receipts are acknowledged"):
            place.wait_acknowledged(smsc, 20, 0.5)


def test_a_process_that_fails_is_shown_with_its_own_words() -> None:
    with Workplace() as place, pytest.raises(BenchError, match="no_such_key"):
        place.start_daemon("no_such_key = 1\n")


def test_nothing_is_left_behind() -> None:
    with Workplace() as place:
        place.start_smsc()
        process = place._children[0].process
        folders = (place.folder, place.runtime)
        assert all(folder.exists() for folder in folders)
    assert process.poll() is not None
    assert not any(folder.exists() for folder in folders)


@pytest.mark.parametrize(
    ("figure", "verdict"),
    [
        (Figure("x", 5, "/s", at_least=5), Verdict.REACHED),
        (Figure("x", 4.9, "/s", at_least=5), Verdict.MISSED),
        (Figure("x", 5.1, "s", at_most=5), Verdict.MISSED),
        (Figure("x", 5, "s", at_most=5), Verdict.REACHED),
        (Figure("x", 5, "s"), Verdict.NONE),
        (Figure("x", None, "s", at_most=5), Verdict.NONE),
    ],
)
def test_a_figure_is_held_against_its_target(figure: Figure, verdict: Verdict) -> None:
    assert figure.verdict is verdict


def test_numbers_read_well() -> None:
    assert [number(25_321.7, "/s"), number(0.4567, ""), number(12, "ms"), number(None, "s")] == [
        "25,322/s",
        "0.457",
        "12 ms",
        "–",
    ]
    assert target(Figure("x", 1, "ms", at_most=25.0)) == "≤ 25 ms"


def test_a_report_carries_machine_claims_and_figures(tmp_path: Path) -> None:
    scenario = Scenario("x", "a", "b", "c", "d", lambda size: Result([Figure("y", 1.0, "s", at_most=2.0)]))
    report = run_one(scenario, Size.QUICK, Console(file=io.StringIO()))
    write_report(tmp_path / "deep" / "report.json", describe_machine(), Size.QUICK, [report])
    read = msgspec.json.decode((tmp_path / "deep" / "report.json").read_bytes())
    assert read["machine"]["cores"] == len(os.sched_getaffinity(0))
    assert read["machine"]["packages"]["uvloop"]
    assert read["scenarios"][0]["estimate"] == "c"
    assert read["scenarios"][0]["figures"][0]["verdict"] == "reached"


def test_a_failing_scenario_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(size: Size) -> Result:
        raise BenchError("3 of 4 receipts")

    monkeypatch.setitem(SCENARIOS, "bad", Scenario("bad", "", "", "", "", fail))
    monkeypatch.setitem(SCENARIOS, "good", Scenario("good", "", "", "", "", lambda size: Result([])))
    assert main(["bad", "good"]) == 1
    assert main(["good"]) == 0


def test_a_file_that_cannot_be_written_is_wrong_usage_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = []
    monkeypatch.setitem(SCENARIOS, "good", Scenario("good", "", "", "", "", ran.append))
    with pytest.raises(SystemExit) as ended:
        main(["good", "--json", str(tmp_path)])
    assert (ended.value.code, ran) == (2, [])
    assert "cannot be written: Is a directory" in capsys.readouterr().err


def test_an_unknown_scenario_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["bogus"])
    assert ended.value.code == 2
    assert "no scenario is called 'bogus'; there are line, crowd," in capsys.readouterr().err


def test_the_demo_ends_by_itself_and_says_how_to_go_on() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.demo", "--messages", "300"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert (done.returncode, done.stderr) == (0, "")
    for word in ("accepted", "sent", "delivered", "segments at the SMSC", "segments sent by phones"):
        assert re.search(rf"^ *{word} +\d+ *$", done.stdout, re.MULTILINE), done.stdout
    assert "\x1b" not in done.stdout
    assert "-m bench.demo --keep" in done.stdout
    assert "stentor send --socket var/demo/run/stentor.sock" in done.stdout
