"""audit.html and compare.html in a real Chromium: what one sees first, on a desk and on a phone; axe-core."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

import detic_crop
from detic_crop import api
from tests.kit.axe import axe_violations
from tests.kit.folders import crop, rows_of
from tests.kit.photos import write_boxes, write_photos
from tests.kit.review_browser import STEP_MS, chromium
from tests.kit.verdicts import give_verdicts

pytestmark = pytest.mark.outside

SCREENS: dict[str, dict[str, Any]] = {
    "desk": {"viewport": {"width": 1440, "height": 900}},
    "phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True},
}
PAGES = ("audit.html", "compare.html")
SPECIES = ("orca", "beluga", "bottlenose_dolphin_of_the_northern_coast")
FINGER = 44  # px: the smallest thing that a finger hits


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium."""
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that a page can show: labels, verdicts, a sample, a failure; and a comparison."""
    folder = tmp_path_factory.mktemp("pages")
    keys = write_photos(folder / "in", 70, width=600, height=400)
    (folder / "in" / "broken.jpg").write_bytes(b"no photo")
    lines = [f"{key},{SPECIES[n % 3]}" for n, key in enumerate(keys)]
    (folder / "labels.csv").write_text("image,species\n" + "\n".join([*lines, "broken.jpg,orca"]))
    out = folder / "out"
    crop(folder / "in", out, labels=folder / "labels.csv")
    cropped = [row["image"] for row in rows_of(out) if row["status"] == "cropped"]
    give_verdicts(
        out, {cropped[0]: "accepted", cropped[1]: "box", cropped[2]: "whole", cropped[3]: "rejected"}
    )
    api.apply(out)
    give_verdicts(out, {cropped[4]: "box"})  # not applied
    api.write_audit(out, sample=20)
    boxes = write_boxes(folder / "boxes.csv", keys[:50], width=600, height=400)
    detic_crop.compare(out, boxes, folder / "compared", truth=boxes)
    for name, source in (("audit.html", out), ("compare.html", folder / "compared")):
        (source / name).rename(folder / name)  # alone, as from a mail
    return folder


@contextmanager
def opened(browser: Browser, path: Path, screen: str, scheme: Any = "light") -> Iterator[Page]:
    """A page that asks for nothing from elsewhere and complains about nothing."""
    context = browser.new_context(color_scheme=scheme, **SCREENS[screen])
    context.set_default_timeout(STEP_MS)
    page = context.new_page()
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url[:100]))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(path.as_uri())
    try:
        yield page
    finally:
        context.close()
    assert complaints == []
    assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing(browser: Browser, finished: Path, name: str, screen: str, scheme: str) -> None:
    with opened(browser, finished / name, screen, scheme) as page:
        for details in page.locator("details").all():
            details.evaluate("element => { element.open = true; }")
        # What is off screen is drawn, too, so that axe sees its colours.
        page.add_style_tag(content=".entry, .pair { content-visibility: visible !important; }")
        assert axe_violations(page) == []


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("name", PAGES)
def test_nothing_sticks_out(browser: Browser, finished: Path, name: str, screen: str) -> None:
    with opened(browser, finished / name, screen) as page:
        page.add_style_tag(content=".entry, .pair { content-visibility: visible !important; }")
        wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        assert not page.evaluate(wide)


@pytest.mark.parametrize("screen", SCREENS)
def test_the_first_screen_shows_crops(browser: Browser, finished: Path, screen: str) -> None:
    with opened(browser, finished / "audit.html", screen) as page:
        height = SCREENS[screen]["viewport"]["height"]
        seen = page.evaluate(
            """height => [...document.images].filter((image) => {
              const place = image.getBoundingClientRect();
              return image.naturalWidth && place.bottom <= height && place.width >= 60;
            }).length""",
            height,
        )
        assert seen >= 6
        assert page.title() == "detic-crop audit: out, " + page.title().partition("out, ")[2]
        heading = page.get_by_role("heading", level=1)
        assert heading.inner_text() == "Crops in out"


def test_a_crop_of_the_sheet_leads_to_its_photo(browser: Browser, finished: Path) -> None:
    with opened(browser, finished / "audit.html", "phone") as page:
        link = page.locator(".sheet a[href^='#']").last
        target = link.get_attribute("href")
        assert target
        link.click()
        page.wait_for_function(
            "target => document.querySelector(target).getBoundingClientRect().top < innerHeight / 2",
            arg=target,
        )
        assert page.locator(f"{target}:target").count() == 1


@pytest.mark.parametrize("name", PAGES)
def test_the_name_of_a_photo_can_be_hit(browser: Browser, finished: Path, name: str) -> None:
    with opened(browser, finished / name, "phone") as page:
        page.add_style_tag(content=".entry, .pair { content-visibility: visible !important; }")
        heights = page.evaluate(
            """() => [...document.querySelectorAll("article h3 a")]
              .map((link) => link.getBoundingClientRect().height)"""
        )
        assert min(heights) >= 24  # WCAG 2.5.8


@pytest.mark.parametrize("name", PAGES)
def test_text_is_as_large_as_the_browser_is_told(browser: Browser, finished: Path, name: str) -> None:
    size = "() => parseFloat(getComputedStyle(document.querySelector('main > p, .lead')).fontSize)"
    with opened(browser, finished / name, "desk") as page:
        usual = page.evaluate(size)
        page.evaluate("() => { document.documentElement.style.fontSize = '200%'; }")
        assert page.evaluate(size) == pytest.approx(2 * usual)
        assert not page.evaluate(
            "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        )


def test_crops_keep_their_proportions(browser: Browser, finished: Path, tmp_path: Path) -> None:
    api.recrop(finished / "out", tmp_path / "tall", size="64x160", quiet=True)
    with opened(browser, tmp_path / "tall" / "audit.html", "desk") as page:
        page.add_style_tag(content=".entry { content-visibility: visible !important; }")
        shapes = page.evaluate(
            """async () => {
              const crops = [...document.querySelectorAll(".crop img, .sheet img")];
              await Promise.all(crops.map((image) => image.decode()));
              return crops.map((image) => [
                image.naturalWidth / image.naturalHeight,
                image.width / image.height,
                getComputedStyle(image).objectFit,
              ]);
            }"""
        )
        assert len(shapes) > 10
        assert {round(own, 1) for own, _, _ in shapes} == {0.4}
        assert [each for each in shapes if each[2] != "contain" and abs(each[1] - each[0]) > 0.02] == []


def test_a_filter_leaves_the_photos_of_one_flag(browser: Browser, finished: Path) -> None:
    with opened(browser, finished / "audit.html", "phone") as page:
        chips = page.locator(".filter label")
        assert chips.count() > 1
        for chip in chips.all():
            box = chip.bounding_box()
            assert box
            assert box["height"] >= FINGER
        chip = chips.nth(1)
        name = chip.inner_text()
        chip.click()
        shown = page.locator("#crops .entry:visible")
        assert shown.count() == int(name.rpartition(" ")[2])
        flag = name.rpartition(" ")[0].replace(" ", "_")
        assert all(flag in (entry.get_attribute("class") or "") for entry in shown.all())


def test_every_card_has_a_reason(browser: Browser, finished: Path) -> None:
    with opened(browser, finished / "audit.html", "desk") as page:
        page.add_style_tag(content=".entry { content-visibility: visible !important; }")
        open_cards = page.locator("#crops .entry:not(:has(.verdict))")
        assert open_cards.count() > 20
        assert page.locator("#crops .entry:not(:has(.verdict)):not(:has(.reasons li))").count() == 0


def test_boxes_of_a_person_are_green_and_the_detectors_amber(browser: Browser, finished: Path) -> None:
    """The words beside the picture and the colours in it say the same: an applied box, and a waiting one."""
    with opened(browser, finished / "audit.html", "desk") as page:
        page.add_style_tag(content=".entry { content-visibility: visible !important; }")
        cards = page.locator(".entry:has(.verdict:has-text('another box'))")
        assert cards.count() == 2
        for card in cards.all():
            assert card.locator("rect.taken").count() == 1
            assert (
                card.locator("rect.taken").first.evaluate("r => getComputedStyle(r).stroke")
                == "rgb(61, 255, 124)"
            )
            assert (
                card.locator("rect.chosen").first.evaluate("r => getComputedStyle(r).stroke")
                == "rgb(255, 176, 32)"
            )


def test_it_can_be_printed(browser: Browser, finished: Path) -> None:
    with opened(browser, finished / "audit.html", "desk", "dark") as page:
        page.emulate_media(media="print")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
        assert page.pdf(format="A4")[:5] == b"%PDF-"
