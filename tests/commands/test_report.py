"""audit.html: right numbers, nothing from outside, never stopped by one photo, never too large."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from html import unescape
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote

import cv2
import numpy as np
import pytest
from jinja2 import UndefinedError
from msgspec.structs import replace
from PIL import Image

from detic_crop import api
from detic_crop.boxes.detections import Detections
from detic_crop.config import CropConfig
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.inputs import short_names
from detic_crop.folder.journal import Journal
from detic_crop.folder.records import DetectorChoice, Record
from detic_crop.folder.state import Given, load_listing, save_listing
from detic_crop.folder.times_file import Times
from detic_crop.folder.verdict_lines import Verdict
from detic_crop.folder.whereabouts import Whereabouts
from detic_crop.images.decode import PhotoFile, decode
from detic_crop.photos.labels import Labels
from detic_crop.photos.location import LocalFile
from detic_crop.photos.photo import Photo
from detic_crop.report.estimate import Estimate
from detic_crop.report.html import gallery, overview, thumbnails
from detic_crop.report.html import page as report
from detic_crop.report.html.head import Made
from detic_crop.report.html.page import write_page
from detic_crop.report.html.rendering import environment
from detic_crop.report.intervals import Interval
from detic_crop.report.model import Audit
from detic_crop.report.photos import judge
from detic_crop.report.rows import Row
from detic_crop.report.suspicion import FLAGS
from detic_crop.system.memory_budget import MemoryBudget
from tests.kit.folders import crop, same_page
from tests.kit.photos import photo_bytes, write_photo, write_photos

MADE = Made("out", date(2026, 11, 29), "1.2.3")
CONFIG = CropConfig(model="fake", classes="Dolphin,Whale", conf=0.3, size=32)
VOID = {"meta", "link", "img", "input", "br", "hr", "wbr"}
HOSTILE = "<img src=x onerror=alert(1)>.jpg"


@dataclass
class Page(HTMLParser):
    """A parsed page; fails on tags that do not match.

    Attributes:
        tags: every start tag with its attributes, in order.
        text: what a reader sees.
    """

    html: str
    tags: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    text: str = ""
    _open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"an attribute twice in <{tag}>"
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] != ["style"]:
            self.text += data

    def all(self, tag: str, **wanted: str) -> list[dict[str, str]]:
        """Attributes of every such tag; `kind` must be among its classes."""
        kind = wanted.pop("kind", None)
        return [
            attributes
            for name, attributes in self.tags
            if name == tag
            and wanted.items() <= attributes.items()
            and (kind is None or kind in attributes.get("class", "").split())
        ]

    def entries(self) -> list[str]:
        """Ids of the photos shown, in order."""
        return [attributes["id"] for attributes in self.all("article")]

    def shown(self) -> list[str]:
        """Keys of the photos shown, in order."""
        return re.findall(r'<a href="#p[0-9a-f]{12}">([^<]*)</a></h3>', self.html)

    def tile(self, name: str) -> int:
        """A number of the summary."""
        found = re.search(rf'<dt>{name}</dt><dd class="number">([\d,]+)</dd>', self.html)
        if found is None:  # those of zero are told in one line
            lacking = re.search(r"<p class=\"soft\">None: (.*?)\.</p>", self.html)
            assert lacking, f"no count of {name}"
            assert name in lacking[1].split(", ")
            return 0
        return int(found[1].replace(",", ""))


class Run:
    """An output folder made by hand: photos, crops and kept boxes, but no journal."""

    def __init__(self, base: Path) -> None:
        self.photos = base / "photos"
        self.folder = OutputFolder(base / "out")
        self.folder.inside.mkdir(self.folder.layout.temporary)
        self.journal = Journal(self.folder.layout.journal, self.folder.layout.candidates)
        self.rows: list[Row] = []
        self.labels: Labels | None = None
        self.times = Times()

    def add(
        self,
        key: str,
        status: Any = "cropped",
        *,
        data: bytes | None = None,
        boxes: Sequence[tuple[tuple[float, float, float, float], float, str]] = (),
        label: Sequence[str] = (),
        **values: Any,
    ) -> Record:
        """One row, its photo of 60 × 40, its crop, and its kept `boxes`."""
        record = Record(key, status, width=60, height=40, model="fake", presence=0.2)
        if status != "failed":
            data = photo_bytes(len(self.rows)) if data is None else data
            for path in (self.photos / key, self.folder.root / key):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            found = Detections(
                np.array([box for box, _, _ in boxes], np.float32).reshape(-1, 4),
                np.array([score for _, score, _ in boxes], np.float32),
                tuple(name for _, _, name in boxes),
            )
            record = replace(record, crop=key, crop_box=(0, 0, 60, 40), file_size=len(data))
            record = replace(record, candidates=self.journal.append_candidates(key, key, found))
        if status == "resized":
            record = replace(record, reason="not_found")
        if status == "cropped":
            record = replace(
                record,
                reason="largest_box",
                class_name="Dolphin",
                score=0.9,
                box=(10.0, 10.0, 40.0, 30.0),
                crop_box=(7, 8, 43, 32),
                n_candidates=1,
                best_class="Dolphin",
                best_score=0.9,
                best_box=(10.0, 10.0, 40.0, 30.0),
            )
        record = replace(record, **values)
        self.rows.append(Row(record, label))
        return record

    def page(
        self,
        config: CropConfig = CONFIG,
        verdicts: Mapping[str, Verdict] = MappingProxyType({}),
        estimate: Estimate | None = None,
    ) -> Page:
        """The page, checked for what holds of every page."""
        keys = list(dict.fromkeys(row.record.image for row in self.rows))
        sources = [Photo(key, LocalFile(str(self.photos / key))) for key in keys]
        save_listing(self.folder, sources, [Given(str(self.photos), str(self.photos), keys)])
        photos = judge(self.rows, config, verdicts)
        listing = load_listing(self.folder)
        where, inputs = Whereabouts(listing.locations()), short_names(listing.inputs)
        audit = Audit(config, self.rows, photos, self.labels, where, inputs, estimate)
        write_page(self.folder, audit, MADE, self.times)
        data = self.folder.layout.audit_html.read_bytes()
        page = Page(data.decode("utf-8"))
        assert_self_contained(page)
        ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
        assert len(set(ids)) == len(ids)
        assert str(self.folder.root) not in page.html
        assert str(self.photos) not in page.html
        return page


def assert_self_contained(page: Page) -> None:
    """No script, and no address but anchors, embedded pictures and files beside the page."""
    policy = page.all("meta", **{"http-equiv": "Content-Security-Policy"})
    assert [p["content"] for p in policy] == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "link", "iframe", "object", "base", "form"})
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href", "srcset", "action", "xlink:href"):
            address = attributes.get(name, "")
            if name == "src" and tag == "img":
                assert address.startswith("data:image/jpeg;base64,")
            else:
                assert not re.match(r"[A-Za-z][A-Za-z0-9+.-]*:|/|\\", address)
    styles = re.findall(r"<style>(.*?)</style>", page.html, re.DOTALL)
    assert not re.search(r"url\(|@import|//", "".join(styles))


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    made = Run(tmp_path)
    yield made
    made.journal.close()


def with_species(run: Run, shares: Mapping[str, tuple[int, int]]) -> None:
    """Label rows: species → (photos cropped, photos only resized). Their files do not matter here."""
    rows: list[list[str]] = []
    run.labels = Labels(["image", "Species"], rows, "image")
    for species, counts in shares.items():
        for status, count in zip(("cropped", "resized"), counts, strict=True):
            for number in range(count):
                key = f"{species}-{status}-{number}.jpg"
                rows.append([key, species])
                run.add(key, status, label=rows[-1], data=b"")


# ---------------------------------------------------------------- head and contact sheet


def sheet_links(page: Page, anchor: str) -> list[str]:
    """Where the crops of a contact sheet lead."""
    section = re.search(rf'<section id="{anchor}">(.*?)</section>', page.html, re.DOTALL)
    return re.findall(r'<a href="([^"]*)">', section[1]) if section else []


def test_the_head_says_what_where_and_when(run: Run) -> None:
    run.add("a.jpg")
    run.add("b.jpg", "resized")
    page = run.page()
    assert "<title>detic-crop audit: out, 1 crop of 2 photos</title>" in page.html
    assert "Crops in out" in page.text
    assert "photos of photos · model fake · detic-crop 1.2.3 · 29 November 2026" in page.text
    first = page.html.index("<img")
    assert page.html.index('class="lead"') < first < page.html.index('id="numbers"')


def test_what_is_not_known_of_a_run_is_left_out(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.add("a.jpg")
    monkeypatch.setattr("tests.commands.test_report.MADE", Made("out"))
    page = run.page()
    assert "photos of photos · model fake · detic-crop\n" in page.text
    assert "made-on" not in page.html


def test_the_sheet_is_spread_evenly_over_species(run: Run) -> None:
    rows: list[list[str]] = []
    run.labels = Labels(["image", "species"], rows, "image")
    for species, count in (("orca", 60), ("beluga", 20), ("minke", 3)):
        for number in range(count):
            rows.append([f"{species}{number}.jpg", species])
            run.add(rows[-1][0], label=rows[-1])
    page = run.page()
    links = sheet_links(page, "sheet")
    anchors = dict(zip(page.entries(), page.shown(), strict=True))
    shown = Counter(re.sub(r"\d", "", anchors[link[1:]]) for link in links)
    assert shown == {"orca.jpg": 11, "beluga.jpg": 10, "minke.jpg": 3}
    assert "24 of 83 crops, drawn at random, evenly over values of species" in page.text
    assert sheet_links(run.page(), "sheet") == links
    assert len(sheet_links(page, "first")) == 12
    assert [anchors[link[1:]] for link in sheet_links(page, "first")] == page.shown()[:12]


def test_a_small_run_is_shown_whole_and_once(run: Run) -> None:
    for number in range(24):
        run.add(f"{number:02}.jpg")
    run.add("no.jpg", "rejected")
    page = run.page()
    assert "all 24 crops" in page.text
    assert len(sheet_links(page, "sheet")) == 24
    assert sheet_links(page, "first") == []


def test_crops_of_one_kind_are_told_apart_by_their_names(run: Run) -> None:
    def captions() -> list[str]:
        found = re.findall(r'<span class="words">(.*?)</span>', run.page().html)
        return [each.replace("<wbr>", "") for each in found]

    run.add("day 1/a.jpg", class_name="Whale")
    run.add("b.jpg", class_name="Whale")
    assert sorted(captions()) == ["a.jpg", "b.jpg"]
    run.add("c.jpg", class_name="Dolphin")
    assert sorted(captions()) == ["Dolphin", "Whale", "Whale"]


def test_without_an_entry_a_crop_leads_to_its_file(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gallery, "_MAX_PHOTOS", 1)
    run.add("worst 1.jpg", score=0.3)
    run.add("good 2.jpg")
    page = run.page()
    assert sorted(sheet_links(page, "sheet")) == [f"#{page.entries()[0]}", "good%202.jpg"]


def test_doubtful_and_seen_crops_are_marked(run: Run) -> None:
    run.add("bad.jpg", score=0.31)
    run.add("good.jpg", score=0.95)
    run.add("given.jpg", score=0.31, verdict="box")
    run.add("kept.jpg", score=0.31)
    page = run.page(verdicts={name: Verdict(name, "accepted", (), "Ann", "t") for name in ("kept.jpg",)})
    marks = dict(re.findall(r'alt="crop of (\w+).jpg"[^>]*>(?:<span class="mark (\w+)">)?', page.html))
    assert marks == {"bad": "doubtful", "good": "", "given": "accepted", "kept": "accepted"}


def test_a_crop_that_is_gone_is_not_in_the_sheet(run: Run) -> None:
    run.add("a.jpg")
    run.add("b.jpg")
    (run.folder.root / "a.jpg").unlink()
    assert len(sheet_links(run.page(), "sheet")) == 1
    (run.folder.root / "b.jpg").unlink()
    run.folder.layout.audit_html.unlink()
    assert "Contact sheet" not in run.page().text


def test_the_sheet_takes_only_a_part_of_a_small_page(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(30):
        run.add(f"{number}.jpg")
    page = run.page()
    assert len(sheet_links(page, "sheet")) == 24
    monkeypatch.setattr(report, "_MAX_BYTES", 120_000)
    page = run.page()
    assert 0 < len(sheet_links(page, "sheet")) < 24
    assert page.entries()
    assert run.folder.layout.audit_html.stat().st_size <= 120_000


# ---------------------------------------------------------------- reasons and colours


def test_every_card_says_why_it_is_there(run: Run) -> None:
    run.add("edge.jpg", box=(0.0, 10.0, 30.0, 30.0))
    run.add("good.jpg")
    run.add("none.jpg", "resized", presence=0.05)
    page = run.page()
    said = dict(
        re.findall(
            r'<article[^>]*>\n<h3 class="name"><a [^>]*>(.*?)</a>.*?<ul class="reasons">(.*?)</ul>',
            page.html,
            re.DOTALL,
        )
    )
    assert said == {
        "edge.jpg": "<li>The box touches the left edge: the animal may be cut off</li>",
        "good.jpg": "<li>Nothing speaks against it; its score is 0.90</li>",
        "none.jpg": "<li>No animal was found; presence 0.05</li>",
    }


@pytest.mark.parametrize(
    ("values", "said", "expected"),
    [
        ({}, None, {"chosen": 1, "cut": 1, "halo": 2}),
        ({"verdict": "accepted"}, None, {"taken": 1, "cut": 1, "halo": 2}),
        ({}, "accepted", {"taken": 1, "cut": 1, "halo": 2}),
        ({}, "box", {"taken": 1, "chosen": 1, "cut": 1, "halo": 3}),
        (
            {"verdict": "box", "detector_box": (1.0, 1.0, 9.0, 9.0), "score": None},
            None,
            {"taken": 1, "chosen": 1, "cut": 1, "halo": 3},
        ),
        ({"verdict": "accepted"}, "undone", {"chosen": 1, "cut": 1, "halo": 2}),
    ],
)
def test_a_box_of_a_person_is_told_from_the_detectors(
    run: Run, values: Mapping[str, Any], said: str | None, expected: Mapping[str, int]
) -> None:
    run.add("a.jpg", **values)
    boxes = ((20.0, 10.0, 50.0, 35.0),) if said == "box" else ()
    page = run.page(verdicts={"a.jpg": Verdict("a.jpg", said, boxes, "Ann", "t")} if said else {})
    article = Page(page.html[page.html.index("<article") : page.html.index("</article>") + 10])
    assert Counter(attributes["class"].split()[1] for attributes in article.all("rect")) == expected


def test_no_colour_stands_outside_the_sheet_of_colours() -> None:
    folder = Path(gallery.__file__).parent
    for name in ("report.css", "compare.css"):
        text = (folder / name).read_text("utf-8")
        assert re.findall(r"#[0-9a-fA-F]{3,8}\b(?=[^{]*[;}])|\brgba?\(", text) == []


# ---------------------------------------------------------------- numbers


def test_counts_rates_and_failures(run: Run) -> None:
    for number in range(3):
        run.add(f"found{number}.jpg", score=0.31 if number == 0 else 0.9, best_score=0.31)
    run.add("nothing.jpg", "resized")
    run.add("thrown_out.jpg", "rejected")
    run.add("bad.jpg", "failed", reason="missing_file", error="no such photo; add <it>")
    run.add("odd.jpg", "failed", reason="detect_error", error="RuntimeError: what")
    page = run.page()
    names = ("photos", "cropped", "resized", "rejected", "failed", "crops flagged")
    assert [page.tile(name) for name in names] == [7, 3, 1, 1, 2, 1]
    assert (
        "Of 4 usable photos, 3 were cropped (75.0\xa0%) and 1 only resized (25.0\xa0%); "
        "1 rejected by a reviewer; 2 failed." in page.text
    )
    assert "Failed photos (2)" in page.text
    assert "no such photo; add <it>" in page.text
    assert "RuntimeError: what (unexpected: try again; if it fails again, report this line)" in page.text
    assert page.shown() == ["found0.jpg", "found1.jpg", "found2.jpg", "nothing.jpg"]


def test_skipped_photos_are_counted_and_shown(run: Run) -> None:
    rows = [["found.jpg", "orca"], *([f"none{number}.jpg", "orca"] for number in range(3))]
    run.labels = Labels(["image", "species"], rows, "image")
    run.add("found.jpg", label=rows[0])
    for row in rows[1:]:
        run.add(row[0], "skipped", reason="not_found", crop="", label=row)
    page = run.page()
    assert (
        "Of 4 usable photos, 1 was cropped (25.0\xa0%) and 3 skipped (75.0\xa0%)." in page.text
    )  # not 100 % of those that have a crop
    assert [row for row in rows_with(page, "class") if "%" in row[-3]] == [
        ["Dolphin", "1", "25.0\xa0%", "0.90", "0"],
        ["no crop made", "3", "75.0\xa0%", "", ""],
    ]
    (flag,) = [row for row in rows_with(page, "flag") if row[0] == "not_found"]
    assert flag[1:3] == ["3", "75.0\xa0%"]
    assert rows_with(page, "species") == [["orca", "0.0\xa0%", "4", "1", "0", "3", "0"]]
    assert "No animal found (all 3)" in page.text
    assert len(page.all("figure", kind="crop")) == 1
    assert "cannot be shown" not in page.text


def rows_with(page: Page, first: str) -> list[list[str]]:
    """Cells of the table whose first heading begins so."""
    (table,) = re.findall(rf"<thead><tr><th[^>]*>{first}.*?<tbody>(.*?)</tbody>", page.html, re.DOTALL)[:1]
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", table, re.DOTALL)
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL) for row in rows]
    return [[unescape(re.sub(r"<[^>]*>", "", cell)).strip() for cell in row] for row in cells]


def test_where_all_photos_failed_no_part_is_empty(run: Run) -> None:
    run.add("bad.jpg", "failed", reason="truncated", error="cut off")
    page = run.page()
    assert "Of 1 photo none has a crop; 1 failed." in page.text
    headings = re.findall(r"<h2[^>]*>([^<]*)</h2>", page.html)
    assert headings == ["In numbers", "Failed photos (1)", "Flags"]
    assert [attributes["href"] for attributes in page.all("a")[1:4]] == ["#numbers", "#failed", "#flags"]


def test_one_photo_is_no_plural(run: Run) -> None:
    run.add("a.jpg")
    page = run.page()
    assert re.findall(r"\b1 (?:chosen )?(?:crops|photos|boxes)\b", page.text) == []
    assert "Contact sheet 1 crop\n" in page.text
    assert "1 chosen box on one frame" in page.text
    assert "Most suspicious crops (1)" in page.text


def test_every_flag_has_its_count_and_rule(run: Run) -> None:
    run.add("a.jpg", score=0.5, best_score=0.8)
    run.add("b.jpg", box=(0.0, 0.0, 30.0, 20.0))
    page = run.page()
    rows = dict(re.findall(r'<tr[^>]*><td><code>([\w<>]+)</code></td><td class="n">(\d+)</td>', page.html))
    counts = {name.replace("<wbr>", ""): int(count) for name, count in rows.items()}
    expected = {"smaller_box_more_confident": 1, "touches_edge": 1}
    assert counts == expected
    assert "No photo has one of the other 18 flags" in page.text
    assert all(rule in page.text for rule in FLAGS.values())


def test_most_suspicious_first_and_missed_animals_by_presence(run: Run) -> None:
    for number, score in enumerate((0.9, 0.5, 0.7)):
        run.add(f"crop{number}.jpg", score=score, best_score=score)
    for number, presence in enumerate((0.1, 0.29, 0.0)):
        run.add(f"none{number}.jpg", "resized", presence=presence)
    run.add("reviewed.jpg", "resized", reason="reviewed_whole")
    shown = run.page().shown()
    assert shown == ["crop1.jpg", "crop2.jpg", "crop0.jpg", "none1.jpg", "none0.jpg", "none2.jpg"]


def test_histograms_count_every_crop_once(run: Run) -> None:
    for number in range(7):
        run.add(f"{number}.jpg", score=number / 6, best_score=number / 6)
    run.add("none.jpg", "resized", presence=0.0)
    html = run.page().html
    plots = re.findall(r'aria-label="(\w+) of (\d+) photos">(.*?)</svg>', html)
    totals = {name: sum(map(int, re.findall(r": (\d+)</title>", bars))) for name, _, bars in plots}
    assert totals == {"Score": 7, "Presence": 8, "Area": 7}
    assert [int(count) for _, count, _ in plots] == [7, 8, 7]


def test_boxes_by_kind_and_their_scores(run: Run) -> None:
    chosen, best = (10.0, 10.0, 40.0, 30.0), (0.0, 0.0, 20.5, 20.25)
    boxes = [
        (best, 0.95, "Dolphin"),
        (chosen, 0.9, "Dolphin"),
        ((1, 2, 3, 4), 0.4, "Whale"),  # eligible
        ((5, 5, 9, 9), 0.1, "Whale"),  # below conf
        ((5, 5, 8, 8), 0.8, "Boat"),  # not asked for
        (chosen, 0.7, "Boat"),
    ]
    run.add("a.jpg", boxes=boxes, best_box=best, best_score=0.95)
    page = run.page()
    article = Page(page.html[page.html.index("<article") : page.html.index("</article>") + 10])
    drawn = Counter(attributes["class"].split()[1] for attributes in article.all("rect"))
    assert drawn == {"chosen": 1, "best": 1, "cut": 1, "other": 1, "weak": 3, "halo": 3}
    written = re.findall(r'<text class="(\w+)"[^>]*>([^<]+)</text>', article.html)
    assert sorted(written) == [
        ("best", "0.95"),
        ("chosen", "0.90"),
        ("other", "0.40"),
        ("weak", "0.10"),
        ("weak", "Boat 0.70"),
        ("weak", "Boat 0.80"),
    ]
    # Of 60 × 40 pixels shown at 420 × 280.
    place = {"x": "70.0", "y": "70.0", "width": "210.0", "height": "140.0"}
    assert len(article.all("rect", kind="chosen", **place)) == 1


def test_any_class_makes_every_confident_box_eligible(run: Run) -> None:
    run.add("a.jpg", boxes=[((5, 5, 8, 8), 0.8, "Boat")])
    page = run.page(CropConfig(model="fake", classes="any", conf=0.3, size=32))
    assert len(page.all("rect", kind="other")) == 2  # the legend's and this


def test_no_photo_at_all(run: Run) -> None:
    page = run.page()
    assert "No photo is finished yet." in page.text
    assert "model" in page.text


@pytest.mark.parametrize("status", ["failed", "resized", "rejected", "cropped"])
def test_one_kind_only(run: Run, status: str) -> None:
    run.add("a.jpg", status, reason="x")
    page = run.page()
    assert page.tile("photos") == 1
    targets = [attributes["href"][1:] for attributes in page.all("a") if attributes["href"].startswith("#")]
    assert set(targets) <= {attributes.get("id") for _, attributes in page.tags}


# ---------------------------------------------------------------- labels


def test_a_photo_of_several_label_rows_is_shown_once(run: Run) -> None:
    run.labels = Labels(["image", "species"], [["a.jpg", "orca"], ["a.jpg", "minke"], ["b.jpg", ""]], "image")
    record = run.add("a.jpg", label=run.labels.rows[0])
    run.rows.append(Row(record, run.labels.rows[1]))
    run.add("b.jpg", label=run.labels.rows[2])
    page = run.page()
    assert page.tile("photos") == 2
    assert "audit.csv has 3 rows" in page.text
    assert page.shown() == ["a.jpg", "b.jpg"]
    assert "species orca · and 1 more label row" in page.text
    assert "(empty)" in page.text


def test_warns_of_species_that_are_rarely_cropped(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gallery, "_MAX_PHOTOS", 0)
    with_species(run, {"beluga": (2, 18), "minke": (18, 2), "orca": (17, 3), "rare": (0, 9)})
    page = run.page()
    assert "Uncropped photos give the label away." in page.text
    assert "beluga 90.0\xa0%" in page.text
    assert "values of Species" in page.text
    assert (
        "rare" not in page.text[page.text.index("give the label away") : page.text.index("A model trained")]
    )
    assert re.findall(r'<tr class=odd><td class="name">(\w+)', page.html)[0] == "beluga"


@pytest.mark.parametrize(
    "shares",
    [
        {"minke": (80, 20), "orca": (75, 25), "fin": (70, 30)},  # alike
        {"minke": (4, 0), "orca": (1, 3)},  # too few to tell
        {"minke": (16, 4), "orca": (6, 4)},  # may be chance
        {"minke": (30, 10)},  # nothing to compare with
        {"minke": (0, 20), "orca": (0, 20)},  # nothing found at all
    ],
)
def test_does_not_warn_without_reason(
    run: Run, shares: Mapping[str, tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gallery, "_MAX_PHOTOS", 0)
    with_species(run, shares)
    page = run.page()
    assert "give the label away" not in page.text
    assert "No value stands out" in page.text


def test_labels_without_a_species_column(run: Run) -> None:
    run.labels = Labels(["image", "individual_id"], [["a.jpg", "cab2ce"]], "image")
    run.add("a.jpg", label=run.labels.rows[0])
    page = run.page()
    assert "individual_id cab2ce" in page.text
    assert "By label column" not in page.text


# ---------------------------------------------------------------- review


def test_reviewed_photos_come_last_with_their_verdict(run: Run) -> None:
    for number, score in enumerate((0.4, 0.5, 0.6, 0.7, 0.8)):
        run.add(f"crop{number}.jpg", score=score, best_score=score)
    run.add("none0.jpg", "resized", presence=0.29)
    run.add("none1.jpg", "resized", presence=0.1)
    drawn = (1.0, 2.0, 9.0, 9.0)
    run.add(
        "mended.jpg", score=None, best_score=None, box=(1.0, 2.0, 9.0, 40.0), verdict="box", source="review"
    )
    said = [
        Verdict("crop0.jpg", "accepted", (), "Ann", "t"),
        Verdict("crop2.jpg", "whole", (), "<b>Bob", "t"),
        Verdict("crop3.jpg", "box", (drawn,), "", "t"),
        Verdict("mended.jpg", "box", ((1.001, 2.0, 9.0, 55.0),), "Ann", "t"),
        Verdict("none0.jpg", "rejected", (), "Ann", "t"),
    ]
    page = run.page(verdicts={verdict.image: verdict for verdict in said})
    assert page.shown()[:2] == ["crop1.jpg", "crop4.jpg"]
    assert sorted(page.shown()[2:6]) == ["crop0.jpg", "crop2.jpg", "crop3.jpg", "mended.jpg"]
    assert page.shown()[6:] == ["none1.jpg", "none0.jpg"]
    waits = "; <code>detic-crop apply</code> has not cropped it again yet"
    assert sorted(re.findall(r'<p class="verdict">(.*?)</p>', page.html)) == [
        "Reviewed by &lt;b&gt;Bob: <b>the whole photo</b>" + waits,
        "Reviewed by Ann: <b>accepted</b>",
        "Reviewed by Ann: <b>another box</b>",
        "Reviewed by Ann: <b>rejected</b>" + waits,
        "Reviewed: <b>another box</b>" + waits,
    ]
    assert (
        "5 of 8 photos are reviewed: accepted 1 · the whole photo 1 · another box 2 · rejected 1" in page.text
    )
    assert "detic-crop apply out crops again what review has changed: 3 so far." in page.text
    assert "Reviewed ones come last." in page.text


def test_how_to_go_on_before_anybody_has_reviewed(run: Run) -> None:
    run.add("a.jpg")
    page = run.page()
    assert "Nobody has reviewed a photo yet." in page.text
    assert "detic-crop review out opens a page" in page.text
    assert "detic-crop audit out --sample 200 draws a random sample" in page.text
    assert "apply out" not in page.text
    assert "come last" not in page.text


def test_the_estimate_is_shown_as_far_as_it_goes(run: Run) -> None:
    run.add("a.jpg")
    page = run.page(estimate=Estimate(200, 50, 1000, 100, come_since=3))
    assert "Photos of the random sample without a verdict yet: 50 of 200, so there is no" in page.text
    assert "the estimate speaks of the 1,100 there were" in page.text
    assert "once the sample is reviewed" in page.text
    known = Estimate(200, 0, 1000, 100, precision=Interval(0.95, 0.91, 0.98), missed=Interval(0.1, 0.05, 0.2))
    page = run.page(estimate=known)
    assert "crops that are right95.0\xa0%95\xa0% confidence: 91.0\xa0% to 98.0\xa0%" in page.text
    assert "uncropped photos that show an animal10.0\xa0%" in page.text
    assert known.card in page.text
    assert "--sample" not in page.text


@pytest.mark.parametrize(
    ("share", "limits"),
    [
        (Interval(0.95, 0.81862, 0.97341), ("81.8", "97.4")),  # outwards, which is not to the nearest
        (Interval(0.818617, 0.818617, 0.818617), ("81.9", "81.9")),
    ],
)
def test_tile_and_sentence_say_the_same_percentages(
    run: Run, share: Interval, limits: tuple[str, str]
) -> None:
    run.add("a.jpg")
    known = Estimate(200, 0, 1000, 100, precision=share)
    text = run.page(estimate=known).text
    value, (low, high) = f"{100 * share.value:.1f}", limits
    assert f"crops that are right{value}\xa0%95\xa0% confidence: {low}\xa0% to {high}\xa0%" in text
    sentence = f"{value} %" + (f" ({low}–{high} %)" if low != high else "")
    assert f"{sentence} of the 1,000 crops are right" in text


def test_headings_and_keyboard(run: Run) -> None:
    run.labels = Labels(["image", "species"], [["a.jpg", "orca"], ["b.jpg", "orca"]], "image")
    run.add("a.jpg", label=run.labels.rows[0], box=(0.0, 0.0, 30.0, 20.0))
    run.add("b.jpg", label=run.labels.rows[1], score=0.31, best_score=0.31)
    page = run.page()
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert len(page.all("main")) == len(page.all("nav")) == 1
    assert all(attributes.get("tabindex") == "0" for attributes in page.all("div", kind="scroll"))
    assert all(attributes.get("scope") == "col" for attributes in page.all("th"))
    assert all(attributes.get("alt") for attributes in page.all("img"))


# ---------------------------------------------------------------- safety and limits


def test_names_and_labels_are_text(run: Run) -> None:
    run.labels = Labels(["image", "species", "a<b>"], [[HOSTILE, "<i>orca</i>", '"><script>']], "image")
    run.add(HOSTILE, label=run.labels.rows[0], class_name="<b>Dolphin", crop="a b/#1 %?'\".jpg")
    run.add("bad<b>.jpg", "failed", reason="<reason>", error="<error>", label=run.labels.rows[0])
    page = run.page(CropConfig(model="boxes:<u>.csv", classes="<s>", conf=0.3, size=32))
    for text in (HOSTILE, "<i>orca</i>", "a<b>", '"><script>', "<b>Dolphin", "bad<b>.jpg", "<u>.csv", "<s>"):
        assert text in page.text
    crops = [attributes["href"] for attributes in page.all("a") if "1" in attributes["href"][:12]]
    assert unquote(crops[-1]) == "a b/#1 %?'\".jpg"


def test_a_name_like_an_address_stays_a_file(run: Run) -> None:
    run.add("x.jpg", crop="javascript:alert(1).jpg")
    assert "javascript%3Aalert%281%29.jpg" in [attributes["href"] for attributes in run.page().all("a")]


@pytest.mark.parametrize("crop", ["//evil.example/x.jpg", "/etc/passwd", "../x.jpg", "a/../../x.jpg"])
def test_a_crop_elsewhere_is_no_link(run: Run, crop: str) -> None:
    run.add("x.jpg", crop=crop)
    links = [attributes["href"] for attributes in run.page().all("a")]
    assert not [link for link in links if "x.jpg" in link or "passwd" in link]


MARKUP = "\"'></span></svg></title></style><meta http-equiv=refresh content='0;url=//x'><b onclick=x>&lt;"


@pytest.mark.parametrize("field", [*Record.__struct_fields__, "detected.class_name"])
@pytest.mark.parametrize("status", ["cropped", "resized", "failed"])
def test_no_field_of_a_record_becomes_markup(run: Run, field: str, status: str) -> None:
    """A journal may come from somebody else. What it is of no use for stops the page before it is written."""
    run.add("good.jpg")
    good = run.page()
    record = run.add(
        "odd.jpg", status, reason="detect_error", best_box=(0.0, 0.0, 9.0, 9.0), rival_score=0.95
    )
    if field == "detected.class_name":
        value: Any = DetectorChoice("odd.jpg", "cropped", class_name=MARKUP)
    else:
        value = MARKUP
    values: dict[str, Any] = {field.split(".")[0]: value}
    run.rows[-1] = Row(replace(record, **values))
    try:
        page = run.page()
    except (TypeError, ValueError, KeyError, AttributeError, IndexError):
        assert run.folder.layout.audit_html.read_bytes() == good.html.encode()
        return
    assert_only_text(page)
    if field in ("n_candidates", "class_name", "best_class", "rival_class") and status == "cropped":
        assert MARKUP in page.text
    if field in ("reason", "error") and status == "failed":
        assert MARKUP in page.text


def assert_only_text(page: Page) -> None:
    assert_self_contained(page)
    assert "<b onclick" not in page.html
    assert len(page.all("meta")) == 3
    assert len(page.all("main")) == len(page.all("style")) == 1


def test_no_template_switches_escaping_off() -> None:
    made = environment()
    templates = list((Path(gallery.__file__).parent / "templates").iterdir())
    assert len(templates) > 8
    for template in templates:
        assert not re.search(r"\bsafe\b|autoescape|Markup", template.read_text("utf-8"))
    with pytest.raises(UndefinedError):
        made.from_string("{{ misspelt }}").render()
    assert made.from_string("{{ '<b>' }}").render() == "&lt;b&gt;"


def test_nothing_else_becomes_markup(run: Run) -> None:
    """Labels, boxes, verdicts, settings, the estimate."""
    rows: list[list[str]] = []
    run.labels = Labels(["image", f"species{MARKUP}", "species", MARKUP], rows, "image")
    for number in range(60):
        key = f"{number}{MARKUP}.jpg"
        label = [key, MARKUP, MARKUP if number % 2 else "orca", MARKUP]
        rows.append(label)
        boxes = [((5.0, 5.0, 8.0, 8.0), 0.8, MARKUP)] if number == 0 else ()
        run.add(
            key.replace("/", ""),
            "cropped" if number % 2 else "resized",
            label=label,
            boxes=boxes,
            data=None if number < 2 else b"",
            class_name=MARKUP,
            model=MARKUP,
            crop=MARKUP,
        )
    config = CropConfig(model=MARKUP, classes=MARKUP, conf=0.3, size=32)
    said = [
        Verdict(run.rows[0].record.image, MARKUP, (), MARKUP, MARKUP),
        Verdict(run.rows[1].record.image, "whole", (), MARKUP, MARKUP),
    ]
    estimate = Estimate(200, 50, 1000, 100, precision=Interval(0.95, 0.91, 0.98))
    page = run.page(config, {verdict.image: verdict for verdict in said}, estimate)
    assert_only_text(page)
    assert page.text.count(MARKUP) > 60


def test_text_that_is_no_unicode_does_not_stop_the_page(run: Run) -> None:
    run.add("a.jpg", "failed", reason="unreadable", error="caf\udce9")
    assert "caf\\udce9" in run.page().text


def test_at_most_so_many_photos(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gallery, "_MAX_PHOTOS", 9)
    monkeypatch.setattr(gallery, "_MAX_NOT_FOUND", 3)
    for number in range(12):
        run.add(f"crop{number}.jpg")
        run.add(f"none{number}.jpg", "resized")
    page = run.page()
    assert Counter(name[:4] for name in page.shown()) == {"crop": 6, "none": 3}
    assert "6 of 12" in page.text
    assert page.tile("photos") == 24
    run.rows = [row for row in run.rows if row.record.status == "resized" or row.record.image < "crop10"]
    assert Counter(name[:4] for name in run.page().shown()) == {"none": 7, "crop": 2}


def test_at_most_so_many_bytes(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(40):
        run.add(f"crop{number:02}.jpg", score=1 - number / 100, best_score=1.0)
        run.add(f"none{number:02}.jpg", "resized", presence=number / 100)
    limit = 120_000
    monkeypatch.setattr(report, "_MAX_BYTES", limit)
    page = run.page()
    assert limit // 2 < run.folder.layout.audit_html.stat().st_size <= limit
    shown = page.shown()
    assert 4 < len(shown) < 80
    assert shown[0] == "crop39.jpg"
    assert "none39.jpg" in shown
    assert page.entries()
    monkeypatch.setattr(report, "_MAX_BYTES", 0)
    assert run.page().shown() == []


def test_long_tables_and_texts_are_cut(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview, "_MAX_FAILURES", 5)
    monkeypatch.setattr(overview, "_MAX_GROUPS", 5)
    rows: list[list[str]] = []
    run.labels = Labels(["image", "species"], rows, "image")
    for number in range(8):
        rows.append([f"{number}.jpg", f"species{number}" * 1000])
        run.add(f"{number}.jpg", class_name=f"class{number}", label=rows[-1])
        run.add(f"bad{number}.jpg", "failed", error="x" * 100_000)
    page = run.page()
    assert len(page.html) < 100_000
    assert page.text.count("3 more;") == 3
    assert "bad4.jpg" in page.text
    assert "bad5.jpg" not in page.text


# ---------------------------------------------------------------- pictures


def _pictures(page: Page) -> list[str]:
    """Those of the entries, not of the sheet on top."""
    return [
        attributes["alt"] for attributes in page.all("img") if not attributes["alt"].startswith("crop of")
    ]


def test_photo_and_crop_are_inside(run: Run) -> None:
    run.add("a/b.png", data=photo_bytes(3, ".png"))
    page = run.page()
    assert _pictures(page) == ["the photo", "its crop"]
    assert "cannot be shown" not in page.text


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.unlink(), "it is no longer where it was"),
        (lambda path: path.write_bytes(photo_bytes(9, width=80)), "it has changed since the run"),
        (lambda path: path.write_bytes(b"\0" * path.stat().st_size), "expected JPEG, PNG"),
        (lambda path: (path.unlink(), path.mkdir()), "it is not a file any more"),
    ],
)
def test_a_photo_that_is_gone_leaves_its_crop(run: Run, damage: Any, words: str) -> None:
    run.add("a.jpg")
    run.add("b.jpg")
    damage(run.photos / "a.jpg")
    page = run.page()
    assert page.shown() == ["a.jpg", "b.jpg"]
    assert _pictures(page) == ["its crop", "the photo", "its crop"]
    assert f"The photo cannot be shown: {words}" in page.text
    assert len(page.all("rect", kind="chosen")) == 3  # drawn all the same, and in the legend


def test_a_photo_of_another_size_but_as_many_bytes_has_changed(run: Run) -> None:
    run.add("a.jpg", width=61)
    assert "it has changed since the run" in run.page().text


def test_a_missing_crop_leaves_its_photo(run: Run) -> None:
    run.add("a.jpg")
    (run.folder.root / "a.jpg").unlink()
    page = run.page()
    assert _pictures(page) == ["the photo"]
    assert "The crop cannot be shown" in page.text


@pytest.mark.parametrize("content", [None, b"", b"not json\n" * 20, b"{}" + b" " * 500])
def test_missing_or_damaged_candidates_leave_the_chosen_box(run: Run, content: bytes | None) -> None:
    run.add("a.jpg")
    run.journal.close()
    run.folder.layout.candidates.unlink()
    if content is not None:
        run.folder.layout.candidates.write_bytes(content)
    assert len(run.page().all("rect", kind="chosen")) == 2


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("reduction", [2, 4, 8])
def test_small_decoding_agrees_with_the_real_one(orientation: int, reduction: int) -> None:
    side = 40
    exif = Image.Exif()
    exif[274] = orientation
    file = io.BytesIO()
    picture = Image.fromarray(
        cv2.cvtColor(_gradient(side * reduction + 3, 60 * reduction), cv2.COLOR_BGR2RGB)
    )
    picture.save(file, "JPEG", exif=exif, quality=95)
    decoded = thumbnails._decode_small(PhotoFile(file.getvalue()), side)
    small, real = decoded.image, decode(file.getvalue()).image
    assert decoded.resolution_wh == (real.shape[1], real.shape[0])
    assert max(small.shape) < max(real.shape)  # it was reduced indeed
    expected = cv2.resize(real, (small.shape[1], small.shape[0]), interpolation=cv2.INTER_AREA)
    # A gradient over 256 levels: another orientation would differ by tens, JPEG and rounding by a few.
    assert float(np.abs(small.astype(int) - expected).mean()) < 4


def _gradient(height: int, width: int) -> Any:
    """(H, W, 3) uint8: blue grows to the right, green downwards."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[..., 0] = np.linspace(0, 255, width).astype(np.uint8)
    picture[..., 1] = np.linspace(0, 255, height).astype(np.uint8)[:, None]
    return picture


def test_thumbnails_are_small(tmp_path: Path) -> None:
    path = write_photo(tmp_path / "a.jpg", width=3000, height=1000)
    image = cv2.imdecode(
        np.frombuffer(
            thumbnails.crop_thumbnail(path.read_bytes(), "a.jpg", 420, 75, MemoryBudget.of_machine()),
            np.uint8,
        ),
        cv2.IMREAD_COLOR,
    )
    assert image is not None
    assert image.shape == (140, 420, 3)


# ---------------------------------------------------------------- pictures of an earlier page


BIG = base64.b64encode(photo_bytes(3, width=900, height=600)).decode()


def embedded(page: Page) -> list[str]:
    return [attributes["src"] for attributes in page.all("img")]


def test_pictures_stay_when_photos_move(run: Run) -> None:
    run.add("a.jpg")
    run.add("b.jpg", "resized")
    before = run.page()
    shutil.rmtree(run.photos)
    page = run.page()
    assert embedded(page) == embedded(before)
    assert len(embedded(page)) == 5  # two of each, and one crop in the sheet
    assert "cannot be shown" not in page.text
    assert embedded(run.page()) == embedded(before)  # and again
    (run.folder.root / "a.jpg").unlink()
    page = run.page()
    assert embedded(page) == embedded(before)
    assert (
        "The crop cannot be shown: it is no longer where it was. The picture is that of an earlier"
        in page.text
    )


def test_pictures_of_a_page_without_stamps_stay(run: Run) -> None:
    """As earlier versions wrote it."""
    run.add("a.jpg")
    before = run.page()
    run.folder.layout.audit_html.write_text(
        re.sub(r' data-of="[0-9a-f]+"', "", before.html), encoding="utf-8"
    )
    shutil.rmtree(run.photos)
    assert embedded(run.page()) == embedded(before)


@pytest.mark.parametrize(
    "change", [{"checksum": 5}, {"file_size": 77}, {"width": 61}, {"height": 80}, {"file_time": 9}]
)
def test_a_picture_of_another_photo_does_not_stay(run: Run, change: Mapping[str, Any]) -> None:
    record = run.add("a.jpg")
    run.page()
    shutil.rmtree(run.photos)
    run.rows[0] = Row(replace(record, **change))
    page = run.page()
    assert _pictures(page) == ["its crop"]
    assert "The photo cannot be shown: it is no longer where it was" in page.text


@pytest.mark.parametrize("change", [{"crop_bytes": 77}, {"crop_box": (0, 0, 9, 9)}, {"crop_hash": "ff"}])
def test_a_picture_of_another_crop_does_not_stay(run: Run, change: Mapping[str, Any]) -> None:
    record = run.add("a.jpg")
    run.page()
    (run.folder.root / "a.jpg").unlink()
    run.rows[0] = Row(replace(record, **change))
    assert _pictures(run.page()) == ["the photo"]


def test_a_photo_that_has_changed_keeps_the_picture_of_what_was_cropped(run: Run) -> None:
    run.add("a.jpg")
    before = run.page()
    write_photo(run.photos / "a.jpg", 9, width=80)
    page = run.page()
    assert embedded(page) == embedded(before)
    assert "it has changed since the run" in page.text


@pytest.mark.parametrize(
    "spoil",
    [
        lambda html: html.replace("base64,", "base64,AAAA"),
        lambda html: re.sub(r"base64,[^\"]+", "base64,", html),
        lambda html: re.sub(r"base64,[^\"]+", f"base64,{BIG}", html),
        lambda html: html[: len(html) // 2],
        lambda html: "\0" * 1000,
        lambda html: "",
    ],
)
def test_a_page_that_is_not_ours_gives_no_picture(run: Run, spoil: Any) -> None:
    run.add("a.jpg")
    run.folder.layout.audit_html.write_text(spoil(run.page().html), encoding="utf-8")
    shutil.rmtree(run.photos)
    assert _pictures(run.page()) == ["its crop"]


# ---------------------------------------------------------------- in a run


def test_a_run_writes_it_and_audit_writes_the_same(tmp_path: Path) -> None:
    keys = write_photos(tmp_path / "in", 12)
    result = crop(tmp_path / "in", tmp_path / "out")
    first = result.folder.layout.audit_html.read_bytes()
    page = Page(first.decode())
    assert_self_contained(page)
    for status in ("cropped", "resized", "failed"):
        assert page.tile(status) == result.counts[status]
    assert page.tile("crops flagged") == result.flagged
    assert sorted(page.shown()) == keys
    assert _pictures(page).count("the photo") == len(keys)
    links = {attributes["href"] for attributes in page.all("a") if not attributes["href"].startswith("#")}
    assert all((tmp_path / "out" / unquote(link)).is_file() for link in links)
    api.write_audit(tmp_path / "out")
    assert result.folder.layout.audit_html.read_bytes() == first
    crop(tmp_path / "in", tmp_path / "elsewhere", workers=1)
    elsewhere = (tmp_path / "elsewhere" / "audit.html").read_bytes()
    assert elsewhere != first  # it names its folder
    assert same_page(elsewhere) == same_page(first)


def test_the_day_is_that_of_the_last_run(tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 3)
    result = crop(tmp_path / "in", tmp_path / "out")
    layout = result.folder.layout
    told = json.loads(layout.run_json.read_bytes())
    layout.run_json.write_text(json.dumps(told | {"started": "2019-07-03T10:00:00+0200"}))
    api.write_audit(tmp_path / "out")
    assert "3 July 2019" in layout.audit_html.read_text()
    layout.run_json.unlink()
    api.write_audit(tmp_path / "out")
    assert "made-on" not in layout.audit_html.read_text()
