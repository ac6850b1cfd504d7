"""Make `audit.png`, `review.png`, `review_grid.png` and `app.png`: the pages in Chromium, over the samples.

    python examples/make_screenshots.py

Needs playwright, and a Chromium: the system's, the one that CHROMIUM names, or `playwright install chromium`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

import detic_crop

HERE = Path(__file__).resolve().parent
FAR_FIN = (0.583, 0.312, 0.634, 0.348)  # a box around the fin and back in far_fin.jpg, shares of its sides


def picture_of_audit(browser: Browser, cropped: Path) -> None:
    """Save the first screen of audit.html."""
    page = browser.new_page(viewport={"width": 1060, "height": 1000})
    page.goto((cropped / "audit.html").as_uri())
    page.wait_for_function("[...document.images].slice(0, 12).every((image) => image.naturalWidth)")
    page.screenshot(path=HERE / "audit.png")
    page.close()


def pictures_of_review(browser: Browser, cropped: Path) -> None:
    """Save the review page with a box around the far fin, whose back the detector cut off, and its grid."""
    with serving("review", str(cropped), folder=cropped.parent) as address:
        page = browser.new_page(viewport={"width": 1366, "height": 625})
        page.goto(address)
        page.get_by_text("far_fin.jpg").first.wait_for()
        page.wait_for_load_state("networkidle")
        draw_box(page)
        page.keyboard.press("z")
        page.wait_for_timeout(2000)  # for the pixels of the photo, and the preview of the drawn box
        page.screenshot(path=HERE / "review.png")
        page.keyboard.press("Escape")
        page.keyboard.press("g")
        page.wait_for_timeout(2000)
        page.screenshot(path=HERE / "review_grid.png")
        page.close()


def picture_of_app(browser: Browser, cropped: Path) -> None:
    """Save the app's page of the folder."""
    folder = cropped.parent
    words = ("app", "--root", str(folder), "--state", str(folder / "state"))
    with serving(*words, folder=folder) as address:
        page = browser.new_page(viewport={"width": 1060, "height": 820})
        page.goto(address)
        page.goto(f"{page.url}#folder?path={cropped}")
        page.get_by_text("What next").wait_for()
        where = page.get_by_text(str(cropped), exact=True)
        where.evaluate("path => { path.hidden = true; }")  # it is that of this machine
        page.wait_for_timeout(2000)
        page.screenshot(path=HERE / "app.png")
        page.close()


@contextmanager
def serving(*words: str, folder: Path) -> Iterator[str]:
    """The address of a command that serves a page, until the block ends."""
    command = [sys.executable, "-m", "detic_crop", *words, "--no-browser", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().split()[2]  # "review at http://… (Ctrl-C ends)"
        finally:
            server.terminate()


def draw_box(page: Page) -> None:
    """Drag the mouse over the far fin, from the right: on the left it would take hold of the found box."""
    frame = page.locator("#frame").bounding_box()
    assert frame is not None
    left, top, right, bottom = FAR_FIN
    page.mouse.move(frame["x"] + right * frame["width"], frame["y"] + top * frame["height"])
    page.mouse.down()
    page.mouse.move(frame["x"] + left * frame["width"], frame["y"] + bottom * frame["height"], steps=5)
    page.mouse.up()


def main() -> None:
    """Crop the sample photos and take the pictures."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        cropped = Path(folder) / "cropped"
        detic_crop.run(HERE / "train_images", cropped, labels=HERE / "train.csv", model="lite", quiet=True)
        chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        picture_of_audit(browser, cropped)
        pictures_of_review(browser, cropped)
        picture_of_app(browser, cropped)
        browser.close()


if __name__ == "__main__":
    main()
