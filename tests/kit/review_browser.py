"""The review page in a real Chromium: tabs, keys and the mouse, and how to wait for what they do."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, Dialog, Page, Route, expect, sync_playwright

from tests.kit.programs import needed
from tests.kit.review import Client

ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--no-first-run", "--disable-quic"),
]
WIDE: dict[str, Any] = {"viewport": {"width": 1440, "height": 900}}  # thirty crops of a grid fit
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
VIEW = {"width": 1366, "height": 625}  # what a browser leaves of a 1366 × 768 screen
STEP_MS = 120_000  # a busy machine may take long; nothing waits when it need not
expect.set_options(timeout=STEP_MS)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, or the one that CHROMIUM names."""
    program = needed("Chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def tab(
    browser: Browser,
    client: Client,
    dialogs: list[str] | None = None,
    *,
    is_lossy: bool = False,
    **settings: Any,
) -> Iterator[Page]:
    """A page in a browser window of its own; whatever it complains about fails the test.

    `settings` are those of playwright's `new_context`, such as `PHONE`.

    Where the test `is_lossy` the browser may say that an answer did not come, or was a refusal.

    Questions are such complaints, too, unless `dialogs` is there to note them: then the answer is yes.
    """
    complaints: list[str] = []

    def answer(dialog: Dialog) -> None:
        (complaints if dialogs is None else dialogs).append(dialog.type)
        dialog.accept()

    context = browser.new_context(**{"viewport": VIEW, **settings})
    context.set_default_timeout(STEP_MS)
    page = context.new_page()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("dialog", answer)
    page.goto(client.address)
    page.wait_for_selector("body[data-shown]")
    is_ready(page)
    try:
        yield page
    finally:
        context.close()
    assert [words for words in complaints if not (is_lossy and "Failed to load resource" in words)] == []


def shows(page: Page, image: str) -> None:
    """Wait until a photo is shown, and no grid in its place."""
    expect(page.locator("main:not([hidden]) #name")).to_have_text(image, use_inner_text=False)


def press(page: Page, *keys: str) -> None:
    """Keys, each when the one before has been dealt with and the photo is there."""
    for key in keys:
        is_ready(page)
        page.keyboard.press(key)


def is_ready(page: Page) -> None:
    """Wait until a verdict can be given; a page that has just been loaded says so itself."""
    page.wait_for_selector("body:not([data-busy])")


def with_candidates(client: Client, at_least: int) -> str:
    """A cropped photo with so many kept boxes."""
    for id in client.page._rows.rank_of:
        row = client.row(at=id)["row"]
        if row["status"] == "cropped" and len(row["candidates"]) >= at_least:
            return str(row["image"])
    raise AssertionError("the fake detector finds several boxes in some photo")


def go_to(page: Page, image: str) -> None:
    """Jump by name, as a person would."""
    press(page, "f")
    page.keyboard.type(image)
    page.keyboard.press("Enter")  # waits for what was typed
    shows(page, image)
    is_ready(page)


def drag(page: Page, *shares: tuple[float, float], release: bool = True, early: bool = False) -> None:
    """The mouse from the first to the last point, given as shares of the photo's width and height.

    Unless it is `early`, the photo is there.
    """
    if not early:
        is_ready(page)
    points = [point_at(page, *share) for share in shares]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=3)
    if release:
        page.mouse.up()


def point_at(page: Page, x: float, y: float) -> tuple[float, float]:
    """Where a share of the photo's width and height is on the screen."""
    place = page.locator("#frame").bounding_box()
    assert place
    return place["x"] + x * place["width"], place["y"] + y * place["height"]


def answered(page: Page, pattern: str, answer: Callable[[Route], object]) -> None:
    """From now on requests of a pattern go to `answer`; the browser may take a moment to see to that."""
    page.route(pattern, answer)
    has_dealt_with_it(page)


@contextmanager
def held(page: Page, pattern: str) -> Iterator[Callable[[], None]]:
    """Answers to such requests wait for a call of the function, which returns when the page has had them."""
    waiting: list[Route] = []
    is_open = False

    def answer(route: Route) -> None:
        if is_open:
            route.continue_()
        else:
            waiting.append(route)

    answered(page, pattern, answer)

    def let_go() -> None:
        begun = time.monotonic()
        while not waiting:  # it comes with the answer to some call
            assert time.monotonic() - begun < STEP_MS / 1000, f"nothing was asked of {pattern}"
            has_dealt_with_it(page)
        nonlocal is_open
        is_open = True
        for route in waiting:
            with page.expect_event("requestfinished", lambda request, r=route: request == r.request):
                route.continue_()
        has_dealt_with_it(page)

    yield let_go
    page.unroute(pattern)


def first_held(page: Page, pattern: str) -> Callable[[], Route]:
    """The first such request is held from now on, the others are answered; returns what waits for it."""
    waiting: list[Route] = []

    def answer(route: Route) -> None:
        if waiting:
            route.continue_()
        else:
            waiting.append(route)

    answered(page, pattern, answer)

    def first() -> Route:
        begun = time.monotonic()
        while not waiting:
            assert time.monotonic() - begun < STEP_MS / 1000, f"nothing was asked of {pattern}"
            has_dealt_with_it(page)
        return waiting[0]

    return first


def has_dealt_with_it(page: Page) -> None:
    """Wait until the page has painted twice: what had to be done at once is done."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def poll(page: Page) -> None:
    """Ask what is new from now on, as the page does every two seconds, and wait until that is dealt with."""
    page.evaluate(
        """async () => {
            const { poll } = await import("./static/moving.js");
            const { state } = await import("./static/state.js");
            for (let isOurs = false; !isOurs;) {
                const isAsking = state.polling; // an answer that is on its way may be older than the news
                const done = poll();
                isOurs = !isAsking && state.polling;
                await done;
                if (!isOurs) await new Promise((go) => setTimeout(go, 20));
            }
        }"""
    )
    has_dealt_with_it(page)


def toast(page: Page, words: str) -> None:
    """Wait until the page says something, given as a pattern."""
    expect(page.locator("#toast")).to_have_text(re.compile(words))


def forget_toast(page: Page) -> None:
    """What the page said last is not taken for what it says next."""
    page.evaluate("() => { document.getElementById('toast').textContent = ''; }")


def selected(page: Page) -> list[float]:
    """The outlined box on the screen: left, top, width, height, as shares of the photo."""
    page.wait_for_selector("#overlay .selected")
    # Both at once: the page may draw the outline again at any time.
    shares: list[float] = page.evaluate(
        """() => {
            const rectangle = (name) => document.querySelector(name).getBoundingClientRect();
            const [shape, frame] = [rectangle("#overlay .selected"), rectangle("#frame")];
            const [x, y] = [(shape.x - frame.x) / frame.width, (shape.y - frame.y) / frame.height];
            return [x, y, shape.width / frame.width, shape.height / frame.height];
        }"""
    )
    return shares
