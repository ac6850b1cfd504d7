"""The second look in tiles: where they lie, what is one animal across their seams, and how sure it is."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from detic_crop import Detections, DetectorInfo
from detic_crop.detectors.base import Detector
from detic_crop.detectors.joined.fallback import Fallback
from detic_crop.detectors.joined.fused import Fused
from detic_crop.detectors.joined.grid import (
    MOST_ACROSS,
    SMALLEST,
    Tile,
    TiledBoxes,
    merged,
    part_around,
    tiles_of,
)
from detic_crop.detectors.joined.tiled import Tiled, with_tiles
from tests.kit.errors import refused
from tests.kit.scripted import Scripted

sides = st.integers(1, 20_000)


@given(sides, sides)
def test_tiles_cover_the_photo_overlap_and_are_few(width: int, height: int) -> None:
    tiles = tiles_of(width, height)
    if not tiles:
        assert max(width, height) <= SMALLEST
        return
    assert len(tiles) <= MOST_ACROSS**2
    assert all(0 <= t.left < t.right <= width and 0 <= t.top < t.bottom <= height for t in tiles)
    for first, last in ((0, 2), (1, 3)):
        spans = sorted({(tile[first], tile[last]) for tile in tiles})
        assert spans[0][0] == 0
        assert spans[-1][1] == (width, height)[first]
        for (start, end), (following, _) in pairwise(spans):
            assert end - following >= (end - start) // 4 - 1


def test_known_photos() -> None:
    assert tiles_of(448, 300) == []
    assert len(tiles_of(2200, 1467)) == 20
    assert len(tiles_of(12_000, 8_000)) == 20
    assert tiles_of(700, 448) == [Tile(0, 0, 448, 448), Tile(252, 0, 700, 448)]


LEFT, RIGHT = Tile(0, 0, 100, 100), Tile(75, 0, 175, 100)


def merge(
    *found: tuple[Sequence[float], float, Tile], kinds: Sequence[str] = ()
) -> list[tuple[list[float], int]]:
    boxes = TiledBoxes(
        np.array([box for box, _, _ in found], float),
        np.array([score for _, score, _ in found], float),
        kinds or [""] * len(found),
        [tile for _, _, tile in found],
    )
    return [(box.tolist(), best) for box, best in merged(boxes, 175, 100)]


def test_an_animal_that_an_edge_cuts_is_one() -> None:
    assert merge(([40, 20, 100, 60], 0.9, LEFT), ([75, 22, 130, 60], 0.8, RIGHT)) == [([40, 20, 130, 60], 0)]


def test_a_whole_box_is_better_than_a_cut_one() -> None:
    assert merge(([82, 20, 100, 60], 0.9, LEFT), ([82, 20, 110, 60], 0.8, RIGHT)) == [([82, 20, 110, 60], 0)]
    assert merge(([82, 20, 96, 60], 0.8, LEFT), ([82, 20, 97, 60], 0.9, RIGHT)) == [([82, 20, 97, 60], 1)]


def test_a_doubtful_box_does_not_make_a_sure_one_larger() -> None:
    assert merge(([40, 20, 100, 60], 0.9, LEFT), ([75, 20, 170, 60], 0.2, RIGHT)) == [([40, 20, 100, 60], 0)]


def test_animals_beside_each_other_stay_two() -> None:
    found = [([40, 20, 100, 40], 0.9, LEFT), ([75, 60, 130, 90], 0.8, RIGHT)]
    assert len(merge(*found)) == 2
    assert len(merge(([20, 20, 60, 40], 0.9, LEFT), ([30, 25, 65, 45], 0.8, LEFT))) == 2  # of one tile
    same = [([80, 20, 95, 40], 0.9, LEFT), ([80, 20, 95, 40], 0.8, RIGHT)]
    assert len(merge(*same, kinds=["", "Boat"])) == 2


class Spot(Detector):
    """Boxes what is white, if it is at least 1/20 as wide as the picture: the score is 0.9.

    Attributes:
        pictures: sizes of the pictures that it was shown.
    """

    def __init__(self, name: str = "spot", score: float = 0.9, preferred_batch: int = 1) -> None:
        self.info = DetectorInfo(name, ("Whale",), 0.25, {"spot.bin": name}, input_size=(10, 20))
        self.preferred_batch = preferred_batch
        self.pictures: list[tuple[int, ...]] = []
        self.calls: list[int] = []
        self._score = score

    def detect_batch(self, prepared: Sequence[tuple[NDArray[np.uint8], str]]) -> list[Detections]:
        self.calls.append(len(prepared))
        return [self.detect(image) for image, _ in prepared]

    def detect(self, image: NDArray[np.uint8], key: str = "") -> Detections:
        self.pictures.append(image.shape)
        y, x = np.nonzero(image[..., 0])
        if not len(x) or np.ptp(x) + 1 < image.shape[1] / 20:
            return Detections.empty(presence=0.1)
        box = [[x.min(), y.min(), x.max() + 1, y.max() + 1]]
        return Detections(np.array(box), np.array([self._score]), ("Whale",), presence=0.9)


def sea_with(box: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    photo = np.zeros((1467, 2200, 3), np.uint8)
    left, top, right, bottom = box
    photo[top:bottom, left:right] = 255
    return photo


@pytest.mark.parametrize(
    "box", [(500, 500, 540, 520), (530, 430, 570, 450), (0, 0, 40, 20), (2160, 1447, 2200, 1467)]
)
def test_what_is_far_is_found_in_a_tile(box: tuple[int, int, int, int]) -> None:
    (found,) = with_tiles(Spot()).detect_batch([with_tiles(Spot()).prepare(sea_with(box))])
    assert found.xyxy.tolist() == [list(map(float, box))]
    assert found.found_by == "spot, tiles"
    odds = 9 / 20**0.5  # of 0.9 among 20 tiles
    assert found.scores.tolist() == pytest.approx([odds / (1 + odds)])


def test_where_the_whole_look_finds_something_no_tile_is_looked_at() -> None:
    spot = Spot()
    found = with_tiles(spot).detect(sea_with((500, 500, 700, 520)))
    assert (found.found_by, len(spot.pictures)) == ("spot", 1)
    assert found.scores.tolist() == pytest.approx([0.9])


def test_a_doubtful_tile_does_not_count() -> None:
    found = with_tiles(Spot(score=0.59)).detect(sea_with((500, 500, 540, 520)))
    odds = 0.59 / 0.41 / 20**0.5  # of 1/3 that are needed
    assert found.scores.tolist() == pytest.approx([odds / (1 + odds)])
    assert found.scores[0] < 0.25
    empty = with_tiles(Spot()).detect(sea_with((0, 0, 0, 0)))
    assert len(empty) == 0
    assert empty.presence == pytest.approx(0.1)


def test_what_is_not_found_again_does_not_count() -> None:
    class Fickle(Spot):
        def detect(self, image: NDArray[np.uint8], key: str = "") -> Detections:
            found = super().detect(image, key)
            is_tile = image.shape[1] > 300
            return found if is_tile else Detections(found.xyxy, found.scores * 0.1, found.class_names)

    spot = Fickle()
    found = with_tiles(spot).detect(sea_with((500, 500, 540, 520)))
    assert spot.pictures[-1] == (224, 224, 3)
    assert found.scores.tolist() == pytest.approx([0.09 / (0.09 + 20**0.5 * 0.91)])


def test_the_part_around_a_box_is_inside_the_photo() -> None:
    assert part_around(np.array([500.0, 500, 600, 520]), 2200, 1467) == Tile(300, 260, 800, 760)
    assert part_around(np.array([0.0, 0, 20, 20]), 2200, 1467) == Tile(0, 0, 224, 224)
    assert part_around(np.array([150.0, 90, 200, 100]), 200, 100) == Tile(0, 0, 200, 100)


def test_tiles_see_all_pixels_and_go_in_batches() -> None:
    spot = Spot(preferred_batch=8)
    looking = with_tiles(spot)
    assert looking.info.input_size is None
    assert looking.info.name == "spot"
    assert looking.info.confs == {"spot": 0.25, "spot, tiles": 0.25}
    looking.detect(sea_with((0, 0, 0, 0)))
    assert spot.calls == [1, 8, 8, 4]
    assert len(spot.pictures) == 21
    assert looking.detect(np.zeros((300, 448, 3), np.uint8)).presence == pytest.approx(0.1)


def test_all_look_at_the_whole_before_any_looks_at_tiles() -> None:
    one, other = Spot("one"), Spot("other")
    looking = with_tiles(Fallback([one, Scripted("file", {}, needs_pixels=False), other]))
    assert isinstance(looking, Fallback)
    assert looking.names == ["one", "file", "other", "one, tiles", "other, tiles"]
    assert looking.info.name == "one+file+other"
    fused = with_tiles(Fused([one, other], [1, 1]))
    found = fused.detect(sea_with((500, 500, 540, 520)))
    assert found.found_by == "wbf(one,other), tiles"
    assert found.xyxy.tolist() == [[500, 500, 540, 520]]


def test_a_model_that_looks_at_no_pixels_has_no_tiles() -> None:
    with refused("option_not_applicable", names=["file"]):
        with_tiles(Scripted("file", {}, needs_pixels=False))


def test_tiles_alone_answer_in_pixels_of_the_photo() -> None:
    tiled = Tiled(Spot())
    assert tiled.notes() == []
    assert tiled.detect(sea_with((1000, 700, 1040, 720))).xyxy.tolist() == [[1000, 700, 1040, 720]]
