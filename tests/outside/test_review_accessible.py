"""The review page by the rules of WCAG: the photo, zoomed, its help and its filters, on each screen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.kit.axe import axe_violations
from tests.kit.folders import crop
from tests.kit.photos import write_damaged, write_photos
from tests.kit.review import Client, reviewing
from tests.kit.review_browser import PHONE, WIDE, go_to, is_ready, press, tab

pytestmark = pytest.mark.outside


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A run over photos with labels, one of which cannot be read."""
    folder = tmp_path_factory.mktemp("accessible")
    keys = write_photos(folder / "in", 8, width=600, height=400)
    write_damaged(folder / "in")
    keys.append("bad/empty.png")
    lines = [f"{key},{('orca', 'beluga')[n % 2]},w_{n % 3}" for n, key in enumerate(keys)]
    (folder / "labels.csv").write_text("image,species,individual_id\n" + "\n".join(lines))
    crop(folder / "in", folder / "out", labels=folder / "labels.csv")
    with reviewing(folder / "out") as client:
        yield client


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("settings", [WIDE, PHONE], ids=["wide", "phone"])
def test_no_rule_is_broken(browser: Browser, client: Client, settings: dict[str, Any], colours: str) -> None:
    with tab(browser, client, color_scheme=colours, **settings) as page:

        def is_fine(what: str) -> None:
            assert axe_violations(page) == [], what

        is_fine("a photo")
        press(page, "z")
        is_fine("zoomed")
        press(page, "0", "l")
        expect(page.locator("[aria-pressed=true]", has_text="left")).to_be_visible()
        is_fine("a viewpoint said")
        press(page, "l")
        if settings is PHONE:
            page.tap("#sheet-button")
        page.select_option("[data-filter='label:species']", "orca")
        is_ready(page)
        is_fine("filtered")
        page.keyboard.press("Escape")
        press(page, "?")
        is_fine("help")
        page.keyboard.press("Escape")
        go_to(page, "bad/empty.png")
        is_fine("a photo that failed")
        page.evaluate(
            "() => { for (const banner of document.querySelectorAll('.banner')) banner.hidden = false; }"
        )
        page.evaluate("() => { document.getElementById('absent').textContent = '2 photos are missing'; }")
        is_fine("what is said above a photo")
