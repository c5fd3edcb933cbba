"""The benchmark suite: runs scenarios and shows their figures beside what was to be reached.

    python -m bench.run [SCENARIO…] [--quick] [--json FILE]

Exit code 0 when every figure reached its target, 1 when one did not or a scenario failed. bench/README.md says how
each scenario measures and what limits it.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console

from bench.harness import BenchError, interruptible
from bench.machine import Machine, describe_machine
from bench.report import ScenarioReport, scenario_report, show_claims, show_result, write_report
from bench.scenario import Result, Scenario, Size, Verdict
from bench.scenarios import (
    backlog,
    crowd,
    events,
    hoard,
    http,
    idle,
    journal,
    line,
    micro,
    neighbours,
    phones,
    sessions,
    single,
    urgent,
    urgent_crowd,
)

SCENARIOS: Final[dict[str, Scenario]] = {
    module.SCENARIO.name: module.SCENARIO
    for module in (
        line,
        crowd,
        events,
        single,
        http,
        urgent,
        urgent_crowd,
        backlog,
        hoard,
        journal,
        idle,
        sessions,
        phones,
        micro,
        neighbours,
    )
}

PLAIN_WIDTH: Final = 150
"""Columns when the output is no terminal."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the chosen scenarios, all by default."""
    options = _parser().parse_args(argv)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    size = Size.QUICK if options.quick else Size.FULL
    machine = describe_machine()
    _show_machine(console, machine)
    reports: list[ScenarioReport] = []
    try:
        with interruptible():
            reports.extend(run_one(SCENARIOS[name], size, console) for name in options.scenarios or SCENARIOS)
    except KeyboardInterrupt:
        console.print("Interrupted.")
        return 130
    if options.json:
        write_report(options.json, machine, size, reports)
        console.print(f"\nwritten to {options.json}")
    return _conclude(console, reports)


def run_one(scenario: Scenario, size: Size, console: Console) -> ScenarioReport:
    """Run one scenario; a failure is reported and the others still run."""
    show_claims(console, scenario)
    started = time.monotonic()
    try:
        result, failure = scenario.run(size), ""
    except BenchError as error:
        result, failure = Result([]), str(error)
        console.print(f"  [red]failed:[/] {failure}", soft_wrap=True)
    else:
        show_result(console, result)
    return scenario_report(scenario, result, time.monotonic() - started, failure)


def _show_machine(console: Console, machine: Machine) -> None:
    packages = ", ".join(f"{name} {version}" for name, version in machine.packages.items() if version)
    console.print(
        f"{machine.processor}, {machine.cores} cores, {machine.memory_octets / 2**30:.0f} GiB, {machine.kernel}"
    )
    console.print(f"{machine.python}, SQLite {machine.sqlite} on {machine.filesystem}, {packages}")
    console.print(f"commit {machine.commit or 'unknown'}, load average {machine.load:.2f}")
    if machine.load > 0.5:
        console.print("[yellow]Something else is running on this machine: figures will be too low.[/]")


def _conclude(console: Console, reports: Sequence[ScenarioReport]) -> int:
    failed = [report.name for report in reports if report.failure]
    missed = [
        f"{report.name}: {figure['name']}"
        for report in reports
        for figure in report.figures
        if figure["verdict"] == Verdict.MISSED.value
    ]
    for name in failed:
        console.print(f"[red]failed[/]  {name}")
    for text in missed:
        console.print(f"[red]missed[/]  {text}")
    return 1 if failed or missed else 0


def _name(text: str) -> str:
    if text not in SCENARIOS:
        raise argparse.ArgumentTypeError(f"no scenario is called {text!r}; there are {', '.join(SCENARIOS)}")
    return text


def _writable(text: str) -> Path:
    """Found out before a quarter of an hour is spent on what cannot be kept."""
    path = Path(text)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("ab").close()
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{text} cannot be written: {error.strerror}") from None
    return path


def _parser() -> argparse.ArgumentParser:
    width = max(map(len, SCENARIOS))
    lines = "\n".join(f"  {name:<{width}}  {scenario.summary}" for name, scenario in SCENARIOS.items())
    parser = argparse.ArgumentParser(
        "stentor bench",
        description="Run the benchmark suite.",
        epilog=f"scenarios:\n{lines}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    help = "which to run, in this order; all by default"
    parser.add_argument("scenarios", nargs="*", type=_name, metavar="SCENARIO", help=help)
    parser.add_argument("--quick", action="store_true", help="less work: a glance instead of a measurement")
    parser.add_argument("--json", type=_writable, metavar="FILE", help="write everything to FILE as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
