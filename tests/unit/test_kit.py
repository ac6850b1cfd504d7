"""The tests' own rules: shared things are in tests/kit, and the table in tests/README.md knows every file."""

from __future__ import annotations

import ast
import re

from tests.kit.processes import ROOT

TESTS = ROOT / "tests"
FILES = sorted(TESTS.rglob("test_*.py"))


def test_no_test_file_imports_another() -> None:
    found = []
    for path in TESTS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            found += [f"{path.relative_to(ROOT)}: {name}" for name in names if re.search(r"\btest_", name)]
    assert found == []


def test_the_table_of_behaviours_names_every_file() -> None:
    text = (TESTS / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:unit|commands|faults|attack|fuzz|remote|outside)/test_\w+\.py)`", text))
    assert named == {path.relative_to(TESTS).as_posix() for path in FILES}
