"""The review page on a phone: what is in reach, what is large enough for a finger, what scrolls."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from detic_crop.photos.keys import STATE
from tests.kit.folders import crop
from tests.kit.photos import write_photos
from tests.kit.review import Client, reviewing
from tests.kit.review_browser import PHONE, is_ready, shows, tab
from tests.kit.verdicts import verdicts_of

pytestmark = pytest.mark.outside

LYING: dict[str, Any] = {**PHONE, "viewport": {"width": 844, "height": 390}}
FINGER = 44  # px, the least width and height of what is tapped (WCAG 2.5.5)

TARGETS = """() => [...document.querySelectorAll("button, select, input, textarea, a[href]")]
  .filter((element) => element.checkVisibility())
  .map((element) => {
    const { width, height } = element.getBoundingClientRect();
    return [element.id || element.textContent.trim(), width, height];
  })"""
OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run over 12 photos with labels that can be filtered by."""
    folder = tmp_path_factory.mktemp("small")
    keys = write_photos(folder / "in", 12, width=600, height=400)
    lines = [f"{key},{('orca', 'beluga')[n % 2]}" for n, key in enumerate(keys)]
    (folder / "labels.csv").write_text("image,species\n" + "\n".join(lines))
    crop(folder / "in", folder / "out", labels=folder / "labels.csv")
    return folder / "out"


@pytest.fixture
def client(finished: Path) -> Iterator[Client]:
    (finished / STATE / "review.csv").unlink(missing_ok=True)
    with reviewing(finished) as client:
        yield client


@pytest.mark.parametrize("phone", [PHONE, LYING], ids=["upright", "lying"])
def test_everything_that_is_tapped_has_the_size_of_a_finger(
    browser: Browser, client: Client, phone: dict[str, Any]
) -> None:
    with tab(browser, client, **phone) as page:
        page.tap("#sheet-button")
        small = [target for target in page.evaluate(TARGETS) if min(target[1:]) < FINGER]
        assert small == []
        assert page.evaluate(OVERFLOW) == 0


def test_the_header_is_one_line_and_the_buttons_stay_in_reach(browser: Browser, client: Client) -> None:
    with tab(browser, client, **PHONE) as page:
        header = page.locator("header").bounding_box()
        assert header
        assert header["height"] < 1.5 * FINGER
        page.locator("#note").scroll_into_view_if_needed()
        for name in ("#take", "#whole", "#reject", "#unsure", "#undo", "#previous", "#next"):
            expect(page.locator(name)).to_be_in_viewport(ratio=1)
        assert (
            page.evaluate("() => document.scrollingElement.scrollTop") == 0
        )  # the panel scrolls, not the page


def test_the_header_of_many_photos_fits_the_narrowest_phone(browser: Browser, client: Client) -> None:
    with tab(browser, client, **{**PHONE, "viewport": {"width": 360, "height": 640}}) as page:
        page.evaluate("() => { document.getElementById('count').textContent = '14,999 of 15,000'; }")
        assert page.evaluate(OVERFLOW) == 0
        expect(page.locator("#help-button")).to_be_in_viewport(ratio=1)


def test_text_is_as_large_as_the_browser_is_told(browser: Browser, client: Client) -> None:
    size = """() => ["body", "#facts", "#take", "kbd"]
      .map((name) => getComputedStyle(document.querySelector(name)).fontSize)"""
    with tab(browser, client) as page:
        usual = page.evaluate(size)
        page.evaluate("() => { document.documentElement.style.fontSize = '200%'; }")
        doubled = [f"{2 * float(px.removesuffix('px')):g}px" for px in usual]
        assert page.evaluate(size) == doubled


def test_what_a_person_took_has_one_colour_on_the_card(browser: Browser, client: Client) -> None:
    with tab(browser, client) as page:
        page.keyboard.press("p")
        colours = [
            page.locator(f"#finish-counts .{kind}").evaluate("item => getComputedStyle(item).borderTopColor")
            for kind in ("accepted", "box", "whole", "rejected")
        ]
        assert len(set(colours[:3])) == 1
        assert colours[3] not in colours[:3]


def test_a_verdict_scrolls_back_to_the_top(browser: Browser, client: Client, finished: Path) -> None:
    with tab(browser, client, **PHONE) as page:
        page.evaluate("() => { const p = document.getElementById('panel'); p.scrollTop = p.scrollHeight; }")
        assert _scrolled(page) > 0
        page.tap("#take")
        shows(page, client.image(1))
        is_ready(page)
        assert _scrolled(page) == 0
    assert list(verdicts_of(finished)) == [client.image(0)]


def test_the_sheet_filters_and_finds(browser: Browser, client: Client) -> None:
    with tab(browser, client, **PHONE) as page:
        expect(page.locator("#filters")).to_be_hidden()
        page.tap("#sheet-button")
        page.select_option("[data-filter='label:species']", "orca")
        expect(page.locator("#sheet-button")).to_have_text("Filters (1)")
        expect(page.locator("#count")).to_contain_text("of 6")
        image = client.image(5)
        page.fill("#find", image)
        page.tap(f"#found [data-id='{client.id_of(image)}']")
        shows(page, image)
        expect(page.locator("#filters")).to_be_hidden()


def test_escape_and_a_tap_beside_it_close_the_sheet(browser: Browser, client: Client) -> None:
    with tab(browser, client, **PHONE) as page:
        for how in ("Escape", "tap"):
            page.tap("#sheet-button")
            expect(page.locator("#sheet-button")).to_have_attribute("aria-expanded", "true")
            if how == "tap":
                page.tap("#name")
            else:
                page.keyboard.press(how)
            expect(page.locator("#sheet-button")).to_have_attribute("aria-expanded", "false")
            expect(page.locator("#filters")).to_be_hidden()


def test_where_there_is_room_there_is_no_sheet(browser: Browser, client: Client) -> None:
    with tab(browser, client, viewport={"width": 1440, "height": 900}) as page:
        expect(page.locator("#sheet-button")).to_be_hidden()
        expect(page.locator("#filters")).to_be_visible()


def _scrolled(page: Page) -> float:
    return float(page.evaluate("() => document.getElementById('panel').scrollTop"))
