"""The random sample and what is estimated from it: who is drawn, what counts, by hand and by simulation."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from detic_crop import api
from detic_crop.cli import main as cli
from detic_crop.config import CropConfig
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.journal import replay
from detic_crop.folder.records import Record
from detic_crop.folder.state import Drawn, StratumName, load_sample, save_sample
from detic_crop.folder.verdict_lines import Verdict
from detic_crop.folder.verdicts import read_verdicts
from detic_crop.report import sample as sampling
from detic_crop.report.estimate import Estimate, estimate
from detic_crop.report.intervals import Interval, hypergeometric_limits
from detic_crop.report.sample import STRATA, draw
from tests.kit.errors import refused
from tests.kit.folders import crop
from tests.kit.photos import write_photos

pytestmark = pytest.mark.slow

CONFIG = CropConfig(model="fake", classes="Dolphin", conf=0.3, size=32)
BOX = (10.0, 10.0, 40.0, 30.0)
ANOTHER = (1.0, 1.0, 9.0, 9.0)


def cropped(key: str, score: float = 0.9) -> Record:
    return Record(key, "cropped", "largest_box", key, 60, 40, "Dolphin", score, score, BOX, (7, 8, 43, 32), 1)


def resized(key: str, presence: float = 0.1) -> Record:
    return Record(key, "resized", "not_found", key, 60, 40, presence=presence, crop_box=(0, 0, 60, 40))


def population(n_cropped: int, n_resized: int) -> dict[str, Record]:
    """Crops c0, c1 … by rising score, photos without a crop r0, r1 … by falling presence."""
    crops = [cropped(f"c{i}", 0.3 + 0.7 * i / n_cropped) for i in range(n_cropped)]
    whole = [resized(f"r{i}", 0.3 * (1 - i / n_resized)) for i in range(n_resized)]
    return {record.image: record for record in [*crops, *whole]}


def said(**verdicts: str) -> dict[str, Verdict]:
    return {
        key: Verdict(key, verdict, (ANOTHER,) if verdict == "box" else (), "Ann", "t")
        for key, verdict in verdicts.items()
    }


# ---------------------------------------------------------------- who is drawn


def test_strata_by_rank() -> None:
    drawn = draw(population(100, 50), CONFIG, 150, 0)
    members: dict[str, set[str]] = {}
    for photo in drawn:
        members.setdefault(photo.stratum, set()).add(photo.image)
    assert members == {
        "cropped_high": {f"c{i}" for i in range(10)},
        "cropped_middle": {f"c{i}" for i in range(10, 30)},
        "cropped_low": {f"c{i}" for i in range(30, 100)},
        "resized_high": {f"r{i}" for i in range(10)},
        "resized_low": {f"r{i}" for i in range(10, 50)},
    }
    assert all(photo.stratum_size == len(members[photo.stratum]) for photo in drawn)
    assert list(members) != list(STRATA), "in random order, so that no part is reviewed last"


def test_failed_and_rejected_photos_are_not_drawn() -> None:
    records = population(10, 0)
    records["bad"] = Record("bad", "failed", "unreadable")
    records["out"] = replace(cropped("out"), status="rejected")
    assert {photo.image for photo in draw(records, CONFIG, 100, 0)} == {f"c{i}" for i in range(10)}


def test_the_same_seed_draws_the_same_and_a_larger_sample_keeps_the_smaller() -> None:
    records = population(300, 100)
    first = draw(records, CONFIG, 60, 5)
    assert draw(dict(reversed(records.items())), CONFIG, 60, 5) == first
    assert len(first) == 60
    for size in (61, 90, 200, 1000):
        larger = draw(records, CONFIG, size, 5)
        assert len(larger) == min(size, 400)
        assert set(first) <= set(larger)
    assert {photo.image for photo in draw(records, CONFIG, 60, 6)} != {photo.image for photo in first}


def test_allocation_by_hand() -> None:
    # Neyman: size × sqrt(p (1 - p)) is 100 × .458, 200 × .3, 700 × .14, 200 × .5, 800 × .4, together 623.8.
    sizes: dict[StratumName, int] = {
        "cropped_high": 100,
        "cropped_middle": 200,
        "cropped_low": 700,
        "resized_high": 200,
        "resized_low": 800,
    }
    share = {
        "cropped_high": 45.8,
        "cropped_middle": 60,
        "cropped_low": 98,
        "resized_high": 100,
        "resized_low": 320,
    }
    drawn = sampling.allocate(sizes, 200)
    assert sum(drawn.values()) == 200
    for name, n in drawn.items():
        assert abs(n - 200 * share[name] / 623.8) <= 1
    # A few of each first, then as far as there are any.
    assert sampling.allocate(sizes, 25) == dict.fromkeys(sizes, 5)
    assert sampling.allocate({"cropped_high": 3, "cropped_low": 1000}, 10) == {
        "cropped_high": 3,
        "cropped_low": 7,
    }
    assert sampling.allocate(sizes, 10**6) == sizes


def test_every_photo_of_a_stratum_is_drawn_equally_often() -> None:
    """2,000 seeds, 10 of 100: each is drawn 200 times ± 13.4; 100 of them all lie within 5 of these."""
    records = population(100, 0)
    times = Counter(photo.image for seed in range(2000) for photo in draw(records, CONFIG, 10, seed))
    low = [times[f"c{i}"] for i in range(30, 100)]
    expected = sum(low) / len(low)
    assert all(abs(n - expected) < 5 * expected**0.5 for n in low)


@pytest.mark.parametrize("size", [-1, 0, 9])
def test_too_small_a_sample_is_refused(size: int) -> None:
    with refused("sample_too_small"):
        draw(population(20, 20), CONFIG, size, 0)
    with refused("nothing_to_sample"):
        draw({}, CONFIG, 200, 0)


def test_a_seed_without_a_sample_is_refused(tmp_path: Path) -> None:
    with refused("seed_without_sample"):
        api.write_audit(tmp_path, seed=1)


def test_the_file_holds_any_name(tmp_path: Path) -> None:
    folder = OutputFolder(tmp_path)
    folder.inside.mkdir(folder.layout.temporary)
    names = [
        "a,b.jpg",
        'q"uote.jpg',
        "line\nbreak.jpg",
        "cr\rhere.jpg",
        "=cmd().jpg",
        "caf\udce9.jpg",
        "ü.jpg",
    ]
    sample = [Drawn(name, "cropped_low", 7, 3) for name in names]
    assert load_sample(folder) == []
    save_sample(folder, sample)
    assert load_sample(folder) == sample
    for damage in (
        b"",
        b"image,stratum\na,b\n",
        b'"image","stratum","stratum_size","seed"\n"a","nowhere","1","0"\n',
    ):
        folder.layout.sample.write_bytes(damage)
        with refused("sample_damaged"):
            load_sample(folder)


# ---------------------------------------------------------------- what is estimated


def two_strata() -> tuple[list[Drawn], dict[str, Record]]:
    """4 of 10 suspicious crops, 4 of 90 others, 4 of 40 photos without a crop."""
    names: dict[StratumName, tuple[int, str]] = {
        "cropped_high": (10, "a"),
        "cropped_low": (90, "b"),
        "resized_low": (40, "r"),
    }
    sample = [
        Drawn(f"{letter}{i}", name, size, 0) for name, (size, letter) in names.items() for i in range(4)
    ]
    records = {
        f"{letter}{i}": resized(f"{letter}{i}") if letter == "r" else cropped(f"{letter}{i}")
        for size, letter in names.values()
        for i in range(size)
    }
    return sample, records


ALL = {f"{letter}{i}": "accepted" for letter in "abr" for i in range(4)}


def test_estimate_by_hand() -> None:
    sample, records = two_strata()
    verdicts = said(
        **{**ALL, "a0": "whole", "a1": "box", "a2": "rejected", "b0": "box", "r0": "box", "r1": "whole"}
    )
    got = estimate(sample, records, records, verdicts)
    assert (got.drawn, got.left, got.crops, got.uncropped, got.come_since) == (12, 0, 100, 40, 0)
    # Wrong: 10 × 3/4 + 90 × 1/4 = 30 of 100; not 4 of 8.
    assert got.precision is not None
    assert got.precision.value == pytest.approx(0.70)
    (low_a, high_a), (low_b, high_b) = hypergeometric_limits(10, 4, 3), hypergeometric_limits(90, 4, 1)
    assert got.precision.low == pytest.approx(0.7 - ((high_a - 7.5) ** 2 + (high_b - 22.5) ** 2) ** 0.5 / 100)
    assert got.precision.high == pytest.approx(0.7 + ((7.5 - low_a) ** 2 + (22.5 - low_b) ** 2) ** 0.5 / 100)
    # Missed: 1 of 4 of 40. Found: accepted or another box, 10 × 2/4 + 90 × 4/4 = 95.
    assert got.missed == pytest.approx((0.25, *(n / 40 for n in hypergeometric_limits(40, 4, 1))))
    assert got.missed_animals is not None
    assert got.missed_animals.value == pytest.approx(10 / (10 + 95))
    assert 0 < got.missed_animals.low < 10 / 105 < got.missed_animals.high < 1
    assert got.precision_now is None


def test_to_want_the_box_that_the_detector_chose_is_to_accept_it() -> None:
    sample, records = two_strata()
    verdicts = {drawn.image: Verdict(drawn.image, "accepted") for drawn in sample}
    accepted = estimate(sample, records, records, verdicts)
    crop_key = next(drawn.image for drawn in sample if records[drawn.image].box)
    verdicts[crop_key] = Verdict(crop_key, "box", (BOX,))
    assert estimate(sample, records, records, verdicts) == accepted
    verdicts[crop_key] = Verdict(crop_key, "box", (ANOTHER,))
    assert estimate(sample, records, records, verdicts) != accepted


def test_nothing_is_estimated_before_enough_is_reviewed() -> None:
    sample, records = two_strata()
    none_yet = estimate(sample, records, records, {})
    assert (none_yet.left, none_yet.precision, none_yet.missed, none_yet.card) == (12, None, None, "")
    assert none_yet.sentences == [
        "sample: photos without a verdict yet (unsure is none): 12 of 12; look at them with "
        "`detic-crop review`, filter `sample only`"
    ]
    crops_only = estimate(sample, records, records, said(**{key: "accepted" for key in ALL if key[0] != "r"}))
    assert crops_only.precision is not None
    assert crops_only.missed is None
    assert "crops are right" in crops_only.card
    assert "show an animal" not in crops_only.card


def test_one_in_twenty_may_be_left_and_counts_both_ways() -> None:
    records = population(1000, 0)
    sample = draw(records, CONFIG, 100, 0)
    verdicts = said(**{photo.image: "accepted" for photo in sample})
    full = estimate(sample, records, records, verdicts).precision
    left_out = [photo.image for photo in sample if photo.stratum == "cropped_low"]
    for key in left_out[:5]:
        del verdicts[key]
    partly = estimate(sample, records, records, verdicts)
    assert partly.left == 5
    assert full is not None
    assert partly.precision is not None
    assert partly.precision.value == full.value == 1
    assert partly.precision.low < full.low
    assert "5 more that were not judged count both ways" in partly.card
    del verdicts[left_out[5]]
    assert estimate(sample, records, records, verdicts).precision is None


def test_applied_verdicts_change_neither_strata_nor_counts_and_tell_what_is_left() -> None:
    sample, records = two_strata()
    verdicts = said(**{**ALL, "a0": "whole", "a1": "box", "a2": "rejected", "b0": "box", "r0": "box"})
    before = estimate(sample, records, records, verdicts)
    now = dict(records)
    now["a0"] = replace(resized("a0"), reason="reviewed_whole", verdict="whole", detector_box=BOX)
    now["a1"] = replace(cropped("a1"), box=(1.0, 1.0, 9.0, 9.0), verdict="box", detector_box=BOX)
    now["a2"] = replace(cropped("a2"), status="rejected", verdict="rejected")
    now["b0"] = replace(cropped("b0"), box=(1.0, 1.0, 9.0, 9.0), verdict="box", detector_box=BOX)
    now["r0"] = replace(cropped("r0"), verdict="box")
    after = estimate(sample, records, now, verdicts)
    assert (after.precision, after.missed) == (before.precision, before.missed)
    # 30 were wrong and 4 of these are mended: 26 of 100 - whole - rejected + found = 99 crops.
    assert (after.corrected, after.crops_now, after.uncropped_now) == (4, 99, 40)
    assert after.precision_now is not None
    assert after.precision_now.value == pytest.approx(1 - 26 / 99)
    assert after.missed_now is not None
    assert after.missed_now.value == pytest.approx((10 - 1) / 40)
    assert "After review, 73.7 % (" in after.card
    # To accept is to accept the detector's crop, also where another was applied before.
    taken_back = estimate(sample, records, now, said(**ALL))
    assert taken_back.precision is not None
    assert taken_back.precision.value == 1


def test_photos_that_come_later_are_said() -> None:
    sample, records = two_strata()
    records["new"] = cropped("new")
    got = estimate(sample, records, records, said(**ALL))
    assert got.come_since == 1
    assert "it was drawn from 140 photos, now there are 141; draw again with --sample 12" in got.sentences[0]


def test_no_photo_without_a_crop() -> None:
    records = population(20, 0)
    sample = draw(records, CONFIG, 100, 0)
    got = estimate(sample, records, records, said(**{photo.image: "accepted" for photo in sample}))
    assert got.precision == Interval(1, 1, 1)
    assert got.missed is None
    assert got.card == (
        "As the detector left them, 100.0 % of the 20 crops are right. "
        "All 20 photos were reviewed by a person."
    )


def test_the_card_rounds_outwards() -> None:
    got = Estimate(
        200, 0, 1000, 500, precision=Interval(0.95, 0.91239, 0.98761), missed=Interval(0.1, 0.05, 0.2)
    )
    assert got.sentences == [
        "for the data-set card: As the detector left them, 95.0 % (91.2–98.8 %) of the 1,000 crops are "
        "right; 10.0 % (5.0–20.0 %) of the 500 photos without a crop show an animal. Estimated from a "
        "stratified random sample of 200 photos reviewed by a person; in brackets 95 % confidence intervals."
    ]


@pytest.mark.parametrize("rates", [(0.02, 0.3, 0.2), (0.1, 0.1, 0.1), (0.0, 0.02, 0.01)])
def test_the_whole_way_holds_the_truth_as_often_as_it_says(rates: Sequence[float]) -> None:
    """Draw, review and estimate 400 times, each with another seed; a coverage of 95 % would give 95 % ± 1.1 %
    (one standard deviation), the bound is three below."""
    rng = np.random.default_rng(1)
    records = population(400, 150)
    base, suspicious, missed = rates
    truth: Mapping[str, str] = {
        key: ("box" if rng.random() < missed else "accepted")
        if key[0] == "r"
        else ("whole" if rng.random() < (suspicious if int(key[1:]) < 40 else base) else "accepted")
        for key in records
    }
    verdicts = said(**truth)
    said_of = Counter((key[0], verdict) for key, verdict in truth.items())
    precision = said_of["c", "accepted"] / 400
    found, lost = said_of["c", "accepted"], said_of["r", "box"]
    held: Counter[str] = Counter()
    for seed in range(400):
        got = estimate(draw(records, CONFIG, 80, seed), records, records, verdicts)
        for name, interval, value in (
            ("precision", got.precision, precision),
            ("missed", got.missed, lost / 150),
            ("missed animals", got.missed_animals, lost / (lost + found)),
        ):
            assert interval is not None
            held[name] += interval.low - 1e-9 <= value <= interval.high + 1e-9
    assert min(held[name] for name in ("precision", "missed", "missed animals")) >= 400 * (0.95 - 3 * 0.011)


# ---------------------------------------------------------------- from the command line


def review(folder: OutputFolder, verdicts: Mapping[str, str]) -> None:
    """Append to review.csv, as the review page does."""
    new = not folder.layout.review.exists()
    with open(folder.layout.review, "a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        if new:
            writer.writerow(["image", "verdict", "box", "reviewer", "time"])
        writer.writerows(
            [key, verdict, "1 1 9 9" if verdict == "box" else "", "Ann", "t"]
            for key, verdict in verdicts.items()
        )


def test_the_command_draws_says_and_keeps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_photos(tmp_path / "in", 40)
    folder = crop(tmp_path / "in", tmp_path / "out").folder
    assert cli.main(["audit", str(folder.root)]) == 0
    assert "sample" not in capsys.readouterr().out
    assert cli.main(["audit", str(folder.root), "--sample", "15", "--seed", "4"]) == 0
    first = folder.layout.sample.read_bytes()
    assert "15 photos drawn with seed 4" in capsys.readouterr().out
    keys = [photo.image for photo in load_sample(folder)]
    review(folder, dict.fromkeys(keys, "accepted"))
    assert cli.main(["audit", str(folder.root)]) == 0
    printed = capsys.readouterr().out
    assert "for the data-set card: As the detector left them, 100.0 % (" in printed
    assert folder.layout.sample.read_bytes() == first
    page = folder.layout.audit_html.read_text(encoding="utf-8")
    assert "As the detector left them, 100.0 % (" in page
    assert "accepted 15" in page
    review(folder, {keys[0]: "undone"})
    assert cli.main(["audit", str(folder.root), "--sample", "20"]) == 0
    printed = capsys.readouterr().out
    assert (
        "20 photos drawn with seed 4, 5 new, 0 of the earlier sample not in it; every verdict is kept"
        in printed
    )
    assert "sample: photos without a verdict yet (unsure is none): 6 of 20" in printed
    assert len(read_verdicts(folder.layout.review)) == 14
    assert cli.main(["audit", str(folder.root), "--sample", "15"]) == 0
    assert folder.layout.sample.read_bytes() == first
    crop(tmp_path / "in", tmp_path / "out", overwrite=True, discard_review=True)
    assert not folder.layout.sample.exists()


def test_refusals_change_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_photos(tmp_path / "in", 12)
    folder = crop(tmp_path / "in", tmp_path / "out").folder
    before = folder.layout.audit_html.stat().st_mtime_ns
    for arguments in (["--sample", "3"], ["--seed", "3"]):
        assert cli.main(["audit", str(folder.root), *arguments]) == 2
        assert "--sample" in capsys.readouterr().err
    assert not folder.layout.sample.exists()
    assert folder.layout.audit_html.stat().st_mtime_ns == before


def test_a_damaged_sample_stops_no_table(tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 12)
    folder = crop(tmp_path / "in", tmp_path / "out").folder
    folder.layout.sample.write_text("huh", encoding="utf-8")
    result = api.write_audit(folder.root)
    assert result.estimate is None
    assert any("draw again" in note for note in result.notes)
    assert api.write_audit(folder.root, sample=10).estimate is not None


def detected_in(folder: OutputFolder, keys: Collection[str]) -> Mapping[str, Record]:
    state = replay(folder.layout.journal)
    assert state.config is not None
    return sampling.detected_records(folder, {key: state.records[key] for key in keys}, state.config)


def test_what_a_reviewer_changed_is_drawn_as_the_detector_left_it(tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 30)
    folder = crop(tmp_path / "in", tmp_path / "out").folder
    api.write_audit(folder.root, sample=100)
    before = load_sample(folder)
    keys = {photo.image for photo in before}
    detected = detected_in(folder, keys)
    with open(folder.layout.journal, "ab") as file:
        for record in detected.values():
            if record.status == "cropped":
                file.write(replace(record, status="rejected", verdict="rejected", source="review").to_line())
    assert detected_in(folder, keys) == detected
    api.write_audit(folder.root, sample=100)
    assert load_sample(folder) == before
    assert {photo.stratum for photo in before} == set(STRATA)


@pytest.mark.parametrize("settings", [{}, {"scale": 2.0, "conf": 0.5}])
def test_a_recropped_folder_is_estimated_like_one_that_was_run(
    tmp_path: Path, settings: Mapping[str, Any]
) -> None:
    """What was reviewed before belongs to the population, as the detector left it, and counts as reviewed."""
    keys = write_photos(tmp_path / "in", 30)
    folder = crop(tmp_path / "in", tmp_path / "out").folder
    words = ("box", "whole", "rejected")
    review(folder, {key: words[number % 3] for number, key in enumerate(keys[:12])})
    api.apply(folder.root, quiet=True)
    again = api.recrop(folder.root, tmp_path / "again", quiet=True, **settings).folder
    straight = crop(tmp_path / "in", tmp_path / "straight", **settings).folder
    detected = detected_in(straight, keys)
    # What is measured on the crop itself, and where it came from, tells of the crop that there is.
    of_the_crop = ("blur", "brightness", "entropy", "crop_hash", "crop_bytes", "candidates", "source")
    blank: dict[str, Any] = dict.fromkeys(of_the_crop)
    assert {key: replace(record, **blank) for key, record in detected.items()} == {
        key: replace(record, **blank) for key, record in detected_in(again, keys).items()
    }
    result = api.write_audit(again.root, sample=30)
    api.write_audit(straight.root, sample=30)
    assert load_sample(again) == load_sample(straight)
    assert result.estimate is not None
    assert (result.estimate.drawn, result.estimate.left) == (30, 18)
