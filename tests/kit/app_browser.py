"""The page of the app in a real Chromium: its first screen, and the first steps from there."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, expect

from detic_crop.app.job_files import read_json
from tests.kit.app import PATIENCE, AppClient
from tests.kit.review_browser import STEP_MS, WIDE


@contextmanager
def window(browser: Browser, client: AppClient, refusals: int | None = 0, **settings: Any) -> Iterator[Page]:
    """The app's first screen; whatever the page complains about fails the test, but for so many refusals.

    None: as many as come, and answers that do not.
    """
    complaints: list[str] = []
    context = browser.new_context(**{**WIDE, **settings})
    context.set_default_timeout(STEP_MS)
    page = context.new_page()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.goto(f"http://127.0.0.1:{client.port}/?token={client.guard.secret}")
    page.wait_for_selector("body[data-shown=home]")
    try:
        yield page
    finally:
        context.close()
    if refusals is None:
        assert [text for text in complaints if "Failed to load resource" not in text] == []
        return
    assert [text for text in complaints if "status of 40" not in text] == []
    assert len(complaints) == refusals


def choose_photos(page: Page) -> None:
    """From the first screen to a form that knows its photos."""
    page.get_by_role("link", name="Crop photos …").click()
    page.get_by_role("button", name="Choose a folder …").click()
    page.get_by_role("list", name="Folders").get_by_role("button", name="day & night").click()
    expect(page.get_by_role("dialog")).to_contain_text("photos in day & night")
    page.get_by_role("button", name="Take these photos").click()


def start(page: Page) -> None:
    """Press Start; the screen of the folder comes."""
    page.get_by_role("button", name="Start", exact=True).click()
    page.wait_for_selector("body[data-shown=folder]")


def look_again(page: Page) -> None:
    """Come back to the page from another tab; Chromium without windows does not tell it by itself."""
    page.evaluate("() => { window.dispatchEvent(new Event('focus')); }")


@contextmanager
def held(state: Path) -> Iterator[None]:
    """The process of the only job stands still."""
    until = time.monotonic() + PATIENCE
    while not (begun := read_json(state / "jobs" / "1" / "begun.json")):
        assert time.monotonic() < until
        time.sleep(0.05)
    os.killpg(begun["pid"], signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(begun["pid"], signal.SIGCONT)
