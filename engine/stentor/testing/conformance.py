"""The conformance suite: every promise of the driver contract, tried on a driver in virtual time.

``check_driver(subject)`` runs everything and raises one AssertionError that lists what failed; any test runner will
do. ``conformance_tests(subject)`` is a decorator for pytest that gives each check a test of its own. The version of
the suite is the version of the contract.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from stentor.testing.checks import CHECKS, Check
from stentor.testing.world import Subject

__all__ = ["CHECKS", "Check", "Report", "Subject", "check_driver", "conformance_tests", "run_checks"]


class Report(msgspec.Struct, frozen=True):
    """What came of the checks, by name: those kept, those broken and how, those the peer cannot play and why."""

    passed: tuple[str, ...]
    failed: dict[str, str]
    skipped: dict[str, str]

    def __str__(self) -> str:
        lines = [f"{len(self.passed)} passed, {len(self.failed)} failed, {len(self.skipped)} skipped"]
        lines += [f"  failed   {name}: {reason}" for name, reason in self.failed.items()]
        lines += [f"  skipped  {name}: {reason}" for name, reason in self.skipped.items()]
        return "\n".join(lines)


def run_checks(subject: Subject, names: frozenset[str] | None = None) -> Report:
    """Run the checks named, all by default. Raises nothing for what the driver does wrong."""
    passed: list[str] = []
    failed: dict[str, str] = {}
    skipped: dict[str, str] = {}
    for check in CHECKS:
        if names is not None and check.name not in names:
            continue
        if missing := check.missing(subject):
            skipped[check.name] = f"the peer lacks: {'; '.join(missing)}"
            continue
        try:
            check.run(subject)
        except Exception as error:
            failed[check.name] = str(error) or type(error).__name__
        else:
            passed.append(check.name)
    return Report(tuple(passed), failed, skipped)


def check_driver(subject: Subject) -> Report:
    """Run every check; AssertionError lists all that failed."""
    report = run_checks(subject)
    assert not report.failed, str(report)
    return report


def conformance_tests(subject: Subject) -> Callable[[Any], Any]:
    """For pytest: ``@conformance_tests(subject)`` above ``def test_x(check): check()``."""
    import pytest

    cases = []
    for check in CHECKS:
        missing = check.missing(subject)
        marks = [pytest.mark.skip(reason=f"the peer lacks: {'; '.join(missing)}")] if missing else []
        name = f"{check.group}-{check.name}"
        cases.append(pytest.param(_bound(check, subject), id=name, marks=marks))
    return pytest.mark.parametrize("check", cases)


def _bound(check: Check, subject: Subject) -> Callable[[], None]:
    return lambda: check.run(subject)
