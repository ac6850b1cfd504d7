"""The end of a review in a real Chromium: its card, Apply, filters that count and can be cleared, pace."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from detic_crop import api
from detic_crop.commands import apply as apply_module
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.verdict_lines import Verdict
from detic_crop.photos.keys import STATE
from detic_crop.work import execute
from tests.kit.axe import axe_violations
from tests.kit.folders import crop, records_of, rows_of
from tests.kit.photos import write_photo, write_photos
from tests.kit.review import LONG, Client, reviewing
from tests.kit.review_browser import PHONE, WIDE, chromium, go_to, is_ready, press, shows, tab
from tests.kit.verdicts import give_verdicts, verdict_log, verdicts_of

pytestmark = pytest.mark.outside


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, or the one that CHROMIUM names."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A run over 9 photos with labels."""
    keys = write_photos(tmp_path / "in", 9, width=300, height=200)
    lines = [f"{key},{('orca', 'beluga', 'orca')[n % 3]}" for n, key in enumerate(keys)]
    (tmp_path / "labels.csv").write_text("image,species\n" + "\n".join(lines))
    crop(tmp_path / "in", tmp_path / "out", labels=tmp_path / "labels.csv")
    return tmp_path / "out"


@pytest.fixture
def client(out: Path) -> Iterator[Client]:
    """The page of that run."""
    with reviewing(out) as client:
        yield client


def card(page: Page) -> Locator:
    """The card of the end."""
    return page.locator("#finish")


def until_the_card(page: Page, key: str = "Enter") -> int:
    """Press a key, photo by photo, until the card comes; how often."""
    times = 0
    while card(page).is_hidden():
        press(page, key)
        times += 1
        is_ready(page)
    return times


def counts(page: Page) -> dict[str, int]:
    """The numbers on the card."""
    items = page.locator("#finish-counts li").all()
    return {item.get_attribute("class") or "": int(item.get_attribute("data-count") or "") for item in items}


def choice(page: Page, name: str, value: str) -> Locator:
    """One choice of a filter."""
    return page.locator(f"[data-filter='{name}'] option[value='{value}']")


@contextmanager
def waiting_apply(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """`apply` waits before its third photo, until the function is called."""
    is_open = threading.Event()
    commit, calls = execute.commit, 0

    def wait(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        assert calls < 3 or is_open.wait(LONG)
        return commit(*arguments)

    monkeypatch.setattr(apply_module, "commit", wait)
    try:
        yield is_open.set
    finally:
        is_open.set()


# ---------------------------------------------------------------- the card


def test_from_the_first_photo_to_the_crops_that_follow(out: Path, client: Client, browser: Browser) -> None:
    with tab(browser, client) as page:
        press(page, "w", "x", "q")
        shows(page, client.image(3))
        assert until_the_card(page) == 6
        expect(page.locator("#finish-title")).to_have_text("Every photo is reviewed")
        assert counts(page) == {"accepted": 6, "box": 0, "whole": 1, "rejected": 1, "unsure": 1, "left": 0}
        expect(page.get_by_role("button", name="1 unsure: look again")).to_be_visible()
        expect(page.locator("#stage")).to_be_hidden()
        page.keyboard.press("Enter")  # no photo is judged behind the card, and nothing is applied by itself
        page.keyboard.press("x")
        is_ready(page)
        assert sum(verdict.verdict == "rejected" for verdict in verdicts_of(out).values()) == 1
        page.get_by_role("button", name="Apply 9 verdicts").click()
        expect(page.locator("#apply-result")).to_contain_text(
            "verdicts applied: 6 accepted, 1 whole photo, 1 rejected, 1 unsure"
        )
        expect(page.locator("#apply")).to_be_hidden()
        said = {image: record.verdict for image, record in records_of(out).items()}
        assert said == {image: verdict.verdict for image, verdict in verdicts_of(out).items()}
        # The rows of the page are those after it.
        press(page, "p")
        go_to(page, client.image(0))
        expect(page.locator("#stale")).to_be_hidden()
    assert client.page.edition == 1


def test_undo_works_from_the_card(client: Client, browser: Browser, out: Path) -> None:
    with tab(browser, client) as page:
        until_the_card(page)
        page.keyboard.press("u")
        expect(card(page)).to_be_hidden()
        shows(page, client.image(8))
        expect(page.locator("#verdict")).to_have_text("not reviewed")
        assert len(verdicts_of(out)) == 8
        press(page, "x")
        expect(card(page)).to_be_visible()
        page.get_by_role("button", name="Undo u").last.click()
        expect(card(page)).to_be_hidden()
        shows(page, client.image(8))


def test_the_card_comes_when_a_filter_is_done_and_says_what_is_left_elsewhere(
    client: Client, browser: Browser
) -> None:
    with tab(browser, client) as page:
        page.get_by_label("species", exact=True).select_option("beluga")
        expect(page.locator("#count")).to_have_text("1 of 3 · 0 reviewed")
        assert until_the_card(page) == 3
        expect(page.locator("#finish-title")).to_have_text("Nothing is left in these filters")
        flag, words, left = client.overview()["flags"][0]
        are = "is" if left == 1 else "are"
        page.get_by_role("button", name=f"{left} flagged “{words}” {are} not reviewed").click()
        expect(card(page)).to_be_hidden()
        expect(page.locator("#count")).to_have_text(f"1 of {left} · 0 reviewed")
        assert page.locator("[data-filter='flag']").input_value() == flag
        assert page.locator("[data-filter='label:species']").input_value() == ""
        until_the_card(page)
        page.get_by_role("button", name=re.compile("not reviewed in all")).click()
        expect(card(page)).to_be_hidden()
        until_the_card(page)
        expect(page.locator("#finish-title")).to_have_text("Every photo is reviewed")


def test_not_reviewed_empties_to_the_card(client: Client, browser: Browser) -> None:
    """Its photos leave the filter one by one; one that was passed by is not forgotten."""
    with tab(browser, client) as page:
        page.locator("[data-filter='reviewed']").select_option("no")
        is_ready(page)
        press(page, "j")
        shows(page, client.image(1))
        assert until_the_card(page) == 8  # to the last photo
        expect(page.locator("#finish-title")).to_have_text("This was the last photo")
        page.get_by_role("button", name="1 left in these filters").click()
        expect(card(page)).to_be_hidden()
        shows(page, client.image(0))
        assert until_the_card(page, "w") == 1
        expect(page.locator("#finish-title")).to_have_text("Every photo is reviewed")


def test_the_card_at_any_time_and_back(client: Client, browser: Browser) -> None:
    with tab(browser, client) as page:
        press(page, "j")
        shows(page, client.image(1))
        for back in ("k", "p", "Escape", "ArrowLeft"):
            press(page, "p")
            expect(card(page)).to_be_visible()
            page.keyboard.press(back)
            expect(card(page)).to_be_hidden()
            shows(page, client.image(1))
        page.click("#finish-button")
        expect(page.locator("#finish-title")).to_have_text("So far")
        expect(page.locator("#apply")).to_be_hidden()
        expect(page.locator("#apply-words")).to_contain_text("there is nothing to apply")
        page.click("#finish-back")
        expect(card(page)).to_be_hidden()


def test_unsure_and_notes_can_be_found_again(client: Client, browser: Browser, out: Path) -> None:
    with tab(browser, client) as page:
        press(page, "q", "m")
        page.keyboard.type("two fins?")
        page.keyboard.press("Escape")
        press(page, "p")
        expect(page.get_by_role("button", name="1 with a note")).to_be_visible()
        expect(choice(page, "reviewed", "unsure")).to_have_text("unsure (1)")
        expect(choice(page, "reviewed", "note")).to_have_text("with a note (1)")
        page.get_by_role("button", name="1 unsure: look again").click()
        expect(card(page)).to_be_hidden()
        shows(page, client.image(0))
        press(page, "x")  # it leaves the filter
        expect(card(page)).to_be_visible()
        page.get_by_role("button", name="1 with a note").click()
        shows(page, client.image(1))
        assert page.locator("#note").input_value() == "two fins?"


def test_a_blind_review_ends_without_apply(browser: Browser, tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 14, width=300, height=200)
    crop(tmp_path / "in", tmp_path / "out")
    api.write_audit(tmp_path / "out", sample=10)
    with reviewing(tmp_path / "out", reviewer="Bob", blind=True) as client, tab(browser, client) as page:
        assert until_the_card(page) == 10
        expect(page.locator("#apply")).to_be_hidden()
        expect(page.locator("#apply-words code")).to_have_text(f"detic-crop audit {tmp_path / 'out'}")
        assert counts(page)["accepted"] == 10
        expect(page.locator("#finish-left li")).to_have_count(0)


# ---------------------------------------------------------------- Apply


def test_progress_and_verdicts_while_it_runs(
    client: Client, browser: Browser, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_verdicts(out, {client.image(rank): "whole" for rank in range(5)})
    with waiting_apply(monkeypatch) as go_on, tab(browser, client) as page, tab(browser, client) as other:
        press(page, "p")
        page.get_by_role("button", name="Apply 5 verdicts").click()
        expect(page.locator("#apply-count")).to_contain_text("2 of 5")
        expect(page.locator("#apply")).to_be_hidden()
        # A reload, and another tab, come back to it.
        press(other, "p")
        expect(other.locator("#apply-count")).to_contain_text("2 of 5")
        page.reload()
        page.wait_for_selector("body[data-shown]")
        press(page, "p")
        expect(page.locator("#apply-count")).to_contain_text("2 of 5")
        press(page, "k")
        last = client.image(8)
        go_to(page, last)
        press(page, "x")
        expect(card(page)).to_be_visible()  # the last photo
        go_on()
        for each in (page, other):
            expect(each.locator("#apply-result")).to_contain_text("verdicts applied: 5 whole photo")
            expect(each.get_by_role("button", name="Apply 1 verdict", exact=True)).to_be_visible()
    assert verdicts_of(out)[last].verdict == "rejected"
    assert records_of(out)[last].verdict == ""


def test_a_folder_in_use_is_said_on_the_card(client: Client, browser: Browser, out: Path) -> None:
    with tab(browser, client) as page:
        press(page, "x", "p")
        with OutputFolder(out).locked():
            page.get_by_role("button", name="Apply 1 verdict").click()
            expect(page.locator("#apply-result")).to_contain_text(
                re.compile(r"^Not applied: another run is writing to .*: wait until it has ended, then apply")
            )
        page.get_by_role("button", name="Apply 1 verdict").click()
        expect(page.locator("#apply-result")).to_contain_text("verdicts applied: 1 rejected")


def test_photos_that_cannot_follow_lead_to_them(client: Client, browser: Browser, out: Path) -> None:
    image = client.image(0)
    with tab(browser, client) as page:
        press(page, "w", "p")
        expect(page.locator("#apply")).to_be_visible()
        (out.parent / "in" / image).unlink()
        page.click("#apply")
        expect(page.locator("#apply-result")).to_contain_text("1 photo kept its earlier crop:")
        page.get_by_role("button", name=image).click()
        shows(page, image)
        expect(card(page)).to_be_hidden()


def test_new_photos_of_a_run_that_has_gone_on(browser: Browser, tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 6, width=300, height=200)
    crop(tmp_path / "in", tmp_path / "out", limit=3)
    with reviewing(tmp_path / "out") as client, tab(browser, client) as page:
        press(page, "x")
        shown = client.image(1)
        shows(page, shown)
        crop(tmp_path / "in", tmp_path / "out")
        expect(page.locator("#stale")).to_be_visible()
        page.click("#reopen")
        expect(page.locator("#stale")).to_be_hidden()
        expect(page.locator("#count")).to_have_text(re.compile(r"^\d of 6 · 1 reviewed$"))
        shows(page, shown)  # the photo stays
        until_the_card(page)
        assert sum(counts(page).values()) == 6


def test_another_photo_of_the_same_name_is_shown_once_the_run_has_seen_it(
    browser: Browser, tmp_path: Path
) -> None:
    write_photos(tmp_path / "in", 3, width=300, height=200)
    crop(tmp_path / "in", tmp_path / "out")
    with reviewing(tmp_path / "out") as client, tab(browser, client) as page:
        image = client.image(0)
        shows(page, image)
        before = pixel(page)
        write_photo(tmp_path / "in" / image, 77, width=300, height=200)
        crop(tmp_path / "in", tmp_path / "out")
        page.click("#reopen")
        expect(page.locator("#stale")).to_be_hidden()
        shows(page, image)
        page.wait_for_function("before => document.querySelector('#photo').src !== before", arg=before[0])
        is_ready(page)
        assert pixel(page)[1:] != before[1:]


def pixel(page: Page) -> list[Any]:
    """Address of the picture of the photo, and one of its pixels: red, green, blue, alpha."""
    found: list[Any] = page.evaluate(
        """() => {
            const photo = document.querySelector("#photo");
            const paint = new OffscreenCanvas(1, 1).getContext("2d");
            paint.drawImage(photo, -20, -20);
            return [photo.src, ...paint.getImageData(0, 0, 1, 1).data];
        }"""
    )
    return found


# ---------------------------------------------------------------- filters


def test_filters_count_and_can_be_cleared(client: Client, browser: Browser, out: Path) -> None:
    rows = rows_of(out)
    with tab(browser, client) as page:
        expect(choice(page, "label:species", "orca")).to_have_text("orca 6 / 6")
        expect(choice(page, "label:species", "beluga")).to_have_text("beluga 3 / 3")
        press(page, "x")
        shows(page, client.image(1))
        image = client.image(0)
        (species,) = [row["species"] for row in rows if row["image"] == image]
        all = {"orca": 6, "beluga": 3}[species]
        expect(choice(page, "label:species", species)).to_have_text(f"{species} {all - 1} / {all}")
        expect(choice(page, "reviewed", "yes")).to_have_text("reviewed (1)")
        # Somebody else's verdict counts, too.
        other = next(row["image"] for row in rows if row["species"] == species and row["image"] != image)
        verdict_log(out).append(Verdict(other, "accepted", (), "Ann", "t"))
        expect(choice(page, "label:species", species)).to_have_text(f"{species} {all - 2} / {all}")
        # The numbers follow the other filters.
        page.get_by_label("species", exact=True).select_option("beluga")
        expect(choice(page, "reviewed", "")).to_have_text("all photos (3)")
        whales = sum(row["species"] == "beluga" and row["class_name"] == "Whale" for row in rows)
        expect(choice(page, "class", "Whale")).to_have_text(re.compile(rf"^Whale \d / {whales}$"))
        page.locator("[data-filter='reviewed']").select_option("no")
        expect(page.locator(".filter .clear:visible")).to_have_count(2)
        page.get_by_label("clear: species").click()
        expect(choice(page, "reviewed", "")).to_have_text("all photos (9)")
        expect(page.locator("#count")).to_have_text("1 of 7 · 0 reviewed")
        page.click("#clear-filters")
        expect(page.locator("#clear-filters")).to_be_hidden()
        expect(page.locator("#count")).to_have_text(re.compile(r"of 9 · 2 reviewed"))
        assert page.locator("[data-filter='reviewed']").input_value() == ""


def test_a_filter_without_photos_can_be_left(client: Client, browser: Browser) -> None:
    with tab(browser, client) as page:
        page.locator("[data-filter='reviewed']").select_option("note")
        expect(page.locator("#empty")).to_be_visible()
        page.click("#empty-clear")
        expect(page.locator("#empty")).to_be_hidden()
        shows(page, client.image(0))


def test_the_time_left_is_told_from_the_fifth_verdict_on(client: Client, browser: Browser) -> None:
    """As many as it takes to know the pace; the clock of the page is the test's."""
    with tab(browser, client) as page:
        page.evaluate("""() => { let now = 0; performance.now = () => (now += 120_000); }""")
        expect(page.locator("#left")).to_have_text("9 left")
        press(page, "x", "x", "x", "x")
        expect(page.locator("#left")).to_have_text("5 left")
        press(page, "x")
        expect(page.locator("#left")).to_have_text("4 left · about 8 min")
        page.get_by_label("species", exact=True).select_option("orca")
        expect(page.locator("#left")).to_have_text(re.compile(r"^\d left( · about \d min)? · all: 5 of 9$"))
        press(page, "p")
        expect(page.locator("#finish-words")).to_have_text(
            "5 of 9 photos looked at; at your pace the rest takes about 8 min."
        )


# ---------------------------------------------------------------- every screen


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_the_card_breaks_no_rule_of_accessibility(
    client: Client, browser: Browser, out: Path, scheme: str, size: dict[str, Any]
) -> None:
    give_verdicts(out, {client.image(0): "whole", client.image(1): "unsure"})
    (out.parent / "in" / client.image(0)).unlink()
    with tab(browser, client, color_scheme=scheme, **size) as page:
        page.click("#finish-button")
        expect(page.locator("#apply")).to_be_visible()
        assert axe_violations(page) == []
        assert page.evaluate("() => document.scrollingElement.scrollWidth <= innerWidth")
        page.click("#apply")
        expect(page.locator("#apply-result")).to_contain_text("earlier crop")
        assert axe_violations(page) == []
        if size is PHONE:
            for button in page.locator("#finish button:visible").all():
                place = button.bounding_box()
                assert place
                assert place["height"] >= 44
    assert (out / STATE / "review.csv").exists()
