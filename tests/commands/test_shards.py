"""`--shard`: which photos fall to which shard, and what shards do beside each other in one folder."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detic_crop import api
from detic_crop.cli import main as cli
from detic_crop.commands import choose_detector
from detic_crop.config import RunOptions
from detic_crop.errors import OutputError, UsageError
from detic_crop.folder import lock as lock_module
from detic_crop.folder import patience as patience_module
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.journal import replay
from detic_crop.folder.patience import Patience
from detic_crop.folder.shard import Shard, owner
from detic_crop.folder.writer import Writer
from detic_crop.photos.keys import STATE
from detic_crop.shards.resolve import resolve_shard
from tests.kit.detectors import FakeDetector
from tests.kit.errors import refused
from tests.kit.faults import Scene, cli_command, difficult_run, disturb, many_photos
from tests.kit.folders import crop, files_of, leftovers, product, product_and_state, rows_of, untouched
from tests.kit.photos import write_boxes, write_difficult_photos, write_photo, write_photos
from tests.kit.processes import ROOT, posix

pytestmark = pytest.mark.slow


def journal_of(out: Path, shard: str = "") -> Path:
    return OutputFolder(out, resolve_shard(shard or None)).layout.journal


# ---------------------------------------------------------------- which photos are whose


@pytest.mark.parametrize(
    ("key", "of_16", "of_7"),
    # printf %s KEY | b2sum -l 64, as a number, modulo 16 and 7
    [("photo000.jpg", 9, 5), ("day1/photo001.jpg", 3, 4), ("日本/鯨.png", 1, 6), ("", 4, 0)],
)
def test_the_split_is_the_same_for_ever(key: str, of_16: int, of_7: int) -> None:
    assert (owner(key, 16), owner(key, 7)) == (of_16, of_7)


@given(st.text(), st.integers(1, 50))
def test_every_photo_falls_to_one_shard(key: str, count: int) -> None:
    assert [Shard(index, count).owns(key) for index in range(count)].count(True) == 1


def test_the_split_is_balanced() -> None:
    sizes = Counter(owner(f"day{number % 97}/IMG_{number:07}.jpg", 16) for number in range(160_000))
    assert set(sizes) == set(range(16))
    assert max(sizes.values()) < 1.05 * 10_000  # five standard deviations


def test_folder_names_and_shards_are_one_to_one() -> None:
    for shard in (Shard(0, 1), Shard(3, 16), Shard(12345, 99999)):
        assert Shard.of_folder(shard.folder_name) == shard
    for name in ("0003-of-0003", "3-of-16", "00003-of-0016", "lock", "0003-of-0016.bak", "0000-of-0000"):
        assert Shard.of_folder(name) is None


@pytest.mark.parametrize(
    ("text", "shard"), [("0/16", Shard(0, 16)), (" 15 / 16 ", Shard(15, 16)), ("0/1", Shard(0, 1))]
)
def test_shards_by_number(text: str, shard: Shard) -> None:
    assert resolve_shard(text, {}) == shard


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("16/16", "numbered from 0 to 15"),
        ("1/0", "expected 1 to 100000 shards"),
        ("0/100001", "expected 1 to 100000 shards"),
        ("3", "k/N such as 0/16"),
        ("-1/4", "k/N such as 0/16"),
        ("1/4/8", "k/N such as 0/16"),
        ("", "k/N such as 0/16"),
        ("half", "k/N such as 0/16"),
        ("١/4", "k/N such as 0/16"),
        ("auto", "neither JOB_COMPLETION_INDEX"),
    ],
)
def test_what_is_no_shard_is_refused_in_one_line(text: str, named: str) -> None:
    with refused("bad_shard", UsageError) as caught:
        resolve_shard(text, {})
    assert named in caught.value.message
    assert "\n" not in caught.value.message


def slurm(
    task: int, count: int, first: int, last: int, step: int | None = None, **more: str
) -> dict[str, str]:
    told = {"ID": task, "COUNT": count, "MIN": first, "MAX": last, "STEP": step}
    return {
        f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in told.items() if value is not None
    } | more


@pytest.mark.parametrize(
    ("environment", "shard"),
    [
        ({"JOB_COMPLETION_INDEX": "3", "DETIC_CROP_SHARDS": "16"}, Shard(3, 16)),
        ({"JOB_COMPLETION_INDEX": "0", "DETIC_CROP_SHARDS": "1"}, Shard(0, 1)),
        (slurm(0, 16, 0, 15), Shard(0, 16)),
        (slurm(16, 16, 1, 16, 1), Shard(15, 16)),
        (slurm(20, 4, 10, 40, 10), Shard(1, 4)),
        (slurm(5, 1, 5, 5, 1), Shard(0, 1)),
        (
            {"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_COUNT": "8", "SLURM_ARRAY_TASK_MIN": "0"},
            Shard(7, 8),
        ),
        # Two tasks of sixteen once more: --array=3,7
        (slurm(7, 2, 3, 7, 1, DETIC_CROP_SHARDS="16"), Shard(7, 16)),
        ({"SLURM_ARRAY_TASK_ID": "7", "DETIC_CROP_SHARDS": "16"}, Shard(7, 16)),
    ],
)
def test_auto_reads_what_array_jobs_are_told(environment: dict[str, str], shard: Shard) -> None:
    assert resolve_shard("auto", environment) == shard
    assert resolve_shard(" AUTO", environment) == shard


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"JOB_COMPLETION_INDEX": "3"}, "the number of shards is not known; set DETIC_CROP_SHARDS"),
        ({"DETIC_CROP_SHARDS": "16"}, "neither JOB_COMPLETION_INDEX"),
        ({"JOB_COMPLETION_INDEX": "16", "DETIC_CROP_SHARDS": "16"}, "numbered from 0 to 15"),
        (
            {"JOB_COMPLETION_INDEX": "x", "DETIC_CROP_SHARDS": "16"},
            "JOB_COMPLETION_INDEX must be a whole number",
        ),
        (
            {"JOB_COMPLETION_INDEX": "1", "DETIC_CROP_SHARDS": "-2"},
            "DETIC_CROP_SHARDS must be a whole number",
        ),
        (
            {"JOB_COMPLETION_INDEX": "1", **slurm(1, 2, 0, 1)},
            "both JOB_COMPLETION_INDEX and SLURM_ARRAY_TASK_ID",
        ),
        ({"SLURM_ARRAY_TASK_ID": "3"}, "SLURM_ARRAY_TASK_COUNT and _MIN are not set"),
        (slurm(5, 3, 1, 9, 1), "are not a range"),  # --array=1,5,9
        (slurm(1, 3, 1, 9), "are not a range"),
        (slurm(15, 3, 10, 40, 10), "are not a range"),
        (slurm(1, 16, 1, 16, DETIC_CROP_SHARDS="16"), "tasks are numbered from 0 to 15"),
        (slurm(16, 16, 1, 16, DETIC_CROP_SHARDS="16"), "tasks are numbered from 0 to 15"),
    ],
)
def test_auto_refuses_what_does_not_tell_the_shard(environment: dict[str, str], named: str) -> None:
    with refused("bad_shard", UsageError) as caught:
        resolve_shard("auto", environment)
    assert named in caught.value.message


def test_nothing_is_sharded_unless_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = write_photos(tmp_path / "in", 4)
    for name, value in {**slurm(0, 2, 0, 1), "JOB_COMPLETION_INDEX": "0", "DETIC_CROP_SHARDS": "2"}.items():
        monkeypatch.setenv(name, value)
    crop(tmp_path / "in", tmp_path / "out")
    assert [row["image"] for row in rows_of(tmp_path / "out")] == keys


# ---------------------------------------------------------------- one shard


@pytest.fixture
def photos(tmp_path: Path) -> tuple[Path, list[str]]:
    return tmp_path / "in", write_difficult_photos(tmp_path / "in", 17)


def test_a_shard_does_its_part_and_writes_no_tables(photos: tuple[Path, list[str]], tmp_path: Path) -> None:
    folder, keys = photos
    detector = FakeDetector()
    result = crop(folder, tmp_path / "out", shard="1/3", detector=detector)
    own = [key for key in keys if owner(key, 3) == 1]
    assert list(replay(journal_of(tmp_path / "out", "1/3")).records) == own
    assert (result.done, result.counts.total(), result.remaining) == (len(own), len(own), 0)
    names = product(tmp_path / "out")
    crop(folder, tmp_path / "whole")
    whole = product(tmp_path / "whole")
    assert names
    assert not {"audit.csv", "audit.html", "run.json"} & set(files_of(tmp_path / "out"))
    assert names == {name: whole[name] for name in names}
    told = json.loads((tmp_path / "out" / STATE / "shards" / "0001-of-0003" / "run.json").read_bytes())
    assert (told["shard"], told["photos_done_now"]) == ("1/3", len(own))
    assert leftovers(tmp_path / "out") == []


def test_a_shard_without_photos_is_done_at_once(tmp_path: Path) -> None:
    write_photo(tmp_path / "in" / "a.jpg")
    (mine,) = [index for index in range(3) if owner("a.jpg", 3) == index]
    for index in range(3):
        assert crop(tmp_path / "in", tmp_path / "out", shard=f"{index}/3").done == (index == mine)
    assert api.merge(tmp_path / "out").counts.total() == 1


def test_limit_and_labels_choose_first_then_photos_are_split(
    photos: tuple[Path, list[str]], tmp_path: Path
) -> None:
    folder, keys = photos
    labels = tmp_path / "labels.csv"
    labels.write_text("image\n" + "\n".join(reversed(keys)) + "\n", encoding="utf-8")
    asked: list[str] = []
    for index in range(2):
        crop(folder, tmp_path / "out", shard=f"{index}/2", labels=labels, limit=6)
        asked += replay(journal_of(tmp_path / "out", f"{index}/2")).records
    assert sorted(asked) == sorted(keys[-6:])


def test_the_same_shard_again_resumes(photos: tuple[Path, list[str]], tmp_path: Path) -> None:
    folder, keys = photos
    own = [key for key in keys if owner(key, 2) == 0 and not key.startswith("bad/")]
    first = crop(folder, tmp_path / "out", shard="0/2")
    write_photo(folder / own[2], 99)
    detector = FakeDetector()
    again = crop(folder, tmp_path / "out", shard="0/2", detector=detector)
    assert set(detector.calls) == {own[2]}
    assert again.skipped + again.done == first.done
    assert again.counts == first.counts


def test_a_dry_run_of_a_shard_writes_nothing(photos: tuple[Path, list[str]], tmp_path: Path) -> None:
    folder, keys = photos
    result = crop(folder, tmp_path / "out", shard="0/2", dry_run=True)
    assert result.remaining == sum(owner(key, 2) == 0 for key in keys)
    assert not (tmp_path / "out").exists()


def test_time_limit_of_a_shard_and_then_the_rest(tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 60)
    slow = FakeDetector(delay=0.02)
    stopped = crop(tmp_path / "in", tmp_path / "out", shard="0/2", detector=slow, time_limit=0.1)
    assert stopped.stopped == "time_limit"
    assert stopped.done > 0
    assert stopped.remaining > 0
    rest = crop(tmp_path / "in", tmp_path / "out", shard="0/2")
    assert (rest.skipped, rest.done) == (stopped.done, stopped.remaining)


def test_the_command_says_what_is_next(
    photos: tuple[Path, list[str]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, keys = photos
    command = cli_command(folder, write_boxes(tmp_path / "boxes.csv", keys))[:-1]
    out = tmp_path / "my crops"
    monkeypatch.setenv("DETIC_CROP_SHARD", "0/2")
    assert cli.main([*command, "--out", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2].startswith("shard 0/2: ")
    assert lines[-1] == f"no tables yet; once all 2 shards are done, run: detic-crop merge '{out}'"
    monkeypatch.delenv("DETIC_CROP_SHARD")
    code = cli.main([*command, "--out", str(out), "--shard", "1/2", "--strict"])
    failed = any(key.startswith("bad/") and owner(key, 2) == 1 for key in keys)
    assert code == (3 if failed else 0)
    assert cli.main([*command, "--out", str(out), "--shard", "2/2"]) == 2
    assert "numbered from 0 to 1" in capsys.readouterr().err.splitlines()[-1]


def test_overwrite_does_one_shard_anew(photos: tuple[Path, list[str]], tmp_path: Path) -> None:
    folder, keys = photos
    for index in range(2):
        crop(folder, tmp_path / "out", shard=f"{index}/2")
    before = product(tmp_path / "out")
    detector = FakeDetector()
    crop(folder, tmp_path / "out", shard="0/2", overwrite=True, detector=detector)
    assert set(detector.calls) == {k for k in keys if owner(k, 2) == 0 and not k.startswith("bad/")}
    assert product(tmp_path / "out") == before
    with refused("other_settings", UsageError):
        crop(folder, tmp_path / "out", shard="0/2", overwrite=True, size=64)
    assert product(tmp_path / "out") == before
    api.merge(tmp_path / "out")
    with refused("shard_of_merged_folder", UsageError):
        crop(folder, tmp_path / "out", shard="0/2", overwrite=True)


def test_overwrite_without_a_shard_removes_what_shards_made(
    photos: tuple[Path, list[str]], tmp_path: Path
) -> None:
    folder, _ = photos
    for index in range(2):
        crop(folder, tmp_path / "out", shard=f"{index}/4")
    crop(folder, tmp_path / "out", overwrite=True, format="png")
    crop(folder, tmp_path / "reference", format="png")
    assert product_and_state(tmp_path / "out") == product_and_state(tmp_path / "reference")


def test_recrop_has_no_shards(photos: tuple[Path, list[str]], tmp_path: Path) -> None:
    crop(photos[0], tmp_path / "out")
    with refused("option_not_applicable", UsageError):
        api.recrop(tmp_path / "out", tmp_path / "other", options=RunOptions(shard="0/2"))


# ---------------------------------------------------------------- beside others


def test_a_file_of_somebody_else_costs_that_photo(photos: tuple[Path, list[str]], tmp_path: Path) -> None:
    folder, keys = photos
    key = next(key for key in keys if owner(key, 2) == 0 and key.startswith("day1/"))
    crop(folder, tmp_path / "out", shard="1/2")
    strange = tmp_path / "out" / f"{key.rpartition('.')[0]}.jpg"
    strange.parent.mkdir(parents=True, exist_ok=True)
    strange.write_bytes(b"mine")
    for _ in range(2):
        crop(folder, tmp_path / "out", shard="0/2")
        record = replay(journal_of(tmp_path / "out", "0/2")).records[key]
        assert (record.status, record.reason) == ("failed", "write_error")
        assert "did not make" in record.error
        assert strange.read_bytes() == b"mine"
    strange.unlink()
    crop(folder, tmp_path / "out", shard="0/2")
    api.merge(tmp_path / "out")
    crop(folder, tmp_path / "reference")
    assert product(tmp_path / "out") == product(tmp_path / "reference")


def test_another_number_of_shards_is_refused(photos: tuple[Path, list[str]], tmp_path: Path) -> None:
    folder, _ = photos
    crop(folder, tmp_path / "out", shard="0/4")
    before = files_of(tmp_path / "out")
    for dry_run in (False, True):
        with refused("other_shard_count", UsageError):
            crop(folder, tmp_path / "out", shard="1/8", dry_run=dry_run)
    assert files_of(tmp_path / "out") == before


@pytest.mark.parametrize("first", ["0/2", None])
def test_other_settings_are_refused_across_shards(
    photos: tuple[Path, list[str]], tmp_path: Path, first: str | None
) -> None:
    folder, _ = photos
    crop(folder, tmp_path / "out", shard=first)
    before = files_of(tmp_path / "out")
    with refused("other_settings", UsageError) as caught:
        crop(folder, tmp_path / "out", shard="1/2", scale=1.5)
    assert "scale was 1.2, now 1.5" in caught.value.message
    assert files_of(tmp_path / "out") == before


def test_model_auto_and_conf_are_those_of_the_first_shard(
    photos: tuple[Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crop(photos[0], tmp_path / "out", shard="0/2", detector=FakeDetector(name="detic-r18"), conf=0.4)
    monkeypatch.setattr(
        choose_detector, "load_detector", lambda name, device, **given: FakeDetector(name=name)
    )
    result = crop(photos[0], tmp_path / "out", shard="1/2", detector=None)
    assert (result.config.model, result.config.conf) == ("detic-r18", 0.4)
    assert "begun with it" in result.model_reason


def test_what_is_not_merged_is_not_worked_on(photos: tuple[Path, list[str]], tmp_path: Path) -> None:
    folder, out = photos[0], tmp_path / "out"
    crop(folder, out, shard="0/2")
    before = files_of(out)
    for work in (
        lambda: crop(folder, out),
        lambda: crop(folder, out, dry_run=True),
        lambda: api.write_audit(out),
        lambda: api.apply(out),
        lambda: api.review(out, open_browser=False),
        lambda: api.recrop(out, tmp_path / "other"),
        lambda: api.recrop(tmp_path / "whole", out),
    ):
        crop(folder, tmp_path / "whole")
        with refused("not_merged", UsageError):
            work()
    assert files_of(out) == before


class Held:
    """A run that waits in its first photo, in another thread, while the `with` block is done."""

    def __init__(self, input: Path, out: Path, **settings: Any) -> None:
        self.inside, self.go_on = threading.Event(), threading.Event()
        held = self

        class Waiting(FakeDetector):
            def detect(self, image: Any, key: str = "") -> Any:
                held.inside.set()
                assert held.go_on.wait(600)
                return super().detect(image, key)

        self.thread = threading.Thread(
            target=crop, args=(input, out), kwargs={"detector": Waiting(), **settings}
        )

    def __enter__(self) -> None:
        self.thread.start()
        assert self.inside.wait(600)

    def __exit__(self, *_: object) -> None:
        self.go_on.set()
        self.thread.join()


def test_two_shards_go_together_but_not_the_same_one_nor_a_whole_run(
    photos: tuple[Path, list[str]], tmp_path: Path
) -> None:
    folder, out = photos[0], tmp_path / "out"
    works: list[Callable[[], object]] = [
        lambda: crop(folder, out),
        lambda: api.merge(out),
        lambda: api.write_audit(out),
    ]
    with Held(folder, out, shard="0/2"):
        with refused("in_use", OutputError) as caught:
            crop(folder, out, shard="0/2")
        assert f"shard 0/2 of {out} is at work (process {os.getpid()} on " in caught.value.message
        for work in works:
            with refused("in_use", OutputError) as caught:
                work()
            assert f"shard 0/2 of {out} is at work (process {os.getpid()} on " in caught.value.message
        with refused("in_use", OutputError):
            crop(folder, out, overwrite=True)
        crop(folder, out, shard="1/2")
    api.merge(out)
    crop(folder, tmp_path / "reference")
    assert product_and_state(out) == product_and_state(tmp_path / "reference")


def test_a_shard_does_not_begin_beside_a_whole_run(
    photos: tuple[Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience_module, "STEADY", 0.3)
    folder, out = photos[0], tmp_path / "out"
    with (
        Held(folder, out),
        refused("in_use", OutputError),
    ):
        crop(folder, out, shard="1/2")
    crop(folder, tmp_path / "reference")
    assert product_and_state(out) == product_and_state(tmp_path / "reference")


def test_a_shard_waits_while_another_begins(
    photos: tuple[Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = photos[0], OutputFolder(tmp_path / "out", Shard(0, 2))
    begun, waited_for, go_on = threading.Event(), threading.Event(), threading.Event()
    looks = itertools.count()

    class Impatient(Patience):
        """Between two looks ten seconds pass."""

        def ends(self, holder: Mapping[str, Any], now: float) -> bool:
            if (look := next(looks)) == 3:
                waited_for.set()
            return super().ends(holder, 10.0 * look)

    monkeypatch.setattr(lock_module, "Patience", Impatient)

    def slowly() -> None:
        begun.set()
        assert waited_for.wait(600)
        go_on.set()

    def begin() -> None:
        with out.locked(slowly):
            pass

    thread = threading.Thread(target=begin)
    thread.start()
    assert begun.wait(600)
    crop(folder, out.root, shard="1/2")
    assert go_on.is_set()
    thread.join()


def test_only_the_time_of_one_and_the_same_holder_counts() -> None:
    """Seconds, who holds it, and whether to give up."""
    begins: dict[str, Any] = {"pid": 1, "begins": "0/9"}
    one, other = {"pid": 2}, {"pid": 3}
    looks: list[tuple[float, dict[str, Any], bool]] = [
        (0, begins, False),
        (500, begins, False),
        (501, {}, False),  # between two shards, whatever was waited until now
        (900, {}, False),
        (901, begins | {"pid": 4}, False),
        (1500, begins | {"pid": 4}, False),
        (1501, begins | {"pid": 4}, True),
        (1502, one, False),  # another one, who may end at once
        (1503, other, False),
        (1504.5, other, False),
        (1505, other, True),  # is at work
        (1506, {}, False),
        (2105, {}, False),
        (2106, {}, True),  # whoever holds it never says so
    ]
    patience = Patience()
    assert [patience.ends(holder, now) for now, holder, _ in looks] == [ends for *_, ends in looks]


def test_what_a_killed_run_left_is_no_holder(photos: tuple[Path, list[str]], tmp_path: Path) -> None:
    """Its name goes as soon as another has the lock, before anything that takes time."""
    out = OutputFolder(tmp_path / "out")
    owner = out.layout.owner
    owner.parent.mkdir(parents=True)
    owner.write_text('{"pid": 1}')
    with pytest.MonkeyPatch.context() as patch:
        seen: list[bool] = []
        patch.setattr(Writer, "clear", lambda writer: seen.append(owner.exists()))
        crop(photos[0], out.root, shard="0/1")
    assert seen[0] is False


@posix
def test_many_processes_begin_at_once_in_a_new_folder(photos: tuple[Path, list[str]], tmp_path: Path) -> None:
    folder, keys = photos
    command = cli_command(folder, write_boxes(tmp_path / "boxes.csv", keys))
    full = [sys.executable, "-m", "detic_crop", *command, "--out", str(tmp_path / "out"), "--shard"]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    running = [
        subprocess.Popen([*full, f"{index}/4"], cwd=ROOT, env=environment, stderr=subprocess.PIPE)
        for index in range(4)
    ]
    for process in running:
        said = process.communicate()[1]
        assert process.returncode == 0, said
    assert cli.main(["merge", str(tmp_path / "out")]) == 0
    assert cli.main([*command, "--out", str(tmp_path / "reference")]) == 0
    assert product_and_state(tmp_path / "out") == product_and_state(tmp_path / "reference")


# ---------------------------------------------------------------- ended early


def sharded(folder: Path) -> Scene:
    """The second of two shards, beside the first, and then the merge."""
    run = difficult_run(folder, 8)
    base = folder / "base"
    assert cli.main([*run, "--out", str(base), "--shard", "0/2"]) == 0
    assert cli.main([*run, "--out", str(folder / "unsharded")]) == 0
    return Scene([*run, "--shard", "1/2"], base, folder / "reference", after=["merge", "OUT"], whole=True)


@posix
@pytest.mark.parametrize(("kind", "lasting", "step"), [("kill", False, 3), ("ENOSPC", True, 9)])
def test_a_disturbed_shard_is_mended_by_its_command(
    kind: str, lasting: bool, step: int, tmp_path: Path
) -> None:
    counts = disturb(sharded(tmp_path), tmp_path, kind, lasting=lasting, step=step)
    assert counts[f"exit {-signal.SIGKILL}" if kind == "kill" else "exit 1"] > 40 // step
    assert product_and_state(tmp_path / "reference") == product_and_state(tmp_path / "unsharded")


@posix
def test_a_shard_killed_in_mid_run_goes_on_and_the_whole_is_the_same(tmp_path: Path) -> None:
    keys = many_photos(tmp_path / "in")
    boxes = write_boxes(tmp_path / "boxes.csv", keys, width=320, height=240)
    command = cli_command(tmp_path / "in", boxes, 256)
    shards = [[*command, "--out", str(tmp_path / "out"), "--shard", f"{index}/2"] for index in range(2)]
    lines = journal_of(tmp_path / "out", "0/2")
    with untouched(tmp_path / "in"):
        first = subprocess.Popen([sys.executable, "-m", "detic_crop", *shards[0], "--workers", "1"], cwd=ROOT)
        second = subprocess.Popen(
            [sys.executable, "-m", "detic_crop", *shards[1], "--workers", "1"], cwd=ROOT
        )
        while (lines.stat().st_size if lines.exists() else 0) < 4000 and first.poll() is None:
            time.sleep(0.001)
        first.kill()
        assert first.wait() == -signal.SIGKILL
        assert second.wait() == 0
        done = replay(lines).records
        assert 0 < len(done) < sum(owner(key, 2) == 0 for key in keys)
        assert cli.main(["merge", str(tmp_path / "out")]) == 1
        assert cli.main(shards[0]) == 0
    assert cli.main(["merge", str(tmp_path / "out")]) == 0
    assert cli.main([*command, "--out", str(tmp_path / "reference")]) == 0
    assert product_and_state(tmp_path / "out") == product_and_state(tmp_path / "reference")
    assert leftovers(tmp_path / "out") == []
