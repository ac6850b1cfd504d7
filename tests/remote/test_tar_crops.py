"""Crops in tar files: what stands in them, and that nothing that happens on the way shows in the end."""

from __future__ import annotations

import errno
import shutil
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from detic_crop import api
from detic_crop.config import OutFormat
from detic_crop.errors import OutputError, UsageError
from detic_crop.folder.crop_paths import is_tar_name, place_of
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.inside import Inside
from detic_crop.folder.journal import Journal, replay
from detic_crop.folder.layout import PENDING
from detic_crop.folder.names import aside_name
from detic_crop.folder.records import Record
from detic_crop.folder.shard import Shard
from detic_crop.folder.tars import TarCrops, tar_name
from detic_crop.folder.verdict_lines import Verdict
from detic_crop.photos.keys import STATE
from tests.kit.detectors import FakeDetector
from tests.kit.errors import refused
from tests.kit.faults import Scene, disturb, fresh, overwritten, recropped, resumed, reviewed
from tests.kit.folders import assert_same, assert_samples, crop, files_of, product, rows_of, samples
from tests.kit.helpers import write
from tests.kit.photos import write_damaged, write_photo, write_photos
from tests.kit.processes import posix
from tests.kit.verdicts import verdict_log

pytestmark = pytest.mark.slow


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    write_photos(tmp_path / "in", 23)
    write_damaged(tmp_path / "in")
    return tmp_path / "in"


def tars(photos: Path, out: Path, **settings: Any) -> api.RunResult:
    return crop(photos, out, **{"out_format": "tar", "per_tar": 5, **settings})


def test_the_crops_of_files(photos: Path, tmp_path: Path) -> None:
    result = tars(photos, tmp_path / "out")
    crop(photos, tmp_path / "files")
    assert_samples(tmp_path / "out")
    plain = {n: data for n, data in files_of(tmp_path / "files").items() if n.endswith(".jpg")}
    found = {name.partition("/")[2]: data for name, (data, _) in samples(tmp_path / "out").items()}
    assert found == plain
    assert sorted(path.name for path in (tmp_path / "out").glob("*.tar")) == [
        tar_name(n, None) for n in range(6)
    ]
    row = next(row for row in rows_of(tmp_path / "out") if row["status"] == "cropped")
    record = replay(tmp_path / "out" / STATE / "journal.jsonl").records[row["image"]]
    values = samples(tmp_path / "out")[row["crop"]][1]
    assert values["box"] == list(record.box or ())
    assert (values["score"], values["class_name"]) == (record.score, record.class_name)
    assert result.counts == api.write_audit(tmp_path / "out").counts
    assert_samples(tmp_path / "out")


@pytest.mark.parametrize(("begun", "wrong"), [("tar", "files"), ("files", "tar")])
def test_damaged_settings_do_not_mix_files_and_tars(
    photos: Path, tmp_path: Path, begun: str, wrong: str
) -> None:
    tars(photos, tmp_path / "out", out_format=begun)
    before = product(tmp_path / "out")
    journal = tmp_path / "out" / STATE / "journal.jsonl"
    _, records = journal.read_bytes().split(b"\n", 1)
    journal.write_bytes(b"{damaged\n" + records)
    with refused("other_settings", UsageError, match="out_format"):
        tars(photos, tmp_path / "out", out_format=wrong)
    again = tars(photos, tmp_path / "out", out_format=begun)
    assert again.done == again.counts["failed"]
    assert_same(tmp_path / "out", before)


@pytest.mark.parametrize("workers", [1, 4])
def test_the_same_bytes_however_it_was_done(photos: Path, tmp_path: Path, workers: int) -> None:
    tars(photos, tmp_path / "reference")
    for limit in (1, 7, 8, 19, None):
        tars(photos, tmp_path / "out", limit=limit, workers=workers)
        assert_samples(tmp_path / "out")
    assert_same(tmp_path / "out", product(tmp_path / "reference"))
    before = files_of(tmp_path / "out")
    again = tars(photos, tmp_path / "out")
    assert (again.counts["failed"], again.done) == (4, 4)
    assert {n: d for n, d in files_of(tmp_path / "out").items() if n.endswith(".tar")} == {
        n: d for n, d in before.items() if n.endswith(".tar")
    }


def test_names_that_a_reader_would_cut(tmp_path: Path) -> None:
    for number, name in enumerate(
        ("a.b.jpg", "a.c.jpg", "a_b.jpg", "a.jpg", "a.png", ".x/y.z/q.jpg", "d.e/f.g.jpg")
    ):
        write_photo(tmp_path / "in" / name, number)
    tars(tmp_path / "in", tmp_path / "out")
    assert_samples(tmp_path / "out")
    names = {
        name.partition("/")[2]: values["image"] for name, (_, values) in samples(tmp_path / "out").items()
    }
    assert names == {
        "a_b.jpg": "a.b.jpg",
        "a_c.jpg": "a.c.jpg",
        "a_b_jpg.jpg": "a_b.jpg",
        "a.jpg": "a.jpg",
        "a_png.jpg": "a.png",
        "d.e/f_g.jpg": "d.e/f.g.jpg",
    }


@pytest.mark.parametrize("format", ["png", "webp"])
def test_other_formats(photos: Path, tmp_path: Path, format: str) -> None:
    tars(photos, tmp_path / "out", format=format)
    assert_samples(tmp_path / "out")
    assert all(name.endswith(f".{format}") for name in samples(tmp_path / "out"))


def test_a_photo_that_changed_leaves_no_old_sample(photos: Path, tmp_path: Path) -> None:
    tars(photos, tmp_path / "out")
    before = samples(tmp_path / "out")
    write_photo(photos / "photo000.jpg", 99)
    (photos / "photo003.jpg").write_bytes(b"broken since")
    assert tars(photos, tmp_path / "out").done == 6  # the four that were broken from the beginning, too
    assert_samples(tmp_path / "out")
    after = samples(tmp_path / "out")
    [gone] = before.keys() - after.keys()
    assert gone.endswith("/photo003.jpg")
    assert [name.partition("/")[2] for name in after if after[name] != before[name]] == ["photo000.jpg"]


def test_photos_that_come_later_move_no_crop(photos: Path, tmp_path: Path) -> None:
    tars(photos, tmp_path / "out")
    before = samples(tmp_path / "out")
    write_photo(photos / "a_first.jpg", 50)
    write_photo(photos / "zz_last.jpg", 51)
    tars(photos, tmp_path / "out")
    assert_samples(tmp_path / "out")
    after = samples(tmp_path / "out")
    assert {name: after[name] for name in before} == before
    assert {name.partition("/")[2] for name in after.keys() - before.keys()} == {"a_first.jpg", "zz_last.jpg"}


def test_a_damaged_tar_file_is_made_again(photos: Path, tmp_path: Path) -> None:
    tars(photos, tmp_path / "out")
    expected = product(tmp_path / "out")
    for number, damage in enumerate((lambda d: d[:700], lambda d: b"", lambda d: b"\x55" * len(d))):
        path = tmp_path / "out" / tar_name(number, None)
        path.write_bytes(damage(path.read_bytes()))  # type: ignore[no-untyped-call]
    (tmp_path / "out" / tar_name(3, None)).unlink()
    tars(photos, tmp_path / "out")
    assert_same(tmp_path / "out", expected)


def test_shards(photos: Path, tmp_path: Path) -> None:
    crop(photos, tmp_path / "files")
    for index in (2, 0, 1):
        tars(photos, tmp_path / "out", shard=f"{index}/3", per_tar=3)
        assert not (tmp_path / "out" / STATE / PENDING).exists()
    made = {n: d for n, d in files_of(tmp_path / "out").items() if n.endswith(".tar")}
    assert all(is_tar_name(name) and "-of-0003-" in name for name in made)
    api.merge(tmp_path / "out")
    assert_samples(tmp_path / "out")
    assert {n: d for n, d in files_of(tmp_path / "out").items() if n.endswith(".tar")} == made
    found = {name.partition("/")[2]: data for name, (data, _) in samples(tmp_path / "out").items()}
    assert found == {n: data for n, data in files_of(tmp_path / "files").items() if n.endswith(".jpg")}
    # A changed photo of a merged folder: in its tar file for a run, in an own one for a shard of others.
    write_photo(photos / "photo000.jpg", 99)
    tars(photos, tmp_path / "out")
    assert_samples(tmp_path / "out")
    write_photo(photos / "photo000.jpg", 98)
    for index in range(2):
        tars(photos, tmp_path / "out", shard=f"{index}/2", per_tar=3)
    api.merge(tmp_path / "out")
    assert_samples(tmp_path / "out")
    changed = next(row["crop"] for row in rows_of(tmp_path / "out") if row["image"] == "photo000.jpg")
    assert "-of-0002-" in changed


def test_shards_in_folders_of_their_own(photos: Path, tmp_path: Path) -> None:
    for index in range(3):
        tars(photos, tmp_path / f"out{index}", shard=f"{index}/3", per_tar=3)
        tars(photos, tmp_path / "one", shard=f"{index}/3", per_tar=3)
    api.merge(tmp_path / "one")
    for index in range(3):
        shutil.copytree(tmp_path / f"out{index}", tmp_path / "whole", dirs_exist_ok=True)
    api.merge(tmp_path / "whole")
    assert_same(tmp_path / "whole", product(tmp_path / "one"))
    assert_samples(tmp_path / "whole")


def test_review(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    tars(photos, out)
    reference = product(out)
    keys = [row["image"] for row in rows_of(out) if row["status"] != "failed"]
    log = verdict_log(out)
    box = (5.0, 5.0, 31.0, 28.0)
    words = ("box", "whole", "rejected", "accepted", "rejected")
    log.append(
        *(Verdict(key, word, (box,) if word == "box" else ()) for key, word in zip(keys, words, strict=False))
    )
    result = api.apply(out, quiet=True)
    assert result.counts["rejected"] == 2
    assert_samples(out)
    rows = {row["image"]: row for row in rows_of(out)}
    assert samples(out)[rows[keys[0]]["crop"]][1]["box"] == list(box)
    records = replay(out / STATE / "journal.jsonl").records
    rejected = [records[keys[2]].crop, records[keys[4]].crop]
    assert sorted(files_of(out / STATE / "rejected")) == sorted(map(aside_name, rejected))
    assert tars(photos, out).counts["rejected"] == 2  # a run keeps them out
    assert_samples(out)
    log.append(*(Verdict(key, "undone", ()) for key in keys[:5]))
    api.apply(out, quiet=True)
    assert_samples(out)
    assert not (out / STATE / "rejected").exists() or not files_of(out / STATE / "rejected")
    made = product(out)
    assert {n: made[n] for n in made if n.endswith(".tar")} == {
        n: reference[n] for n in reference if n.endswith(".tar")
    }


def test_recrop_and_back(photos: Path, tmp_path: Path) -> None:
    tars(photos, tmp_path / "tars")
    crop(photos, tmp_path / "files")
    formats: tuple[OutFormat | None, ...] = ("files", "tar", None, None)
    for source, format in zip(("tars", "files", "tars", "files"), formats, strict=True):
        api.recrop(
            tmp_path / source,
            tmp_path / f"{source}-{format}",
            size=16,
            quiet=True,
            out_format=format,
            per_tar=5,
        )
    assert_same_crops(tmp_path / "tars-files", tmp_path / "files-None")
    assert_samples(tmp_path / "tars-None")
    assert_samples(tmp_path / "files-tar")
    assert {n: d for n, d in product(tmp_path / "tars-None").items() if n.endswith(".tar")} == {
        n: d for n, d in product(tmp_path / "files-tar").items() if n.endswith(".tar")
    }


def assert_same_crops(one: Path, other: Path) -> None:
    ours, theirs = product(one), product(other)
    assert {n: d for n, d in ours.items() if n.endswith(".jpg")} == {
        n: d for n, d in theirs.items() if n.endswith(".jpg")
    }


def test_overwrite_removes_the_tar_files(photos: Path, tmp_path: Path) -> None:
    tars(photos, tmp_path / "out", per_tar=2)
    write(tmp_path / "out" / "crops-mine.tar", b"mine")
    with refused("other_settings", UsageError, names=["out_format was 'tar', now 'files'"]):
        crop(photos, tmp_path / "out")
    crop(photos, tmp_path / "out", overwrite=True)
    assert [path.name for path in (tmp_path / "out").glob("*.tar")] == ["crops-mine.tar"]
    tars(photos, tmp_path / "out", overwrite=True)
    (tmp_path / "out" / "crops-mine.tar").unlink()
    assert_samples(tmp_path / "out")


def test_somebody_elses_tar_file_stays(photos: Path, tmp_path: Path) -> None:
    tars(photos, tmp_path / "out", limit=3)
    write(tmp_path / "out" / tar_name(2, None), b"mine")
    with refused("foreign_tar", UsageError):
        tars(photos, tmp_path / "out")
    assert (tmp_path / "out" / tar_name(2, None)).read_bytes() == b"mine"
    tars(photos, tmp_path / "out", limit=10)


def test_a_folder_called_like_a_tar_file(tmp_path: Path) -> None:
    write_photo(tmp_path / "in" / "crops-00000.tar" / "a.jpg")
    crop(tmp_path / "in", tmp_path / "out")
    [row] = rows_of(tmp_path / "out")
    assert row["crop"] == "crops-00000.tar_/a.jpg"
    assert (tmp_path / "out" / row["crop"]).is_file()


def test_older_folders_keep_their_fingerprint() -> None:
    from detic_crop.config import CropConfig

    assert "out_format" not in CropConfig().to_dict()
    assert CropConfig.from_dict(CropConfig().to_dict()) == CropConfig()
    changed = CropConfig(out_format="tar")
    assert CropConfig.from_dict(changed.to_dict()) == changed
    assert changed.fingerprint() != CropConfig().fingerprint()
    assert CropConfig(algorithm=1).fingerprint() == "be9a923142b3f0c3"


def test_wrong_settings(photos: Path, tmp_path: Path) -> None:
    with refused("bad_value", UsageError, names=["--out-format", "files or tar", "'zip'"]):
        tars(photos, tmp_path / "out", out_format="zip")
    with refused("bad_value", UsageError, names=["--per-tar", "a whole number from 1"]):
        tars(photos, tmp_path / "out", per_tar=0)
    assert not (tmp_path / "out").exists()


def test_crops_wait_only_until_their_tar_file_is_full(photos: Path, tmp_path: Path) -> None:
    most = 0

    class Watching(FakeDetector):
        def detect(self, image: Any, key: str = "") -> Any:
            nonlocal most
            pending = tmp_path / "out" / STATE / PENDING
            most = max(
                most, sum(name.endswith(".jpg.wait") for name in files_of(pending)) if pending.exists() else 0
            )
            return super().detect(image, key)

    tars(photos, tmp_path / "out", per_tar=4, workers=1, detector=Watching())
    assert 0 < most <= 5


def test_names_of_tar_files() -> None:
    assert tar_name(12, None) == "crops-00012.tar"
    assert tar_name(123456, Shard(3, 16)) == "crops-0003-of-0016-123456.tar"
    assert place_of("crops-00012.tar/a/b.jpg") == ("crops-00012.tar", "a/b.jpg")
    for path in (
        "crops-00012.tar",
        "crops-x.tar/a.jpg",
        "a/crops-00012.tar/b.jpg",
        ".detic-crop/rejected/x.jpg",
    ):
        assert place_of(path) is None


def test_a_sample_can_be_read_and_put_back(tmp_path: Path) -> None:
    """Links and copies of the folder work: nothing but the folder is needed."""
    write_photos(tmp_path / "in", 4)
    tars(tmp_path / "in", tmp_path / "out", per_tar=2)
    shutil.copytree(tmp_path / "out", tmp_path / "copy")
    folder = OutputFolder(tmp_path / "copy")
    for name, (data, _) in samples(tmp_path / "out").items():
        assert folder.crops.read(name) == data
        assert folder.crops.size(name) == len(data)
    assert folder.crops.size("crops-00000.tar/none.jpg") is None
    with pytest.raises(FileNotFoundError):
        folder.crops.read("crops-00000.tar/none.jpg")


def test_names_as_long_as_a_disk_allows(tmp_path: Path) -> None:
    """What lies beside a crop while it waits has a longer name."""
    for number, name in enumerate(("x" * 251 + ".jpg", "ü" * 125 + "y.jpg")):
        write_photo(tmp_path / "in" / name, number)
    for expected in ({}, {"failed": 2}):
        assert tars(tmp_path / "in", tmp_path / "out").counts["failed"] == expected.get("failed", 0)
        assert_samples(tmp_path / "out")
        for path in (tmp_path / "in").iterdir():
            path.write_bytes(b"broken since")
    crop(tmp_path / "in", tmp_path / "files")


def test_recrop_of_names_that_tar_files_do_not_take(tmp_path: Path) -> None:
    for number, name in enumerate(("a.b.jpg", "a.c.jpg", "a_b.jpg", "A_B.jpg", "x" * 251 + ".jpg")):
        write_photo(tmp_path / "in" / name, number)
    crop(tmp_path / "in", tmp_path / "files")
    api.recrop(tmp_path / "files", tmp_path / "out", size=16, quiet=True, out_format="tar")
    assert_samples(tmp_path / "out")
    names = {values["image"]: place_of(name) for name, (_, values) in samples(tmp_path / "out").items()}
    assert len(names) == 5
    assert all("." not in place.name.removesuffix(".jpg") for place in names.values() if place)


def test_no_tar_file_gets_more_than_it_may_hold(photos: Path, tmp_path: Path) -> None:
    def sizes() -> dict[str, int]:
        return Counter(name.partition("/")[0] for name in samples(tmp_path / "out"))

    tars(photos, tmp_path / "out", limit=7, per_tar=5)
    tars(photos, tmp_path / "out", per_tar=10)  # another number than before
    assert_samples(tmp_path / "out")
    assert max(sizes().values()) <= 10
    for number in range(12):
        write_photo(photos / f"a{number}.jpg", 100 + number)
    for limit in (3, 9, None):
        tars(photos, tmp_path / "out", per_tar=10, limit=limit)
    assert_samples(tmp_path / "out")
    assert max(sizes().values()) <= 10
    assert sum(sizes().values()) == 35


# --- killed


@pytest.mark.parametrize("half", ["json", "jpg.wait"])
def test_killed_while_it_removes_what_it_packed(
    half: str, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tars(photos, tmp_path / "reference")

    remove = Inside.remove_tree

    def interrupted(inside: Inside, folder: Path, **settings: Any) -> None:
        if PENDING not in folder.parts:
            remove(inside, folder, **settings)
            return
        for path in sorted(folder.rglob(f"*.{half}"))[::2]:
            path.unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Inside, "remove_tree", interrupted)
        with pytest.raises(KeyboardInterrupt):
            tars(photos, tmp_path / "out")
    assert (tmp_path / "out" / STATE / PENDING).exists()
    tars(photos, tmp_path / "out")
    assert_samples(tmp_path / "out")
    assert_same(tmp_path / "out", product(tmp_path / "reference"))


def killed_tars(photos: Path, out: Path, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Put so many crops and one more, which is not recorded."""
    append = Journal.append
    placed = []

    def killed(journal: Journal, record: Record) -> None:
        placed.extend([record.crop] if record.crop else [])
        if len(placed) > after:
            raise KeyboardInterrupt
        append(journal, record)

    with monkeypatch.context() as patched:
        patched.setattr(Journal, "append", killed)
        patched.setattr(TarCrops, "forget", lambda *_: None)
        patched.setattr(TarCrops, "flush", lambda *_: None)
        with pytest.raises(KeyboardInterrupt):
            tars(photos, out, workers=1)
    assert len(list((out / STATE / PENDING).rglob("*.json"))) == after + 1


def test_shards_go_on_where_a_run_was_killed(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it put and did not record waits for a tar file that no shard makes."""
    killed_tars(photos, tmp_path / "out", monkeypatch, after=0)
    for index in range(2):
        tars(photos, tmp_path / "out", shard=f"{index}/2")
    api.merge(tmp_path / "out")
    assert_samples(tmp_path / "out")
    assert not (tmp_path / "out" / "crops-00000.tar").exists()


def test_verdicts_are_applied_where_a_run_was_killed(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it put and did not record gets into no tar file, where a later run would not look for it."""
    killed_tars(photos, tmp_path / "out", monkeypatch, after=1)
    api.apply(tmp_path / "out")
    assert_samples(tmp_path / "out")


@pytest.mark.parametrize("left", ["crops-00000.tar/day1", "."])
def test_empty_folders_that_a_killed_run_left_are_removed(photos: Path, tmp_path: Path, left: str) -> None:
    tars(photos, tmp_path / "out")
    (tmp_path / "out" / STATE / PENDING / left).mkdir(parents=True)
    tars(photos, tmp_path / "out")
    assert not (tmp_path / "out" / STATE / PENDING).exists()


@posix
@pytest.mark.parametrize(
    ("make", "step"), [(fresh, 2), (resumed, 3), (overwritten, 5), (recropped, 5), (reviewed, 2)]
)
@pytest.mark.parametrize("kind", ["kill", "ENOSPC"])
def test_disturbed_at_every_operation(
    make: Callable[[Path], Scene], step: int, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DETIC_CROP_OUT_FORMAT", "tar")
    monkeypatch.setenv("DETIC_CROP_PER_TAR", "2")
    step *= 1 if kind == "kill" else 2
    counts = disturb(make(tmp_path), tmp_path, kind, lasting=kind != "kill", step=step)
    assert_samples(tmp_path / "reference")
    assert counts[f"exit {-signal.SIGKILL}" if kind == "kill" else "exit 1"] > 40 // step


def test_a_journal_that_could_not_be_written(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crop that was placed and not recorded gets into no tar file."""
    tars(photos, tmp_path / "reference")

    append = Journal.append

    def full(journal: Journal, record: Record) -> None:
        if record.crop:
            raise OSError(errno.ENOSPC, "full")
        append(journal, record)

    with monkeypatch.context() as patched:
        patched.setattr(Journal, "append", full)
        with refused("disk_full", OutputError):
            tars(photos, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.tar"))
    tars(photos, tmp_path / "out")
    assert_samples(tmp_path / "out")
    assert_same(tmp_path / "out", product(tmp_path / "reference"))
