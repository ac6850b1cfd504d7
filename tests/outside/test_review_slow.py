"""The review page where answers are slow, lost or in another order: what was asked for last counts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from detic_crop.folder.verdict_lines import Verdict
from detic_crop.photos.keys import STATE
from tests.kit.folders import crop, rows_of
from tests.kit.photos import write_labelled_photos, write_photos
from tests.kit.review import Client, reviewing
from tests.kit.review_browser import (
    PHONE,
    WIDE,
    answered,
    drag,
    first_held,
    forget_toast,
    go_to,
    has_dealt_with_it,
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

SIZES = pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run over 40 photos of 8 individuals."""
    folder = tmp_path_factory.mktemp("slow")
    labels = write_labelled_photos(folder / "in", 40, individuals=8, width=300, height=200)
    crop(folder / "in", folder / "out", labels=labels, size=128)
    return folder / "out"


@pytest.fixture
def client(finished: Path) -> Iterator[Client]:
    """The page of that run, without earlier verdicts."""
    (finished / STATE / "review.csv").unlink(missing_ok=True)
    with reviewing(finished) as client:
        yield client


def species(page: Page) -> Locator:
    return page.locator("[data-filter='label:species']")


def card(page: Page, place: int) -> Locator:
    return page.locator(".card").nth(place)


def open_grid(page: Page) -> None:
    """From the photo to the grid, of which all crops have been seen."""
    press(page, "g")
    is_ready(page)
    expect(page.locator('.card[data-fate="accept"]:not([data-loaded])')).to_have_count(0)
    expect(page.locator("#grid-accept")).to_contain_text("Accept")


def lose(route: Route) -> None:
    """Nobody answers."""
    route.abort()


def lose_the_answer(route: Route) -> None:
    """The server deals with it, and nobody hears of that."""
    if route.request.method == "POST":
        route.fetch()
    route.abort()


def refuse(route: Route) -> None:
    """Something is wrong with the server."""
    route.fulfill(status=500, body="out of order")


@contextmanager
def lost(page: Page, pattern: str, how: Callable[[Route], None] = lose) -> Iterator[None]:
    """No answer to such requests."""
    answered(page, pattern, how)
    yield
    page.unroute(pattern)


# ---------------------------------------------------------------- a verdict is on its way


@SIZES
def test_a_filter_chosen_while_a_verdict_is_on_its_way_counts(
    finished: Path, client: Client, browser: Browser, size: dict[str, Any]
) -> None:
    """Neither is its first photo passed by, nor does the next photo of the filter before come up."""
    first = next(row["image"] for row in ordered(finished, client) if row["species"] == "orca")
    with tab(browser, client, **size) as page:
        image = page.locator("#name").text_content() or ""
        with held(page, "**/api/verdict?*") as let_go:
            press(page, "x")
            if size is PHONE:
                page.tap("#sheet-button")
            species(page).select_option("orca")
            expect(page.locator("#count")).to_contain_text("of 20")
            let_go()
        is_ready(page)
        assert verdicts_of(finished)[image].verdict == "rejected"
        shows(page, first)
        expect(page.locator("#count")).to_contain_text("of 20")
        press(page, "u")
        shows(page, image)
    assert verdicts_of(finished) == {}


def ordered(finished: Path, client: Client) -> list[dict[str, str]]:
    rows = {row["image"]: row for row in rows_of(finished)}
    return [rows[client.image(rank)] for rank in range(len(rows))]


def test_a_photo_found_while_a_verdict_is_on_its_way_is_shown(
    finished: Path, client: Client, browser: Browser
) -> None:
    with tab(browser, client, **WIDE) as page:
        with held(page, "**/api/verdict?*") as let_go:
            press(page, "w")
            page.keyboard.press("f")
            page.keyboard.type(client.image(7))
            page.keyboard.press("Enter")
            shows(page, client.image(7))
            let_go()
        is_ready(page)
        shows(page, client.image(7))
        expect(page.locator("#verdict")).to_have_text("not reviewed")
        page.keyboard.press("Enter")
        shows(page, client.image(8))
    said = {image: verdict.verdict for image, verdict in verdicts_of(finished).items()}
    assert said == {client.image(0): "whole", client.image(7): "accepted"}


@pytest.mark.parametrize("is_first", [True, False], ids=["verdict first", "card first"])
def test_the_card_that_is_asked_for_after_a_verdict_stays_and_counts_it(
    client: Client, browser: Browser, is_first: bool
) -> None:
    with tab(browser, client, **WIDE) as page:
        with held(page, "**/api/verdict?*") as verdict, held(page, "**/api/overview*") as overview:
            press(page, "x")
            page.keyboard.press("p")
            for let_go in (verdict, overview) if is_first else (overview, verdict):
                let_go()
        is_ready(page)
        expect(page.locator("#finish")).to_be_visible()
        expect(page.locator("#finish-counts .rejected")).to_have_attribute("data-count", "1")
        expect(page.locator("#apply")).to_have_text("Apply 1 verdict")


def test_a_photo_that_comes_after_the_card_leaves_it(client: Client, browser: Browser) -> None:
    with tab(browser, client, **WIDE) as page:
        with held(page, f"**/api/row?*at={client.id_of(client.image(1))}*") as let_go:
            page.reload()  # what it fetches early is held, too
            page.wait_for_selector("body[data-shown]")
            is_ready(page)
            page.keyboard.press("j")
            page.keyboard.press("p")
            expect(page.locator("#finish")).to_be_visible()
            let_go()
        is_ready(page)
        expect(page.locator("#finish")).to_be_visible()
        page.keyboard.press("k")
        shows(page, client.image(1))


def test_counts_of_the_card_that_come_late_do_not_replace_newer_ones(
    client: Client, browser: Browser
) -> None:
    with tab(browser, client, **WIDE) as page:
        press(page, "p")
        expect(page.locator("#finish")).to_be_visible()
        first = first_held(page, "**/api/overview*")
        client.say(client.image(3), "rejected")
        poll(page)
        old = first()
        answer = old.fetch()
        client.say(client.image(4), "rejected")
        poll(page)
        expect(page.locator("#apply")).to_have_text("Apply 2 verdicts")
        with page.expect_event("requestfinished", lambda request: request == old.request):
            old.fulfill(response=answer)
        has_dealt_with_it(page)
        expect(page.locator("#apply")).to_have_text("Apply 2 verdicts")


def test_keys_while_a_verdict_is_on_its_way_are_not_lost_in_silence(
    finished: Path, client: Client, browser: Browser
) -> None:
    with tab(browser, client, **WIDE) as page:
        with held(page, "**/api/verdict?*") as let_go:
            press(page, "x")
            for key in ("Enter", "w", "u", "1", "l"):
                forget_toast(page)
                page.keyboard.press(key)
                toast(page, "^What was said last is still on its way")
            let_go()
        shows(page, client.image(1))
        toast(page, "rejected: no crop")
    assert {image: verdict.verdict for image, verdict in verdicts_of(finished).items()} == {
        client.image(0): "rejected"
    }


def test_a_verdict_without_an_answer_is_told_in_the_end(
    finished: Path, client: Client, browser: Browser
) -> None:
    """A network that is gone may never say so."""
    with tab(browser, client, **WIDE) as page:
        page.clock.install()
        page.reload()
        page.wait_for_selector("body[data-shown]")
        with lost(page, "**/api/verdict?*", lambda route: None):
            press(page, "x")
            expect(page.locator("body[data-busy]")).to_have_count(1)
            page.clock.fast_forward(121_000)
            expect(page.locator("#error")).to_have_text(re.compile("^Not saved. The server does not answer"))
            is_ready(page)
        shows(page, client.image(0))
        press(page, "w")
        shows(page, client.image(1))
        expect(page.locator("#error")).to_be_hidden()
    assert verdicts_of(finished)[client.image(0)].verdict == "whole"


def test_leaving_while_a_verdict_is_on_its_way_asks(client: Client, browser: Browser) -> None:
    asked: list[str] = []
    with tab(browser, client, asked, **WIDE) as page:
        with held(page, "**/api/verdict?*") as let_go:
            press(page, "x")
            page.evaluate("() => { window.dispatchEvent(new Event('blur')); }")
            assert page.evaluate(LEAVES) is False
            let_go()
        shows(page, client.image(1))
        is_ready(page)
        assert page.evaluate(LEAVES) is True


LEAVES = "() => window.dispatchEvent(new Event('beforeunload', { cancelable: true }))"


# ---------------------------------------------------------------- what is not saved


@pytest.mark.parametrize("how", [lose, refuse])
def test_what_is_not_saved_stays_told_until_something_is(
    finished: Path, client: Client, browser: Browser, how: Callable[[Route], None]
) -> None:
    """A poll that succeeds, another photo, or another word that was on its way too, do not hide it."""
    first, second = client.image(0), client.image(1)
    words = re.compile("^Not saved. ")
    with tab(browser, client, is_lossy=True, **WIDE) as page:
        with lost(page, "**/api/verdict?*", how):
            press(page, "l")
            expect(page.locator("#error")).to_have_text(words)
        is_ready(page)
        poll(page)
        press(page, "j")
        shows(page, second)
        poll(page)
        expect(page.locator("#error")).to_be_visible()
        press(page, "r")
        expect(page.locator("#error")).to_be_hidden()
        # The photo that it was said of is named once another one is shown.
        asked = first_held(page, "**/api/verdict?*")
        press(page, "t")
        old = asked()
        page.keyboard.press("x")
        how(old)
        shows(page, client.image(2))
        is_ready(page)
        expect(page.locator("#error")).to_be_visible()
        expect(page.locator("#error")).to_have_text(words)
        page.unroute("**/api/verdict?*")
        press(page, "x")
        shows(page, client.image(3))
        expect(page.locator("#error")).to_be_hidden()
    said = verdicts_of(finished)
    assert first not in said
    assert (said[second].verdict, said[second].viewpoint) == ("rejected", "right")


# ---------------------------------------------------------------- notes


def test_who_writes_while_the_next_photo_is_on_its_way_stays(
    finished: Path, client: Client, browser: Browser
) -> None:
    image = client.image(0)
    with tab(browser, client, **WIDE) as page:
        with held(page, "**/api/verdict?*") as let_go:
            press(page, "x")
            page.keyboard.press("m")
            page.keyboard.type("nick in ")
            let_go()
        toast(page, "You were writing, so this photo stays")
        shows(page, image)
        page.keyboard.type("the fin")
        page.keyboard.press("Escape")
        is_ready(page)
        expect(page.locator("#drafts")).to_be_hidden()
        press(page, "j")
        shows(page, client.image(1))
        assert page.locator("#note").input_value() == ""
    assert verdicts_of(finished)[image][1::4] == ("rejected", "nick in the fin")


def test_what_is_written_while_a_note_is_on_its_way_is_saved_too(
    finished: Path, client: Client, browser: Browser
) -> None:
    image = client.image(0)
    with tab(browser, client, **WIDE) as page:
        press(page, "x", "k", "m")
        with held(page, "**/api/verdict?*") as let_go:
            page.keyboard.type("nick")
            page.keyboard.press("Escape")
            page.keyboard.press("m")
            page.keyboard.type(" in the fin")
            page.keyboard.press("Escape")
            page.keyboard.press("x")  # said already, and its note is on the way
            let_go()
        shows(page, client.image(1))
        is_ready(page)
        expect(page.locator("#drafts")).to_be_hidden()
    assert verdicts_of(finished)[image].note == "nick in the fin"


def test_a_note_that_is_written_on_while_its_verdict_is_on_its_way(
    finished: Path, client: Client, browser: Browser
) -> None:
    image = client.image(0)
    with tab(browser, client, is_lossy=True, **WIDE) as page:
        press(page, "m")
        with lost(page, "**/api/verdict?*"):
            page.keyboard.type("nick")
            page.keyboard.press("Escape")
            is_ready(page)
        with held(page, "**/api/verdict?*") as let_go:
            page.keyboard.press("x")  # takes the note along
            page.keyboard.press("m")
            page.keyboard.type(" in the fin")
            let_go()
        shows(page, image)
        page.keyboard.press("Escape")
        is_ready(page)
        expect(page.locator("#drafts")).to_be_hidden()
    assert verdicts_of(finished)[image][1::4] == ("rejected", "nick in the fin")


# ---------------------------------------------------------------- the grid


@pytest.mark.parametrize("how", ["card", "filter", "empty", "find"])
def test_what_is_asked_for_while_an_acceptance_is_on_its_way_counts(
    finished: Path, client: Client, browser: Browser, how: str
) -> None:
    with tab(browser, client, **WIDE) as page:
        open_grid(page)
        verdict_log(finished).append(Verdict(client.image(3), "rejected", (), "Ann", "t"))
        with held(page, "**/api/verdicts*") as let_go:
            page.keyboard.press("Enter")
            if how == "card":
                page.keyboard.press("p")
                expect(page.locator("#finish")).to_be_visible()
            elif how == "filter":
                species(page).select_option("orca")
                expect(page.locator("#grid-title")).to_have_text("1–20 of 20")
            elif how == "empty":
                page.locator("[data-filter='reviewed']").select_option("note")
                expect(page.locator("#grid-title")).to_have_text("No photo fits these filters.")
            else:
                page.keyboard.press("f")
                page.keyboard.type(client.image(35))
                page.keyboard.press("Enter")
                shows(page, client.image(35))
            let_go()
        is_ready(page)
        toast(page, re.escape(f"29 accepted, 0 taken out, 1 refused ({client.image(3)}: rejected meanwhile"))
        if how == "card":
            expect(page.locator("#finish")).to_be_visible()
            expect(page.locator("#finish-counts .accepted")).to_have_attribute("data-count", "29")
        elif how == "filter":
            expect(page.locator("#grid-title")).to_have_text("1–20 of 20")
        elif how == "empty":
            expect(page.locator("#grid-title")).to_have_text("No photo fits these filters.")
            expect(page.locator("#count")).to_have_text("none")
        else:
            shows(page, client.image(35))
            expect(page.locator("#grid")).to_be_hidden()
    assert len(verdicts_of(finished)) == 30


def test_what_is_taken_out_too_late_is_told(finished: Path, client: Client, browser: Browser) -> None:
    with tab(browser, client, **WIDE) as page:
        open_grid(page)
        with held(page, "**/api/verdicts*") as let_go:
            page.keyboard.press("Enter")
            page.keyboard.press("Space")
            toast(page, "^What was said last is still on its way")
            expect(card(page, 0)).to_have_attribute("data-fate", "accept")
            let_go()
        expect(page.locator("#grid-title")).to_have_text("31–40 of 40")
        expect(page.locator("#grid-out")).to_be_hidden()


def test_an_acceptance_that_is_taken_back_late_leaves_what_was_asked_for_since(
    finished: Path, client: Client, browser: Browser
) -> None:
    with tab(browser, client, **WIDE) as page:
        open_grid(page)
        press(page, "Enter")
        expect(page.locator("#grid-title")).to_have_text("31–40 of 40")
        is_ready(page)
        with held(page, "**/api/verdicts*") as let_go:
            page.keyboard.press("u")
            page.keyboard.press("p")
            expect(page.locator("#finish")).to_be_visible()
            let_go()
        toast(page, "^30 taken back.$")
        is_ready(page)
        expect(page.locator("#finish")).to_be_visible()
        expect(page.locator("#finish-counts .left")).to_have_attribute("data-count", "40")
    assert verdicts_of(finished) == {}


def test_an_acceptance_that_cannot_be_taken_back_leaves_photo_and_filters(
    client: Client, browser: Browser
) -> None:
    with tab(browser, client, is_lossy=True, **WIDE) as page:
        open_grid(page)
        press(page, "Space", "Enter")
        expect(page.locator("#grid-title")).to_have_text("31–40 of 40")
        is_ready(page)
        page.click("#grid-out")
        shows(page, client.image(0))
        with lost(page, "**/api/verdicts*"):
            press(page, "u")
            expect(page.locator("#error")).to_contain_text("Not saved. ")
        is_ready(page)
        poll(page)
        shows(page, client.image(0))
        expect(page.locator("#count")).to_have_text("1 of 1 · 0 reviewed")
        assert "photos=" in page.evaluate("() => location.hash")


def test_a_page_that_does_not_come_leaves_no_cards_of_other_filters(client: Client, browser: Browser) -> None:
    with tab(browser, client, is_lossy=True, **WIDE) as page:
        open_grid(page)
        with lost(page, "**/api/grid*"):
            species(page).select_option("orca")
            expect(page.locator("#error")).to_be_visible()
            is_ready(page)
            expect(page.locator("#grid-title")).to_have_text(
                "The photos of these filters could not be fetched."
            )
            expect(page.locator(".card")).to_have_count(0)
            press(page, "Enter", "Space", "PageDown", "ArrowRight", "i")
        expect(page.locator("#grid-title")).to_have_text("1–20 of 20")  # once somebody answers
        expect(page.locator("#error")).to_be_hidden()


def test_a_picture_that_is_not_there_does_not_hold_the_page_up_after_news(
    finished: Path, client: Client, browser: Browser
) -> None:
    lost_one = client.image(2)
    with tab(browser, client, is_lossy=True, **WIDE) as page:
        answered(page, f"**/thumb/{client.id_of(lost_one)}/**", lambda route: route.fulfill(status=404))
        open_grid(page)
        expect(card(page, 2).locator(".fate")).to_have_text("stays: its crop cannot be shown")
        client.say(client.image(4), "rejected")
        poll(page)
        expect(card(page, 4)).to_have_attribute("data-fate", "said")
        expect(card(page, 2).locator(".fate")).to_have_text("stays: its crop cannot be shown")
        press(page, "Enter")
        expect(page.locator("#grid-title")).to_have_text("31–40 of 40")
    assert lost_one not in verdicts_of(finished)


def test_news_of_cards_that_comes_late_does_not_replace_newer_news(client: Client, browser: Browser) -> None:
    with tab(browser, client, **WIDE) as page:
        open_grid(page)
        first = first_held(page, "**/api/grid*")
        hears = "import('./static/grid.js').then(({ heard }) => heard([], true))"
        client.say(client.image(3), "rejected")
        page.evaluate(f"() => {{ {hears}; }}")  # not waited for: it is held
        old = first()
        answer = old.fetch()
        client.say(client.image(4), "rejected")
        page.evaluate(f"() => {hears}")
        expect(card(page, 4)).to_have_attribute("data-fate", "said")
        with page.expect_event("requestfinished", lambda request: request == old.request):
            old.fulfill(response=answer)
        has_dealt_with_it(page)
        expect(card(page, 4)).to_have_attribute("data-fate", "said")


def test_a_page_that_comes_late_takes_no_keys_from_a_field(
    finished: Path, client: Client, browser: Browser
) -> None:
    with tab(browser, client, **WIDE) as page:
        with held(page, "**/api/grid*") as let_go:
            press(page, "g")
            page.keyboard.press("f")
            page.keyboard.type("phot")
            let_go()
            page.keyboard.type("a x")
        expect(page.locator("#find")).to_be_focused()
        assert page.locator("#find").input_value() == "phota x"
        expect(page.locator('.card[data-fate="out"]')).to_have_count(0)
    assert verdicts_of(finished) == {}


def test_a_photo_that_comes_after_the_grid_was_asked_for_stays_away(client: Client, browser: Browser) -> None:
    first, second = client.image(0), client.image(1)
    with tab(browser, client, **WIDE) as page:
        with held(page, f"**/api/row?*at={client.id_of(second)}*") as let_go:
            page.reload()  # what it fetches early is held, too
            page.wait_for_selector("body[data-shown]")
            is_ready(page)
            page.keyboard.press("j")
            page.keyboard.press("g")
            expect(page.locator(".card")).to_have_count(30)
            let_go()
        is_ready(page)
        expect(page).to_have_title("Grid – detic-crop review")
        press(page, "Escape")
        shows(page, first)
        expect(page).to_have_title(f"{first} – detic-crop review")


# ---------------------------------------------------------------- news, and a server that comes back


@pytest.mark.parametrize("how", [lose, refuse])
def test_news_that_is_lost_is_asked_for_again(
    client: Client, browser: Browser, how: Callable[[Route], None]
) -> None:
    with tab(browser, client, is_lossy=True, **WIDE) as page:
        with lost(page, "**/api/row*", how):
            client.say(client.image(0), "rejected")
            poll(page)
            expect(page.locator("#error")).to_be_visible()
        expect(page.locator("#verdict")).to_have_text("rejected: no crop — tester")


def test_filters_whose_photos_did_not_come_are_caught_up_with(client: Client, browser: Browser) -> None:
    """The photo stays where it is, and its place is told."""
    with tab(browser, client, is_lossy=True, **WIDE) as page:
        expect(page.locator("#count")).to_contain_text("of 40")
        with lost(page, "**/api/row*"):
            species(page).select_option("orca")
            expect(page.locator("#error")).to_be_visible()
            is_ready(page)
        expect(page.locator("#count")).to_contain_text("of 20")
        shows(page, client.image(0))


def test_a_page_whose_first_photo_did_not_come_begins_once_it_does(client: Client, browser: Browser) -> None:
    context = browser.new_context(**WIDE)
    errors: list[str] = []
    page = context.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    with lost(page, "**/api/row*"):
        page.goto(client.address)
        expect(page.locator("#error")).to_be_visible()
        for name in ("#take", "#another", "#grid-button", "#finish-button", "#zoom-box"):
            page.locator(name).dispatch_event("click") if name == "" else page.mouse.click(
                *middle_of(page, name)
            )
        page.keyboard.press("Enter")
        page.keyboard.press("g")
    shows(page, client.image(0))
    is_ready(page)
    expect(page.locator("#error")).to_be_hidden()
    page.keyboard.press("x")
    shows(page, client.image(1))
    context.close()
    assert errors == []


def middle_of(page: Page, name: str) -> tuple[float, float]:
    place = page.locator(name).bounding_box() or {"x": 0, "y": 0, "width": 2, "height": 2}
    return place["x"] + place["width"] / 2, place["y"] + place["height"] / 2


# ---------------------------------------------------------------- find


def test_find_says_nothing_wrong_where_nobody_answers(client: Client, browser: Browser) -> None:
    with tab(browser, client, is_lossy=True, **WIDE) as page:
        press(page, "f")
        page.keyboard.type(client.image(9)[:1])
        expect(page.locator("#found li").first).to_be_visible()
        with lost(page, "**/api/find*"):
            page.keyboard.type(client.image(9)[1:])
            expect(page.locator("#error")).to_be_visible()
            expect(page.locator("#found li")).to_have_count(0)
            page.keyboard.press("Enter")  # not what the first letter has found
        shows(page, client.image(0))
        expect(page.locator("#toast")).not_to_contain_text("No photo has that")


@SIZES
def test_what_is_found_after_the_field_was_left_does_not_open(
    client: Client, browser: Browser, size: dict[str, Any]
) -> None:
    with tab(browser, client, **size) as page:
        with held(page, "**/api/find*") as let_go:
            press(page, "f")
            page.keyboard.type("p")
            page.keyboard.press("Escape")  # once is enough
            expect(page.locator("#find")).not_to_be_focused()
            let_go()
        expect(page.locator("#found")).to_be_hidden()


def test_enter_means_what_is_in_the_field(client: Client, browser: Browser) -> None:
    """Also where that is typed on while what was there before is being looked for."""
    image = client.image(9)
    with tab(browser, client, **WIDE) as page:
        press(page, "f")
        page.keyboard.type(image[:1])
        expect(page.locator("#found li").first).to_be_visible()
        with held(page, "**/api/find*") as let_go:
            page.keyboard.type(image[1:-1])
            page.keyboard.press("Enter")
            page.keyboard.type(image[-1])
            let_go()
        shows(page, image)


# ---------------------------------------------------------------- pictures


def test_the_crop_of_the_photo_before_is_not_shown(client: Client, browser: Browser) -> None:
    with tab(browser, client, **WIDE) as page:
        expect(page.locator("#crop")).to_be_visible()
        with held(page, f"**/crop/{client.id_of(client.image(1))}*") as let_go:
            press(page, "j")
            shows(page, client.image(1))
            expect(page.locator("#crop")).to_be_hidden()
            let_go()
        expect(page.locator("#crop")).to_be_visible()


# ---------------------------------------------------------------- Apply


def test_apply_is_watched_on_where_an_answer_is_lost(tmp_path: Path, browser: Browser) -> None:
    write_photos(tmp_path / "in", 4, width=300, height=200)
    crop(tmp_path / "in", tmp_path / "out")
    with reviewing(tmp_path / "out") as client, tab(browser, client, is_lossy=True, **WIDE) as page:
        press(page, "x", "p")
        expect(page.locator("#apply")).to_have_text("Apply 1 verdict")
        with lost(page, "**/api/apply", lose_the_answer):
            page.click("#apply")
            expect(page.locator("#error")).to_be_visible()
        expect(page.locator("#apply-result")).to_contain_text("verdicts applied: 1 rejected")
        expect(page.locator("#error")).to_be_hidden()
        expect(page.locator("#apply")).to_be_hidden()


def test_the_card_of_a_tab_follows_what_another_one_applies(tmp_path: Path, browser: Browser) -> None:
    write_photos(tmp_path / "in", 4, width=300, height=200)
    crop(tmp_path / "in", tmp_path / "out")
    with reviewing(tmp_path / "out") as client, tab(browser, client, **WIDE) as page:
        press(page, "x", "p")
        expect(page.locator("#apply")).to_have_text("Apply 1 verdict")
        poll(page)  # nothing else is new
        client.apply()
        client.applied()
        expect(page.locator("#apply")).to_be_hidden()


def test_cards_show_the_crops_that_another_tab_has_made(tmp_path: Path, browser: Browser) -> None:
    write_photos(tmp_path / "in", 12, width=300, height=200)
    crop(tmp_path / "in", tmp_path / "out", size=128)
    with reviewing(tmp_path / "out") as client, tab(browser, client, **WIDE) as page:
        image = client.image(0)
        open_grid(page)
        picture = page.locator(f".card[data-id='{client.id_of(image)}'] img")
        before = picture.get_attribute("src") or ""
        client.say(image, "box", [10, 10, 90, 90])
        client.apply()
        client.applied()
        expect(picture).not_to_have_attribute("src", before)
        expect(card(page, 0)).to_have_attribute("data-fate", "said")
        go_to(page, client.image(1))
        drag(page, (0.2, 0.2), (0.6, 0.6))
        press(page, "Enter")
        shows(page, client.image(2))
