"""A folder that is renamed, replaced or taken over while a command works in it: no other one is touched."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from detic_crop.cli import main as cli
from detic_crop.errors import OutputError
from detic_crop.folder import journal
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.layout import OWNER
from detic_crop.folder.verdict_lines import Verdict
from detic_crop.photos.keys import STATE
from tests.kit.errors import complained, refused
from tests.kit.folders import files_of, product, records_of
from tests.kit.photos import write_boxes, write_photos
from tests.kit.processes import posix
from tests.kit.verdicts import give_verdicts, verdict_log, verdicts_of

pytestmark = posix


class Place:
    """The folder of a command, and what may happen to it; `put_back` undoes that."""

    def __init__(self, base: Path) -> None:
        self.out, self.was, self.other = base / "out", base / "was", base / "other"
        self.lock = self.out / STATE / "lock"

    def renamed(self) -> None:
        self.out.rename(self.was)

    def replaced(self) -> None:
        self.out.rename(self.was)
        shutil.copytree(self.other, self.out)

    def restored_from_a_backup(self) -> None:
        shutil.copytree(self.out, self.was)
        self.out.rename(self.out.with_name("moment"))
        self.was.rename(self.out)
        self.out.with_name("moment").rename(self.was)

    def swapped_for_a_link(self) -> None:
        self.out.rename(self.was)
        self.out.symlink_to(self.other)

    def state_renamed(self) -> None:
        (self.out / STATE).rename(self.was)

    def lock_removed(self) -> None:
        self.lock.unlink()

    def lock_replaced(self) -> None:
        self.lock.unlink()
        self.lock.write_bytes(b"")

    def taken_by_another_machine(self) -> None:
        """As where a server of network disks has forgotten the lock."""
        theirs = self.out / "theirs.json"
        theirs.write_text(json.dumps({"pid": 1, "host": "elsewhere"}))
        theirs.replace(self.lock.with_name(OWNER))

    def there(self) -> dict[str, bytes]:
        """What lies at its path; of the folder that the command began with without what it had open."""
        files = files_of(self.out)
        if self.was.exists() and (self.was / STATE).exists():
            return files
        return {name: data for name, data in files.items() if not name.endswith(".jsonl")}

    def put_back(self) -> None:
        if self.was.exists() and (self.was / STATE).exists():
            if self.out.is_symlink():
                self.out.unlink()
            shutil.rmtree(self.out, ignore_errors=True)
            self.was.rename(self.out)
        elif self.was.exists():
            shutil.rmtree(self.out / STATE, ignore_errors=True)
            self.was.rename(self.out / STATE)


HAPPENINGS = [
    Place.renamed,
    Place.replaced,
    Place.restored_from_a_backup,
    Place.swapped_for_a_link,
    Place.state_renamed,
    Place.lock_removed,
    Place.lock_replaced,
    Place.taken_by_another_machine,
]


def run(base: Path, out: Path, *words: str) -> int:
    boxes = f"boxes:{base / 'boxes.csv'}"
    given = ["run", "--in", str(base / "in"), "--out", str(out), "--model", boxes, "--quiet"]
    return cli.main([*given, "--size", "32", *words])


def again(base: Path, out: Path) -> int:
    return run(base, out)


def tars(base: Path, out: Path) -> int:
    return run(base, out, "--out-format", "tar", "--per-tar", "4")


def shard(base: Path, out: Path) -> int:
    return run(base, out, "--shard", "1/2")


def merge(base: Path, out: Path) -> int:
    return cli.main(["merge", str(out), "--quiet"])


def apply(base: Path, out: Path) -> int:
    return cli.main(["apply", str(out), "--quiet"])


def recrop(base: Path, out: Path) -> int:
    return cli.main(["recrop", str(base / "other"), "--out", str(out), "--scale", "1.5", "--quiet"])


def prepare(command: Callable[[Path, Path], int], base: Path, out: Path) -> None:
    if command is merge:
        for k in range(2):
            assert run(base, out, "--shard", f"{k}/2") == 0
    elif command is apply:
        assert run(base, out) == 0
        words = ("whole", "rejected", "box", "accepted")
        give_verdicts(out, {key: words[i % 4] for i, key in enumerate(sorted(records_of(out)))})


@pytest.fixture
def base(tmp_path: Path) -> Path:
    write_boxes(tmp_path / "boxes.csv", write_photos(tmp_path / "in", 12))
    assert run(tmp_path, tmp_path / "other", "--size", "48") == 0
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("happens", HAPPENINGS, ids=lambda happens: happens.__name__)
@pytest.mark.parametrize("command", [again, tars, shard, merge, apply, recrop], ids=lambda run: run.__name__)
def test_nothing_more_is_written_and_what_was_finished_is_kept(
    command: Callable[[Path, Path], int],
    happens: Callable[[Place], None],
    base: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    reference = base / "reference"
    for out in (reference, base / "out"):
        prepare(command, base, out)
    assert command(base, reference) == 0
    place = Place(base)
    if command is shard:
        place.lock = place.out / STATE / "shards" / "0001-of-0002" / "lock"
    capsys.readouterr()
    after: dict[str, bytes] = {}
    with monkeypatch.context() as patch:
        plain, lines = journal._append, itertools.count(1)

        def disturbed(file: Any, line: bytes) -> int:
            if next(lines) == 7:
                happens(place)
                after.update(place.there())
            return plain(file, line)

        patch.setattr(journal, "_append", disturbed)
        assert command(base, place.out) == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert str(place.out) in complained("folder_replaced", said)
    assert place.there() == after
    place.put_back()
    assert command(base, place.out) == 0
    assert product(place.out) == product(reference)


def test_a_folder_that_comes_before_the_lock_is_taken_is_refused(base: Path) -> None:
    write_photos(base / "in", 13)
    out, other = base / "out", files_of(base / "other")
    assert run(base, out) == 0
    folder = OutputFolder(out)
    folder.require_run()
    folder.inside.mkdir(folder.layout.temporary)  # opens the folder
    out.rename(base / "was")
    (base / "other").rename(out)
    with refused("folder_replaced", OutputError), folder.locked():
        raise AssertionError
    assert {name: data for name, data in files_of(out).items() if name in other} == other


def test_verdicts_get_into_no_other_folder(base: Path) -> None:
    out = base / "out"
    assert run(base, out) == 0
    log = verdict_log(out)
    key = next(iter(records_of(out)))
    log.append(Verdict(key, "accepted"))
    out.rename(base / "was")
    (base / "other").rename(out)
    before = files_of(out)
    assert log.refresh() == []
    with refused("folder_replaced", OutputError, names=[str(out)]):
        log.append(Verdict(key, "rejected"))
    assert files_of(out) == before
    out.rename(base / "other")
    (base / "was").rename(out)
    log.append(Verdict(key, "whole"))
    assert verdicts_of(out)[key].verdict == "whole"


def test_without_a_state_folder_no_verdict_is_taken(base: Path) -> None:
    out = base / "out"
    assert run(base, out) == 0
    log = verdict_log(out)
    log.refresh()
    shutil.rmtree(out)
    with refused("folder_replaced", OutputError):
        log.append(Verdict("a.jpg", "rejected"))
    assert not out.exists()
