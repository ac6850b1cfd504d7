"""`python -m tests.attack --trials 20000 --seed 7`: make seeded attacks on detic-crop, as many as you like.

A small part of the same is among the tests.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path


def main() -> int:
    """Make the trials that are asked for; return 1 if one broke something."""
    parser = argparse.ArgumentParser(prog="python -m tests.attack", description=__doc__)
    parser.add_argument("attacks", nargs="*", help="names of attacks [default: all]")
    parser.add_argument(
        "--trials", type=int, help="number of trials of each attack [default: as in the tests]"
    )
    parser.add_argument("--seed", type=int, default=1, help="another one makes other attacks [default: 1]")
    parser.add_argument("--only", type=int, help="make only the trial of this number, to see it again")
    parser.add_argument(
        "--jobs",
        type=int,
        default=len(os.sched_getaffinity(0)),
        help="trials at a time [default: one for each core]",
    )
    given = parser.parse_args()
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before it is loaded: a process with threads cannot be forked
    from tests.attack.attacks import ATTACKS
    from tests.attack.runner import attempt_all

    if unknown := sorted(set(given.attacks) - set(ATTACKS)):
        parser.error(f"unknown: {', '.join(unknown)}; expected some of {', '.join(ATTACKS)}")
    broken = 0
    for name in given.attacks or ATTACKS:
        attack = ATTACKS[name]
        numbers = range(given.trials or attack.usual) if given.only is None else [given.only]
        work = Path(tempfile.mkdtemp(prefix=f"attack-{name}-"))
        began = time.monotonic()
        totals = attempt_all(attack, numbers, given.seed, work, given.jobs)
        broken += len(totals.broken)
        for number, seen in totals.broken.items():
            print(f"BROKEN: python -m tests.attack {name} --seed {given.seed} --only {number}\n{seen}\n")
        held = totals.outcomes.total()
        print(f"{name}: {len(numbers)} tried, {held} held, {time.monotonic() - began:.0f} s")
        for outcome, count in totals.outcomes.most_common(30):
            print(f"    {count:6}  {outcome}")
        sys.stdout.flush()
    return min(broken, 1)


if __name__ == "__main__":
    sys.exit(main())
