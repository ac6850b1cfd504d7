"""The page of the app where something is in the way: a server that is gone, folders that do not fit."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.kit.app import AppClient, serving
from tests.kit.app_browser import choose_photos, look_again, start, window
from tests.kit.axe import axe_violations
from tests.kit.photos import write_photos

pytestmark = [pytest.mark.outside, pytest.mark.slow]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A root with photos, of which a table names two, and a folder without any."""
    root = tmp_path / "data"
    keys = write_photos(root / "day & night", 4, width=300, height=200)
    (root / "day & night" / "labels.csv").write_text(
        "image,individual_id\n" + "\n".join(f"{k},w" for k in keys[:2])
    )
    (root / "empty").mkdir()
    return root


@pytest.fixture
def client(data: Path, tmp_path: Path) -> Iterator[AppClient]:
    with serving([data], tmp_path / "state") as client:
        yield client


def cropped(client: AppClient, data: Path) -> Any:
    """The job of a run that is done."""
    asked = {
        "command": "run",
        "input": str(data / "day & night"),
        "output": str(data / "day & night_cropped"),
    }
    return client.until(client.api("POST", "/jobs", asked)["id"], "done")


def go_to(page: Page, job: Any) -> None:
    """The screen of a job's folder."""
    page.evaluate("(query) => { location.hash = `folder?${query}`; }", job["folder_query"])
    page.wait_for_selector("body[data-shown=folder]")


def test_a_server_started_anew_is_told_and_asked_seldom(browser: Browser, client: AppClient) -> None:
    with window(browser, client, refusals=None) as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        guard = client.guard
        before = guard.secret, guard.room
        page.clock.install()
        page.reload()
        page.wait_for_selector("body[data-shown=home]")
        guard.secret, guard.room = "another", "/another/"
        page.clock.fast_forward(6_000)
        expect(page.get_by_role("alert")).to_contain_text("Open the address that it printed")
        expect(page.locator("#offline")).to_be_hidden()
        assert axe_violations(page) == []
        asked.clear()
        page.clock.fast_forward(40_000)
        page.evaluate("() => {}")  # what it would have asked is known by then
        assert asked == []
        guard.secret, guard.room = before  # the same token was given to both
        page.clock.fast_forward(30_000)
        expect(page.get_by_role("alert")).to_have_count(0)


def test_a_server_that_does_not_answer_for_a_moment(browser: Browser, client: AppClient) -> None:
    with window(browser, client, refusals=None) as page:
        page.route("**/api/v1/**", lambda route: route.abort())
        page.get_by_role("link", name="Crop photos …").click()
        expect(page.get_by_role("heading", name="This did not work")).to_be_visible()
        expect(page.locator("#offline")).to_be_visible()
        page.unroute("**/api/v1/**")
        expect(page.get_by_role("button", name="Choose a folder …")).to_be_visible()
        expect(page.locator("#offline")).to_be_hidden()


def test_a_folder_without_photos_is_not_taken(browser: Browser, client: AppClient, data: Path) -> None:
    job = cropped(client, data)
    with window(browser, client) as page:
        page.get_by_role("link", name="Crop photos …").click()
        expect(page.get_by_role("button", name="Start", exact=True)).to_be_disabled()
        page.get_by_role("button", name="Choose a folder …").click()
        folders, take = (
            page.get_by_role("list", name="Folders"),
            page.get_by_role("button", name="Take these photos"),
        )
        expect(page.get_by_role("dialog")).to_contain_text("0 photos in data, 2 photos in its folders")
        folders.get_by_role("button", name="empty").click()
        expect(page.get_by_role("dialog")).to_contain_text("There are no photos in empty")
        expect(take).to_be_disabled()
        page.get_by_role("button", name=str(data)).click()
        folders.get_by_role("button", name="day & night_cropped").click()
        expect(page.get_by_role("dialog")).to_contain_text("holds crops, not photos")
        expect(take).to_be_disabled()
        page.get_by_role("button", name="Cancel").click()
        page.get_by_role("link", name="detic-crop").click()
        page.get_by_role("button", name="Open a folder of crops …").click()
        page.get_by_role("button", name="Open it").click()
        page.wait_for_selector("body[data-shown=folder]")
        assert page.evaluate("location.hash") == f"#folder?{job['folder_query']}"


def test_what_a_run_has_to_say_and_a_failure_that_is_mended(
    browser: Browser, client: AppClient, data: Path
) -> None:
    with window(browser, client) as page:
        choose_photos(page)
        expect(page.get_by_label("Table of labels")).to_have_value(str(data / "day & night" / "labels.csv"))
        page.get_by_label("Size of the crops").select_option("another …")
        page.get_by_label("Other size").fill("long:200")
        start(page)
        expect(page.locator(".notes")).to_contain_text("2 photos have no label and are left out")
        expect(page.get_by_role("heading", name="What next")).to_be_visible()
        page.get_by_role("link", name="Crop photos").click()
        choose_again(page)
        expect(page.get_by_text("holds crops already")).to_be_visible()
        start(page)  # of another size
        expect(page.locator(".problem").filter(has_text="other settings")).to_contain_text("“overwrite”")
        expect(page.get_by_role("button", name="Try again")).to_be_visible()
        page.get_by_role("link", name="Change the settings …").click()
        page.get_by_label("Size of the crops").select_option("another …")
        page.get_by_label("Other size").fill("long:200")
        start(page)
        expect(page.locator(".figures")).to_have_text("Done")


def choose_again(page: Page) -> None:
    """The photos, from the form; the chooser opens where it was."""
    page.get_by_role("button", name="Choose a folder …").click()
    page.get_by_role("button", name="Take these photos").click()


def test_what_happens_elsewhere_is_shown(browser: Browser, client: AppClient, data: Path) -> None:
    job = cropped(client, data)
    with window(browser, client, refusals=None) as page:
        go_to(page, job)
        expect(page.get_by_role("heading", name="What next")).to_be_visible()
        client.api("POST", "/jobs", {"command": "audit", "input": job["folder"]})
        expect(page.get_by_role("heading", name="Write the tables")).to_be_visible()
        client.until(job["id"] + 1, "done")
        shutil.rmtree(job["folder"])
        look_again(page)
        expect(page.get_by_text("There are no crops in this folder")).to_be_visible()
        page.evaluate("() => { location.hash = 'folder?path=nowhere'; }")
        expect(page.get_by_role("alert")).to_contain_text("expected a folder")


def test_teaching_that_does_not_help_is_no_fault(browser: Browser, client: AppClient, data: Path) -> None:
    job = cropped(client, data)
    said = "on these photos teaching does not help: nothing was written"
    taught = {
        "command": "teach",
        "state": "failed",
        "exit_code": 4,
        "message": said,
        "may": ["continue", "remove"],
    }

    def answer(route: Route) -> None:
        route.fulfill(json=[job | taught])

    with window(browser, client) as page:
        page.route("**/api/v1/jobs", answer)
        go_to(page, job)
        card = page.locator(".card")
        expect(card).to_contain_text(said)
        expect(card).to_contain_text("it does not help yet")
        expect(card.locator(".problem")).to_have_count(0)
        expect(card.get_by_role("button", name="again")).to_have_count(0)


def test_what_is_refused_names_the_fields_as_the_form_does(
    browser: Browser, client: AppClient, data: Path
) -> None:
    wrong = data / "day & night" / "labels.csv"
    wrong.write_text("image,individual_id\nelsewhere.jpg,w\n")
    with window(browser, client, refusals=1) as page:
        choose_photos(page)
        page.get_by_label("Size of the crops").select_option("another …")
        page.get_by_label("Other size").fill("big")
        page.get_by_role("button", name="Start", exact=True).click()
        expect(page.locator("form .problem")).to_contain_text(
            "“size of the crops” must be a side such as 512"
        )
        page.get_by_label("Size of the crops").select_option("256 × 256 px")
        start(page)
        said = page.locator(".card .problem")
        expect(said).to_contain_text("“table of labels”: no row of 1 names a photo of “photos”")
        expect(said).to_contain_text("“labels key”")


def test_photos_that_lie_deeper_than_they_are_counted(
    browser: Browser, client: AppClient, data: Path
) -> None:
    write_photos(data / "deep" / "2026" / "trip 1", 2, width=300, height=200)
    with window(browser, client) as page:
        page.get_by_role("link", name="Crop photos …").click()
        page.get_by_role("button", name="Choose a folder …").click()
        page.get_by_role("list", name="Folders").get_by_role("button", name="deep").click()
        expect(page.get_by_role("dialog")).to_contain_text("deeper ones are not counted")
        page.get_by_role("button", name="Take these photos").click()
        expect(page.locator("main form")).to_contain_text("0 photos in deep and its folders; deeper ones")


def test_counts_stand_in_one_order(browser: Browser, client: AppClient, data: Path) -> None:
    job = cropped(client, data)
    counts = {"failed": 1, "rejected": 2, "resized": 3, "skipped": 0, "cropped": 4}

    def answer(route: Route) -> None:
        route.fulfill(json=client.api("GET", f"/results?{job['folder_query']}") | {"counts": counts})

    with window(browser, client) as page:
        page.route(re.compile("/api/v1/results"), answer)
        go_to(page, job)
        tiles = page.locator(".counts dt")
        expect(tiles.first).to_have_text("cropped")
        assert tiles.all_inner_texts()[:4] == ["cropped", "whole photo", "rejected", "failed"]


def test_a_run_that_is_only_finishing_says_so(browser: Browser, client: AppClient, data: Path) -> None:
    job = cropped(client, data)
    progress = {"phase": "ended", "done": 4, "total": 4, "failed": 0}
    running = job | {"state": "running", "may": ["stop"], "progress": job["progress"] | progress}
    with window(browser, client) as page:
        page.route("**/api/v1/jobs", lambda route: route.fulfill(json=[running]))
        go_to(page, job)
        expect(page.locator(".figures")).to_have_text("Finishing: 4 of 4 photos")
        shutil.rmtree(
            job["folder"]
        )  # what the server says now counts, and not what this page knows of its jobs
        look_again(page)
        expect(page.get_by_text("There are no crops in this folder")).to_be_visible()
