"""Label Studio's JSON, whole tasks or JSON-MIN: left, top, width, height in percent, turned about the corner.

A task that nobody has finished is a photo that nobody has looked at; it is not listed. A task without any
`annotations`, not even an empty list, is one that is yet to be imported: its first prediction counts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from detic_crop.detectors.boxes_file.drafts import Drafts
from detic_crop.detectors.boxes_file.json_items import SOURCE_PHOTO, list_of, mapping, path_of
from detic_crop.detectors.boxes_file.judge import settle
from detic_crop.detectors.boxes_file.numbers import checked_score
from detic_crop.detectors.boxes_file.per_photo import named_drafts
from detic_crop.detectors.boxes_file.shapes import Edges, around, around_ellipse, draft, number, points_of
from detic_crop.detectors.boxes_file.sizes import SizeWH, stated_size
from detic_crop.detectors.boxes_file.table import BoxesTable, RowError, clean_path

_ANSWERS, _GUESSES = "annotations", "predictions"
_KINDS = ("rectanglelabels", "rectangle", "polygonlabels", "polygon", "ellipselabels", "ellipse")
# An uploaded file is kept under eight hexadecimal digits and its own name.
_UPLOADED = re.compile(r"(?:^|.*/)upload/\d+/[0-9a-f]{8}-(?P<name>[^/]+)$")


def is_label_studio(content: Any) -> bool:
    return isinstance(content, list) and any(_is_task(item) for item in map(mapping, content))


def _is_task(item: dict[str, Any]) -> bool:
    if isinstance(item.get("data"), dict):
        return any(isinstance(item.get(key), list) for key in (_ANSWERS, _GUESSES))
    return any(_is_region(region) for _, region in _regions_of_min(item))


def _is_region(region: dict[str, Any]) -> bool:
    return "original_width" in region and ("value" in region or any(kind in region for kind in _KINDS))


def label_studio(content: list[Any]) -> BoxesTable:
    table = BoxesTable()
    drafts = named_drafts(table)
    open_tasks = 0
    for i, item in enumerate(map(mapping, content)):
        whole = isinstance(item.get("data"), dict)
        path = _photo(mapping(item["data"]) if whole else item)
        key, done = _answers(item) if whole else ("", [item])
        if not path:
            drafts.add_problem(f"[{i}]", "expected the photo's address in `data`, got none")
        elif not done:
            open_tasks += 1
        else:
            regions = list(_regions(key, done) if whole else _regions_of_min(item))
            table.list_photo(path, regions)
            for place, region in regions:
                score = region.get("score") if key == _GUESSES else None
                _add(drafts, f"[{i}].{place}", path, region, score)
    if open_tasks:
        table.notes.append(f"tasks that nobody has finished, left out: {open_tasks:,}")
    return settle(drafts)


def _answers(item: dict[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    """Return the answers of a task that count, and the key under which they stand."""
    if _ANSWERS not in item:
        guesses = map(mapping, list_of(item.get(_GUESSES)))
        return _GUESSES, [guess for guess in guesses if isinstance(guess.get("result"), list)][:1]
    answers = map(mapping, list_of(item[_ANSWERS]))
    return _ANSWERS, [answer for answer in answers if not answer.get("was_cancelled")]


def _regions(key: str, answers: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for j, answer in enumerate(answers):
        for k, region in enumerate(list_of(answer.get("result"))):
            yield f"{key}[{j}].result[{k}]", mapping(region)


def _regions_of_min(item: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for key, values in item.items():
        for k, region in enumerate(list_of(values)):
            if _is_region(mapping(region)):
                yield f"{key}[{k}]", mapping(region)


def _photo(data: dict[str, Any]) -> str:
    """Return the photo's path from its address: what is behind `?d=`, an upload's own name, or the path.

    Tasks of our exports name the photo beside it.
    """
    if source := path_of(data.get(SOURCE_PHOTO)):
        return source
    texts = [value for value in data.values() if isinstance(value, str)]
    text = next((data[key] for key in ("image", "img", "photo") if isinstance(data.get(key), str)), "")
    text = text or next((value for value in texts if "/" in value), "")
    parts = urlsplit(text)
    local = parse_qs(parts.query).get("d", [""])[0]
    path = clean_path(local or unquote(parts.path))
    uploaded = _UPLOADED.match(path)
    return uploaded["name"] if uploaded else path


def _add(drafts: Drafts, place: str, path: str, region: dict[str, Any], score: object) -> None:
    value = mapping(region["value"]) if "value" in region else region
    kind = str(region.get("type") or next((kind for kind in _KINDS if kind in value), "none"))
    if kind not in _KINDS:
        drafts.table.leave_out(path, f"regions of the type {kind}")
        return
    try:
        size = stated_size(region.get("original_width"), region.get("original_height"))
        if size is None:
            raise RowError("expected `original_width` and `original_height`, got none")
        names = list_of(value.get(kind))
        sure = 1.0 if score is None else checked_score(number(score))
        box = draft(_edges(kind, value, size), names[0] if names else None, sure)
    except RowError as error:
        drafts.add_problem(place, str(error), path)
    else:
        drafts.table.state_size(place, path, size)
        drafts.add(place, path, [box])


def _edges(kind: str, value: dict[str, Any], size: SizeWH) -> Edges:
    across, down = size[0] / 100, size[1] / 100
    if kind.startswith("polygon"):
        return around([(x * across, y * down) for x, y in points_of(value.get("points"))])
    left, top = number(value.get("x")) * across, number(value.get("y")) * down
    degrees = number(value.get("rotation") or 0)
    if not math.isfinite(degrees):
        raise RowError(f"expected degrees in `rotation`, got {degrees:g}")
    radians = math.radians(degrees)
    cos, sin = math.cos(radians), math.sin(radians)
    if kind.startswith("ellipse"):  # x, y is its centre
        a, b = number(value.get("radiusX")) * across, number(value.get("radiusY")) * down
        return around_ellipse(left, top, a, b, radians)
    width, height = number(value.get("width")) * across, number(value.get("height")) * down
    corners = ((0.0, 0.0), (width, 0.0), (0.0, height), (width, height))
    return around([(left + x * cos - y * sin, top + x * sin + y * cos) for x, y in corners])
