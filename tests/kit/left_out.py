"""Say at the end which tests were left out, and why; with DETIC_CROP_TEST_ALL=1 they fail instead.

A pytest plugin. A test is left out where the machine lacks something that only this test needs: a browser
(`tests.kit.programs`), a system call. CI has all of it and sets the variable: there nothing is left out
unseen.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Generator

import pytest

VARIABLE = "DETIC_CROP_TEST_ALL"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get(VARIABLE, "") not in ("", "0"):
        report.outcome = "failed"
        report.longrepr = f"left out, which {VARIABLE} forbids: {_reason(report)}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    files: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for report in terminalreporter.stats.get("skipped", []):
        files[_reason(report)][report.nodeid.partition("::")[0]] += 1
    for reason, counts in files.items():
        n = counts.total()
        where = ", ".join(f"{file} ({count})" for file, count in counts.items())
        terminalreporter.write_line(f"left out: {n} test{'s' if n > 1 else ''}, since {reason}: {where}")


def _reason(report: pytest.TestReport) -> str:
    said = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return said.removeprefix("Skipped: ")
