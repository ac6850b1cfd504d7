"""Viewpoints on the review page in Chromium: by key and button, with and without a verdict, taken back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from detic_crop import api
from detic_crop.folder.verdict_lines import VIEWPOINTS, Verdict
from detic_crop.folder.verdicts import read_review
from detic_crop.photos.keys import STATE
from tests.kit.folders import crop
from tests.kit.photos import write_photos
from tests.kit.review import Client, reviewing
from tests.kit.review_browser import held, is_ready, poll, press, shows, tab
from tests.kit.verdicts import verdict_log

pytestmark = [pytest.mark.slow, pytest.mark.outside]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `in` and `out`."""
    folder = tmp_path_factory.mktemp("viewpoint")
    write_photos(folder / "in", 8)
    crop(folder / "in", folder / "out")
    return folder


@pytest.fixture
def client(finished: Path) -> Iterator[Client]:
    """The page of that run, of which nothing was said."""
    (finished / "out" / STATE / "review.csv").unlink(missing_ok=True)
    with reviewing(finished / "out") as client:
        yield client


def last_of(finished: Path) -> dict[str, Verdict]:
    return read_review(finished / "out" / STATE / "review.csv").last


def is_pressed(page: Page, *viewpoints: str) -> None:
    """Wait until these buttons and no others are pressed."""
    is_ready(page)
    for viewpoint in VIEWPOINTS:
        button = page.locator(f"#viewpoint-{viewpoint}")
        expect(button).to_have_attribute("aria-pressed", str(viewpoint in viewpoints).lower())


def test_keys_and_buttons_say_it_and_take_it_back(finished: Path, client: Client, browser: Browser) -> None:
    first, second = (client.image(rank) for rank in range(2))
    with tab(browser, client) as page:
        buttons = page.get_by_role("group", name="Viewpoint").get_by_role("button")
        assert buttons.evaluate_all("all => all.map(one => one.dataset.viewpoint)") == list(VIEWPOINTS)
        for key, viewpoint in zip("lrte", VIEWPOINTS, strict=True):
            press(page, key)
            is_pressed(page, viewpoint)
            shows(page, first)  # nothing but a verdict moves on
            assert last_of(finished)[first][1:4] == ("undone", (), "tester")
            assert last_of(finished)[first].viewpoint == viewpoint
        press(page, "e")
        is_pressed(page)
        expect(page.locator("#toast")).to_have_text(f"{first}: viewpoint taken back")
        assert last_of(finished)[first].viewpoint == ""
        page.locator("#viewpoint-right").click()
        is_pressed(page, "right")
        press(page, "Enter")  # the key goes to the page, not to the button
        shows(page, second)
        is_pressed(page)
        assert last_of(finished)[first][1::5] == ("accepted", "right")
        press(page, "w", "k", "l")
        is_pressed(page, "left")
        assert last_of(finished)[second][1::5] == ("whole", "left")
        press(page, "u")
        shows(page, second)
        expect(page.locator("#verdict")).to_have_text("not reviewed")
        is_pressed(page, "left")
        page.reload()
        is_pressed(page, "left")


def test_what_is_pressed_at_once_is_said_in_order(finished: Path, client: Client, browser: Browser) -> None:
    first, second = (client.image(rank) for rank in range(2))
    with tab(browser, client) as page, held(page, "**/api/verdict*") as let_go:
        is_ready(page)
        for key in ("l", "r", "r", "t", "x"):
            page.keyboard.press(key)
        let_go()
        shows(page, second)
        assert last_of(finished)[first][1::5] == ("rejected", "top")


def test_another_tab_shows_it_and_filters_find_it(finished: Path, client: Client, browser: Browser) -> None:
    images = [client.image(rank) for rank in range(3)]
    with tab(browser, client) as page:
        verdict_log(finished / "out").append(Verdict(images[0], "undone", (), "other", "t", "", "fluke"))
        poll(page)
        is_pressed(page, "fluke")
        press(page, "j", "j", "e")
        is_pressed(page, "fluke")
        chosen = page.get_by_label("Viewpoint", exact=True).and_(page.locator("select"))
        chosen.select_option("fluke")
        is_ready(page)
        expect(page.locator("#count")).to_contain_text("1 of 2")
        shows(page, images[0])
        press(page, "j")
        shows(page, images[2])
        page.reload()
        shows(page, images[2])
        expect(chosen).to_have_value("fluke")


def test_a_label_column_of_that_name_has_a_filter_of_another_name(tmp_path: Path, browser: Browser) -> None:
    keys = write_photos(tmp_path / "in", 4)
    rows = (f"{key},{('left', 'dorsal')[n % 2]}" for n, key in enumerate(keys))
    (tmp_path / "labels.csv").write_text("image,viewpoint\n" + "\n".join(rows))
    crop(tmp_path / "in", tmp_path / "out", labels=tmp_path / "labels.csv")
    with reviewing(tmp_path / "out") as client, tab(browser, client) as page:
        theirs = page.get_by_label("label viewpoint", exact=True)
        expect(theirs.locator("option").first).to_have_text("any label viewpoint")
        theirs.select_option("dorsal")
        expect(page.locator("#count")).to_contain_text("1 of 2")


def test_a_blind_review_does_not_ask_for_it(finished: Path, browser: Browser) -> None:
    api.write_audit(finished / "out", sample=10)
    with reviewing(finished / "out", reviewer="second", blind=True) as client, tab(browser, client) as page:
        image = client.image(0)
        expect(page.locator("#viewpoint")).to_be_hidden()
        expect(page.locator('select[data-filter="viewpoint"]')).to_have_count(0)
        press(page, "l")
        is_ready(page)
        shows(page, image)
    assert not (finished / "out" / STATE / "second_review.csv").exists()
