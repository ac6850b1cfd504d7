"""estimate.json and datacard.md: what stands in them, that they follow audit.csv, and whose they are."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import click
import pytest

from detic_crop import api
from detic_crop.cli import main as cli
from detic_crop.commands.run_json import packages
from detic_crop.config import CropConfig
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.state import load_sample
from detic_crop.folder.verdict_lines import Verdict
from detic_crop.photos.keys import STATE
from detic_crop.photos.labels import Labels
from detic_crop.report.paper import commands_of
from detic_crop.stores.store import store_of
from tests.kit.folders import crop, files_of, product, rows_of
from tests.kit.photos import write_photos
from tests.kit.verdicts import DRAWN, verdict_log

pytestmark = pytest.mark.slow

MADE = ("estimate.json", "datacard.md")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A folder with `in` and `out`: 20 photos and a sample of 15."""
    write_photos(tmp_path / "in", 20)
    crop(tmp_path / "in", tmp_path / "out")
    api.write_audit(tmp_path / "out", sample=15, seed=3)
    return tmp_path


def review(out: Path, *, name: str = "Ann") -> None:
    """Two of the sample get another box, one leaves the person unsure, all others are accepted."""
    keys = [drawn.image for drawn in load_sample(OutputFolder(out))]
    for place, key in enumerate(keys):
        word = ("box", "box", "unsure")[place] if place < 3 else "accepted"
        time = f"2026-03-{28 - place:02d}T10:00:00+0200"
        verdict_log(out).append(Verdict(key, word, (DRAWN,) if word == "box" else (), name, time))


def told_in(out: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((out / "estimate.json").read_text("utf-8"))
    return values


def made_of_sample(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in MADE if (out / name).exists()}


def test_what_stands_in_estimate_json(work: Path) -> None:
    out = work / "out"
    review(out)
    result = api.write_audit(out)
    known, told = result.estimate, told_in(out)
    assert known is not None
    assert told["about"] == "detic-crop estimate"
    assert told["sentence"] == known.card
    sample = load_sample(OutputFolder(out))
    assert told["sample"] == {
        "seed": 3,
        "drawn": 15,
        "reviewed": 14,
        "without_verdict": 1,
        "photos_since": 0,
    }
    strata = {each["name"]: each for each in told["strata"]}
    assert {name: (each["size"], each["drawn"]) for name, each in strata.items()} == {
        name: (
            next(drawn.stratum_size for drawn in sample if drawn.stratum == name),
            sum(drawn.stratum == name for drawn in sample),
        )
        for name in {drawn.stratum for drawn in sample}
    }
    assert sum(each["reviewed"] for each in strata.values()) == 14
    assert sum(each["right"] for each in strata.values()) == 12
    assert told["review"] == {
        "reviewers": {"Ann": 15},
        "verdicts": {"accepted": 12, "box": 2, "unsure": 1},
        "first_verdict": "2026-03-14T10:00:00+0200",
        "last_verdict": "2026-03-28T10:00:00+0200",
    }
    assert told["intervals"]["level"] == 0.95
    assert "Clopper-Pearson" in told["intervals"]["method"]
    assert told["model"] == "fake"
    assert told["weights"] == result.config.weights
    assert told["settings"] == json.loads(json.dumps(result.config.to_dict()))
    assert told["fingerprint"] == result.config.fingerprint()
    assert told["counts"] == dict(result.counts)
    assert told["versions"] == packages("lite")
    assert told["agreement"]["pairs"] == []
    run = json.loads((out / "run.json").read_text())
    assert told["versions"] == run["versions"]
    assert told["commands"][0].startswith("detic-crop run --in in --out CROPPED --model fake ")


def test_what_stands_in_the_card(work: Path) -> None:
    out = work / "out"
    before = (out / "datacard.md").read_text()
    assert (
        "Nothing is known of how many crops are right: a random sample is drawn, and none of its 15" in before
    )
    review(out, name="A | <b>Ann</b>\n# x")
    api.write_audit(out)
    card = (out / "datacard.md").read_text()
    for words in (
        "- Sample: 15 photos drawn with seed 3, 14 reviewed, 1 without a verdict",
        r"- Reviewed by (photos): A \| \<b\>Ann\</b\>\\n\# x (15)",
        "- Verdicts given: first 2026-03-14T10:00:00+0200, last 2026-03-28T10:00:00+0200",
        "- SHA-256 of fake.bin: 0000",
        "| size | 32 |",
        "    detic-crop run --in in --out CROPPED",
    ):
        assert words in card
    assert "How far two persons agree" not in card
    assert str(work) not in card + (out / "estimate.json").read_text()


def test_the_same_again_leaves_the_same_bytes(work: Path) -> None:
    out = work / "out"
    review(out)
    api.write_audit(out)
    before = files_of(out)
    api.write_audit(out)
    assert files_of(out) == before
    made = made_of_sample(out)
    crop(work / "in", out)
    assert made_of_sample(out) == made
    out.rename(work / "elsewhere")
    api.write_audit(work / "elsewhere")
    assert made_of_sample(work / "elsewhere") == made


@pytest.mark.parametrize("command", ["run", "apply", "split"])
def test_every_command_that_writes_the_table_keeps_them_right(work: Path, command: str) -> None:
    out = work / "out"
    review(out)
    if command == "run":
        write_photos(work / "in" / "more", 3)
        crop(work / "in", out)
        assert told_in(out)["sample"]["photos_since"] > 0
    elif command == "apply":
        api.apply(out, quiet=True)
        assert told_in(out)["population"]["crops_changed_by_review"] > 0
    else:
        api.split(out, quiet=True)
    counts = told_in(out)["counts"]
    statuses = [row["status"] for row in rows_of(out)]
    assert counts == {status: statuses.count(status) for status in sorted(set(statuses))}
    made = made_of_sample(out)
    api.write_audit(out)
    assert made_of_sample(out) == made


def test_a_folder_without_a_sample_has_neither(tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 12)
    crop(tmp_path / "in", tmp_path / "out")
    before = product(tmp_path / "out")
    result = api.write_audit(tmp_path / "out")
    assert product(tmp_path / "out") == before
    assert not any(name in note for note in result.notes for name in MADE)


def test_without_its_sample_an_earlier_one_is_said_to_be_older(work: Path) -> None:
    out = work / "out"
    (out / STATE / "sample.csv").unlink()
    notes = api.write_audit(out).notes
    assert [note.partition(" ")[0] for note in notes] == list(MADE)
    assert all("is older than this table" in note for note in notes)
    # What somebody else has put there is none of ours.
    for name in MADE:
        (out / name).write_text("mine")
    assert api.write_audit(out).notes == []


def test_what_a_person_has_changed_is_set_aside(work: Path, caplog: pytest.LogCaptureFixture) -> None:
    out = work / "out"
    before = made_of_sample(out)
    for name in MADE:
        (out / name).write_bytes(before[name] + b" mine")
    api.write_audit(out)
    assert made_of_sample(out) == before
    for name in MADE:
        path = out / name
        kept = path.with_name(f"{path.stem}.edited{path.suffix}")
        assert kept.read_bytes() == before[name] + b" mine"
        assert (
            f"{path} was changed after detic-crop wrote it; that version is kept as {kept.name}"
            in caplog.text
        )


def test_a_file_of_somebody_else_is_in_nobodys_way(tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 12)
    crop(tmp_path / "in", tmp_path / "out")
    (tmp_path / "out" / "datacard.md").write_text("# My own")
    crop(tmp_path / "in", tmp_path / "out")
    assert (tmp_path / "out" / "datacard.md").read_text() == "# My own"
    api.write_audit(tmp_path / "out", sample=10)
    assert (tmp_path / "out" / "datacard.edited.md").read_text() == "# My own"


def test_in_a_store(work: Path) -> None:
    out = "memory://paper/out"
    crop(work / "in", out)
    api.write_audit(out, sample=15, seed=3)
    store = store_of(out)
    for name, data in made_of_sample(work / "out").items():
        assert store.read(f"{out}/{name}") == data


def test_merged_shards_have_them_like_an_unsharded_run(work: Path) -> None:
    whole, parts = work / "out", work / "parts"
    for shard in ("0/2", "1/2"):
        crop(work / "in", parts, shard=shard)
    api.merge(parts)
    assert made_of_sample(parts) == {}
    api.write_audit(parts, sample=15, seed=3)
    assert made_of_sample(parts) == made_of_sample(whole)


def test_times_that_are_none_are_passed_over(work: Path) -> None:
    out = work / "out"
    keys = [drawn.image for drawn in load_sample(OutputFolder(out))]
    times = ["yesterday", "2026-05-01T23:00:00-0300", "2026-05-02T01:00:00+0000", "", "2026-05-02"]
    for key, time in zip(keys, times, strict=False):
        verdict_log(out).append(Verdict(key, "accepted", (), "", time))
    api.write_audit(out)
    told = told_in(out)["review"]
    assert (told["first_verdict"], told["last_verdict"]) == ("2026-05-02", "2026-05-01T23:00:00-0300")
    assert told["reviewers"] == {"": 5}
    assert "- Reviewed by (photos): (no name) (5)" in (out / "datacard.md").read_text()


def test_the_command_makes_the_settings() -> None:
    """What the card says can be typed, and gives the settings of the folder."""
    config = CropConfig(
        model="boxes:my boxes.csv", classes="Whale,Sea otter", conf=0.25, animals="all", size="long:1600",
        fit="pad", metadata=True, max_bytes=3_000_000, weights={"a": "0"},
    )  # fmt: skip
    first, second = commands_of(config, ["photos of 2020", "more"])
    assert second == "detic-crop run --in more --out CROPPED --add"
    words = shlex.split(first)
    assert words[:2] == ["detic-crop", "run"]
    run = cli.cli.commands["run"]
    context = run.make_context("run", words[2:], resilient_parsing=False)
    names = set(CropConfig.__dataclass_fields__)
    given = {name: value for name, value in context.params.items() if name in names}
    assert CropConfig(**given, weights={"a": "0"}) == config
    assert context.params["input"] == "photos of 2020"
    assert isinstance(context, click.Context)


def test_the_command_of_joined_models() -> None:
    """Each has its own bar if no --conf was given, and all have one if it was."""
    (own,) = commands_of(
        CropConfig(model="lite+detic-r18", conf=0.25, confs={"lite": 0.25, "detic-r18": 0.5}), ["in"]
    )
    assert own == "detic-crop run --in in --out CROPPED --model lite+detic-r18"
    (one,) = commands_of(
        CropConfig(model="lite+detic-r18", conf=0.4, confs={"lite": 0.4, "detic-r18": 0.4}), ["in"]
    )
    assert one == "detic-crop run --in in --out CROPPED --model lite+detic-r18 --conf 0.4"


def test_the_command_names_the_labels() -> None:
    labels = Labels(["Photo", "image"], [["a.jpg", "b.jpg"]], "image", name="my labels.csv")
    words = "detic-crop run --in in --out CROPPED --labels"
    assert commands_of(CropConfig(), ["in"], labels) == [f"{words} 'my labels.csv'"]
    by_another = Labels(labels.columns, labels.rows, "Photo")  # of an earlier version, which kept no name
    assert commands_of(CropConfig(), ["in"], by_another) == [f"{words} LABELS --labels-key Photo"]


def test_the_name_of_the_labels_stays(work: Path) -> None:
    labels = work / "kept.csv"
    labels.write_text("\n".join(["image", *(row["image"] for row in rows_of(work / "out"))]))
    crop(work / "in", work / "out", labels=labels)
    crop(work / "in", work / "out")
    assert "--out CROPPED --labels kept.csv" in (work / "out" / "datacard.md").read_text()


def test_margin_is_said_and_nothing_is_drawn(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = work / "out"
    before = files_of(out)
    assert cli.main(["audit", str(out), "--margin", "10"]) == 0
    told = capsys.readouterr().out
    assert "for a 95 % interval of about ± 10 percentage points around the share of right crops: " in told
    assert f"detic-crop audit {out} --sample " in told
    assert files_of(out) == before
    # With --sample that is drawn first.
    assert cli.main(["audit", str(out), "--margin", "10", "--sample", "20"]) == 0
    assert "20 are drawn: look at the 20 left" in capsys.readouterr().out
    assert cli.main(["audit", str(out), "--margin", "0"]) == 2
