"""Shows results: tables for people, one JSON file for machines."""

import time
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from bench.harness import Usage
from bench.machine import Machine
from bench.scenario import Figure, Result, Scenario, Size, Verdict

_COLOURS = {Verdict.REACHED: "green", Verdict.MISSED: "red", Verdict.NONE: ""}


class ScenarioReport(msgspec.Struct, frozen=True):
    """One scenario as it stands in the file: what was claimed before, and what came out."""

    name: str
    summary: str
    limit: str
    estimate: str
    refutation: str
    elapsed_s: float
    figures: list[dict[str, Any]]
    processes: list[Usage]
    details: dict[str, Any]
    failure: str = ""


class Report(msgspec.Struct, frozen=True):
    """A whole run."""

    at: str
    size: str
    machine: Machine
    scenarios: list[ScenarioReport]


def show_claims(console: Console, scenario: Scenario) -> None:
    """What a scenario expects, before it is run."""
    console.print(f"\n[bold]{scenario.name}[/]  {scenario.summary}")
    console.print(f"  [dim]limit[/]     {scenario.limit}")
    console.print(f"  [dim]estimate[/]  {scenario.estimate}")


def show_result(console: Console, result: Result) -> None:
    """Figures with their targets, and what each process used."""
    table = Table(box=None, padding=(0, 2), header_style="dim")
    for name in ("figure", "value", "target", ""):
        table.add_column(name, justify="right" if name in ("value", "target") else "left")
    for figure in result.figures:
        verdict = figure.verdict
        shown = f"[{_COLOURS[verdict]}]{verdict.value}[/]" if verdict is not Verdict.NONE else ""
        note = f" [dim]{figure.note}[/]" if figure.note else ""
        table.add_row(figure.name, number(figure.value, figure.unit), target(figure), shown + note)
    console.print(table)
    if result.processes:
        words = (
            f"{each.name} {each.cpu_s:.1f} s, {each.rss_octets / 1e6:.0f} MB" for each in result.processes
        )
        console.print(f"  [dim]CPU and memory: {'; '.join(words)}[/]")


def target(figure: Figure) -> str:
    """A figure's target in words."""
    if figure.at_least is not None:
        return f"≥ {number(figure.at_least, figure.unit)}"
    return f"≤ {number(figure.at_most, figure.unit)}" if figure.at_most is not None else ""


def number(value: float | None, unit: str) -> str:
    """A number as people read it."""
    if value is None:
        return "–"
    text = f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"
    return f"{text} {unit}".rstrip() if not unit.startswith("/") else f"{text}{unit}"


def scenario_report(
    scenario: Scenario, result: Result, elapsed_s: float, failure: str = ""
) -> ScenarioReport:
    """A scenario as it goes into the file."""
    figures = [{**msgspec.to_builtins(each), "verdict": each.verdict.value} for each in result.figures]
    return ScenarioReport(
        scenario.name,
        scenario.summary,
        scenario.limit,
        scenario.estimate,
        scenario.refutation,
        elapsed_s,
        figures,
        result.processes,
        result.details,
        failure,
    )


def write_report(path: Path, machine: Machine, size: Size, scenarios: list[ScenarioReport]) -> None:
    """Write the file; readable, because results are kept beside the code."""
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    report = Report(at, size.value, machine, scenarios)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
