"""`python -m tests.fuzz --seconds 600 decode`: fuzz targets with atheris, each in a process of its own.

What breaks one is kept in the folder that is named at the end; `python -m tests.fuzz --again FILE decode`
reads it once more. Needs the extra `fuzz`; `make fuzz` installs it.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path


def main() -> int:
    """Fuzz; return 1 if something broke."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", help="names of targets  [default: all]")
    parser.add_argument("--seconds", type=int, default=60, help="for each target  [default: 60]")
    parser.add_argument("--seed", type=int, default=0, help="0 takes another one each time")
    parser.add_argument(
        "--kept",
        type=Path,
        help="folder of inputs that an earlier run found, to continue from  [default: a new one]",
    )
    parser.add_argument("--again", type=Path, metavar="FILE", help="only read this file, without atheris")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.again:
        from tests.fuzz.targets import TARGETS

        for name in given.targets:
            TARGETS[name].read(given.again.read_bytes())
        return 0
    kept = given.kept or Path(tempfile.mkdtemp(prefix="fuzz-"))
    if given.here:
        fuzz(given.targets[0], given.seconds, given.seed, kept)
    from tests.fuzz.targets import TARGETS

    if unknown := sorted(set(given.targets) - set(TARGETS)):
        parser.error(f"unknown: {', '.join(unknown)}; expected some of {', '.join(TARGETS)}")
    if importlib.util.find_spec("atheris") is None:
        parser.error("atheris is not installed; use `make fuzz`, or pip install -e '.[fuzz]'")
    broken = []
    for name in given.targets or TARGETS:
        print(f"{name}: {given.seconds} s, inputs in {kept / name}", flush=True)
        numbers = ["--seconds", str(given.seconds), "--seed", str(given.seed), "--kept", str(kept)]
        if subprocess.run(
            [sys.executable, "-m", "tests.fuzz", name, *numbers, "--here"], check=False
        ).returncode:
            broken.append(name)
    print(f"broke: {', '.join(broken)}; inputs in {kept}" if broken else "all held")
    return min(len(broken), 1)


def fuzz(name: str, seconds: int, seed: int, kept: Path) -> None:
    """Fuzz a target in this process, which ends with it."""
    atheris = importlib.import_module("atheris")  # which has no types
    with atheris.instrument_imports(include=["detic_crop"]):
        from tests.fuzz.targets import TARGETS
    target = TARGETS[name]
    inputs = kept / name
    inputs.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(target.corpus()):
        (inputs / f"good{number}").write_bytes(data)
    limits = [f"-max_total_time={seconds}", "-timeout=60", "-rss_limit_mb=4096", "-max_len=20000"]
    places = [f"-seed={seed}", f"-artifact_prefix={kept / name}-", "-print_final_stats=1", "-verbosity=0"]
    atheris.Setup([sys.argv[0], *limits, *places, str(inputs)], target.read)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
