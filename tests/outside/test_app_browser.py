"""The page of the app in a real Chromium: from a folder of photos to exported crops, as people go."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.kit.app import AppClient, serving
from tests.kit.app_browser import choose_photos, held, look_again, start, window
from tests.kit.axe import axe_violations
from tests.kit.photos import write_photos
from tests.kit.processes import posix
from tests.kit.review_browser import PHONE, WIDE, is_ready

pytestmark = [pytest.mark.outside, pytest.mark.slow]

OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A root with photos and a table of labels."""
    root = tmp_path / "data"
    keys = write_photos(root / "day & night", 4, width=300, height=200)
    lines = [f"{key},w_{n % 2}" for n, key in enumerate(keys)]
    (root / "day & night" / "whales.csv").write_text("image,individual_id\n" + "\n".join(lines))
    return root


@pytest.fixture
def client(data: Path, tmp_path: Path) -> Iterator[AppClient]:
    with serving([data], tmp_path / "state") as client:
        yield client


def test_from_a_folder_of_photos_to_exported_crops(browser: Browser, client: AppClient, data: Path) -> None:
    cropped = data / "day & night_cropped"
    with window(browser, client) as page:
        choose_photos(page)
        page.get_by_label("Table of labels").select_option("whales.csv")
        page.get_by_label("Size of the crops").select_option("256")
        expect(page.get_by_text("crops of 256 × 256 px in day & night_cropped")).to_be_visible()
        start(page)
        expect(page.get_by_role("heading", name="What next")).to_be_visible()
        assert len(list(cropped.rglob("*.jpg"))) == 4
        with page.expect_popup() as opened:
            page.get_by_role("link", name="Open audit.html").click()
        expect(opened.value.locator("h1")).to_contain_text("day & night_cropped")
        page.get_by_label("Your name, noted with each verdict").fill("Ada")
        with page.expect_popup() as opened:
            page.get_by_role("button", name="Review", exact=True).click()
        review = opened.value
        review.wait_for_selector("body[data-shown]")
        expect(review.get_by_role("link", name="day & night_cropped")).to_have_attribute(
            "href", "../../" + page.evaluate("location.hash")
        )
        for _ in range(4):
            is_ready(review)
            review.keyboard.press("x")
        is_ready(review)
        review.close()
        look_again(page)
        expect(page.get_by_text("4 verdicts of the review wait")).to_be_visible()
        page.get_by_role("button", name="Apply").click()
        expect(page.locator("dt", has_text="rejected")).to_be_visible()
        page.get_by_role("button", name="Choose a format …").click()
        page.get_by_label("Format").select_option("boxes-yolo")
        page.get_by_role("button", name="Export", exact=True).click()
        expect(page.locator("main .good")).to_contain_text("day & night_cropped_boxes-yolo")
    assert (data / "day & night_cropped_boxes-yolo").is_dir()


@posix
def test_a_run_survives_a_reload_and_can_be_stopped_and_continued(
    browser: Browser, client: AppClient, data: Path, tmp_path: Path
) -> None:
    with window(browser, client) as page:
        choose_photos(page)
        start(page)
        with held(tmp_path / "state"):
            page.reload()
            expect(page.get_by_role("heading", name="Crop day & night")).to_be_visible()
            page.get_by_role("button", name="Stop").click()
            expect(page.locator(".figures")).to_contain_text("Stopping, when")
        page.get_by_role("button", name="Continue").click()
        expect(page.get_by_role("heading", name="What next")).to_be_visible()
    assert len(list((data / "day & night_cropped").rglob("*.jpg"))) == 4


def test_what_is_refused_is_said_beside_start(browser: Browser, client: AppClient, data: Path) -> None:
    with window(browser, client, refusals=1) as page:
        choose_photos(page)
        page.get_by_text("More settings").click()
        page.get_by_text("Finding the animal").click()
        page.get_by_label("classes", exact=True).fill("no such class")
        page.get_by_text("Detic and other models").click()
        page.get_by_label("names", exact=True).fill("/etc/passwd")
        page.get_by_role("button", name="Start", exact=True).click()
        expect(page.get_by_role("alert").filter(has_text="expected a path in")).to_be_visible()
        expect(page.get_by_role("button", name="Start", exact=True)).to_be_enabled()
    assert not (data / "day & night_cropped").exists()


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("settings", [WIDE, PHONE], ids=["wide", "phone"])
def test_every_screen_is_accessible_and_fits(
    browser: Browser, client: AppClient, settings: dict[str, Any], colours: str
) -> None:
    with window(browser, client, color_scheme=colours, **settings) as page:

        def is_fine(where: str) -> None:
            assert axe_violations(page) == [], where
            assert page.evaluate(OVERFLOW) == 0, where

        is_fine("home")
        page.get_by_role("link", name="API").click()
        expect(page.get_by_role("heading", name="The API of detic-crop")).to_be_visible()
        page.get_by_role("link", name="Back to the page").click()
        page.get_by_role("link", name="Crop photos …").click()
        page.get_by_role("button", name="Choose a folder …").click()
        page.get_by_role("list", name="Folders").get_by_role("button").first.click()
        is_fine("chooser")
        page.get_by_role("button", name="Take these photos").click()
        page.get_by_text("More settings").click()
        page.get_by_text("The crops", exact=True).click()
        is_fine("form")
        start(page)
        expect(page.get_by_role("heading", name="What next")).to_be_visible()
        page.get_by_role("button", name="Choose a format …").click()
        expect(page.get_by_label("Format")).to_be_visible()
        is_fine("folder")
        page.get_by_role("link", name="detic-crop").click()
        expect(page.get_by_role("heading", name="Folders you worked on")).to_be_visible()
        is_fine("home with folders")


def test_folders_by_keyboard_alone(browser: Browser, client: AppClient, data: Path) -> None:
    (data / "zebra").mkdir()
    with window(browser, client) as page:
        page.get_by_role("link", name="Crop photos …").press("Enter")
        page.get_by_role("button", name="Choose a folder …").press("Enter")
        folders = page.get_by_role("list", name="Folders")
        expect(folders.get_by_role("button", name="day & night")).to_be_focused()
        page.keyboard.press("ArrowDown")
        expect(folders.get_by_role("button", name="zebra")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog")).to_contain_text("There is no folder in here")
        page.get_by_role("button", name=str(data)).press("Enter")
        page.get_by_label("Find a folder here").fill("night")
        expect(folders.get_by_role("button")).to_have_count(1)
        page.keyboard.press("Escape")  # clears the field
        expect(folders.get_by_role("button")).to_have_count(2)
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_be_hidden()
