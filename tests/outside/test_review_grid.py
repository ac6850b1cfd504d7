"""The grid of the review page in a real Chromium: keys, fingers, individuals, two tabs, a long run."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from detic_crop import api
from detic_crop.folder.verdict_lines import Verdict
from detic_crop.photos.keys import STATE
from tests.kit.axe import axe_violations
from tests.kit.big_run import write_big_run
from tests.kit.folders import crop, rows_of
from tests.kit.photos import write_labelled_photos, write_photo, write_photos
from tests.kit.review import Client, reviewing
from tests.kit.review_browser import (
    PHONE,
    STEP_MS,
    WIDE,
    answered,
    drag,
    held,
    is_ready,
    poll,
    press,
    shows,
    tab,
    toast,
)
from tests.kit.verdicts import verdict_log, verdicts_of

pytestmark = pytest.mark.outside

COUNT = 40


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run over 40 photos of 8 individuals."""
    folder = tmp_path_factory.mktemp("grid")
    labels = write_labelled_photos(folder / "in", COUNT, individuals=8, width=300, height=200)
    crop(folder / "in", folder / "out", labels=labels, size=128)
    return folder


@pytest.fixture
def client(finished: Path) -> Iterator[Client]:
    """The page of that run, without earlier verdicts."""
    (finished / "out" / STATE / "review.csv").unlink(missing_ok=True)
    with reviewing(finished / "out") as client:
        yield client


def images(client: Client) -> list[str]:
    """All photos in the order of the page."""
    return [client.image(rank) for rank in range(len(client.page._rows))]


def card(page: Page, place: int) -> Locator:
    """A card of the page."""
    return page.locator(".card").nth(place)


def has_come(page: Page, first: str) -> None:
    """Wait until a page of cards that begins with a photo is there, with its pictures."""
    expect(card(page, 0)).to_have_attribute("aria-label", re.compile(f"^{re.escape(first)};"))
    expect(page.locator('.card[data-fate="accept"]:not([data-loaded])')).to_have_count(0)
    is_ready(page)


def open_grid(page: Page, client: Client) -> None:
    """From the first photo to the grid; all cards are in the window once its button says so."""
    press(page, "g")
    has_come(page, client.image(0))
    can_accept(page)


def can_accept(page: Page) -> None:
    """Wait until the page knows that all crops were in the window."""
    expect(page.locator("#grid-accept")).to_contain_text("Accept")


def focused(page: Page, place: int) -> None:
    """Wait until a card has the focus."""
    expect(card(page, place)).to_be_focused()
    expect(page.locator('.card[tabindex="0"]')).to_have_count(1)


# ---------------------------------------------------------------- keys


def test_a_page_is_judged_by_key(finished: Path, client: Client, browser: Browser) -> None:
    order = images(client)
    with tab(browser, client, **WIDE) as page:
        open_grid(page, client)
        expect(page.locator("#stage")).to_be_hidden()
        expect(page.locator("#grid-title")).to_have_text("1–30 of 40")
        focused(page, 0)
        press(page, "ArrowRight", "ArrowRight", "Space")
        focused(page, 2)
        expect(card(page, 2)).to_have_attribute("aria-label", re.compile("taken out"))
        expect(card(page, 2)).to_have_attribute("aria-selected", "false")
        expect(card(page, 2).locator(".fate")).to_have_text("✕ taken out")
        press(page, "End", "x", "Home", "Space", "Space")  # taken out, and put back
        expect(card(page, 0)).to_have_attribute("aria-selected", "true")
        expect(page.locator("#grid-accept")).to_contain_text("Accept the other 28")
        assert verdicts_of(finished / "out") == {}  # nothing is said yet
        press(page, "Enter")
        has_come(page, order[30])
        toast(page, "^28 accepted, 2 taken out; u takes it back.$")
        expect(page.locator("#grid-title")).to_have_text("31–40 of 40")
        expect(page.locator("#count")).to_contain_text("28 reviewed")
        said = verdicts_of(finished / "out")
        assert set(said) == set(order[:30]) - {order[2], order[29]}
        assert {verdict.verdict for verdict in said.values()} == {"accepted"}
        press(page, "PageUp")
        has_come(page, order[0])
        expect(card(page, 1).locator(".fate")).to_have_text("✓ accepted — tester")
        expect(card(page, 2).locator(".fate")).to_have_text("✕ taken out")
        press(page, "ArrowRight", "Space")  # what has a verdict cannot be taken out
        toast(page, "It has a verdict already")
        press(page, "u")
        toast(page, "^28 taken back.$")
        expect(card(page, 1)).to_have_attribute("aria-label", re.compile("will be accepted"))
        assert verdicts_of(finished / "out") == {}
        press(page, "u")
        toast(page, "no acceptance of this tab to take back")


def test_arrows_follow_the_columns_and_stop_at_the_ends(client: Client, browser: Browser) -> None:
    with tab(browser, client, **WIDE) as page:
        open_grid(page, client)
        across = page.locator("#cards .row").first.locator(".card").count()
        assert across >= 2
        press(page, "ArrowLeft", "ArrowUp")
        focused(page, 0)
        press(page, "ArrowDown", "ArrowRight")
        focused(page, across + 1)
        press(page, "ArrowUp", "End", "ArrowDown", "ArrowRight")
        focused(page, 29)
        press(page, "+")
        expect(page.locator("#cards .row").first.locator(".card")).to_have_count(across - 1)
        press(page, "0")
        expect(page.locator("#cards .row").first.locator(".card")).to_have_count(across)
        focused(page, 29)
        press(page, "PageDown")
        has_come(page, client.image(30))
        press(page, "PageDown")
        toast(page, "These are the last photos")


def test_enter_that_is_held_accepts_one_page(finished: Path, client: Client, browser: Browser) -> None:
    with tab(browser, client, **WIDE) as page:
        open_grid(page, client)
        page.keyboard.down("Enter")
        has_come(page, client.image(30))
        for _ in range(3):
            page.keyboard.down("Enter")  # repeats
        page.keyboard.up("Enter")
        press(page, "ArrowRight")
        focused(page, 1)
        assert len(verdicts_of(finished / "out")) == 30


def test_what_was_taken_out_is_looked_at_one_by_one(finished: Path, client: Client, browser: Browser) -> None:
    order = images(client)
    with tab(browser, client, **WIDE) as page:
        page.get_by_label("Reviewed or not", exact=True).select_option("no")
        open_grid(page, client)
        press(page, "Space", "End", "Space", "Enter")
        has_come(page, order[30])
        expect(page.locator("#grid-title")).to_have_text("3–12 of 12")  # of those that are left
        can_accept(page)
        press(page, "Space", "Enter")
        toast(page, "9 accepted, 1 taken out; .* That was the last page: look at what you took out")
        out = page.locator("#grid-out")
        expect(out).to_have_text("3 taken out: look at them")
        out.click()
        shows(page, order[0])
        expect(page.locator("#narrowed-words")).to_have_text(
            "The photos that you took out, one after the other."
        )
        expect(page.locator("#count")).to_contain_text("1 of 3")
        press(page, "x")
        shows(page, order[29])
        press(page, "Escape")  # back to the grid in the middle of it
        expect(page.locator("#narrowed")).to_be_hidden()
        expect(out).to_have_text("2 taken out: look at them")
        assert page.get_by_label("Reviewed or not", exact=True).input_value() == "no"
        out.click()
        shows(page, order[29])
        press(page, "w")
        shows(page, order[30])
        press(page, "q")
        expect(page.locator("#grid")).to_be_visible()  # it was the last one
        expect(out).to_be_hidden()
    said = {image: verdict.verdict for image, verdict in verdicts_of(finished / "out").items()}
    assert {image: word for image, word in said.items() if word != "accepted"} == {
        order[0]: "rejected",
        order[29]: "whole",
        order[30]: "unsure",
    }
    assert len(said) == COUNT


def test_after_the_last_page_comes_the_card_of_the_end(
    finished: Path, client: Client, browser: Browser
) -> None:
    with tab(browser, client, **WIDE) as page:
        open_grid(page, client)
        press(page, "Enter")
        has_come(page, client.image(30))
        can_accept(page)
        press(page, "Enter")
        expect(page.locator("#finish-title")).to_have_text("Every photo is reviewed")
        expect(page.locator("#count")).to_contain_text("40 reviewed")
        press(page, "u")  # all of the last page, which is shown again
        has_come(page, client.image(30))
        toast(page, "^10 taken back.$")
        assert len(verdicts_of(finished / "out")) == 30
        press(page, "p")
        expect(page.locator("#finish")).to_be_visible()
        press(page, "g")
        has_come(page, client.image(30))


def test_undo_follows_the_order_of_what_was_said(finished: Path, client: Client, browser: Browser) -> None:
    with tab(browser, client, **WIDE) as page:
        press(page, "x")
        shows(page, client.image(1))
        press(page, "g")
        has_come(page, client.image(0))
        can_accept(page)
        press(page, "Enter")
        has_come(page, client.image(30))
        press(page, "g")
        shows(page, client.image(30))
        press(page, "u")  # beside one photo, too, the acceptance was the last
        has_come(page, client.image(0))
        assert {verdict.verdict for verdict in verdicts_of(finished / "out").values()} == {"rejected"}
        press(page, "g", "u")
        toast(page, "^Taken back.$")
        assert verdicts_of(finished / "out") == {}


# ---------------------------------------------------------------- from the grid to a photo and back


def test_a_filter_that_was_chosen_beside_a_photo_stays(client: Client, browser: Browser) -> None:
    """The way back to the grid would be one to the filters before."""
    with tab(browser, client, **WIDE) as page:
        open_grid(page, client)
        press(page, "o")
        shows(page, client.image(0))
        page.get_by_label("species", exact=True).select_option("orca")
        is_ready(page)
        press(page, "g")
        expect(page.locator("#grid-title")).to_have_text("1–20 of 20")
        press(page, "p")
        page.get_by_role("button", name=re.compile("^20 left in these filters")).click()
        is_ready(page)
        press(page, "g")
        expect(page.locator("#grid-title")).to_have_text("1–20 of 20")


def test_a_page_that_comes_after_the_grid_was_left_changes_nothing(client: Client, browser: Browser) -> None:
    with tab(browser, client, **WIDE) as page:
        shows(page, client.image(0))
        with held(page, "**/api/grid*") as let_go:
            page.keyboard.press("g")
            expect(page.locator("#grid")).to_be_visible()
            page.keyboard.press("p")
            expect(page.locator("#finish")).to_be_visible()
            let_go()
        assert "grid=" not in page.url
        expect(page.locator(".card")).to_have_count(0)


def test_a_photo_is_opened_and_left_for_the_same_place(
    finished: Path, client: Client, browser: Browser
) -> None:
    order = images(client)
    with tab(browser, client, **WIDE) as page:
        open_grid(page, client)
        card(page, 4).click()
        shows(page, order[4])
        expect(page.locator("#grid")).to_be_hidden()
        press(page, "Escape")
        has_come(page, order[0])
        focused(page, 4)
        press(page, "ArrowRight", "Space", "o")
        shows(page, order[5])
        press(page, "x")
        shows(page, order[6])
        press(page, "g")  # the photo is on the page
        has_come(page, order[0])
        focused(page, 6)
        expect(card(page, 5).locator(".fate")).to_have_text("✕ rejected: no crop — tester")
        expect(page.locator("#grid-out")).to_be_hidden()
        press(page, "g")
        shows(page, order[6])
        drag(page, (0.2, 0.2), (0.6, 0.7))
        expect(page.locator("#candidates")).to_contain_text("drawn box, not taken yet")
        press(page, "Escape")  # what is in hand first
        expect(page.locator("#candidates")).not_to_contain_text("drawn box")
        shows(page, order[6])
        press(page, "f")
        page.keyboard.type(order[35])
        page.keyboard.press("Enter")
        shows(page, order[35])
        press(page, "g")
        has_come(page, order[30])
        focused(page, 5)
        expect(page.locator("#grid-title")).to_have_text("31–40 of 40")


def test_a_drawn_box_that_waits_is_not_accepted_over(
    finished: Path, client: Client, browser: Browser
) -> None:
    with tab(browser, client, dialogs=[], **WIDE) as page:
        frame = page.locator("#frame").bounding_box()
        assert frame
        page.mouse.move(frame["x"] + 30, frame["y"] + 30)
        page.mouse.down()
        page.mouse.move(frame["x"] + 150, frame["y"] + 120, steps=3)
        page.mouse.up()
        expect(page.locator("#drafts")).to_be_visible()
        open_grid(page, client)
        expect(card(page, 0).locator(".fate")).to_have_text("✎ drawn or noted, not saved yet")
        press(page, "Enter")
        has_come(page, client.image(30))
        assert client.image(0) not in verdicts_of(finished / "out")


def test_a_reload_keeps_page_and_marks(client: Client, browser: Browser) -> None:
    with tab(browser, client, **WIDE) as page:
        open_grid(page, client)
        press(page, "PageDown")
        has_come(page, client.image(30))
        press(page, "ArrowRight", "Space")
        page.reload()
        has_come(page, client.image(30))
        expect(card(page, 1).locator(".fate")).to_have_text("✕ taken out")
        page.get_by_label("species", exact=True).select_option("orca")
        expect(page.locator("#grid-title")).to_have_text("1–20 of 20")
        page.get_by_label("flag", exact=True).select_option(index=1)
        expect(page.locator("#grid-title")).not_to_have_text("1–20 of 20")
        page.get_by_label("Reviewed or not", exact=True).select_option("note")
        expect(page.locator("#grid-title")).to_have_text("No photo fits these filters.")
        expect(page.locator(".card")).to_have_count(0)
        press(page, "Space", "o", "ArrowRight", "i", "PageDown")  # there is nothing that they could mean
        expect(page.locator("#grid")).to_be_visible()


# ---------------------------------------------------------------- individuals


def test_all_photos_of_one_individual(finished: Path, client: Client, browser: Browser) -> None:
    individuals = {row["image"]: row["individual_id"] for row in rows_of(finished / "out")}
    order = images(client)
    name = individuals[order[0]]
    named = [image for image in order if individuals[image] == name]
    with tab(browser, client, **WIDE) as page:
        page.get_by_label("species", exact=True).select_option(index=1)
        is_ready(page)
        page.get_by_label("species", exact=True).select_option("")
        shows(page, order[0])
        expect(page.locator("#individual")).to_contain_text(f"All 5 photos of {name}")
        page.locator("#individual").click()
        has_come(page, named[0])
        expect(page.locator("#narrowed-words")).to_contain_text(f"All photos of {name}")
        shown = [label.split(";")[0] for label in page.locator(".card").evaluate_all(LABELS)]
        assert shown == named
        can_accept(page)
        press(page, "End", "Space", "Enter")
        toast(page, "4 accepted, 1 taken out")
        shows(page, order[0])  # these were all: back to where the individual was asked for
        expect(page.locator("#narrowed")).to_be_hidden()
        press(page, "g")
        has_come(page, order[0])
        other = next(place for place, image in enumerate(order) if individuals[image] != name)
        for _ in range(other):
            press(page, "ArrowRight")
        press(page, "i")
        expect(page.locator("#narrowed-words")).to_contain_text(f"All photos of {individuals[order[other]]}")
        expect(page.locator(".card")).to_have_count(5)
        press(page, "o")  # one of them: its neighbours are of the same individual
        expect(page.locator("#count")).to_contain_text("of 5")
        press(page, "Escape", "Escape")
        has_come(page, order[0])
        focused(page, other)
        press(page, "i")
        page.get_by_role("button", name="Show all again").click()
        has_come(page, order[0])
    assert set(verdicts_of(finished / "out")) == set(named[:-1])


LABELS = "cards => cards.map((card) => card.getAttribute('aria-label'))"


# ---------------------------------------------------------------- others


def test_what_another_person_says_meanwhile_stays(finished: Path, client: Client, browser: Browser) -> None:
    theirs = client.image(3)
    with tab(browser, client, **WIDE) as page:
        open_grid(page, client)
        with held(page, "**/api/changes*") as let_go:
            verdict_log(finished / "out").append(Verdict(theirs, "rejected", (), "Ann", "t"))
            press(page, "Enter")
            has_come(page, client.image(30))
            toast(
                page, re.escape(f"29 accepted, 0 taken out, 1 refused ({theirs}: rejected meanwhile by Ann)")
            )
            page.evaluate("() => { window.dispatchEvent(new Event('focus')); }")
            let_go()
        assert verdicts_of(finished / "out")[theirs].reviewer == "Ann"
        press(page, "u")
        toast(page, "^29 taken back.$")
        expect(card(page, 3).locator(".fate")).to_have_text("✕ rejected: no crop — Ann")
    assert set(verdicts_of(finished / "out")) == {theirs}


def test_a_page_that_others_judge_is_not_the_last_one(
    finished: Path, client: Client, browser: Browser
) -> None:
    """In "not reviewed" all photos of the page leave the filters, and the later ones are still to come."""
    order = images(client)
    with tab(browser, client, **WIDE) as page:
        page.locator("[data-filter='reviewed']").select_option("no")
        open_grid(page, client)
        press(page, "Space")
        said = (Verdict(image, "accepted", (), "Ann", "t") for image in order[1:30])
        verdict_log(finished / "out").append(*said)
        poll(page)
        expect(page.locator("#grid-title")).to_have_text("1 of these 30 still in the filters, of 11")
        expect(page.locator("#grid-accept")).to_contain_text("Nothing to accept: go on")
        page.click("#grid-later")
        has_come(page, order[30])
        expect(page.locator("#grid-title")).to_have_text("2–11 of 11")
        expect(page.locator("#grid-later")).to_be_disabled()


def test_two_tabs(finished: Path, client: Client, browser: Browser) -> None:
    order = images(client)
    with tab(browser, client, **WIDE) as one, tab(browser, client, **WIDE) as two:
        open_grid(one, client)
        press(two, "x")
        shows(two, order[1])
        poll(one)
        expect(card(one, 0).locator(".fate")).to_have_text("✕ rejected: no crop — tester")
        press(one, "Enter")
        has_come(one, order[30])
        poll(two)
        expect(two.locator("#verdict")).to_have_text("accepted — tester")
        press(two, "w")
        shows(two, order[2])
        press(one, "u")
        toast(one, "28 taken back; 1 stay, for they were judged again since")
        expect(card(one, 1).locator(".fate")).to_contain_text("whole photo")
    assert {image: verdict.verdict for image, verdict in verdicts_of(finished / "out").items()} == {
        order[0]: "rejected",
        order[1]: "whole",
    }


def test_an_acceptance_that_cannot_be_saved_is_told(
    finished: Path, client: Client, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    context = browser.new_context(**WIDE)
    context.set_default_timeout(STEP_MS)
    page = context.new_page()  # the browser complains of the answer
    page.goto(client.address)
    page.wait_for_selector("body[data-shown]")
    open_grid(page, client)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        press(page, "Enter")
        expect(page.locator("#error")).to_contain_text("Not saved. ")
        expect(page.locator("#error")).to_contain_text("No space left on device")
        has_come(page, client.image(0))  # it does not go on
    context.close()


def test_a_picture_that_is_not_there_is_not_accepted(
    finished: Path, client: Client, browser: Browser
) -> None:
    lost, late = client.image(2), client.image(5)
    context = browser.new_context(**WIDE)
    context.set_default_timeout(STEP_MS)
    page = context.new_page()  # the browser complains of what is not found
    page.goto(client.address)
    page.wait_for_selector("body[data-shown]")
    answered(page, f"**/thumb/{client.id_of(lost)}/**", lambda route: route.fulfill(status=404))
    with held(page, f"**/thumb/{client.id_of(late)}/**") as let_go:
        press(page, "g")
        expect(card(page, 2).locator(".fate")).to_have_text("stays: its crop cannot be shown")
        expect(page.locator('.card[data-fate="accept"]:not([data-loaded])')).to_have_count(1)
        can_accept(page)
        press(page, "Enter")
        toast(page, "Some pictures are not here yet")
        assert verdicts_of(finished / "out") == {}
        let_go()
    expect(page.locator('.card[data-fate="accept"]:not([data-loaded])')).to_have_count(0)
    press(page, "Enter")
    has_come(page, client.image(30))
    context.close()
    assert set(verdicts_of(finished / "out")) == set(images(client)[:30]) - {lost}


def test_cards_without_a_crop_say_why(tmp_path: Path, browser: Browser) -> None:
    write_photos(tmp_path / "in", 12, width=300, height=200)
    name = "<img src=x onerror=alert(1)>.jpg"
    write_photo(tmp_path / "in" / name, 3, width=300, height=200)
    (tmp_path / "in" / "broken.jpg").write_bytes(b"no photo")
    crop(tmp_path / "in", tmp_path / "out", not_found="skip", size=128)
    rows = rows_of(tmp_path / "out")
    with reviewing(tmp_path / "out") as client, tab(browser, client, **WIDE) as page:
        open_grid(page, client)
        for row in rows:
            this = page.locator(".card").nth(images(client).index(row["image"]))
            expect(this.locator(".file")).to_have_text(Path(row["image"]).name)
            if row["status"] == "skipped":
                expect(this.locator(".fate")).to_have_text("no crop: no animal was found")
            elif row["status"] == "failed":
                expect(this.locator(".fate")).to_contain_text("This photo failed")
        press(page, "End", "Space")
        toast(page, "It is not accepted here anyway")
        press(page, "Enter")
        expect(page.locator("#finish")).to_be_visible()
    cropped = {row["image"] for row in rows if row["status"] == "cropped"}
    assert set(verdicts_of(tmp_path / "out")) == cropped
    assert name in {row["image"] for row in rows}


def test_a_blind_review_has_no_grid(tmp_path: Path, browser: Browser) -> None:
    write_photos(tmp_path / "in", 12, width=300, height=200)
    crop(tmp_path / "in", tmp_path / "out", size=128)
    api.write_audit(tmp_path / "out", sample=10)
    with (
        reviewing(tmp_path / "out", reviewer="Bob", blind=True) as client,
        tab(browser, client, **WIDE) as page,
    ):
        expect(page.locator("#grid-button")).to_be_hidden()
        press(page, "g")
        toast(page, "A blind review shows one photo at a time")
        press(page, "i")
        expect(page.locator("#stage")).to_be_visible()
        expect(page.locator("#individual")).to_be_hidden()
        page.goto(page.url.partition("#")[0] + f"#grid={client.id_of(client.image(0))}")
        page.reload()
        page.wait_for_selector("body[data-shown]")
        is_ready(page)
        expect(page.locator("#grid")).to_be_hidden()


# ---------------------------------------------------------------- fingers, and all eyes


TARGETS = """() => [...document.querySelectorAll("button, select, input, .card")]
  .filter((element) => element.checkVisibility())
  .map((element) => [element.id || element.className, element.offsetWidth, element.offsetHeight])"""


def test_by_finger(finished: Path, client: Client, browser: Browser) -> None:
    order = images(client)
    with tab(browser, client, **PHONE) as page:
        page.tap("#grid-button")
        expect(card(page, 0)).to_be_visible()
        is_ready(page)
        assert page.locator("#cards .row").first.locator(".card").count() == 2
        assert [target for target in page.evaluate(TARGETS) if min(target[1:]) < 44] == []
        assert page.evaluate("() => document.documentElement.scrollWidth") <= PHONE["viewport"]["width"]
        card(page, 1).locator(".toggle").tap()
        expect(card(page, 1).locator(".fate")).to_have_text("✕ taken out")
        accept = page.locator("#grid-accept")
        expect(accept).to_contain_text("more below")
        accept.tap()  # nothing is accepted that was not in the window
        assert verdicts_of(finished / "out") == {}
        for _ in range(30):
            if "below" not in accept.inner_text():
                break
            below = accept.inner_text()
            accept.tap()
            expect(accept).not_to_have_text(below)
        expect(page.locator('.card[data-fate="accept"]:not([data-loaded])')).to_have_count(0)
        accept.tap()
        has_come_to = card(page, 0)
        expect(has_come_to).to_have_attribute("aria-label", re.compile(re.escape(order[30])))
        assert len(verdicts_of(finished / "out")) == 29
        card(page, 1).locator(".crops").tap()
        shows(page, order[31])


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("shape", ["wide", "phone"])
def test_axe_finds_nothing(client: Client, browser: Browser, scheme: str, shape: str) -> None:
    size: dict[str, Any] = PHONE if shape == "phone" else WIDE
    with tab(browser, client, **{**size, "color_scheme": scheme}) as page:
        assert axe_violations(page) == []
        page.locator("#individual").click()
        expect(page.locator(".card")).to_have_count(5)
        card(page, 1).locator(".toggle").click()
        expect(page.locator('.card[data-fate="accept"]:not([data-loaded])')).to_have_count(0)
        assert axe_violations(page) == []
        client.say(client.image(0), "accepted")
        poll(page)
        expect(page.locator('.card[data-fate="said"]')).to_have_count(1)
        assert axe_violations(page) == []


# ---------------------------------------------------------------- many


def test_a_hundred_thousand_photos(tmp_path: Path, browser: Browser) -> None:
    out = write_big_run(tmp_path, 100_000, width=300, height=200, individuals=25_000)
    with reviewing(out) as client, tab(browser, client, **WIDE) as page:
        open_grid(page, client)
        expect(page.locator("#grid-title")).to_have_text("1–30 of 100,000")
        press(page, "Enter")
        has_come(page, client.image(30))
        assert len(page.content()) < 120_000  # what the browser holds does not grow with the run
        assert len(client.get("/api/grid").body) < 60_000
        press(page, "i")
        expect(page.locator(".card")).to_have_count(4)
        press(page, "Escape")
        has_come(page, client.image(30))
        page.get_by_label("species", exact=True).select_option("orca")
        expect(page.locator("#grid-title")).to_have_text(re.compile(r"^[\d,]+–[\d,]+ of 1\d,\d\d\d$"))
    assert len(verdicts_of(out)) == 30
