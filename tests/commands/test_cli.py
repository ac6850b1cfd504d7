"""The command line: options, exit codes, and what it says."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import click
import pytest

import detic_crop
from detic_crop.cli import main as cli
from detic_crop.commands.headings import GROUPS
from detic_crop.config import CropConfig, RunOptions
from detic_crop.report.suspicion import IMAGE_CHECKS
from detic_crop.wording import counted
from tests.kit.detectors import FakeDetector
from tests.kit.folders import files_of, rows_of, untouched
from tests.kit.photos import write_boxes, write_damaged, write_photo, write_photos

COMMANDS: dict[str, click.Command] = dict(cli.cli.commands)
ROOT = Path(__file__).resolve().parents[2]


@dataclasses.dataclass(frozen=True)
class Place:
    """A folder with photos `in`, `boxes.csv`, and a command that crops them into `out`."""

    folder: Path
    keys: list[str]

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @property
    def command(self) -> list[str]:
        model = f"boxes:{self.folder / 'boxes.csv'}"
        return [
            "run",
            "--in",
            str(self.folder / "in"),
            "--out",
            str(self.out),
            "--model",
            model,
            "--size",
            "32",
        ]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    for name in [name for name in os.environ if name.startswith("DETIC_CROP_")]:
        monkeypatch.delenv(name)
    keys = write_photos(tmp_path / "in", 12)
    keys += write_damaged(tmp_path / "in")
    write_boxes(tmp_path / "boxes.csv", keys)
    return Place(tmp_path, keys)


def options_of(command: click.Command) -> dict[str, click.Option]:
    shown = [o for o in command.params if isinstance(o, click.Option) and not o.hidden]
    return {option.name: option for option in shown if option.name and option.name != "help"}


# ---------------------------------------------------------------- options


@pytest.mark.usefixtures("place")  # no variables
def test_defaults_are_those_of_the_settings() -> None:
    fields = {f.name: getattr(CropConfig(), f.name) for f in dataclasses.fields(CropConfig)}
    fields |= {f.name: getattr(RunOptions(), f.name) for f in dataclasses.fields(RunOptions)}
    given = COMMANDS["run"].make_context("run", ["--in", "x", "--out", "y"]).params
    options = options_of(COMMANDS["run"])
    assert set(given) - {"words"} == set(options)
    for name in set(options) - {"input", "output", "strict"}:
        assert given[name] == fields.pop(name), name
        in_words = "[default: " in (options[name].help or "")
        assert options[name].show_default or in_words or given[name] in (None, False), name
    assert set(fields) == {"weights", "algorithm", "confs"}  # not for people to choose


@pytest.mark.usefixtures("place")
def test_recrop_has_no_defaults_of_its_own() -> None:
    policy = {f.name for f in dataclasses.fields(CropConfig)} & set(options_of(COMMANDS["recrop"]))
    assert policy == {
        *("classes", "conf", "animals", "max_animals", "min_side", "not_found"),
        *("scale", "size", "fit", "format", "quality", "max_bytes", "decode", "out_format"),
        *("exif", "metadata", "gps"),
    }
    given = COMMANDS["recrop"].make_context("recrop", ["x", "--out", "y"]).params
    assert [given[name] for name in policy] == [None] * len(policy)


def test_every_option_of_run_is_under_one_heading() -> None:
    listed = Counter(name for names in GROUPS.values() for name in names)
    assert max(listed.values()) == 1
    assert options_of(COMMANDS["run"]).keys() - listed.keys() == set()
    assert listed.keys() - {name for command in COMMANDS.values() for name in options_of(command)} == set()


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_option_has_help_and_a_variable(name: str) -> None:
    for option in options_of(COMMANDS[name]).values():
        longest = max(option.opts, key=len)
        assert option.help, longest
        assert option.envvar == "DETIC_CROP_" + longest.removeprefix("--").upper().replace("-", "_")


def test_a_container_needs_no_command_line(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = place.folder / "labels.csv"
    labels.write_text("photo\n" + "\n".join(place.keys[:5]))
    given = {
        "IN": str(place.folder / "in"),
        "OUT": str(place.out),
        "MODEL": f"boxes:{place.folder / 'boxes.csv'}",
        "CLASSES": "Whale,Boat",
        "CONF": "0.25",
        "SCALE": "1.5",
        "SIZE": "40X60",
        "FIT": "pad",
        "FORMAT": "png",
        "QUALITY": "80",
        "MAX_BYTES": "3M",
        "DECODE": "scaled",
        "ANIMALS": "all",
        "MAX_ANIMALS": "4",
        "MIN_SIDE": "2",
        "NOT_FOUND": "skip",
        "OUT_FORMAT": "tar",
        "BOX_FORMAT": "xyxy",
        "TILES": "none",
        "EXIF": "keep",
        "METADATA": "1",
        "GPS": "1",
        "PER_TAR": "3",
        "DEVICE": "cpu",
        "TRUNCATED": "fail",
        "LABELS": str(labels),
        "LABELS_KEY": "photo",
        "NO_LABELS": "0",
        "WORKERS": "2",
        "PHOTO_TIMEOUT": "2m",
        "MEMORY": "3GB",
        "ADD": "1",
        "CSV_SAFE": "1",
        "ENCOUNTER": "folder",
        "LIMIT": "4",
        "TIME_LIMIT": "1h",
        "MAX_PIXELS": "123456",
        "QUIET": "1",
        "PROFILE": "1",
        "STRICT": "true",
        "OVERWRITE": "no",
        "DISCARD_REVIEW": "0",
        "DRY_RUN": "false",
        "EXECUTOR": "local",
    }
    detic = {
        "VOCABULARY",
        "NAMES",
        "WEIGHTS",
        "PRECISION",
        "DETECTOR_SIZE",
        "BATCH_SIZE",
        "ONNX_INPUT",
    }  # refused with another model
    # A shard has its run.json elsewhere: test_shards; an address needs Ray: test_ray.
    assert set(given) | detic | {"SHARD", "RAY_ADDRESS"} == {
        max(o.opts, key=len).removeprefix("--").upper().replace("-", "_")
        for o in options_of(COMMANDS["run"]).values()
    }
    for name, value in given.items():
        monkeypatch.setenv(f"DETIC_CROP_{name}", value)
    assert cli.main(["run"]) == 0
    told = json.loads((place.out / "run.json").read_text(encoding="utf-8"))
    settings = {**told["settings"], **told["options"]}
    assert settings["classes"] == "Boat,Whale"
    assert (settings["conf"], settings["scale"], settings["size"]) == (0.25, 1.5, "40x60")
    assert (settings["fit"], settings["format"], settings["quality"]) == ("pad", "png", 80)
    assert (settings["device"], settings["truncated"], settings["labels_key"]) == ("cpu", "fail", "photo")
    assert (settings["workers"], settings["limit"], settings["time_limit"]) == (2, 4, 3600)
    assert (settings["memory"], settings["max_bytes"]) == (3_000_000_000, 3_000_000)
    assert settings["photo_timeout"] == 120
    assert (settings["decode"], settings["profile"], settings["add"]) == ("scaled", True, True)
    assert (settings["out_format"], settings["per_tar"]) == ("tar", 3)
    assert settings["box_format"] == "xyxy"
    assert (settings["exif"], settings["metadata"], settings["gps"]) == ("keep", True, True)
    assert (settings["max_pixels"], settings["quiet"], settings["overwrite"]) == (123456, True, False)
    assert len(rows_of(place.out)) == 4


def test_an_empty_variable_is_no_value(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONF", "WORKERS", "LIMIT", "TIME_LIMIT", "LABELS", "FIT", "QUIET"):
        monkeypatch.setenv(f"DETIC_CROP_{name}", "")
    assert cli.main(place.command) == 0


def test_the_command_line_wins_over_variables(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DETIC_CROP_SIZE", "99")
    assert cli.main(place.command) == 0
    assert json.loads((place.out / "run.json").read_text())["settings"]["size"] == 32


BAD = [
    (
        ["--size", "0"],
        "--size must be a side such as 512, width x height such as 384x768, long:1600 or native, with sides "
        "from 1 to 8192, got '0'",
    ),
    (["--max-bytes", "3"], "--max-bytes must be a number of bytes such as 3MB, 500kB or 2MiB, got '3'"),
    (
        ["--max-bytes", "5kB"],
        "--max-bytes must be a whole number of at least 10000, got 5000; e.g. --max-bytes",
    ),
    (["--size", "0x5"], "--size"),
    (["--size", "9999x1"], "--size"),
    (["--size", "384*768"], "--size"),
    (["--size", "long:"], "--size"),
    (["--size", "native:5"], "--size"),
    (["--size", " "], "--size"),
    (["--size", "9000"], "--size"),
    (["--size", "big"], "--size"),
    (["--size", "3.5"], "--size"),
    (["--scale", "0"], "--scale"),
    (["--scale", "-1"], "--scale"),
    (["--scale", "nan"], "--scale"),
    (["--scale", "inf"], "--scale"),
    (["--scale", "1,2"], "--scale"),
    (["--conf", "1.1"], "--conf must be a number from 0 to 1, got 1.1"),
    (["--conf", "-0.1"], "--conf"),
    (["--conf", "nan"], "--conf"),
    (["--conf", "50%"], "--conf"),
    (["--classes", ""], "--classes must be marine, any, or names"),
    (["--classes", " , "], "--classes must be marine, any, or names"),
    (["--classes", "Whael"], "close or known names: Whale"),
    (["--classes", "Dolphin,,Cat"], "Cat"),
    (["--fit", "round"], "--fit"),
    (["--format", "gif"], "--format"),
    (["--box-format", "corners"], "--box-format"),
    (["--exif", "some"], "--exif"),
    (["--gps"], "--gps goes with --metadata (columns latitude and longitude) or with --exif keep"),
    (["--box-format", "xywh"], "contradicts xmin, ymin, xmax, ymax"),
    (["--model", "lite", "--onnx-input", "rgb"], "goes with onnx:FILE only, not with lite"),
    (["--model", "lite", "--box-format", "xywh"], "goes with boxes:FILE only, not with lite"),
    (["--quality", "0"], "--quality"),
    (["--quality", "101"], "--quality"),
    (["--truncated", "maybe"], "--truncated"),
    (["--workers", "0"], "--workers"),
    (["--workers", "-2"], "--workers"),
    (["--workers", "1000"], "--workers"),
    (["--memory", "much"], "--memory"),
    (["--photo-timeout", "soon"], "--photo-timeout must be a duration"),
    (["--photo-timeout", "0"], "--photo-timeout"),
    (["--memory", "0GB"], "--memory"),
    (["--limit", "0"], "--limit"),
    (["--limit", "-3"], "--limit"),
    (["--max-pixels", "0"], "--max-pixels"),
    (["--time-limit", "soon"], "--time-limit must be a duration such as 8h30m"),
    (["--time-limit", "0"], "--time-limit"),
    (["--time-limit", "0h0m"], "--time-limit"),
    (["--time-limit", "-5m"], "--time-limit"),
    (["--time-limit", "8:30"], "--time-limit"),
    (["--time-limit", ""], "--time-limit"),
    (["--time-limit", "9" * 400 + "h"], "--time-limit"),
    (["--device", "gpu"], "--device must be auto, cpu, cuda, cuda:N or mps"),
    (["--device", "cuda:x"], "--device"),
    (["--model", "nonsense"], "--model must be"),
    (["--model", ""], "--model must be auto, lite, lite:FILE, detic-swinb"),
    (["--model", "boxes:"], "boxes file"),
    (["--model", "boxes:no/such/file.csv"], "no/such/file.csv"),
    (["--model", "boxes:."], "boxes folder"),
    (["--in", "a", "--in", "b"], "expected --in once, got it 2 times; pass the folder above them"),
    (["--classes", "Whale", "--classes", "Dolphin"], "join the names by commas"),
    (["--labels", "no/such.csv"], "--labels no/such.csv"),
    (["--labels", "."], "--labels ."),
    (["--labels-key", "id"], ""),
    (["--in", "no/such/folder"], "--in no/such/folder does not exist"),
    (["--in", "no/such/*.jpg"], "--in no/such/*.jpg"),
    (["--in", ""], "--in"),
    (["--out", ""], "--out"),
    (["--unknown"], "--unknown"),
    (["--size"], "--size"),
    (["--fit", "strech"], "--fit must be stretch, pad or square, got 'strech'; did you mean stretch?"),
    (["extra.jpg"], "a pattern must be quoted"),
    (["a.jpg", "b.jpg", "c.jpg"], "--in 'photos/*.jpg'; got unexpected arguments a.jpg … See"),
]


@pytest.mark.parametrize(("arguments", "words"), BAD, ids=lambda value: " ".join(value)[:40])
def test_a_bad_value_is_one_clear_line(
    place: Place, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if arguments[0] == "--labels-key":
        (place.folder / "labels.csv").write_text("image\nphoto000.jpg\n")
        arguments = [*arguments, "--labels", str(place.folder / "labels.csv")]
    command = place.command
    if "--in" in arguments:  # given twice it is refused for that
        assert command[1] == "--in"
        del command[1:3]
    with untouched(place.folder):
        assert cli.main([*command, *arguments]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    *before, line = said.err.splitlines()
    assert all(said.startswith("cropping ") for said in before)
    assert len(before) <= 1
    assert line.startswith("detic-crop: ")
    assert words in line
    assert len(line) < 600


@pytest.mark.parametrize(
    "data", [b"", b"image\n", b"other\n1\n", b"image,x\na\n", b"image\n\xff\n", b'image\n"open', b"\x00" * 50]
)
def test_bad_label_files_are_one_clear_line(
    place: Place, data: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    (place.folder / "labels.csv").write_bytes(data)
    assert cli.main([*place.command, "--labels", str(place.folder / "labels.csv")]) == 2
    _, line = capsys.readouterr().err.splitlines()
    assert "--labels" in line
    assert not place.out.exists()


@pytest.mark.parametrize(
    "arguments", [["run"], ["run", "--in", "x"], ["recrop"], ["recrop", "x"], ["audit"], ["dance"], ["--huh"]]
)
def test_a_missing_or_unknown_word_is_one_clear_line(
    arguments: list[str], place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    *_, line = said.err.splitlines()
    assert line.startswith("detic-crop: ")


def test_no_word_at_all_shows_a_short_screen(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    for command in ("run train_images", "review cropped", "apply cropped", "--help"):
        assert f"detic-crop {command}" in said.err
    assert len(said.err.splitlines()) < 15


@pytest.mark.parametrize(
    "arguments", [["audit", "{folder}"], ["audit", "{folder}/none"], ["recrop", "{folder}"]]
)
def test_a_folder_that_is_no_run(
    arguments: list[str], place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [word.format(folder=place.folder / "in") for word in arguments]
    if arguments[0] == "recrop":
        arguments += ["--out", str(place.out)]
    with untouched(place.folder):
        assert cli.main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "pass the --out folder of a detic-crop run" in line


# ---------------------------------------------------------------- help and version


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], *([name, "--help"] for name in sorted(COMMANDS))])
def test_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(arguments) == 0
    said = capsys.readouterr()
    assert said.err == ""
    shown = COMMANDS.get(arguments[0], cli.cli)
    for option in options_of(shown).values():
        assert max(option.opts, key=len) in said.out
    if shown is cli.cli:
        for name in COMMANDS:
            assert name in said.out
        assert "130" in said.out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"detic-crop, version {detic_crop.__version__}\n"


def python(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


HEAVY = ("torch", "torchvision", "timm", "numpy", "cv2", "PIL", "pandas", "tqdm")


def heavy_imports(arguments: list[str]) -> set[str]:
    """Which of `HEAVY` a command imports."""
    code = f"import sys, detic_crop.cli.main; detic_crop.cli.main.main({arguments!r}); print(*sys.modules)"
    return set(python(code).splitlines()[-1].split()) & set(HEAVY)


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"], ["run", "--size", "x"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    assert heavy_imports(arguments) == set()


def test_boxes_need_no_torch(place: Place) -> None:
    code = f"import sys; from detic_crop.cli.main import main; main({place.command!r})"
    code += "; print('torch' in sys.modules)"
    assert python(code).splitlines()[-1] == "False"


# ---------------------------------------------------------------- what it says


def test_the_summary_agrees_with_the_table(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(place.command) == 0
    said = capsys.readouterr()
    rows = rows_of(place.out)
    counts = {
        status: sum(row["status"] == status for row in rows) for status in ("cropped", "resized", "failed")
    }
    flagged = sum(
        row["status"] == "cropped" and bool(set(row["flags"].split(";")) - {"", *IMAGE_CHECKS})
        for row in rows
    )
    summary, where = said.out.splitlines()[-2:]
    assert counts["failed"] == 4
    assert summary.startswith(
        f"{len(place.keys)} photos: {counts['cropped']} cropped, "
        f"{counts['resized']} resized whole (nothing found), {counts['failed']} failed (truncated 2, "
        f"empty_file 1, not_an_image 1); {counted(flagged, 'crop')} to look at (flagged); "
    )
    assert summary.endswith(" photos/s")
    assert str(place.out / "audit.html") in where
    assert str(place.out / "audit.csv") in where
    assert "model boxes:boxes.csv" in said.err


def test_the_summary_of_a_resume(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*place.command, "--limit", "5"]) == 0
    capsys.readouterr()
    assert cli.main(place.command) == 0
    summary = capsys.readouterr().out.splitlines()[-2]
    done = 5 - sum(row["status"] == "failed" for row in rows_of(place.out)[:5])
    assert summary.startswith(f"{len(place.keys)} photos ({done} done before): ")


def test_labels_are_counted_for_the_user(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    labels = place.folder / "labels.csv"
    labels.write_text("image\nphoto000.jpg\ngone.jpg\n")
    assert cli.main([*place.command, "--labels", str(labels)]) == 0
    told = capsys.readouterr()
    before = "labels: 2 rows, 1 matches a photo, 1 does not (first: gone.jpg), "
    assert f"{before}{len(place.keys) - 1} photos have no label and are left out\n" in told.err
    assert "labels:" not in told.out  # once is enough


def test_audit_says_the_same_summary(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(place.command) == 0
    summary, where = capsys.readouterr().out.splitlines()[-2:]
    before = files_of(place.out)
    assert cli.main(["audit", str(place.out)]) == 0
    assert capsys.readouterr().out.splitlines() == [summary.rpartition(";")[0], where]
    assert files_of(place.out) == before


@pytest.mark.parametrize("command", ["run", "recrop"])
def test_quiet_says_nothing_on_stdout(place: Place, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*place.command, "--quiet"]) == 0
    if command == "recrop":
        assert cli.main(["recrop", str(place.out), "--out", str(place.folder / "more"), "--quiet"]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert "it/s" not in said.err
    assert "photos" not in said.err


def test_strict_counts_failures(place: Place) -> None:
    assert cli.main([*place.command, "--strict"]) == 3
    assert len(rows_of(place.out)) == len(place.keys)
    assert cli.main([*place.command, "--strict", "--limit", "1"]) == 3  # the table still has failed rows
    for key in [row["image"] for row in rows_of(place.out) if row["status"] == "failed"]:
        write_photo(place.folder / "in" / key)
    assert cli.main([*place.command, "--strict"]) == 0


def test_failures_alone_are_no_error(place: Place) -> None:
    assert cli.main(place.command) == 0


@pytest.mark.parametrize("begun", [False, True])
def test_a_dry_run_writes_nothing_at_all(
    place: Place, begun: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    if begun:
        assert cli.main([*place.command, "--limit", "9"]) == 0
        capsys.readouterr()
    with untouched(place.folder):
        assert cli.main([*place.command, "--dry-run"]) == 0
        assert place.out.exists() == begun
    said = capsys.readouterr()
    done = sum(row["status"] != "failed" for row in rows_of(place.out)) if begun else 0
    last = said.out.splitlines()[-1]
    assert f"{counted(len(place.keys) - done, 'photo')} to do, {done} done before" in last
    assert "boxes:boxes.csv" in last
    assert "photos/s" not in said.err + said.out


def test_a_dry_run_finds_the_same_faults(place: Place) -> None:
    assert cli.main(place.command) == 0
    assert cli.main([*place.command, "--scale", "2", "--dry-run"]) == 2
    assert cli.main([*place.command, "--out", str(place.folder / "in"), "--dry-run"]) == 2


def test_output_that_cannot_show_every_letter(place: Place) -> None:
    """Windows consoles and redirected output there, or an old locale."""
    write_photo(place.folder / "in" / "aa 🐬.jpg")
    assert cli.main([*place.command, "--conf", "0.1"]) == 0
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"}
    for arguments in (
        ["recrop", str(place.out), "--out", str(place.folder / "more"), "--conf", "0.9"],
        [*place.command, "--conf", "0.1", "--out", str(place.folder / "new"), "--dry-run"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "detic_crop", *arguments],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode(errors="replace")


def test_an_unforeseen_fault_keeps_its_traceback(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug must not be dressed up as a user's mistake."""

    def broken(*args: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr("detic_crop.commands.run.discover", broken)
    with pytest.raises(ZeroDivisionError):
        cli.main(place.command)


def test_too_little_memory_is_one_line(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def exhausted(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(detic_crop.api, "run", exhausted)
    assert cli.main(place.command) == 1
    _, line = capsys.readouterr().err.splitlines()
    assert "too little memory" in line


def test_without_a_model_it_is_lite(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "detic_crop.commands.choose_detector.load_detector",
        lambda name, device, **given: FakeDetector(name=name),
    )
    assert cli.main(["run", "--in", str(place.folder / "in"), "--out", str(place.out), "--size", "32"]) == 0
    assert {row["model"] for row in rows_of(place.out)} == {"lite"}


def test_python_m_detic_crop(place: Place) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "detic_crop", *place.command, "--strict"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert f"{len(place.keys)} photos: " in done.stdout
    assert done.stderr.startswith("cropping ")


def test_quiet_says_nothing_at_all(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*place.command, "--quiet"]) == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "")
    assert (
        logging.getLogger("detic_crop").level == logging.NOTSET
    )  # a program that calls `main` keeps its own
