"""An output folder in an object store: the same as on a disk, whatever happens on the way."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec  # type: ignore[import-untyped]
import pytest

from detic_crop import api
from detic_crop.boxes.detections import Detections
from detic_crop.cli import main as cli
from detic_crop.errors import DeticCropError, OutputError, Terminated, UsageError
from detic_crop.exports.base import Of
from detic_crop.folder import lock as locks
from detic_crop.folder import mirror as mirrors
from detic_crop.folder import progress_file, segments
from detic_crop.folder.folder import open_folder
from detic_crop.folder.layout import Layout
from detic_crop.folder.verdict_lines import Verdict
from detic_crop.folder.verdicts import now
from detic_crop.photos.keys import STATE
from detic_crop.stores import store as stores
from detic_crop.stores.addresses import join
from detic_crop.stores.store import store_of
from detic_crop.system.processes import process_space
from tests.kit.detectors import FakeDetector
from tests.kit.errors import refused
from tests.kit.folders import assert_same, comparable, crop, files_of, product, rows_of, same_page
from tests.kit.photos import write_boxes, write_damaged, write_photo, write_photos
from tests.kit.stores import (
    CHANGING,
    Death,
    Killed,
    Stumbling,
    as_folder,
    copy_down,
    copy_up,
    objects,
    put_before,
    segment_names,
    set_objects,
)
from tests.kit.verdicts import verdict_log

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("memory")]

OUT = "memory://bucket/out"
JOURNAL, CANDIDATES = f"{STATE}/journal.jsonl", f"{STATE}/candidates.jsonl"
LOCK = f"{STATE}/lock-owner.json"


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few photos make several batches."""
    monkeypatch.setattr(mirrors, "BATCH", 3)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Eleven photos, some of which cannot be used."""
    write_photos(tmp_path / "in", 7)
    write_damaged(tmp_path / "in")
    return tmp_path / "in"


@pytest.fixture
def reference(photos: Path, tmp_path: Path) -> dict[str, bytes]:
    """What a run leaves on a disk."""
    crop(photos, tmp_path / "reference")
    return files_of(tmp_path / "reference")


def assert_like(address: str, reference: dict[str, bytes], *, but: tuple[str, ...] = ()) -> None:
    """The store holds what the disk does, byte for byte, but for what says when and where."""
    passed_over = {
        "run.json",
        *(f"{STATE}/{name}" for name in ("written.json", "progress.json", "lock")),
        *but,
    }
    made, expected = (
        {name: comparable(name, data) for name, data in files.items() if name not in passed_over}
        for files in (as_folder(objects(address)), reference)
    )
    assert sorted(n for n in {*made, *expected} if made.get(n) != expected.get(n)) == []


def assert_no_lie(address: str) -> None:
    """No photo's record without its crop."""
    held = as_folder(objects(address))
    lines = map(json.loads, held.get(JOURNAL, b"").splitlines())
    last = {values["image"]: values for values in lines if "image" in values}
    for values in last.values():
        if values.get("crop"):
            assert len(held[values["crop"]]) == values["crop_bytes"]


def records(held: dict[str, bytes]) -> list[dict[str, Any]]:
    """The lines of a journal, wherever the boxes are kept; the checksum of a line follows from that, too."""
    lines = map(json.loads, held[JOURNAL].splitlines())
    apart = {"candidates", "crc"}
    return [{name: value for name, value in values.items() if name not in apart} for values in lines]


def recorded(address: str) -> Counter[str]:
    """How often each photo has a line in the journal."""
    lines = map(json.loads, as_folder(objects(address))[JOURNAL].splitlines())
    return Counter(values["image"] for values in lines if "image" in values)


# ------------------------------------------------------------ the same as on a disk


def test_what_a_run_is_doing_goes_up_beside_the_work(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_file, "EACH", 0.0)
    monkeypatch.setattr(mirrors, "TOLD_EACH", 0.0)
    seen: list[dict[str, Any]] = []

    class Waiting(FakeDetector):
        def detect(self, image: Any, key: str = "") -> Any:
            while not seen and self.calls.total() == 4:  # of the photos before, some are recorded meanwhile
                told = json.loads(objects(OUT).get(f"{STATE}/progress.json", b"{}"))
                if told.get("phase") == "cropping":
                    seen.append(told)
                time.sleep(0.01)
            return super().detect(image, key)

    crop(photos, OUT, detector=Waiting(), workers=1)
    assert seen[0]["total"] == 11
    assert json.loads(objects(OUT)[f"{STATE}/progress.json"])["phase"] == "ended"


def test_status_of_a_store_and_of_its_shards(photos: Path) -> None:
    crop(photos, OUT, shard="0/2")
    before = objects(OUT)
    found = api.status(OUT)
    assert [part.state for part in found.shards] == ["done", "not run"]
    assert (found.whole.total, found.whole.done) == (11, found.statuses.total())
    assert objects(OUT) == before
    crop(photos, OUT, shard="1/2")
    assert api.status(OUT).next == [f"detic-crop merge {OUT}"]
    api.merge(OUT)
    merged = api.status(OUT)
    assert (merged.whole.state, merged.whole.done, merged.whole.total) == ("done", 11, 11)
    lease = {"pid": 7, "host": "node7", "since": "then", "renewed": time.time(), "token": "x"}
    store_of(OUT).write(f"{OUT}/{LOCK}", json.dumps(lease).encode())
    assert api.status(OUT).whole.state == "running"
    store_of(OUT).write(f"{OUT}/{LOCK}", json.dumps(lease | {"renewed": time.time() - 1000}).encode())
    assert api.status(OUT).whole.state == "done"


def test_a_store_holds_what_a_disk_would(photos: Path, reference: dict[str, bytes]) -> None:
    result = crop(photos, OUT)
    assert_like(OUT, reference)
    assert json.loads(objects(OUT)["run.json"])["photos_done_now"] == 11
    assert len(segment_names(OUT, "journal.jsonl")) > 1
    assert result.folder.layout.shown_of(result.folder.layout.audit_html) == f"{OUT}/audit.html"
    assert not result.folder.root.exists()
    assert list(api.read_audit(OUT)["image"]) == list(api.read_audit(photos.parent / "reference")["image"])


def test_nothing_to_do_writes_the_tables_alone(photos: Path, reference: dict[str, bytes]) -> None:
    crop(photos, OUT)
    before = segment_names(OUT, "journal.jsonl")
    store_of(OUT).remove([f"{OUT}/audit.csv", f"{OUT}/audit.html"])
    detector = FakeDetector()
    result = crop(photos, OUT, detector=detector)
    assert set(detector.calls) == set()
    assert result.skipped == 7
    assert_like(OUT, reference, but=(JOURNAL, CANDIDATES))  # the damaged ones were tried again
    assert segment_names(OUT, "journal.jsonl")[: len(before)] == before


def test_new_photos_and_labels_later(photos: Path, tmp_path: Path) -> None:
    keys = sorted(path.relative_to(photos).as_posix() for path in photos.rglob("photo*"))
    labels = tmp_path / "labels.csv"
    labels.write_text("image,species\n" + "".join(f"{key},orca\n" for key in reversed(keys)))
    for out in (OUT, tmp_path / "reference"):
        crop(photos, out, labels=labels, limit=4)
    assert f"{STATE}/labels.csv" in objects(OUT)
    write_photo(photos / "later.jpg", 50)
    for out in (OUT, tmp_path / "reference"):
        crop(photos, out)
    assert f"{STATE}/labels.csv" in objects(OUT)  # they stay
    for out in (OUT, tmp_path / "reference"):
        crop(photos, out, no_labels=True)
    assert f"{STATE}/labels.csv" not in objects(OUT)
    assert_like(OUT, files_of(tmp_path / "reference"))


def test_a_crop_that_is_gone_or_cut_is_made_again(photos: Path, reference: dict[str, bytes]) -> None:
    crop(photos, OUT)
    names = [name for name in objects(OUT) if name.endswith(".jpg")]
    store_of(OUT).remove([join(OUT, names[0])])
    store_of(OUT).write(join(OUT, names[1]), b"cut")
    assert crop(photos, OUT).done == 2 + 4
    assert_like(OUT, reference, but=(JOURNAL, CANDIDATES))


def test_a_photo_that_fails_now_loses_its_crop(photos: Path) -> None:
    crop(photos, OUT)
    (photos / "photo000.jpg").write_bytes(b"spoilt")
    crop(photos, OUT)
    assert "photo000.jpg" not in objects(OUT)
    assert_no_lie(OUT)


def test_a_dry_run_writes_nothing(photos: Path) -> None:
    result = crop(photos, OUT, dry_run=True)
    assert result.notes[-1].endswith(f"→ {OUT}/{result.notes[-1].rpartition(f'{OUT}/')[2]}")
    assert objects(OUT) == {}
    crop(photos, OUT, limit=2)
    before = objects(OUT)
    assert crop(photos, OUT, dry_run=True).skipped == 0 + sum(
        "crop" in json.loads(line) for line in as_folder(before)[JOURNAL].splitlines()
    )
    assert objects(OUT) == before


def test_audit_of_a_store(photos: Path, reference: dict[str, bytes], tmp_path: Path) -> None:
    write_photos(photos / "more", 12)
    crop(photos, OUT)
    crop(photos, tmp_path / "reference")
    api.write_audit(OUT, sample=10, xlsx=True)
    api.write_audit(tmp_path / "reference", sample=10)
    held = objects(OUT)
    assert held[f"{STATE}/sample.csv"] == (tmp_path / "reference" / STATE / "sample.csv").read_bytes()
    assert same_page(held["audit.html"]) == same_page((tmp_path / "reference" / "audit.html").read_bytes())
    assert held["audit.xlsx"].startswith(b"PK")
    assert b'alt="its crop"' in held["audit.html"]
    assert "audit.xlsx is older" in " ".join(api.write_audit(OUT).notes)


def test_audit_of_a_store_keeps_the_pictures_of_photos_that_have_moved(photos: Path) -> None:
    crop(photos, OUT)
    before = objects(OUT)["audit.html"]
    moved = photos.rename(photos.with_name("moved"))
    assert "none of the 7 photos is where the run found them" in api.write_audit(OUT).notes[0]
    after = objects(OUT)["audit.html"]
    pictures = re.compile(rb"base64,[^\"]+")
    assert after != before
    assert pictures.findall(after) == pictures.findall(before) != []
    assert api.write_audit(OUT, input=moved).notes == []
    assert objects(OUT)["audit.html"] == before


def test_recrop_of_a_folder_into_a_store(photos: Path, tmp_path: Path) -> None:
    crop(photos, tmp_path / "first")
    api.recrop(tmp_path / "first", OUT, size=48, quiet=True)
    api.recrop(tmp_path / "first", tmp_path / "second", size=48, quiet=True)
    assert_like(OUT, files_of(tmp_path / "second"))


@pytest.mark.parametrize("out_format", ["files", "tar"])
@pytest.mark.parametrize("of", ["crops", "photos"])
def test_an_export_of_a_store_is_that_of_a_folder(
    photos: Path, tmp_path: Path, out_format: str, of: Of
) -> None:
    crop(photos, OUT, out_format=out_format)
    crop(photos, tmp_path / "out", out_format=out_format)
    before = objects(OUT)
    made = [
        api.export(place, "imagefolder", tmp_path / name, of=of, label="folder")
        for name, place in (("of_store", OUT), ("of_folder", tmp_path / "out"))
    ]
    assert made[0].count == made[1].count > 3
    assert files_of(tmp_path / "of_store") == files_of(tmp_path / "of_folder")
    assert objects(OUT) == before


def test_several_processes(photos: Path, tmp_path: Path) -> None:
    for out, device in ((OUT, "cpu,cpu"), (tmp_path / "one", "cpu")):
        api.run(photos, out, model="lite", device=device, workers=1, size=32, quiet=True)
    assert_like(OUT, files_of(tmp_path / "one"))


def test_the_disk_here_holds_no_more_than_some_batches(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_photos(photos / "more", 30)
    most = 0
    on_commit = mirrors.StoreMirror.on_commit

    def counted(mirror: mirrors.StoreMirror) -> None:
        nonlocal most
        on_commit(mirror)
        most = max(most, sum(path.suffix == ".jpg" for path in mirror._layout.root.rglob("*")))

    monkeypatch.setattr(mirrors.StoreMirror, "on_commit", counted)
    crop(photos, OUT, workers=1)
    # Two batches' worth may be on its way (what had gathered when the one before it was through), and as much
    # gathers meanwhile before the work waits.
    assert 0 < most <= 4 * mirrors.BATCH


# ------------------------------------------------------------ shards


def test_shards_and_a_merge_are_one_run(photos: Path, reference: dict[str, bytes]) -> None:
    for index in (2, 0, 1):
        crop(photos, OUT, shard=f"{index}/3")
    assert "audit.csv" not in objects(OUT)
    with refused("not_merged", UsageError):
        crop(photos, OUT)
    result = api.merge(OUT)
    assert result.counts.total() == 11
    assert_like(OUT, reference)
    assert "no shards wait" in " ".join(api.merge(OUT).notes)
    assert_like(OUT, reference)


def test_a_merge_names_the_shard_that_is_missing(photos: Path) -> None:
    crop(photos, OUT, shard="0/2")
    before = objects(OUT)
    with refused("shards_not_done", DeticCropError, match="shards that are not done: 1 of 2"):
        api.merge(OUT)
    assert objects(OUT) == before
    with refused("other_shard_count", UsageError, match=f"{OUT} holds shard 0/2, so shard 1/3 does not fit"):
        crop(photos, OUT, shard="1/3")
    with refused("other_settings", UsageError, match=f"{OUT} was made with other settings"):
        crop(photos, OUT, shard="1/2", size=33)
    assert objects(OUT) == before


def test_one_shard_begun_anew(photos: Path, reference: dict[str, bytes]) -> None:
    crop(photos, OUT, shard="1/2", conf=0.9)
    crop(photos, OUT, shard="1/2", overwrite=True)
    crop(photos, OUT, shard="0/2")
    api.merge(OUT)
    assert_like(OUT, reference)


@pytest.mark.parametrize("late", [False, True])
def test_a_merge_killed_at_every_change_is_mended_by_another(
    photos: Path, reference: dict[str, bytes], late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for index in range(2):
        crop(photos, OUT, shard=f"{index}/2")
    start = objects(OUT)
    for number in range(1, 1000):
        set_objects(OUT, start)
        death = Death(number, late)
        with monkeypatch.context() as patch:
            put_before(patch, death.before, death.after)
            with contextlib.suppress(Killed):
                api.merge(OUT)
        assert_no_lie(OUT)
        api.merge(OUT)
        assert_like(OUT, reference, but=(JOURNAL, CANDIDATES))
        assert records(as_folder(objects(OUT))) == records(reference)
        if not death.dead:
            break
    assert number > 8


def test_a_shard_waits_for_a_merge_that_was_cut_off(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for index in range(2):
        crop(photos, OUT, shard=f"{index}/2")
    store_of(OUT).write(f"{OUT}/{STATE}/shards-merged.json", b"{}\n")
    with refused("merge_cut_off", UsageError):
        crop(photos, OUT, shard="0/2")


# ------------------------------------------------------------ stopped, killed, hampered


def test_a_run_that_is_told_to_stop_goes_on(photos: Path, reference: dict[str, bytes]) -> None:
    class Stopping(FakeDetector):
        def detect(self, image: Any, key: str = "") -> Detections:
            if len(self.calls) == 3:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().detect(image, key)

    with pytest.raises(Terminated) as terminated:
        crop(photos, OUT, detector=Stopping(), workers=1)
    first = terminated.value.result
    assert first.stopped == "SIGTERM"
    assert first.remaining > 0
    assert_no_lie(OUT)
    assert recorded(OUT).total() == first.done
    assert objects(OUT)["audit.csv"].count(b"\n") == 1 + first.done
    assert LOCK not in objects(OUT)
    crop(photos, OUT)
    assert set(recorded(OUT).values()) <= {1, 2}  # two: of those that cannot be used, which are tried again
    assert_like(OUT, reference, but=(JOURNAL, CANDIDATES))


def test_a_broken_detector_keeps_what_was_finished(photos: Path) -> None:
    class Broken(FakeDetector):
        def detect(self, image: Any, key: str = "") -> Detections:
            if len(self.calls) >= 4 or not key:
                raise RuntimeError("gone")
            return super().detect(image, key)

    write_photos(photos / "more", 30)
    with refused("broken_detector", DeticCropError):
        crop(photos, OUT, detector=Broken(), workers=1)
    assert recorded(OUT).total() >= 4
    assert "audit.csv" in objects(OUT)
    assert_no_lie(OUT)


@pytest.mark.parametrize("late", [False, True])
def test_a_run_killed_at_every_change_is_mended_by_another(
    photos: Path, reference: dict[str, bytes], late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1, 1000):
        set_objects(OUT, {})
        death = Death(number, late)
        with monkeypatch.context() as patch:
            put_before(patch, death.before, death.after)
            with contextlib.suppress(Killed):
                crop(photos, OUT)
        assert_no_lie(OUT)
        crop(photos, OUT)
        assert_no_lie(OUT)
        good = {key for key in recorded(OUT) if not key.startswith("bad/")}
        assert {recorded(OUT)[key] for key in good} == {1}
        assert_like(OUT, reference, but=(JOURNAL, CANDIDATES))
        if not death.dead:
            break
    assert number > 15


@pytest.mark.parametrize("late", [False, True])
def test_begun_anew_and_killed_at_every_change(
    photos: Path, reference: dict[str, bytes], late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    crop(photos, OUT, size=40)
    store_of(OUT).write(f"{OUT}/notes.txt", b"mine")
    start = objects(OUT)
    for number in range(1, 1000):
        set_objects(OUT, start)
        death = Death(number, late)
        with monkeypatch.context() as patch:
            put_before(patch, death.before, death.after)
            with contextlib.suppress(Killed):
                crop(photos, OUT, overwrite=True)
        crop(photos, OUT, overwrite=True)
        assert_like(OUT, reference | {"notes.txt": b"mine"})
        if not death.dead:
            break
    assert number > 20


def test_one_request_in_ten_fails(
    photos: Path, reference: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    stumbling = Stumbling(10, random.Random(1))
    put_before(monkeypatch, stumbling, stumbling)
    for _ in range(3):
        set_objects(OUT, {})
        crop(photos, OUT, limit=4)
        crop(photos, OUT)
        assert_like(OUT, reference, but=(JOURNAL, CANDIDATES, LOCK))  # that one is not tried as often
    assert stumbling.count > 10


@pytest.mark.parametrize("asked", [("find",), ("cat_file",), CHANGING])
def test_no_permission_is_one_line(
    photos: Path, asked: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    boxes = write_boxes(photos.parent / "boxes.csv", ["photo000.jpg"])
    arguments = ["run", "--in", str(photos), "--model", f"boxes:{boxes}", "--quiet", "--out"]
    crop(photos, "memory://bucket/earlier", limit=1)

    def refuse(method: str, path: str) -> None:
        if method in asked:
            raise PermissionError("Access Denied")

    put_before(monkeypatch, refuse)
    code = cli.main([*arguments, OUT])
    said = capsys.readouterr().err
    assert code in (1, 2)
    assert said.count("\n") == 1
    assert said.startswith("detic-crop: ")
    assert OUT in said
    assert "no permission (Access Denied)" in said
    monkeypatch.undo()
    assert objects(OUT) == {}


def test_no_permission_any_more_keeps_what_was_finished(
    photos: Path, reference: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    placed = []

    def refuse(method: str, path: str) -> None:
        if method == "pipe_file" and path.endswith(".jpg"):
            placed.append(path)
            if len(placed) > 3:
                raise PermissionError("Access Denied")

    with monkeypatch.context() as patch:
        put_before(patch, refuse)
        with refused("cannot_write", OutputError) as caught:
            crop(photos, OUT)
        assert f"{OUT}/" in caught.value.message
        assert "no permission" in caught.value.message
    assert_no_lie(OUT)
    crop(photos, OUT)
    assert_like(OUT, reference, but=(JOURNAL, CANDIDATES))


# ------------------------------------------------------------ whose it is


def test_somebody_elses_objects_stay(photos: Path) -> None:
    store_of(OUT).write(f"{OUT}/photo000.jpg", b"mine")
    with refused("foreign_folder", UsageError):
        crop(photos, OUT)
    assert objects(OUT) == {"photo000.jpg": b"mine"}
    with refused("out_is_file", UsageError):
        crop(photos, f"{OUT}/photo000.jpg")


def test_names_keep_clear_of_somebody_elses_objects(photos: Path) -> None:
    crop(photos, OUT, limit=1)
    store_of(OUT).write(f"{OUT}/photo000.jpg", b"mine")
    crop(photos, OUT)
    crop(photos, OUT, overwrite=True)
    held = objects(OUT)
    assert held["photo000.jpg"] == b"mine"
    assert "photo000.jpg.jpg" in held
    assert_no_lie(OUT)


def test_overwrite_asks_before_it_removes_verdicts(photos: Path, tmp_path: Path) -> None:
    crop(photos, tmp_path / "local")
    verdict_log(tmp_path / "local").append(Verdict("photo000.jpg", "rejected", (), "me", now()))
    api.apply(tmp_path / "local", quiet=True)
    copy_up(tmp_path / "local", OUT)
    crop(photos, OUT)
    assert f"{STATE}/rejected/photo000.jpg.rejected" in objects(OUT)
    assert "photo000.jpg" not in objects(OUT)
    with refused(
        "verdicts_would_be_lost",
        UsageError,
        match=f"verdicts in {OUT}/{STATE}/review.csv; add --discard-review",
    ):
        crop(photos, OUT, overwrite=True)
    crop(photos, OUT, overwrite=True, discard_review=True)
    crop(photos, tmp_path / "reference")
    assert_like(OUT, files_of(tmp_path / "reference"), but=(f"{STATE}/review.lock",))


def test_rejected_crops_of_an_earlier_version_are_renamed(photos: Path, tmp_path: Path) -> None:
    crop(photos, tmp_path / "local")
    verdict_log(tmp_path / "local").append(Verdict("photo000.jpg", "rejected", (), "me", now()))
    api.apply(tmp_path / "local", quiet=True)
    rejected = tmp_path / "local" / STATE / "rejected"
    data = (rejected / "photo000.jpg.rejected").read_bytes()
    (rejected / "photo000.jpg.rejected").rename(rejected / "photo000.jpg")
    copy_up(tmp_path / "local", OUT)
    crop(photos, OUT)
    held = objects(OUT)
    assert held[f"{STATE}/rejected/photo000.jpg.rejected"] == data
    assert f"{STATE}/rejected/photo000.jpg" not in held


def test_a_rejected_photo_that_changed_gets_its_crop_back(photos: Path, tmp_path: Path) -> None:
    crop(photos, tmp_path / "local")
    verdict_log(tmp_path / "local").append(Verdict("photo000.jpg", "rejected", (), "me", now()))
    api.apply(tmp_path / "local", quiet=True)
    copy_up(tmp_path / "local", OUT)
    write_photo(photos / "photo000.jpg", 77)
    for out in (OUT, tmp_path / "local"):
        assert "1 reviewed photo has changed" in " ".join(crop(photos, out).notes)
    held = objects(OUT)
    assert held["photo000.jpg"] == (tmp_path / "local" / "photo000.jpg").read_bytes()
    assert f"{STATE}/rejected/photo000.jpg.rejected" not in held
    assert b"undone" in held[f"{STATE}/review.csv"]


def test_output_inside_the_input_is_no_input(photos: Path, reference: dict[str, bytes]) -> None:
    copy_up(photos, "memory://bucket/photos")
    out = "memory://bucket/photos/cropped"
    for _ in range(2):
        crop("memory://bucket/photos", out)
        assert_like(out, reference, but=(JOURNAL, CANDIDATES, f"{STATE}/listing.json", "audit.html"))


@pytest.mark.parametrize(
    ("given", "out"),
    [
        ("memory://bucket/photos", "memory://bucket/photos/"),
        ("memory://bucket/photos/*.jpg", "memory://bucket/photos"),
        ("memory://bucket/photos/day1", "memory://bucket/photos"),
    ],
)
def test_input_and_output_are_apart(given: str, out: str) -> None:
    with refused("out_is_input", UsageError):
        crop(given, out)


@pytest.mark.parametrize("listed", ["photos/a.jpg", "photos/*.jpg", "sets/set.tar"])
def test_a_list_of_what_lies_inside_the_output_is_refused(tmp_path: Path, listed: str) -> None:
    write_photo(tmp_path / "a.jpg")
    with tarfile.open(tmp_path / "set.tar", "w") as made:
        made.add(tmp_path / "a.jpg", "a.jpg")
    crop(tmp_path / "a.jpg", OUT)
    held = objects(OUT)
    held["photos/a.jpg"] = (tmp_path / "a.jpg").read_bytes()
    held["sets/set.tar"] = (tmp_path / "set.tar").read_bytes()
    set_objects(OUT, held)
    (tmp_path / "list.txt").write_text(f"{OUT}/{listed}\n")
    with refused("photos_in_output", UsageError):
        crop(tmp_path / "list.txt", OUT, add=True, overwrite=True)
    assert objects(OUT) == held


def test_what_works_on_a_disk_only_says_so(photos: Path, tmp_path: Path) -> None:
    crop(photos, OUT)
    before = objects(OUT)
    calls: dict[str, Callable[[], object]] = {
        "review": lambda: api.review(OUT),
        "apply": lambda: api.apply(OUT),
        "recrop": lambda: api.recrop(OUT, tmp_path / "new"),
    }
    for command, call in calls.items():
        with refused("needs_disk", UsageError) as caught:
            call()
        assert caught.value.message.startswith(f"{command} needs the folder on a disk: copy {OUT} here")
    assert objects(OUT) == before


# ------------------------------------------------------------ two writers


def blocked(photos: Path, out: str) -> tuple[threading.Thread, threading.Event, list[DeticCropError]]:
    """A run in a thread whose detector waits; what lets it go on, and how it ended."""
    begun, go_on = threading.Event(), threading.Event()
    ended: list[DeticCropError] = []

    class Waiting(FakeDetector):
        def detect(self, image: Any, key: str = "") -> Detections:
            if len(self.calls) == 5:
                begun.set()
                go_on.wait(600)
            return super().detect(image, key)

    def work() -> None:
        try:
            crop(photos, out, detector=Waiting(), workers=1)
        except DeticCropError as error:
            ended.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert begun.wait(600)
    return thread, go_on, ended


def test_a_second_run_is_refused_and_the_first_goes_on(photos: Path, reference: dict[str, bytes]) -> None:
    thread, go_on, ended = blocked(photos, OUT)
    try:
        who = f"process {os.getpid()} on "
        with refused("in_use", OutputError, match=f"another run is writing to {OUT} .{who}"):
            crop(photos, OUT)
        with refused("in_use", OutputError, match=f"another run is writing to {OUT} .{who}"):
            crop(photos, OUT, shard="0/2")
        with refused("in_use", OutputError, match=who):
            api.write_audit(OUT)
    finally:
        go_on.set()
        thread.join()
    assert ended == []
    assert_like(OUT, reference)


def test_a_shard_at_work_keeps_a_whole_run_away(photos: Path) -> None:
    owner = lock_of(host="elsewhere", renewed=time.time())
    store_of(OUT).write(f"{OUT}/{STATE}/shards/0000-of-0002/lock-owner.json", owner)
    with refused("in_use", OutputError, match=rf"shard 0/2 of {OUT} is at work \(process 7 on elsewhere"):
        crop(photos, OUT)
    crop(photos, OUT, shard="1/2")
    with refused("in_use", OutputError, match="shard 0/2"):
        crop(photos, OUT, shard="0/2")


def lock_of(**values: Any) -> bytes:
    """A lock's object as another process would leave it."""
    return json.dumps({"pid": 7, "host": "here", "since": "then", "token": "x", **values}).encode()


def test_a_lock_that_nobody_renews_is_taken_over(
    photos: Path, reference: dict[str, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    fresh = time.time() - locks.STALE_AFTER / 3
    store_of(OUT).write(f"{OUT}/{LOCK}", lock_of(host="elsewhere", renewed=fresh))
    with refused("in_use", OutputError, match="process 7 on elsewhere, since then"):
        crop(photos, OUT)
    stale = time.time() - locks.STALE_AFTER - 1
    store_of(OUT).write(f"{OUT}/{LOCK}", lock_of(host="elsewhere", renewed=stale))
    with caplog.at_level("INFO", "detic_crop"):
        crop(photos, OUT)
    assert "process 7 on elsewhere, since then, was cut off; going on" in caplog.text
    assert_like(OUT, reference)


@pytest.mark.parametrize("place", ["same", "other processes", "another host"])
def test_a_run_that_died_on_this_machine_is_gone_at_once(photos: Path, place: str) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    where = {"host": socket.gethostname(), "processes": process_space()}
    where |= {"same": {}, "other processes": {"processes": "x"}, "another host": {"host": "x"}}[place]
    store_of(OUT).write(f"{OUT}/{LOCK}", lock_of(pid=process.pid, renewed=time.time(), **where))
    if place == "same":
        assert crop(photos, OUT).done == 11
    else:
        with refused("in_use", OutputError, match=f"process {process.pid} on {where['host']}"):
            crop(photos, OUT)


def test_a_journal_that_another_run_has_continued_is_left_alone(photos: Path) -> None:
    thread, go_on, ended = blocked(photos, OUT)
    try:
        held = as_folder(objects(OUT))
        theirs = f"{OUT}/{segments.segments_folder(Path(JOURNAL)).as_posix()}/"
        theirs += segments.segment_name(len(held.get(JOURNAL, b"")))
        # The batch that is on its way is let through first.
        deadline = time.monotonic() + 600
        while len(segment_names(OUT, "journal.jsonl")) < 1 and time.monotonic() < deadline:
            time.sleep(0.01)
        held = as_folder(objects(OUT))
        name = segments.segment_name(len(held[JOURNAL]))
        theirs = f"{OUT}/{STATE}/journal/{name}"
        store_of(OUT).write(theirs, b'{"image":"theirs","status":"failed"}\n')
    finally:
        go_on.set()
        thread.join()
    (error,) = ended
    assert f"another run writes to {OUT}: {theirs} is not what this one wrote" in str(error)
    assert store_of(OUT).read(theirs) == b'{"image":"theirs","status":"failed"}\n'
    assert_no_lie(OUT)


def test_a_run_that_slept_while_another_took_over_ends(photos: Path) -> None:
    class Slow(FakeDetector):
        def detect(self, image: Any, key: str = "") -> Detections:
            if len(self.calls) == 5:
                theirs = lock_of(host="elsewhere", renewed=time.time())
                store_of(OUT).write(f"{OUT}/{LOCK}", theirs)
            return super().detect(image, key)

    with refused("in_use", OutputError, match=f"another run is writing to {OUT} .process 7 on elsewhere"):
        crop(photos, OUT, detector=Slow(), workers=1)
    assert_no_lie(OUT)
    assert json.loads(objects(OUT)[LOCK])["host"] == "elsewhere"
    assert "audit.csv" not in objects(OUT)


def test_a_lock_that_was_taken_over_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "RENEWED_EACH", 0.01)
    lock = locks.StoreLease(store_of(OUT), OUT, Layout("", None, OUT))
    lock.take()
    try:
        first = json.loads(objects(OUT)[LOCK])["renewed"]
        deadline = time.monotonic() + 600
        while json.loads(objects(OUT)[LOCK])["renewed"] == first and time.monotonic() < deadline:
            time.sleep(0.01)
        lock.check()
        store_of(OUT).write(f"{OUT}/{LOCK}", lock_of(host="elsewhere", renewed=time.time()))
        while time.monotonic() < deadline:
            try:
                lock.check()
            except OutputError as error:
                assert "process 7 on elsewhere" in str(error)  # noqa: PT017
                assert str(error).endswith("what was finished is kept")  # noqa: PT017
                break
            # Between its look and its writing it may have written over the other one's.
            store_of(OUT).write(f"{OUT}/{LOCK}", lock_of(host="elsewhere", renewed=time.time()))
            time.sleep(0.01)
        else:
            pytest.fail("not noticed")
    finally:
        lock.release()
    assert json.loads(objects(OUT)[LOCK])["host"] == "elsewhere"


@pytest.mark.parametrize("what", ["merge", "overwrite"])
def test_what_another_run_did_before_this_one_holds_the_lock_counts(
    photos: Path, reference: dict[str, bytes], what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opened beside the old state, locked beside the new one."""
    if what == "merge":
        for index in range(2):
            crop(photos, OUT, shard=f"{index}/2")
    else:
        crop(photos, OUT, conf=0.9)
    take, others = locks.StoreLease.take, [0]

    def take_later(lock: locks.StoreLease) -> None:
        if not others:
            take(lock)
            return
        others.clear()
        if what == "merge":
            api.merge(OUT)
        else:
            crop(photos, OUT, conf=0.95, overwrite=True)
        take(lock)

    monkeypatch.setattr(locks.StoreLease, "take", take_later)
    if what == "merge":
        crop(photos, OUT, shard="1/2")
        api.merge(OUT)
        assert_like(OUT, reference, but=(JOURNAL, CANDIDATES))  # damaged photos are tried again
        assert f"{STATE}/shards" not in " ".join(objects(OUT))
    else:
        with refused("other_settings", UsageError):
            crop(photos, OUT, conf=0.9)
        crop(photos, OUT, overwrite=True)
        assert_like(OUT, reference)
    assert_no_lie(OUT)


def test_shards_that_were_merged_meanwhile_are_gone_here(photos: Path) -> None:
    for index in range(2):
        crop(photos, OUT, shard=f"{index}/2")
    with open_folder(OUT) as folder:
        assert len(folder.shards()) == 2
        api.merge(OUT)
        folder.mirror.pull()
        assert folder.shards() == []
        assert folder.layout.journal.read_bytes() == as_folder(objects(OUT))[JOURNAL]


# ------------------------------------------------------------ segments


def test_a_lost_segment_is_one_line_and_nothing_changes(photos: Path) -> None:
    crop(photos, OUT)
    first, second, *_ = segment_names(OUT, "journal.jsonl")
    store_of(OUT).remove([join(OUT, first)])
    before = objects(OUT)
    words = (
        rf"a part of {OUT}/{JOURNAL} is missing: expected one that begins at byte 0, got {Path(second).name}"
    )
    with refused("segment_missing", UsageError, match=words):
        crop(photos, OUT)
    with refused("segment_missing", UsageError, match=words):
        api.write_audit(OUT)
    assert objects(OUT) == before
    crop(photos, OUT, overwrite=True)
    assert_no_lie(OUT)


def test_a_copy_on_a_disk_puts_its_segments_together(
    photos: Path, reference: dict[str, bytes], tmp_path: Path
) -> None:
    crop(photos, OUT, limit=8)
    copy = copy_down(OUT, tmp_path / "copy")
    api.write_audit(copy)
    crop(photos, OUT)
    copy_down(OUT, copy)  # what was done since
    api.write_audit(copy)
    assert_same(copy, product(tmp_path / "reference"))
    verdict_log(copy).append(Verdict("photo000.jpg", "whole", (), "me", now()))
    assert api.apply(copy, quiet=True).done == 1
    api.recrop(copy, tmp_path / "again", quiet=True)
    assert crop(photos, copy).skipped == 7
    crop(photos, OUT, overwrite=True)
    crop(photos, copy, overwrite=True, discard_review=True)
    assert_same(copy, product(tmp_path / "reference"))
    assert not (copy / STATE / "journal").exists()


def test_a_copy_that_went_on_by_itself_is_not_mixed(photos: Path, tmp_path: Path) -> None:
    crop(photos, OUT, limit=8)
    copy = copy_down(OUT, tmp_path / "copy")
    crop(photos, copy, limit=9)
    crop(photos, OUT)
    copy_down(OUT, copy)
    before = files_of(copy)
    with refused("segment_missing", UsageError, names=["is there twice"]):
        crop(photos, copy)
    assert files_of(copy) == before


def test_unmerged_shards_can_be_copied_and_merged(
    photos: Path, reference: dict[str, bytes], tmp_path: Path
) -> None:
    for index in range(2):
        crop(photos, OUT, shard=f"{index}/2")
    api.merge(copy_down(OUT, tmp_path / "copy"))
    assert_same(tmp_path / "copy", product(tmp_path / "reference"))


def test_a_folder_that_was_begun_on_a_disk_goes_on_in_a_store(
    photos: Path, reference: dict[str, bytes], tmp_path: Path
) -> None:
    crop(photos, tmp_path / "local", limit=8)
    with open(tmp_path / "local" / JOURNAL, "ab") as file:
        file.write(b'{"image": "torn')
    copy_up(tmp_path / "local", OUT)
    assert crop(photos, OUT).done == 7
    assert crop(photos, OUT).done == 4
    copy = copy_down(OUT, tmp_path / "copy")
    api.write_audit(copy)
    assert_same(copy, product(tmp_path / "reference"))


def test_large_growth_goes_up_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "LARGEST", 10)
    assert segments.pieces(b"") == []
    assert segments.pieces(b"1\n") == [b"1\n"]
    assert segments.pieces(b"1234\n1234\n1234\n") == [b"1234\n1234\n", b"1234\n"]
    assert segments.pieces(b"123456789012\n1\n") == [b"123456789012\n", b"1\n"]


# ------------------------------------------------------------ S3


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of something that speaks S3, with a bucket ``photos``."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket."""
    import s3fs  # type: ignore[import-untyped]

    for name, value in {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "key-of-nobody",
        "AWS_SECRET_ACCESS_KEY": "secret-of-nobody",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    stores._store.cache_clear()
    s3fs.S3FileSystem.clear_instance_cache()
    fsspec.filesystem("s3").mkdir("photos")
    yield "s3://photos"
    fsspec.filesystem("s3").rm("photos", recursive=True)
    stores._store.cache_clear()
    s3fs.S3FileSystem.clear_instance_cache()


def test_s3(photos: Path, s3: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = f"{s3}/cropped"
    write_photo(photos / "día 1" / "a b+c&d%41;=#é.jpg", 5)
    write_photo(photos / "día 1" / "who?[1]*.jpg", 6)
    crop(photos, photos.parent / "reference")
    reference = files_of(photos.parent / "reference")
    # As a web page for stores makes a folder.
    store_of(out).fs.call_s3("put_object", Bucket="photos", Key="cropped/", Body=b"")
    crop(photos, out, limit=8)
    crop(photos, out)
    assert_like(out, reference, but=(JOURNAL, CANDIDATES))
    held = objects(out)
    assert not [
        name for name, data in held.items() if b"secret-of-nobody" in data or b"key-of-nobody" in data
    ]
    (photos / "photo000.jpg").write_bytes(b"spoilt")
    crop(photos, out)
    assert "photo000.jpg" not in objects(out)
    assert cli.main(["audit", out]) == 0
    assert f"look at {out}/audit.html" in capsys.readouterr().out


def test_s3_shards(photos: Path, reference: dict[str, bytes], s3: str) -> None:
    for index in range(2):
        crop(photos, f"{s3}/cropped", shard=f"{index}/2")
    api.merge(f"{s3}/cropped")
    assert_like(f"{s3}/cropped", reference)
    crop(photos, f"{s3}/cropped", overwrite=True)
    assert_like(f"{s3}/cropped", reference)


def test_s3_creates_no_object_twice(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_of(s3)
    store.create(f"{s3}/a", b"1")
    store.create(f"{s3}/a", b"1")
    with pytest.raises(FileExistsError):
        store.create(f"{s3}/a", b"2")
    looks = iter([False])  # the other one comes between the look and the writing
    holds = stores.Store._holds
    monkeypatch.setattr(
        stores.Store, "_holds", lambda self, path, data: next(looks, True) and holds(self, path, data)
    )
    with pytest.raises(FileExistsError):
        store.create(f"{s3}/a", b"2")
    assert store.read(f"{s3}/a") == b"1"


def test_s3_without_such_a_bucket(photos: Path, s3: str, capsys: pytest.CaptureFixture[str]) -> None:
    boxes = write_boxes(photos.parent / "boxes.csv", ["photo000.jpg"])
    arguments = ["run", "--in", str(photos), "--model", f"boxes:{boxes}", "--quiet", "--out"]
    assert cli.main([*arguments, "s3://no-such-bucket/cropped"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "s3://no-such-bucket/cropped cannot be read" in said
    assert "look at the bucket's name" in said


def test_rows_are_read_with_an_address(photos: Path, reference: dict[str, bytes]) -> None:
    crop(photos, OUT)
    assert len(api.read_audit(OUT)) == len(rows_of(photos.parent / "reference"))
    with refused("no_audit_csv", UsageError, names=["memory://bucket/none/audit.csv"]):
        api.read_audit("memory://bucket/none")
