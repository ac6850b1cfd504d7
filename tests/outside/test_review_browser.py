"""The review page in a real Chromium: keys, the mouse, filters, reload, two tabs, a long run."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import NoReturn

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from detic_crop import api
from detic_crop.boxes.crop_size import crop_size
from detic_crop.boxes.geometry import crop_rectangle
from detic_crop.folder.second_review import read_second_review
from detic_crop.folder.verdict_lines import Verdict
from detic_crop.folder.verdicts import read_verdicts
from detic_crop.photos.keys import STATE
from tests.kit.big_run import write_big_run
from tests.kit.folders import crop, records_of, rows_of
from tests.kit.helpers import FITS
from tests.kit.photos import write_photo, write_photos
from tests.kit.review import Client, reviewing
from tests.kit.review_browser import (
    STEP_MS,
    VIEW,
    answered,
    drag,
    forget_toast,
    go_to,
    has_dealt_with_it,
    held,
    is_ready,
    point_at,
    poll,
    press,
    selected,
    shows,
    tab,
    with_candidates,
)
from tests.kit.servers import QuietHandler, loopback_server
from tests.kit.verdicts import verdict_log, verdicts_of

pytestmark = pytest.mark.outside


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run over 20 photos with labels."""
    folder = tmp_path_factory.mktemp("browser")
    keys = write_photos(folder / "in", 20, width=600, height=400)
    lines = [f"{key},{('orca', 'beluga')[n % 2]}" for n, key in enumerate(keys)]
    (folder / "labels.csv").write_text("image,species\n" + "\n".join(lines))
    crop(folder / "in", folder / "out", labels=folder / "labels.csv")
    return folder


@pytest.fixture
def client(finished: Path) -> Iterator[Client]:
    """The page of that run, without earlier verdicts."""
    (finished / "out" / STATE / "review.csv").unlink(missing_ok=True)
    with reviewing(finished / "out") as client:
        yield client


# ---------------------------------------------------------------- keys


def test_keys_judge_and_move_on(finished: Path, client: Client, browser: Browser) -> None:
    images = [client.image(rank) for rank in range(6)]
    with tab(browser, client) as page:
        assert "token" not in page.url
        for image, key in zip(images, ("Enter", "a", "w", "x"), strict=False):
            shows(page, image)
            press(page, key)
        shows(page, images[4])
        expect(page.locator("#count")).to_have_text(re.compile(r"5 of 20 · 4 reviewed"))
        press(page, "ArrowRight")
        shows(page, images[5])
        press(page, "ArrowLeft", "k")
        shows(page, images[3])
        expect(page.locator("#verdict")).to_have_text("rejected: no crop — tester")
        press(page, "j")
        shows(page, images[4])
    said = {image: verdict.verdict for image, verdict in verdicts_of(finished / "out").items()}
    assert said == dict(zip(images, ("accepted", "accepted", "whole", "rejected"), strict=False))


def test_undo_returns_to_the_photo(finished: Path, client: Client, browser: Browser) -> None:
    first, second, third = (client.image(rank) for rank in range(3))
    with tab(browser, client) as page:
        press(page, "x")
        shows(page, second)
        press(page, "w")
        shows(page, third)
        press(page, "u")
        shows(page, second)
        expect(page.locator("#verdict")).to_have_text("not reviewed")
        press(page, "Control+z")
        shows(page, first)
        assert verdicts_of(finished / "out") == {}
        press(page, "u")
        expect(page.locator("#toast")).to_have_text("There is no verdict to take back.")
        # A second verdict is taken back to the first one.
        press(page, "x")
        shows(page, second)
        press(page, "k", "w")
        shows(page, second)
        press(page, "u")
        expect(page.locator("#verdict")).to_have_text("rejected: no crop — tester")
        assert verdicts_of(finished / "out")[first].verdict == "rejected"


def test_another_box_by_number_and_by_cycling(finished: Path, client: Client, browser: Browser) -> None:
    image = with_candidates(client, 3)
    boxes = [tuple(each["box"]) for each in client.row(at=client.id_of(image))["row"]["candidates"]]
    with tab(browser, client) as page:
        go_to(page, image)
        press(page, "2")
        expect(page.locator("#name")).not_to_have_text(image)
        assert verdicts_of(finished / "out")[image].boxes == (boxes[1],)
        go_to(page, image)
        expect(page.locator("#verdict")).to_have_text("box 2 — tester")
        press(page, "c")
        expect(page.locator("#take-label")).to_have_text("Take box 3")
        press(page, "Shift+C", "Shift+C")
        expect(page.locator("#take-label")).to_have_text("Accept the detector's box")
        press(page, "Escape")
        expect(page.locator("#take-label")).to_have_text("Take box 2")
        press(page, "c", "Enter")
        expect(page.locator("#name")).not_to_have_text(image)
        assert verdicts_of(finished / "out")[image].boxes == (boxes[2],)
        go_to(page, image)
        press(page, "1")  # the detector's own
        expect(page.locator("#name")).not_to_have_text(image)
        assert verdicts_of(finished / "out")[image].verdict == "accepted"
        press(page, "9")
        expect(page.locator("#toast")).to_have_text("There is no box 9.")


def test_help_opens_and_closes(client: Client, browser: Browser) -> None:
    with tab(browser, client) as page:
        first = page.locator("#name").text_content() or ""
        press(page, "?")
        expect(page.locator("#help")).to_be_visible()
        press(page, "x")  # says nothing about the photo behind it
        press(page, "Escape")
        expect(page.locator("#help")).to_be_hidden()
        shows(page, first)
        expect(page.locator("#verdict")).to_have_text("not reviewed")


def test_everything_fits_a_small_laptop(client: Client, browser: Browser) -> None:
    with tab(browser, client) as page:
        for name in ("#take", "#whole", "#reject", "#undo", "#next", "#preview", "#count", "#help-button"):
            place = page.locator(name).bounding_box()
            assert place
            assert place["x"] >= 0
            assert place["x"] + place["width"] <= VIEW["width"], name
            assert place["y"] + place["height"] <= VIEW["height"], name
        for name in ("take", "whole", "reject", "undo", "previous", "next", "help-button"):
            assert page.locator(f"#{name}").inner_text().strip()
        for select in page.locator("select").all():
            assert select.get_attribute("aria-label")


# ---------------------------------------------------------------- the mouse


def test_drawing_a_box(finished: Path, client: Client, browser: Browser) -> None:
    image = client.image(0)
    with tab(browser, client) as page:
        before = page.locator("#preview-caption").text_content()
        drag(page, (0.2, 0.3), (0.4, 0.5), (0.7, 0.8), release=False)
        # Seen while it is drawn; 1.2 times 300 × 200 px.
        expect(page.locator("#preview-caption")).to_have_text(re.compile(r"outlined: 36\d × 24\d px"))
        page.mouse.up()
        expect(page.locator("#take-label")).to_have_text("Take drawn box")
        assert verdicts_of(finished / "out") == {}  # nothing is said yet
        press(page, "Escape")
        expect(page.locator("#preview-caption")).to_have_text(before or "")
        drag(page, (0.7, 0.8), (0.2, 0.3))  # from any corner
        press(page, "Enter")
        shows(page, client.image(1))
    (box,) = verdicts_of(finished / "out")[image].boxes
    assert box == pytest.approx((120, 120, 420, 320), abs=2)
    assert all(edge == int(edge) for edge in box or ())


def test_handles_adjust_a_box(finished: Path, client: Client, browser: Browser) -> None:
    image = client.image(0)
    with tab(browser, client) as page:
        drag(page, (0.2, 0.3), (0.5, 0.5))
        drag(page, (0.5, 0.4), (0.8, 0.9))  # the right edge's handle moves that edge only
        drag(page, (0.2, 0.3), (0.1, 0.1))  # the corner's both
        press(page, "a")
        shows(page, client.image(1))
    assert verdicts_of(finished / "out")[image].boxes[0] == pytest.approx((60, 40, 480, 200), abs=3)


def test_a_drawing_can_be_dropped_half_way_and_stays_inside(
    finished: Path, client: Client, browser: Browser
) -> None:
    image = client.image(0)
    with tab(browser, client) as page:
        words = page.locator("#take-label").text_content()
        drag(page, (0.2, 0.3), (0.6, 0.6), release=False)
        press(page, "Escape")
        page.mouse.up()
        expect(page.locator("#take-label")).to_have_text(words or "")
        drag(page, (0.5, 0.5), (1.3, -0.4))
        press(page, "Enter")
        shows(page, client.image(1))
    ((left, top, right, _),) = verdicts_of(finished / "out")[image].boxes
    assert (top, right) == (0, 600)
    assert left == pytest.approx(300, abs=2)


def test_a_click_outlines_a_box(finished: Path, client: Client, browser: Browser) -> None:
    image = with_candidates(client, 2)
    row = client.row(at=client.id_of(image))["row"]
    areas = {
        tuple(each["box"]): (each["box"][2] - each["box"][0]) * (each["box"][3] - each["box"][1])
        for each in row["candidates"]
    }
    smallest = min(areas, key=lambda box: areas[box])
    centre = (smallest[0] + smallest[2]) / 2 / 600, (smallest[1] + smallest[3]) / 2 / 400
    with tab(browser, client) as page:
        go_to(page, image)
        drag(page, centre)
        number = [tuple(each["box"]) for each in row["candidates"]].index(smallest) + 1
        pressed = page.locator('#candidates button[aria-pressed="true"] .number')
        expect(pressed).to_have_text(str(number))
        page.locator("#candidates button").first.click()
        expect(pressed).to_have_text("1")
        page.locator("#take").click()
        expect(page.locator("#name")).not_to_have_text(image)
        press(page, "ArrowLeft")  # a click leaves the keys to the page
        shows(page, image)


def test_the_preview_cuts_what_a_run_would(client: Client, browser: Browser) -> None:
    """boxes.js is the arithmetic of boxes/geometry.py again."""
    boxes = [
        (0.1 * n, 7.3 * n % 80, 0.1 * n + 3 + n * 11.7 % 300, 7.3 * n % 80 + 1 + n * 5.1 % 120)
        for n in range(40)
    ]
    boxes += [
        (0, 0, 600, 400),
        (599.5, 399.5, 600, 400),
        (0, 0, 0.2, 0.2),
        (10, 10, 20, 390),
        (100, 5, 590, 25),
    ]
    sizes = [crop_size(size, fit) for size in (512, "384x768", "native") for fit in FITS]
    cases = [(box, scale, size) for box in boxes for scale in (1.0, 1.2, 2.5) for size in sizes]
    with tab(browser, client) as page:
        cut = page.evaluate(
            "async (cases) => { const { cropRectangle } = await import('./static/boxes.js');"
            "return cases.map(([box, scale, aspect]) => cropRectangle(box, { scale, aspect }, 600, 400)); }",
            [(box, scale, size.aspect) for box, scale, size in cases],
        )
    expected = [list(crop_rectangle(box, scale, size, (600, 400))) for box, scale, size in cases]
    assert cut == expected


# ---------------------------------------------------------------- a box in hand


DRAWN = (0.2, 0.3), (0.6, 0.7)
BOX = (120, 120, 360, 280)  # of 600 × 400 px


def begin(page: Page, early: bool = False) -> None:
    """Half of `DRAWN`: the mouse stays down."""
    drag(page, DRAWN[0], (0.4, 0.5), release=False, early=early)


def finish(page: Page, image: str) -> None:
    """The other half, and Enter: what was begun on a photo is what it is given."""
    page.mouse.move(*point_at(page, *DRAWN[1]), steps=3)
    assert selected(page) == pytest.approx([0.2, 0.3, 0.4, 0.4], abs=0.02)
    page.mouse.up()
    shows(page, image)
    expect(page.locator("#take-label")).to_have_text("Take drawn box")
    press(page, "Enter")
    expect(page.locator("#name")).not_to_have_text(image)


def assert_drawn(folder: Path, image: str) -> None:
    assert verdicts_of(folder / "out")[image].verdict == "box"
    assert verdicts_of(folder / "out")[image].boxes[0] == pytest.approx(BOX, abs=3)


@pytest.mark.parametrize("mine", [True, False])
def test_a_poll_leaves_the_box_being_drawn(
    finished: Path, client: Client, browser: Browser, mine: bool
) -> None:
    """Right after a verdict of this tab, or of another one on another photo."""
    first, second = client.image(0), client.image(1)
    with tab(browser, client) as page:
        if mine:
            press(page, "Enter")
        else:
            press(page, "j")
            client.say(first, "whole")
        shows(page, second)
        is_ready(page)
        with held(page, "**/api/changes*") as let_go:
            page.evaluate("() => { window.dispatchEvent(new Event('focus')); }")
            begin(page)
            let_go()
        assert selected(page) == pytest.approx([0.2, 0.3, 0.2, 0.2], abs=0.02)
        finish(page, second)
    assert_drawn(finished, second)


@pytest.mark.parametrize("released", [True, False])
def test_another_tabs_verdict_leaves_the_box_in_hand_and_is_told(
    finished: Path, client: Client, browser: Browser, released: bool
) -> None:
    image = client.image(0)
    with tab(browser, client) as page:
        with held(page, "**/api/changes*") as let_go:
            page.evaluate("() => { window.dispatchEvent(new Event('focus')); }")
            drag(page, DRAWN[0], (0.4, 0.5), release=released)
            client.say(image, "rejected")
            let_go()
        assert selected(page) == pytest.approx([0.2, 0.3, 0.2, 0.2], abs=0.02)
        if released:
            drag(page, (0.4, 0.5), DRAWN[1], release=False)
        page.mouse.move(*point_at(page, *DRAWN[1]), steps=3)
        page.mouse.up()
        expect(page.locator("#verdict")).to_have_text("rejected: no crop — tester")
        expect(page.locator("#held")).to_contain_text(
            "Another tab says meanwhile: rejected: no crop — tester"
        )
        expect(page.locator("#take-label")).to_have_text("Take drawn box")
        press(page, "Enter")
        shows(page, client.image(1))
        press(page, "u")  # back to what the other tab said
        shows(page, image)
        expect(page.locator("#verdict")).to_have_text("rejected: no crop — tester")
        expect(page.locator("#take-label")).to_have_text("Take drawn box")
        press(page, "Enter")
        shows(page, client.image(1))
    assert_drawn(finished, image)


def test_a_picked_box_stays_when_another_tab_speaks(finished: Path, client: Client, browser: Browser) -> None:
    image = with_candidates(client, 2)
    with tab(browser, client) as page:
        go_to(page, image)
        press(page, "c")
        expect(page.locator("#take-label")).to_have_text("Take box 2")
        client.say(image, "whole")
        poll(page)
        expect(page.locator("#verdict")).to_have_text("whole photo — tester")
        expect(page.locator("#take-label")).to_have_text("Take box 2")
        expect(page.locator("#held")).to_contain_text("Another tab says meanwhile: whole photo")
        press(page, "Escape")
        expect(page.locator("#take-label")).to_have_text("Whole photo")
        expect(page.locator("#held")).to_be_hidden()


@pytest.mark.parametrize("how", ["next", "filter", "find"])
def test_whoever_draws_while_the_next_photo_is_on_its_way_stays(
    finished: Path, client: Client, browser: Browser, how: str
) -> None:
    image = client.image(0)
    rows = f"**/api/row?*at={client.id_of(client.image(1))}*" if how == "next" else "**/api/row*"
    with tab(browser, client) as page, held(page, rows) as let_go:
        if how == "next":
            page.reload()  # what it fetches early is held, too
            press(page, "j")
        elif how == "filter":
            page.get_by_label("species", exact=True).select_option("orca")
        else:
            press(page, "f")
            page.keyboard.type(client.image(5))
            expect(page.locator("#found li").first).to_have_text(client.image(5))
            page.keyboard.press("Enter")
        begin(page, early=True)
        let_go()
        shows(page, image)
        assert selected(page) == pytest.approx([0.2, 0.3, 0.2, 0.2], abs=0.02)
        page.mouse.move(*point_at(page, *DRAWN[1]), steps=3)
        page.mouse.up()
        expect(page.locator("#toast")).to_have_text("You were drawing, so this photo stays.")
        shows(page, image)
        press(page, "Enter")
        expect(page.locator("#name")).not_to_have_text(image)
    assert_drawn(finished, image)


def test_whoever_draws_while_a_verdict_is_on_its_way_stays(
    finished: Path, client: Client, browser: Browser
) -> None:
    image = client.image(0)
    with tab(browser, client) as page:
        with held(page, "**/api/verdict*") as let_go:
            press(page, "x")
            begin(page, early=True)
            page.keyboard.press("Enter")  # of no use while the mouse is down
            let_go()
        assert verdicts_of(finished / "out")[image].verdict == "rejected"
        finish(page, image)
    assert_drawn(finished, image)


def test_a_photo_that_comes_late_leaves_the_box(finished: Path, client: Client, browser: Browser) -> None:
    first, image = client.image(0), client.image(1)
    with tab(browser, client) as page:
        with held(page, f"**/photo/{client.id_of(client.image(2))}?*") as let_go:
            press(page, "j")
            shows(page, image)
            is_ready(page)
            page.keyboard.press("j")  # its photo is awaited
            shows(page, client.image(2))
            page.keyboard.press("Enter")
            expect(page.locator("#toast")).to_have_text("The picture is not here yet.")
            begin(page, early=True)
            let_go()
        page.set_viewport_size({"width": 1000, "height": 700})
        has_dealt_with_it(page)
        finish(page, client.image(2))
    assert_drawn(finished, client.image(2))
    assert {first, image}.isdisjoint(verdicts_of(finished / "out"))


# ---------------------------------------------------------------- drafts


def test_a_drawn_box_waits_until_it_is_taken(finished: Path, client: Client, browser: Browser) -> None:
    first, second, third = (client.image(rank) for rank in range(3))
    with tab(browser, client) as page:
        expect(page.locator("#drafts")).to_be_hidden()
        drag(page, *DRAWN)
        expect(page.locator("#drafts")).to_have_text(re.compile(r"✎\s+1\s+not taken"))
        press(page, "j")
        shows(page, second)
        expect(page.locator("#take-label")).not_to_have_text("Take drawn box")
        drag(page, (0.5, 0.5), (0.9, 0.9))
        press(page, "j")
        shows(page, third)
        for back in (second, first):
            press(page, "k")
            shows(page, back)
            expect(page.locator("#take-label")).to_have_text("Take drawn box")
        expect(page.locator("#drafts-count")).to_have_text("2")
        # By filter and by name, and marked there.
        page.get_by_label("status", exact=True).select_option("resized")
        expect(page.locator("#name")).not_to_have_text(first)
        press(page, "f")
        page.keyboard.type(first)
        expect(page.locator("#found li").first).to_have_text(f"✎ {first}")
        page.keyboard.press("Enter")
        shows(page, first)
        expect(page.locator("#take-label")).to_have_text("Take drawn box")
        # From one to the next.
        for image in (second, first):
            press(page, "d")
            shows(page, image)
        # Another box is only picked over it.
        press(page, "c")
        expect(page.locator("#take-label")).not_to_have_text("Take drawn box")
        expect(page.locator("#overlay .drawn")).to_have_count(1)
        press(page, "Escape")
        expect(page.locator("#take-label")).to_have_text("Take drawn box")
        press(page, "Enter")
        expect(page.locator("#drafts-count")).to_have_text("1")
        expect(page.locator("#name")).not_to_have_text(first)
        press(page, "d")
        shows(page, second)
        press(page, "x")  # any verdict ends it
        expect(page.locator("#drafts")).to_be_hidden()
        press(page, "u")  # and brings it back
        shows(page, second)
        expect(page.locator("#take-label")).to_have_text("Take drawn box")
        press(page, "Escape")
        expect(page.locator("#drafts")).to_be_hidden()
        press(page, "d")
        expect(page.locator("#toast")).to_have_text("No box is drawn and not taken.")
    assert set(verdicts_of(finished / "out")) == {first}
    assert_drawn(finished, first)


def test_leaving_with_a_drawn_box_asks_and_a_reload_keeps_it(
    finished: Path, client: Client, browser: Browser
) -> None:
    image = client.image(0)
    asked: list[str] = []
    with tab(browser, client, asked) as page:
        page.reload()
        is_ready(page)
        assert asked == []
        drag(page, *DRAWN)
        expect(page.locator("#take-label")).to_have_text("Take drawn box")
        page.reload()
        shows(page, image)
        assert asked == ["beforeunload"]
        expect(page.locator("#take-label")).to_have_text("Take drawn box")
        expect(page.locator("#drafts-count")).to_have_text("1")
        # Of a photo that is another one by now the box says nothing.
        page.evaluate(
            "() => { for (const key of Object.keys(sessionStorage)) sessionStorage[key] ="
            ' sessionStorage[key].replace(/"photo":"..../, \'"photo":"----\'); }'
        )
        page.reload()
        expect(page.locator("#toast")).to_contain_text("that box was dropped")
        expect(page.locator("#drafts")).to_be_hidden()
        page.reload()
        assert len(asked) == 2
    assert verdicts_of(finished / "out") == {}


def test_a_reply_that_is_lost_does_not_leave_a_draft_of_what_was_taken(
    finished: Path, client: Client, browser: Browser
) -> None:
    image = client.image(0)

    def lose(route: Route) -> None:
        route.fetch()
        route.abort()

    context = browser.new_context(viewport=VIEW)  # type: ignore[arg-type]
    context.set_default_timeout(STEP_MS)
    page = context.new_page()
    page.goto(client.address)
    drag(page, *DRAWN)
    answered(page, "**/api/verdict*", lose)
    press(page, "Enter")
    expect(page.locator("#error")).to_contain_text("Not saved.")
    shows(page, image)
    expect(page.locator("#verdict")).to_have_text("drawn box — tester")  # the next look at the news
    expect(page.locator("#drafts")).to_be_hidden()
    context.close()
    assert_drawn(finished, image)


# ---------------------------------------------------------------- photos that are not there


def test_without_its_photo_only_a_crop_can_be_judged(tmp_path: Path, browser: Browser) -> None:
    keys = write_photos(tmp_path / "in", 4, width=600, height=400)
    crop(tmp_path / "in", tmp_path / "out")
    (tmp_path / "in").rename(tmp_path / "moved")
    with reviewing(tmp_path / "out") as client, tab(browser, client) as page:
        first, second = client.image(0), client.image(1)
        expect(page.locator("#absent")).to_contain_text("None of the 4 photos is where the run found them")
        expect(page.locator("#absent")).to_contain_text("pass --in FOLDER")
        expect(page.locator("#problem")).to_contain_text("only its crop can be judged")
        expect(page.locator("#frame")).to_be_hidden()
        expect(page.locator("#instead-crop")).to_be_visible()
        for key in ("c", "1", "2", "w"):
            forget_toast(page)
            press(page, key)
            expect(page.locator("#toast")).to_contain_text("The photo is no longer where it was")
        expect(page.locator("#whole")).to_be_disabled()
        expect(page.locator("#take-label")).to_have_text("Accept the crop as it is")
        shows(page, first)
        press(page, "Enter")
        shows(page, second)
        press(page, "x")
        expect(page.locator("#name")).not_to_have_text(second)
    said = {image: verdict.verdict for image, verdict in verdicts_of(tmp_path / "out").items()}
    assert said == {first: "accepted", second: "rejected"}
    with reviewing(tmp_path / "out", tmp_path / "moved") as client, tab(browser, client) as page:
        expect(page.locator("#absent")).to_be_hidden()
        expect(page.locator("#frame")).to_be_visible()
        drag(page, *DRAWN)
        expect(page.locator("#take-label")).to_have_text("Take drawn box")
        press(page, "Escape")
    assert len(keys) == 4


def test_neither_photo_nor_crop_leaves_nothing_to_say(tmp_path: Path, browser: Browser) -> None:
    write_photos(tmp_path / "in", 2, width=600, height=400)
    crop(tmp_path / "in", tmp_path / "out")
    shutil.rmtree(tmp_path / "in")
    for row in rows_of(tmp_path / "out"):
        (tmp_path / "out" / row["crop"]).unlink()
    with reviewing(tmp_path / "out") as client, tab(browser, client) as page:
        for key in ("Enter", "w", "x"):
            forget_toast(page)
            press(page, key)
            expect(page.locator("#toast")).to_contain_text("its crop is not there either")
        expect(page.locator("#reject")).to_be_disabled()
        expect(page.locator("#crop-caption")).to_have_text("no crop")
        shows(page, client.image(0))
    assert verdicts_of(tmp_path / "out") == {}


def test_a_picture_that_does_not_come_is_not_judged_unseen(
    finished: Path, client: Client, browser: Browser
) -> None:
    first, second = client.image(0), client.image(1)
    context = browser.new_context(viewport=VIEW)  # type: ignore[arg-type]
    context.set_default_timeout(STEP_MS)
    page = context.new_page()
    answered(page, "**/photo/*", lambda route: route.abort())
    page.goto(client.address)
    expect(page.locator("#problem")).to_contain_text("The photo cannot be shown")
    press(page, "w")
    expect(page.locator("#toast")).to_contain_text("The photo cannot be shown")
    shows(page, first)
    press(page, "Enter")  # by its crop, which is shown instead
    shows(page, second)
    context.close()
    assert {image: verdict.verdict for image, verdict in verdicts_of(finished / "out").items()} == {
        first: "accepted"
    }


# ---------------------------------------------------------------- other users of the machine


def test_a_server_on_another_port_never_gets_the_key(
    finished: Path, client: Client, browser: Browser
) -> None:
    """Cookies know no ports: what another user of the machine serves must not be sent ours."""
    hostile = (
        "<title>begun</title><script>(async () => {"
        "await navigator.serviceWorker.register('/worker.js').catch(() => {});"
        "for (const path of ['/', '/api/session', '/photo/x', '/static/review.js'])"
        f"await fetch('http://127.0.0.1:{client.port}' + path, {{credentials: 'include', mode: 'no-cors'}})"
        ".catch(() => {});"
        "document.title = `done ${document.cookie} ${document.referrer} ${window.opener}`; })();</script>"
        f"<iframe src='http://127.0.0.1:{client.port}/'></iframe>"
    )
    with (
        listening(hostile, f"detic-crop-review-{client.port}=wrong; Path=/") as (port, asked),
        tab(browser, client) as page,
    ):
        expect(page.locator("#count")).to_have_text("1 of 20 · 0 reviewed")
        assert client.token not in page.url
        others = [page.context.new_page(), page.context.new_page()]
        for other, host in zip(others, ("127.0.0.1", "localhost"), strict=True):
            other.goto(f"http://{host}:{port}/")
            expect(other).to_have_title(re.compile("^done"))
        with page.expect_popup() as opened:
            page.evaluate(f"() => {{ window.open('http://127.0.0.1:{port}/opened'); }}")
        expect(opened.value).to_have_title(re.compile("^done .* null$"))
        away = page.context.new_page()
        away.goto(client.address)
        away.goto(f"http://127.0.0.1:{port}/followed")
        expect(away).to_have_title(re.compile("^done"))
        away.go_back()
        is_ready(away)
        # A cookie of the same name from there does no harm; a reload and the printed address work.
        page.reload()
        press(page, "w")
        expect(page.locator("#count")).to_have_text("2 of 20 · 1 reviewed")
        second = page.context.new_page()
        second.goto(client.address)
        expect(second.locator("#count")).to_have_text("2 of 20 · 1 reviewed")
        assert (second.goto(f"http://127.0.0.1:{client.port}/") or fail()).status == 403
    assert {path for path, _ in asked} >= {"/", "/worker.js", "/opened", "/followed"}
    said = "\n".join(text for path, headers in asked for text in (path, *headers))
    assert "detic-crop-review" in said  # cookies do get there: the one that it set itself
    assert client.token not in said
    assert client.room.strip("/") not in said


def fail() -> NoReturn:
    pytest.fail("the page did not answer")


@contextmanager
def listening(page: str, cookie: str) -> Iterator[tuple[int, list[tuple[str, list[str]]]]]:
    """Another user's server: its port, and the path and headers of all that it is asked."""
    asked: list[tuple[str, list[str]]] = []

    class Handler(QuietHandler, BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, [f"{name}: {value}" for name, value in self.headers.items()]))
            is_worker = self.path == "/worker.js"
            body = b"self.addEventListener('fetch', () => {});" if is_worker else page.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/javascript" if is_worker else "text/html")
            self.send_header("Set-Cookie", cookie)
            self.end_headers()
            self.wfile.write(body)

    with loopback_server(Handler) as port:
        yield port, asked


# ---------------------------------------------------------------- filters, reload, tabs


def test_filters_and_reload(finished: Path, client: Client, browser: Browser) -> None:
    orcas = {row["image"] for row in rows_of(finished / "out") if row["species"] == "orca"}
    with tab(browser, client) as page:
        page.get_by_label("species", exact=True).select_option("orca")
        expect(page.locator("#count")).to_have_text("1 of 10 · 0 reviewed")
        press(page, "Enter")
        expect(page.locator("#count")).to_have_text("2 of 10 · 1 reviewed")
        press(page, "x")
        expect(page.locator("#count")).to_have_text("3 of 10 · 2 reviewed")
        image = page.locator("#name").text_content() or ""
        page.reload()
        shows(page, image)  # the same photo and filter
        expect(page.locator("#count")).to_have_text("3 of 10 · 2 reviewed")
        assert page.get_by_label("species", exact=True).input_value() == "orca"
        press(page, "k")
        expect(page.locator("#verdict")).to_have_text("rejected: no crop — tester")
        press(page, "u")  # after a reload: the verdict of this photo
        expect(page.locator("#verdict")).to_have_text("not reviewed")
        page.get_by_label("Reviewed or not", exact=True).select_option("no")
        expect(page.locator("#count")).to_have_text("1 of 9 · 0 reviewed")
        unseen = page.locator("#name").text_content()
        press(page, "w")
        expect(page.locator("#count")).to_have_text("1 of 8 · 0 reviewed")
        press(page, "ArrowLeft")  # also back to a photo that has left the filter
        shows(page, unseen or "")
        page.get_by_label("status", exact=True).select_option("resized")
        page.get_by_label("flag", exact=True).select_option(index=1)
    assert set(verdicts_of(finished / "out")) <= orcas
    assert len(verdicts_of(finished / "out")) == 2


def test_an_address_with_values_that_no_photo_has_hides_none(client: Client, browser: Browser) -> None:
    """A filter that no choice shows would leave an empty page, and nothing to see why."""
    with tab(browser, client) as page:
        page.goto(page.url.partition("#")[0] + "#status=gone&reviewed=perhaps&flag=dark&at=")
        page.reload()
        page.wait_for_selector("body[data-shown]")
        expect(page.locator("#count")).to_have_text(re.compile("^1 of 20 "))
        assert "status" not in page.url
        assert "perhaps" not in page.url


def test_two_tabs_lose_nothing(finished: Path, client: Client, browser: Browser) -> None:
    first, second = client.image(0), client.image(1)
    with tab(browser, client) as one, tab(browser, client) as two:
        shows(two, first)
        press(one, "x")
        shows(one, second)
        expect(two.locator("#verdict")).to_have_text("rejected: no crop — tester")
        press(two, "w")  # the last word counts
        shows(two, second)
        press(one, "w")
        expect(one.locator("#name")).not_to_have_text(second)
        expect(two.locator("#verdict")).to_have_text("whole photo — tester")
        expect(two.locator("#count")).to_have_text(re.compile("2 reviewed"))
        press(one, "k", "k")
        expect(one.locator("#verdict")).to_have_text("whole photo — tester")
    assert {image: verdict.verdict for image, verdict in verdicts_of(finished / "out").items()} == {
        first: "whole",
        second: "whole",
    }


def test_a_verdict_that_cannot_be_saved_is_told(
    finished: Path, client: Client, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = client.image(0)
    complaints: list[str] = []
    context = browser.new_context(viewport=VIEW)  # type: ignore[arg-type]
    context.set_default_timeout(STEP_MS)
    page = context.new_page()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(client.address)
    page.wait_for_selector("body[data-shown]")

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        press(page, "x")
        expect(page.locator("#error")).to_contain_text("Not saved.")
        expect(page.locator("#error")).to_contain_text("No space left on device")
        shows(page, first)  # it does not move on
    press(page, "w")
    expect(page.locator("#name")).not_to_have_text(first)
    expect(page.locator("#error")).to_be_hidden()
    context.close()
    assert complaints == []
    assert verdicts_of(finished / "out")[first].verdict == "whole"


def test_names_with_html_are_text(tmp_path: Path, browser: Browser) -> None:
    name = "<img src=x onerror=alert(1)><script>alert(2)</script>&amp;.jpg".replace("/", "")
    write_photo(tmp_path / "in" / name, 3, width=300, height=200)
    write_photo(tmp_path / "in" / "b.jpg", 4, width=300, height=200)
    label = '"><svg onload=alert(3)>'
    (tmp_path / "labels.csv").write_text(
        f'image,kind\n"{name}","{label.replace(chr(34), chr(34) * 2)}"\nb.jpg,x\n'
    )
    crop(tmp_path / "in", tmp_path / "out", labels=tmp_path / "labels.csv")
    with reviewing(tmp_path / "out", reviewer="<b>me</b>") as client, tab(browser, client) as page:
        go_to(page, name)
        assert page.locator("#name").text_content() == name
        press(page, "w", "k")
        go_to(page, name)
        expect(page.locator("#verdict")).to_have_text("whole photo — <b>me</b>")
        expect(page.locator("#facts")).to_contain_text(label)
        assert page.locator("#panel script, #panel svg, #name *, #verdict *, #toast *").count() == 0


# ---------------------------------------------------------------- the whole way


def test_what_the_page_says_is_what_apply_does(tmp_path: Path, browser: Browser) -> None:
    """The crop after `apply` is the preview that was seen."""
    write_photos(tmp_path / "in", 6, width=600, height=400)
    crop(tmp_path / "in", tmp_path / "out")
    with reviewing(tmp_path / "out") as client, tab(browser, client) as page:
        image = client.image(0)
        drag(page, (0.25, 0.25), (0.5, 0.75))
        caption = page.locator("#preview-caption").text_content() or ""
        press(page, "Enter")
        shows(page, client.image(1))
        api.apply(tmp_path / "out", quiet=True)
        expect(page.locator("#stale")).to_be_visible(timeout=STEP_MS)
    x1, y1, x2, y2 = records_of(tmp_path / "out")[image].crop_box or (0, 0, 0, 0)
    assert caption == f"outlined: {x2 - x1} × {y2 - y1} px"


def test_eighty_thousand_rows(tmp_path: Path, browser: Browser) -> None:
    out = write_big_run(tmp_path, 80_000, width=300, height=200)
    with reviewing(out) as client, tab(browser, client) as page:
        expect(page.locator("#count")).to_have_text("1 of 80,000 · 0 reviewed")
        press(page, "Enter", "x")
        expect(page.locator("#count")).to_have_text("3 of 80,000 · 2 reviewed")
        page.get_by_label("species", exact=True).select_option("orca")
        expect(page.locator("#count")).to_have_text(re.compile(r"^\d of 1\d,\d\d\d · \d reviewed$"))
        go_to(page, "survey7/IMG_079999.jpg")
        # What the browser holds does not grow with the run.
        assert len(page.content()) < 50_000
    verdict_log(out).refresh()
    assert len(read_verdicts(out / STATE / "review.csv")) == 2


def test_a_blind_page_shows_the_detectors_boxes_and_nothing_else(browser: Browser, tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 14, width=600, height=400)
    crop(tmp_path / "in", tmp_path / "out")
    api.write_audit(tmp_path / "out", sample=10)
    for row in rows_of(tmp_path / "out"):
        verdict_log(tmp_path / "out").append(Verdict(row["image"], "rejected", (), "Ann", "t", "not sharp"))
    api.apply(tmp_path / "out", quiet=True)
    with (
        reviewing(tmp_path / "out", reviewer="Bob", blind=True) as client,
        tab(browser, client) as page,
    ):
        expect(page.locator("#blind")).to_contain_text("Blind review by Bob")
        expect(page.locator("#count")).to_have_text("1 of 10 · 0 reviewed")
        expect(page.locator("#verdict")).to_have_text("not reviewed")
        expect(page.locator("#crop-figure")).to_be_hidden()
        expect(page.locator("#preview-figure")).to_be_visible()
        expect(page.locator("#flags li")).to_have_count(0)
        expect(page.locator("#filters select")).to_have_count(1)  # reviewed or not
        for place in range(1, 11):
            shown = page.locator("#panel").inner_text()
            assert not re.search(r"suspicion|presence|sharp|Ann|Reject(ed|ed:)|0\.\d\d", shown), shown
            if place == 3:
                drag(page, (0.2, 0.2), (0.6, 0.7))
            press(page, "Enter")
            is_ready(page)
        expect(page.locator("#count")).to_have_text("10 of 10 · 10 reviewed")
        expect(page.locator("#error")).to_be_hidden()
    said = read_second_review(tmp_path / "out" / STATE / "second_review.csv").by_person["Bob"]
    assert sorted(verdict.verdict for verdict in said.values()) == ["accepted"] * 9 + ["box"]
    assert set(verdicts_of(tmp_path / "out").values()) != set(said.values())
