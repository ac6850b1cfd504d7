"""What a reviewer said of each photo, as it stands in review.csv."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import NamedTuple


class Verdict(NamedTuple):
    """The last word on one photo; `box` is xyxy in pixels of the upright photo."""

    image: str
    verdict: str
    box: tuple[float, float, float, float] | None
    reviewer: str
    time: str


def read_verdicts(path: Path) -> dict[str, Verdict]:
    """The latest verdict of each photo; one taken back counts as none, a torn last line is dropped."""
    if not path.exists():
        return {}
    verdicts: dict[str, Verdict] = {}
    text = path.read_bytes()
    lines = csv.DictReader(io.StringIO(text[: text.rfind(b"\n") + 1].decode(), newline=""))
    for line in lines:
        if line["verdict"] == "undone":
            verdicts.pop(line["image"], None)
            continue
        edges = [float(edge) for edge in line["box"].split()]
        box = (edges[0], edges[1], edges[2], edges[3]) if edges else None
        verdicts[line["image"]] = Verdict(line["image"], line["verdict"], box, line["reviewer"], line["time"])
    return verdicts
