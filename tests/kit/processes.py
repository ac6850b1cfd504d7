"""Other processes: where they run, and which systems can do what their tests need."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
"""Of the repository."""

posix = pytest.mark.skipif(os.name != "posix", reason="fork, SIGKILL and SIGTERM are POSIX")


def run_python(code: str) -> str:
    """What a fresh interpreter prints; its failure is ours."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
