"""The review page zoomed in, in a real Chromium: what is seen, drawn and moved, by mouse, key and finger."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Browser, CDPSession, Page, expect

from detic_crop.images.decode import decode
from detic_crop.photos.keys import STATE
from tests.kit.folders import crop
from tests.kit.photos import write_photos
from tests.kit.review import Client, reviewing
from tests.kit.review_browser import (
    PHONE,
    STEP_MS,
    VIEW,
    drag,
    has_dealt_with_it,
    is_ready,
    point_at,
    press,
    selected,
    shows,
    tab,
)
from tests.kit.verdicts import verdicts_of

pytestmark = pytest.mark.outside

WIDTH, HEIGHT = 3000, 2000  # more than the page's own picture has
JPEG_ERROR = 14.0  # of 255 on average, of blocks of chance colours; one pixel beside it is 30


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run over four photos of small blocks, each of another colour: scaled down they are grey."""
    folder = tmp_path_factory.mktemp("zoom")
    (folder / "in").mkdir()
    for number in range(4):
        (folder / "in" / f"photo{number}.jpg").write_bytes(blocks(number))
    crop(folder / "in", folder / "out")
    return folder


def blocks(seed: int) -> bytes:
    side = 4
    colours = np.random.default_rng(seed).integers(0, 256, (HEIGHT // side, WIDTH // side, 3), dtype=np.uint8)
    done, data = cv2.imencode(".jpg", colours.repeat(side, 0).repeat(side, 1), [cv2.IMWRITE_JPEG_QUALITY, 95])
    assert done
    return data.tobytes()


@pytest.fixture
def client(finished: Path) -> Iterator[Client]:
    """The page of that run, without earlier verdicts."""
    (finished / "out" / STATE / "review.csv").unlink(missing_ok=True)
    with reviewing(finished / "out") as client:
        yield client


@pytest.fixture
def page(client: Client, browser: Browser) -> Iterator[Page]:
    with tab(browser, client) as page:
        yield page


def view_of(page: Page) -> tuple[float, float, float]:
    """CSS pixels per photo pixel; where the photo's left top corner is on the stage."""
    frame, stage = (page.locator(name).bounding_box() for name in ("#frame", "#stage"))
    assert frame
    assert stage
    return frame["width"] / WIDTH, frame["x"] - stage["x"], frame["y"] - stage["y"]


def percent(page: Page) -> int:
    return int((page.locator("#zoom-pixels").text_content() or "").removesuffix(" %"))


def stage_of(page: Page) -> tuple[float, float, float, float]:
    """The stage on the screen: left, top, width, height."""
    place = page.locator("#stage").bounding_box()
    assert place
    return place["x"], place["y"], place["width"], place["height"]


def assert_fills_the_stage(page: Page) -> None:
    scale, x, y = view_of(page)
    _, _, width, height = stage_of(page)
    for place, side, room in ((x, WIDTH * scale, width), (y, HEIGHT * scale, height)):
        if side > room:
            assert place <= 0.51
            assert place + side >= room - 0.51
        else:
            assert place == pytest.approx((room - side) / 2, abs=1)


def photo_point(page: Page, at: tuple[float, float]) -> tuple[float, float]:
    """The photo pixel at a place of the screen."""
    scale, x, y = view_of(page)
    left, top, _, _ = stage_of(page)
    return (at[0] - left - x) / scale, (at[1] - top - y) / scale


def screen_point(page: Page, x: float, y: float) -> tuple[float, float]:
    """Where a photo pixel is on the screen."""
    return point_at(page, x / WIDTH, y / HEIGHT)


def wheel(page: Page, at: tuple[float, float], *notches: float) -> None:
    is_ready(page)
    page.mouse.move(*at)
    for notch in notches:
        before = view_of(page)
        page.mouse.wheel(0, notch)
        has_dealt_with_it(page)
        while view_of(page) == before:  # it comes when the browser has time
            has_dealt_with_it(page)


def wait_until_sharp(page: Page) -> None:
    page.evaluate(
        "async () => { const { tiles } = await import('./static/view.js');"
        "while (!tiles.isSharp) await new Promise((done) => setTimeout(done, 20)); }"
    )
    has_dealt_with_it(page)


def pixels_of(page: Page, canvas: str) -> NDArray[np.uint8]:
    """What is painted on a canvas, (H, W, 4) BGRA."""
    address = page.evaluate("(id) => document.getElementById(id).toDataURL('image/png')", canvas)
    data = np.frombuffer(base64.b64decode(address.split(",")[1]), np.uint8)
    found = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    assert found is not None
    assert found.shape[2:] == (4,)
    return np.asarray(found, np.uint8)


def outlined(page: Page) -> list[float]:
    """The outlined box in photo pixels."""
    has_dealt_with_it(page)
    x, y, width, height = selected(page)
    return [x * WIDTH, y * HEIGHT, (x + width) * WIDTH, (y + height) * HEIGHT]


def draw(page: Page, *box: float) -> None:
    """Draw a box, given in photo pixels."""
    drag(page, (box[0] / WIDTH, box[1] / HEIGHT), (box[2] / WIDTH, box[3] / HEIGHT))
    expect(page.locator("#take-label")).to_have_text("Take drawn box")


def taken(finished: Path, page: Page, image: str) -> list[float]:
    """Take what is outlined; the box that is on disk then."""
    press(page, "Enter")
    expect(page.locator("#name")).not_to_have_text(image)
    (box,) = verdicts_of(finished / "out")[image].boxes
    return list(box)


# ---------------------------------------------------------------- the arithmetic


def zoom(page: Page, words: str, given: Any) -> Any:
    return page.evaluate(
        f"async (given) => {{ const zoom = await import('./static/zoom.js'); return {words}; }}", given
    )


def test_the_arithmetic_of_views(page: Page) -> None:
    stage, photo = {"width": 900, "height": 500}, {"width": 3000, "height": 2000}
    room = {"stage": stage, "photo": photo}
    assert zoom(page, "zoom.fitted(given.stage, given.photo, 1)", room) == {"scale": 0.25, "x": 75, "y": 0}
    # All views are brought where the photo covers the stage, or lies in its middle.
    random = np.random.default_rng(5)
    views = [
        {"scale": float(scale), "x": float(x), "y": float(y)}
        for scale, x, y in zip(
            2 ** random.uniform(-6, 6, 300),
            random.uniform(-9e4, 9e4, 300),
            random.uniform(-9e4, 9e4, 300),
            strict=True,
        )
    ]
    for density in (1, 1.25, 2):
        clamped = zoom(
            page,
            "given.views.map((view) => zoom.clamped(view, given.stage, given.photo, given.density))",
            {**room, "views": views, "density": density},
        )
        for view in clamped:
            assert 0.25 <= view["scale"] <= 8 / density
            for offset, side, space in (
                (view["x"], photo["width"] * view["scale"], stage["width"]),
                (view["y"], photo["height"] * view["scale"], stage["height"]),
            ):
                assert offset * density == pytest.approx(
                    round(offset * density), abs=1e-6
                )  # on whole screen pixels
                if side > space:
                    assert space - side - 1 / density <= offset <= 0
                else:
                    assert offset == pytest.approx((space - side) / 2, abs=1 / density)
    # What is at a point stays there, and what is between two fingers between them.
    assert zoom(page, "zoom.scaledAbout({ scale: 1, x: -100, y: -50 }, 2, [40, 30])", None) == {
        "scale": 2,
        "x": -240,
        "y": -130,
    }
    assert zoom(
        page, "zoom.pinched({ scale: 1, x: 0, y: 0 }, [[10, 10], [30, 10]], [[20, 40], [60, 40]])", None
    ) == {
        "scale": 2,
        "x": 0,
        "y": 20,
    }


def test_the_arithmetic_of_tiles(page: Page) -> None:
    for scale, density, expected in (
        (0.1, 1, 8),
        (0.12, 1, 8),
        (0.2, 1, 4),
        (0.25, 1, 4),
        (0.3, 1, 2),
        (0.5, 1, 2),
        (0.5, 2, 1),
        (1, 1, 1),
        (8, 1, 1),
    ):
        assert zoom(page, "zoom.reductionFor(given[0], given[1])", [scale, density]) == expected, scale
    photo = {"width": 3000, "height": 2000}
    for reduction in (1, 2, 4, 8):
        side = 512 * reduction
        for box in ([0, 0, 3000, 2000], [-50, -50, 10, 10], [512, 512, 1024, 1024], [2900, 1900, 4000, 4000]):
            tiles = zoom(page, "zoom.tilesOf(...given)", [box, photo, reduction])
            # Exactly those that share a pixel with the box.
            expected_tiles = [
                (column, row)
                for column in range(-(-3000 // side))
                for row in range(-(-2000 // side))
                if column * side < box[2]
                and (column + 1) * side > box[0]
                and row * side < box[3]
                and (row + 1) * side > box[1]
            ]
            assert sorted((tile["column"], tile["row"]) for tile in tiles) == expected_tiles


# ---------------------------------------------------------------- looking


def test_the_wheel_zooms_about_the_pointer_and_the_photo_stays_on_the_stage(page: Page) -> None:
    fit = view_of(page)
    shown = percent(page)
    at = point_at(page, 0.3, 0.6)
    wheel(page, at, -200, -200)  # so far the photo grows in the middle of the stage, which it then fills
    assert_fills_the_stage(page)
    before = photo_point(page, at)
    wheel(page, at, -100, -100, -100, -100, -100, -100)
    assert percent(page) > 4 * shown
    assert photo_point(page, at) == pytest.approx(before, abs=3)
    assert_fills_the_stage(page)
    wheel(page, (at[0] - 200, at[1] - 60), 100, 100)
    assert_fills_the_stage(page)
    for _ in range(10):
        page.mouse.wheel(0, 300)
    expect(page.locator("#zoom-pixels")).to_have_text(f"{shown} %")
    assert view_of(page) == fit
    wheel(page, point_at(page, 0.5, 0.5), *[-500] * 5)
    for _ in range(3):
        page.mouse.wheel(0, -500)
    expect(page.locator("#zoom-pixels")).to_have_text("800 %")
    assert_fills_the_stage(page)


def test_keys_and_buttons(client: Client, page: Page) -> None:
    draw(page, 1200, 700, 1500, 900)
    shown = percent(page)
    press(page, "z")
    box = outlined(page)
    scale, *_ = view_of(page)
    _, _, width, height = stage_of(page)
    assert max((box[2] - box[0]) * scale / width, (box[3] - box[1]) * scale / height) == pytest.approx(
        0.7, abs=0.02
    )
    left, top, _, _ = stage_of(page)
    middle = photo_point(page, (left + width / 2, top + height / 2))
    assert middle == pytest.approx((1350, 800), abs=3)
    press(page, "z")
    assert percent(page) == shown
    press(page, "Shift+Z")
    assert percent(page) == 100
    assert view_of(page)[0] == pytest.approx(1, abs=0.001)
    assert photo_point(page, (left + width / 2, top + height / 2)) == pytest.approx((1350, 800), abs=3)
    press(page, "+", "+")
    assert percent(page) == 225
    press(page, "-", "-", "-")
    assert percent(page) == 67
    press(page, "0")
    assert percent(page) == shown
    for name in ("Zoom in", "Zoom to the outlined box", re.compile("100 %|show each photo pixel")):
        page.get_by_role("group", name="Zoom").get_by_role("button", name=name).click()
        assert percent(page) > shown
        page.get_by_role("button", name="Zoom out").click()
        page.get_by_role("button", name="Fit all of the photo").click()
        assert percent(page) == shown
    # The next photo begins with all of it.
    press(page, "Shift+Z", "j")
    shows(page, client.image(1))
    is_ready(page)
    assert percent(page) == shown
    assert_fills_the_stage(page)


def test_without_an_outlined_box_z_says_so(page: Page) -> None:
    expect(page.locator("#overlay .selected")).to_have_count(1)
    page.evaluate(
        "async () => { const { state } = await import('./static/state.js');"
        "const { render } = await import('./static/view.js');"
        "Object.assign(state, { chosen: { kind: 'whole', boxes: [] }, picked: -1 }); render(); }"
    )
    shown = percent(page)
    press(page, "z")
    expect(page.locator("#toast")).to_have_text("No box is outlined; + zooms in.")
    assert percent(page) == shown
    press(page, "Shift+ArrowLeft")
    expect(page.locator("#toast")).to_contain_text("No box is outlined")


@pytest.mark.parametrize("how", ["space", "middle"])
def test_the_photo_is_moved_without_drawing(page: Page, how: str) -> None:
    words = page.locator("#take-label").text_content() or ""
    wheel(page, point_at(page, 0.5, 0.5), -300, -300, -300)
    scale, x, y = view_of(page)
    left, top, width, height = stage_of(page)
    start = left + width / 2, top + height / 2
    page.mouse.move(*start)
    if how == "space":
        page.keyboard.down(" ")
    page.mouse.down(button="middle" if how == "middle" else "left")
    page.mouse.move(start[0] - 70, start[1] + 40, steps=5)
    has_dealt_with_it(page)
    assert view_of(page) == pytest.approx((scale, x - 70, y + 40), abs=1)
    page.mouse.move(start[0] + 1e5, start[1] + 1e5, steps=3)  # no further than its edges
    has_dealt_with_it(page)
    assert_fills_the_stage(page)
    page.mouse.up(button="middle" if how == "middle" else "left")
    if how == "space":
        page.keyboard.up(" ")
    expect(page.locator("#take-label")).to_have_text(words)
    expect(page.locator("#drafts")).to_be_hidden()
    # The mouse draws again.
    drag(
        page,
        *[
            (px / WIDTH, py / HEIGHT)
            for px, py in (photo_point(page, (left + 90, top + 90)), photo_point(page, start))
        ],
    )
    expect(page.locator("#take-label")).to_have_text("Take drawn box")


def test_what_was_in_the_middle_stays_there_when_the_window_changes(page: Page) -> None:
    wheel(page, point_at(page, 0.4, 0.4), -300, -300, -300)
    left, top, width, height = stage_of(page)
    middle = photo_point(page, (left + width / 2, top + height / 2))
    shown = percent(page)
    page.set_viewport_size({"width": VIEW["width"] - 200, "height": VIEW["height"] + 100})
    has_dealt_with_it(page)
    left, top, width, height = stage_of(page)
    assert photo_point(page, (left + width / 2, top + height / 2)) == pytest.approx(middle, abs=3)
    assert percent(page) == shown
    press(page, "0")
    fit = percent(page)
    page.set_viewport_size({"width": VIEW["width"] - 400, "height": VIEW["height"]})
    has_dealt_with_it(page)
    assert percent(page) < fit  # it still fits
    assert_fills_the_stage(page)


# ---------------------------------------------------------------- pixels


@pytest.mark.parametrize("density", [1, 2])
def test_the_photos_own_pixels_are_shown(
    finished: Path, client: Client, browser: Browser, density: int
) -> None:
    image = client.image(0)
    photo = decode((finished / "in" / image).read_bytes()).image
    asked: list[str] = []
    with tab(browser, client, device_scale_factor=density) as page:
        page.on("request", lambda request: asked.append(request.url))
        page.reload()
        press(page, "Shift+Z")
        wait_until_sharp(page)
        assert percent(page) == 100
        scale, x, y = view_of(page)
        assert scale == pytest.approx(1 / density, abs=1e-3)
        shown = pixels_of(page, "tiles")
        room = page.evaluate(
            "[document.getElementById('stage')].map((s) => [s.clientHeight, s.clientWidth])[0]"
        )
        assert shown.shape[:2] == tuple(side * density for side in room)
        place = page.locator("#tiles").bounding_box()
        assert place
        assert [place["height"], place["width"]] == room  # pixel for pixel
        left, top = round(-x * density), round(-y * density)
        part = photo[top : top + shown.shape[0], left : left + shown.shape[1]]
        assert np.abs(shown[:, :, :3].astype(int) - part).mean() < JPEG_ERROR
        assert (shown[:, :, 3] == 255).all()
        # Only what is in view was asked for, in full resolution; and for the preview.
        names = {
            tuple(map(int, found[0]))
            for url in asked
            if (found := re.findall(r"/(\d)/(\d+)/(\d+)(?:\?|$)", url))
        }
        side = 512
        in_view = {
            (1, column, row)
            for column in range(left // side, -(-(left + shown.shape[1]) // side))
            for row in range(top // side, -(-(top + shown.shape[0]) // side))
        }
        assert in_view <= names
        if density == 1:  # on the other screen all of the photo has more pixels than the page's picture
            assert len(names - in_view) <= 12


def test_the_preview_has_the_photos_own_pixels(finished: Path, client: Client, page: Page) -> None:
    image = client.image(0)
    photo = decode((finished / "in" / image).read_bytes()).image
    draw(page, 1000, 600, 1100, 700)
    left, top, right, bottom = map(round, outlined(page))
    wait_until_sharp(page)
    shown = pixels_of(page, "preview")[:, :, :3].astype(int)
    grow = (right - left) // 10, (bottom - top) // 10  # 1.2 times, the default
    part = photo[top - grow[1] : bottom + grow[1], left - grow[0] : right + grow[0]]
    wanted = cv2.resize(part, shown.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    own = cv2.resize(photo, (1280, 1280 * HEIGHT // WIDTH), interpolation=cv2.INTER_AREA)
    ratio = 1280 / WIDTH
    coarse = own[round((top - grow[1]) * ratio) : round((bottom + grow[1]) * ratio)]
    coarse = coarse[:, round((left - grow[0]) * ratio) : round((right + grow[0]) * ratio)]
    blurred = cv2.resize(coarse, shown.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    assert np.abs(shown - wanted).mean() < 0.5 * np.abs(blurred.astype(int) - wanted).mean()


def test_a_photo_as_small_as_the_pages_picture_costs_nothing(tmp_path: Path, browser: Browser) -> None:
    write_photos(tmp_path / "in", 2, width=600, height=400)
    crop(tmp_path / "in", tmp_path / "out")
    asked: list[str] = []
    with reviewing(tmp_path / "out") as client, tab(browser, client) as page:
        page.on("request", lambda request: asked.append(request.url))
        press(page, "z", "+", "+", "j", "+")
        wait_until_sharp(page)
    assert [url for url in asked if re.search(r"/photo/\w+/\d", url)] == []


def test_a_photo_that_changes_meanwhile_stays_as_it_was_shown(tmp_path: Path, browser: Browser) -> None:
    (tmp_path / "in").mkdir()
    for number in range(2):
        (tmp_path / "in" / f"photo{number}.jpg").write_bytes(blocks(number))
    crop(tmp_path / "in", tmp_path / "out")
    with reviewing(tmp_path / "out") as client:
        context = browser.new_context(viewport=VIEW)  # type: ignore[arg-type]
        context.set_default_timeout(STEP_MS)
        page = context.new_page()
        page.goto(client.address)
        is_ready(page)
        image = client.image(0)
        (tmp_path / "in" / image).write_bytes(blocks(7))
        tile = re.compile(r"/photo/\w+/1/\d+/\d+\?")  # some may have been there before
        with page.expect_response(lambda answer: bool(tile.search(answer.url)) and answer.status == 404):
            press(page, "Shift+Z")
        expect(page.locator("#error")).to_be_hidden()
        assert percent(page) == 100
        press(page, "0", "j")  # and the others can be judged
        shows(page, client.image(1))
        press(page, "Shift+Z")
        wait_until_sharp(page)
        context.close()


# ---------------------------------------------------------------- drawing, adjusting, moving


def test_drawing_and_adjusting_zoomed_in(finished: Path, client: Client, page: Page) -> None:
    image = client.image(0)
    wheel(page, point_at(page, 0.6, 0.4), *[-300] * 5)
    scale, *_ = view_of(page)
    assert scale > 1
    left, top, _, _ = stage_of(page)
    start = photo_point(page, (left + 200, top + 150))
    draw(page, *start, start[0] + 90, start[1] + 60)
    handles = page.locator("#overlay .handle")
    expect(handles).to_have_count(8)
    for place in (handle.bounding_box() for handle in handles.all()):
        assert place
        assert (place["width"], place["height"]) == pytest.approx((9, 9), abs=1.5)  # whatever the scale
    # The edge goes as far as the mouse, wherever in the handle that took it.
    x, y = screen_point(page, start[0] + 90, start[1] + 30)
    page.mouse.move(x + 4, y)
    page.mouse.down()
    page.mouse.move(x + 4 + 20 * scale, y, steps=4)
    page.mouse.up()
    expected = [round(edge) for edge in (*start, start[0] + 110, start[1] + 60)]
    assert taken(finished, page, image) == pytest.approx(expected, abs=1)


@pytest.mark.parametrize("how", ["grip", "alt"])
def test_a_box_is_moved_by_its_grip_or_with_alt(finished: Path, client: Client, page: Page, how: str) -> None:
    image = client.image(0)
    draw(page, 800, 500, 1500, 1100)
    start = screen_point(page, 1150 if how == "grip" else 1000, 800 if how == "grip" else 700)
    scale, *_ = view_of(page)
    page.mouse.move(*start)
    if how == "alt":
        page.keyboard.down("Alt")
    page.mouse.down()
    page.mouse.move(start[0] + 300 * scale, start[1] + 200 * scale, steps=4)
    page.mouse.up()
    if how == "alt":
        page.keyboard.up("Alt")
    assert outlined(page) == pytest.approx([1100, 700, 1800, 1300], abs=6)
    width, height = outlined(page)[2] - outlined(page)[0], outlined(page)[3] - outlined(page)[1]
    assert (width, height) == pytest.approx((700, 600), abs=6)
    # No further than the photo goes.
    start = screen_point(page, 1450, 1000)
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(start[0] + 5000, start[1] - 5000, steps=4)
    page.mouse.up()
    box = taken(finished, page, image)
    assert (box[1], box[2]) == (0, WIDTH)
    assert (box[2] - box[0], box[3] - box[1]) == pytest.approx((width, height), abs=1)


def test_a_click_on_the_grip_moves_nothing(page: Page) -> None:
    draw(page, 800, 500, 1500, 1100)
    before = chosen(page)
    page.mouse.click(*screen_point(page, 1150, 800))
    has_dealt_with_it(page)
    expect(page.locator("#drafts-count")).to_have_text("1")
    if chosen(page) != before:  # it has picked a box below, as any click does
        press(page, "Escape")
    assert chosen(page) == before
    expect(page.locator("#take-label")).to_have_text("Take drawn box")


def test_keys_move_the_box_and_its_edges(finished: Path, client: Client, browser: Browser) -> None:
    image = client.image(0)
    asked: list[str] = []
    with tab(browser, client, asked) as page:
        draw(page, 800, 500, 1500, 1100)
        box = [round(edge) for edge in chosen(page)]
        for keys, (left, top, right, bottom) in (
            ("Shift+ArrowRight", (1, 0, 1, 0)),
            ("Shift+ArrowUp", (0, -1, 0, -1)),
            ("Control+Shift+ArrowDown", (0, 10, 0, 10)),
            ("Control+Shift+ArrowLeft", (-10, 0, -10, 0)),
            ("Alt+ArrowRight", (0, 0, 1, 0)),
            ("Alt+ArrowLeft", (0, 0, -1, 0)),
            ("Alt+ArrowDown", (0, 0, 0, 1)),
            ("Control+Alt+ArrowUp", (0, 0, 0, -10)),
            ("Alt+Shift+ArrowRight", (1, 0, 0, 0)),
            ("Alt+Shift+ArrowUp", (0, -1, 0, 0)),
            ("Control+Alt+Shift+ArrowLeft", (-10, 0, 0, 0)),
        ):
            press(page, keys)
            box = [edge + by for edge, by in zip(box, (left, top, right, bottom), strict=True)]
            assert chosen(page) == box, keys
            shows(page, image)  # no key has left the photo
        page.reload()
        is_ready(page)
        expect(page.locator("#take-label")).to_have_text("Take drawn box")
        assert chosen(page) == box
        assert asked == ["beforeunload"]
        assert taken(finished, page, image) == box


def chosen(page: Page) -> list[float]:
    """The outlined box as Enter would take it."""
    box: list[float] = page.evaluate(
        "async () => { const { pickedBox } = await import('./static/choice.js'); return pickedBox(); }"
    )
    return box


def test_the_detectors_box_moved_by_keys_is_a_drawn_one_until_it_is_back(client: Client, page: Page) -> None:
    before = chosen(page)
    words = page.locator("#take-label").text_content() or ""
    press(page, "Shift+ArrowRight", "Shift+ArrowRight")
    assert chosen(page) == pytest.approx([before[0] + 2, before[1], before[2] + 2, before[3]], abs=0.006)
    expect(page.locator("#take-label")).to_have_text("Take drawn box")
    expect(page.locator("#drafts-count")).to_have_text("1")
    press(page, "Shift+ArrowLeft", "Shift+ArrowLeft")
    expect(page.locator("#take-label")).to_have_text(words)
    expect(page.locator("#drafts")).to_be_hidden()
    press(page, "Shift+ArrowDown")
    press(page, "Escape")
    expect(page.locator("#take-label")).to_have_text(words)
    expect(page.locator("#drafts")).to_be_hidden()
    assert chosen(page) == before


def test_no_key_brings_a_box_out_of_the_photo_or_leaves_nothing_of_it(page: Page) -> None:
    draw(page, 5, 5, 200, 100)
    box = chosen(page)
    press(page, *["Control+Shift+ArrowLeft"] * 2, *["Control+Shift+ArrowUp"] * 2)
    assert chosen(page) == [0, 0, box[2] - box[0], box[3] - box[1]]
    press(page, *["Control+Alt+ArrowUp"] * 12, *["Control+Alt+ArrowLeft"] * 25)
    assert chosen(page) == [0, 0, 1, 1]
    press(page, "Alt+Shift+ArrowRight", "Alt+Shift+ArrowDown")
    assert chosen(page) == [0, 0, 1, 1]


def test_one_of_several_animals_is_moved_and_put_back_at_once(tmp_path: Path, browser: Browser) -> None:
    write_photos(tmp_path / "in", 4, width=600, height=400)
    crop(tmp_path / "in", tmp_path / "out", animals="all")
    with reviewing(tmp_path / "out") as client, tab(browser, client) as page:
        image = page.locator("#name").text_content() or ""
        press(page, "n")
        drag(page, (0.05, 0.05), (0.15, 0.15))
        count = page.locator("#overlay .animal").count()
        before = chosen(page)
        press(page, *["Shift+ArrowDown"] * 5, "Alt+ArrowRight")
        assert chosen(page) == [before[0], before[1] + 5, before[2] + 1, before[3] + 5]
        expect(page.locator("#overlay .animal")).to_have_count(count)
        press(page, "u")  # all steps in a row are one change
        assert chosen(page) == before
        press(page, "Shift+ArrowDown", "Enter")
        expect(page.locator("#name")).not_to_have_text(image)
        boxes = verdicts_of(tmp_path / "out")[image].boxes
        assert (before[0], before[1] + 1, before[2], before[3] + 1) in boxes


# ---------------------------------------------------------------- fingers


class Fingers:
    """Two fingers on the screen of a phone."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.session: CDPSession = page.context.new_cdp_session(page)

    def touch(self, kind: str, places: Mapping[int, tuple[float, float]]) -> None:
        points = [{"x": x, "y": y, "id": id} for id, (x, y) in places.items()]
        self.session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        has_dealt_with_it(self.page)

    def down(self, *places: tuple[float, float]) -> None:
        self.touch("touchStart", dict(enumerate(places)))

    def move(self, *places: tuple[float, float]) -> None:
        self.touch("touchMove", dict(enumerate(places)))

    def move_second(self, place: tuple[float, float]) -> None:
        self.touch("touchMove", {1: place})

    def lift_first(self, place: tuple[float, float]) -> None:
        self.touch("touchEnd", {0: place})

    def up(self) -> None:
        self.touch("touchEnd", {})


@pytest.fixture
def phone(client: Client, browser: Browser) -> Iterator[Page]:
    with tab(browser, client, **PHONE) as page:
        yield page


def test_two_fingers_zoom_and_move(phone: Page) -> None:
    fingers = Fingers(phone)
    words = phone.locator("#take-label").text_content() or ""
    shown = percent(phone)
    x, y = point_at(phone, 0.5, 0.5)
    before = photo_point(phone, (x, y))
    fingers.down((x - 20, y))
    fingers.down((x - 20, y), (x + 20, y))
    for far in (30, 50, 70, 80):
        fingers.move((x - far, y), (x + far, y))
    assert percent(phone) == pytest.approx(4 * shown, abs=5)
    assert photo_point(phone, (x, y)) == pytest.approx(before, abs=6)
    scale, left, top = view_of(phone)
    fingers.move((x - 110, y + 20), (x + 50, y + 20))  # both the same way
    assert view_of(phone) == pytest.approx((scale, left - 30, top + 20), abs=1)
    fingers.lift_first((x - 110, y + 20))  # the one that is left moves on, and draws nothing
    fingers.move_second((x + 70, y + 30))
    assert view_of(phone) == pytest.approx((scale, left - 10, top + 30), abs=1)
    fingers.up()
    assert_fills_the_stage(phone)
    expect(phone.locator("#take-label")).to_have_text(words)
    expect(phone.locator("#drafts")).to_be_hidden()
    assert phone.evaluate("[visualViewport.scale, scrollY]") == [1, 0]  # it was not the page that was zoomed


def test_one_finger_draws_and_a_second_one_drops_what_is_drawn(
    finished: Path, client: Client, phone: Page
) -> None:
    fingers = Fingers(phone)
    image = client.image(0)
    words = phone.locator("#take-label").text_content() or ""
    shown = percent(phone)
    corner, other = point_at(phone, 0.1, 0.1), point_at(phone, 0.4, 0.3)
    fingers.down(corner)
    fingers.move(other)
    fingers.down(other, point_at(phone, 0.8, 0.8))
    expect(phone.locator("#take-label")).to_have_text(words)
    fingers.move((other[0] - 30, other[1] - 30), point_at(phone, 0.9, 0.9))
    fingers.up()
    assert percent(phone) > shown
    phone.get_by_role("button", name="Fit all of the photo").tap()
    fingers.down(corner)
    fingers.move(other)
    fingers.up()
    expect(phone.locator("#take-label")).to_have_text("Take drawn box")
    assert outlined(phone) == pytest.approx([300, 200, 1200, 600], abs=20)
    phone.get_by_role("button", name="Zoom to the outlined box").tap()
    assert percent(phone) > shown
    phone.tap("#take")
    expect(phone.locator("#name")).not_to_have_text(image)
    assert verdicts_of(finished / "out")[image].boxes[0] == pytest.approx((300, 200, 1200, 600), abs=20)


def test_two_fingers_beside_the_photo_zoom_it_and_not_the_page(phone: Page) -> None:
    fingers = Fingers(phone)
    shown = percent(phone)
    left, top, width, height = stage_of(phone)
    _, _, above = view_of(phone)
    assert above > 12  # there is room above the photo
    one, other = (left + width / 2, top + 6), (left + width / 2, top + height / 2)
    fingers.down(one)
    fingers.down(one, other)
    for far in (10, 20, 30, 40):
        fingers.move((one[0] - far, one[1]), (other[0] + far, other[1] + far))
    fingers.up()
    assert percent(phone) > shown
    assert phone.evaluate("[visualViewport.scale, scrollY]") == [1, 0]
