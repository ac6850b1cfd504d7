"""How many empty seas does a model crop? `python -m benchmarks.empty_seas [--model lite] [--out FOLDER]`.

The seas are those of the sample photos (`examples/make_sample.py`), rendered without animals, spray and boat.
They are not photos: the count says that false alarms happen, not how often they do on real photos.
"""

from __future__ import annotations

import argparse
import runpy
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import detic_crop

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def render_seas(folder: Path) -> int:
    """Write the empty seas into a folder, and return how many there are."""
    sys.path.insert(0, str(EXAMPLES))  # where the script finds its `rendering`
    sample = runpy.run_path(str(EXAMPLES / "make_sample.py"))
    seas = [scene for scene in sample["SCENES"] if not scene.under_water]
    for scene in seas:
        empty = replace(scene, animals=(), sprays=(), blows=(), boat=None)
        sample["save"](empty, sample["render"](empty), folder)
    return len(seas)


def main(arguments: Sequence[str] | None = None) -> None:
    """Render the seas, crop them, and print how many were taken for animals."""
    parser = argparse.ArgumentParser(description="Count the empty seas that a model crops.")
    parser.add_argument("--model", default="lite")
    parser.add_argument("--out", type=Path, help="folder to keep photos and crops in")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.out or Path(temporary)
        count = render_seas(folder / "seas")
        detic_crop.run(folder / "seas", folder / "cropped", model=given.model, quiet=True)
        table = detic_crop.read_audit(folder / "cropped")
        cropped = table[table["status"] == "cropped"]
        scores = f", at scores of {cropped['score'].min():.2f} to {cropped['score'].max():.2f}"
        print(f"{len(cropped)} of {count} empty seas were cropped{scores if len(cropped) else ''}")


if __name__ == "__main__":
    main()
