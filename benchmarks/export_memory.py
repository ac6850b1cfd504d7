"""Memory and time of each export with many photos, at two sizes: what grows with them, and how fast.

    python -m benchmarks.export_memory [FORMAT ...] [--photos N] [--folder FOLDER]

A folder of N photos (a million unless said otherwise) and one of a tenth are written in seconds: eight real
photos stand behind all rows. Each export is a process of its own and says how much memory it had at most
(VmHWM, of both sizes, in MB). Pictures are written where the format has no other way. The first row is
`detic-crop audit` of the same folders: what reading a folder and judging its photos takes. An export that
takes more than `MOST` bytes beyond that for each photo makes the exit code 1.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from detic_crop.exports.formats import FORMATS, export_named
from tests.kit.big_run import write_big_run

MOST = 100
_AUDIT = "audit"

_MEASURE = """
import json, sys, time
import detic_crop
arguments = json.loads(sys.argv[1])
begun = time.perf_counter()
cropped, name, out = arguments.pop("places")
if name == "audit":
    result = detic_crop.write_audit(cropped)
    count = result.counts.total()
else:
    count = detic_crop.export(cropped, name, out, quiet=True, **arguments).count
seconds = time.perf_counter() - begun
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps({"count": count, "seconds": seconds, "peak": peak * 1024}))
"""


def measure(name: str, cropped: Path, out: Path) -> dict[str, float]:
    """Export a folder in a process of its own; return number of pictures, seconds and peak bytes."""
    arguments: dict[str, Any] = {"places": [str(cropped), name, str(out)]}
    if name != _AUDIT and "pictures" in export_named(name).takes:
        arguments["pictures"] = "none"
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, json.dumps(arguments)], capture_output=True, text=True, check=False
    )
    shutil.rmtree(out, ignore_errors=True)
    if done.returncode:
        raise SystemExit(f"{name}: {done.stderr.strip().splitlines()[-1]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> int:
    """Print a table; return 1 if an export takes too much for each photo."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("formats", nargs="*", choices=[[], *FORMATS], metavar="FORMAT")
    parser.add_argument("--photos", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    names = given.formats or list(FORMATS)
    bad = 0
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        sizes = given.photos // 10, given.photos
        begun = time.perf_counter()
        cropped = [
            write_big_run(
                Path(folder) / str(size), size, width=320, height=200, individuals=5000, own_crops=True
            )
            for size in sizes
        ]
        print(f"folders of {sizes[0]:,} and {sizes[1]:,} photos in {time.perf_counter() - begun:.0f} s")
        print(f"{'format':16}{'pictures':>10}{'MB':>8}{'MB':>8}{'beyond audit':>14}{'us/photo':>10}")
        usual = 0.0
        for name in [_AUDIT, *names]:
            few, many = (measure(name, place, Path(folder) / "export") for place in cropped)
            usual = usual or many["peak"]
            beyond = (many["peak"] - usual) / sizes[1]
            bad += beyond > MOST
            print(
                f"{name:16}{many['count']:>10,}{few['peak'] / 1e6:>8.0f}{many['peak'] / 1e6:>8.0f}"
                f"{beyond:>14.0f}{many['seconds'] / sizes[1] * 1e6:>10.0f}",
                flush=True,
            )
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
