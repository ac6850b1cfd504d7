"""The command line as somebody meets it who types: first words, mistakes, help, colours, completion."""

from __future__ import annotations

import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.shell_completion import CompletionItem, ShellComplete, get_completion_class

from detic_crop import api
from detic_crop.cli import main as cli
from detic_crop.cli.completion import VARIABLE
from detic_crop.cli.groups import SECTIONS
from detic_crop.cli.messages import one_shown_line
from detic_crop.cli.mistakes import OTHER_COMMANDS, OTHER_OPTIONS
from detic_crop.cli.options import FIRST
from detic_crop.wording import typed
from tests.kit.errors import complained, refused
from tests.kit.folders import product, rows_of, untouched
from tests.kit.photos import write_boxes, write_photo, write_photos

ROOT = Path(__file__).resolve().parents[2]
COMMANDS: dict[str, click.Command] = dict(cli.cli.commands)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with photos in ``train_images`` and ``my photos``, and boxes for them."""
    for name in [name for name in os.environ if name.startswith("DETIC_CROP_")]:
        monkeypatch.delenv(name)
    keys = write_photos(tmp_path / "train_images", 3)
    for key in keys:
        write_photo(tmp_path / "my photos" / key)
    write_boxes(tmp_path / "boxes.csv", keys)
    monkeypatch.chdir(tmp_path)
    return tmp_path


BOXES = ["--model", "boxes:boxes.csv", "--size", "32"]


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line of an error."""
    told = capsys.readouterr()
    assert told.out == ""
    (line,) = told.err.splitlines()
    assert line.startswith("detic-crop: ")
    return line.removeprefix("detic-crop: ")


# ---------------------------------------------------------------- the first line

FENCE = """
import sys

class Fence:
    def find_spec(self, name, path=None, target=None):
        if name in ("torch", "torchvision", "timm", "numpy", "cv2", "PIL", "pandas"):
            sys.stderr.write("something heavy is imported")
            raise SystemExit(7)

sys.meta_path.insert(0, Fence())
from detic_crop.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("arguments", "first"),
    [
        (["run", "train_images"], "cropping train_images into cropped"),
        (["run", "--in", "my photos", "--out", "there"], "cropping my photos into there"),
        (["run", "train_images", "--dry-run"], "looking at train_images for cropped; nothing is written"),
        (["run", "s3://me:secret@bucket/a", "--size", "64"], "cropping s3://bucket/a into cropped"),
        (["teach", "cropped", "--out", "mine.safetensors"], "teaching lite what was said of cropped"),
    ],
)
def test_a_first_line_comes_before_anything_heavy_is_imported(
    arguments: list[str], first: str, here: Path
) -> None:
    for quiet in ([], ["--quiet"]):
        done = subprocess.run(
            [sys.executable, "-c", FENCE, *arguments, *quiet],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 7, done.stderr
        before = [] if quiet else [first]
        assert done.stderr.splitlines() == [*before, "something heavy is imported"]
        assert done.stdout == ""
    assert not (here / "cropped").exists()


def test_the_first_line_is_said_once(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "train_images", *BOXES]) == 0
    told = capsys.readouterr()
    assert (told.err + told.out).count("cropping train_images into cropped") == 1
    assert told.err.startswith("cropping train_images into cropped\n")


# ---------------------------------------------------------------- photos and folder as first words


def test_photos_and_folder_may_be_the_first_words(here: Path) -> None:
    assert cli.main(["run", "--in", "train_images", "--out", "a", *BOXES]) == 0
    assert cli.main(["run", "train_images", "b", *BOXES]) == 0
    assert cli.main(["run", *BOXES, "train_images", "--out", "c"]) == 0
    assert product(here / "a") == product(here / "b") == product(here / "c")


def test_without_a_folder_it_is_cropped_and_found_again(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["run", "train_images", *BOXES, "--limit", "2"]) == 0
    assert cli.main(["run", "--in", "train_images", *BOXES]) == 0
    assert len(rows_of(here / "cropped")) == 3
    assert "(2 done before)" in capsys.readouterr().out
    write_photo(here / "others" / "another.jpg")
    with untouched(here):
        assert cli.main(["run", "others", *BOXES]) == 2
    assert complained("other_photos", capsys.readouterr().err)


def test_words_come_before_variables(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DETIC_CROP_IN", "nowhere")
    monkeypatch.setenv("DETIC_CROP_OUT", "by_variable")
    assert cli.main(["run", "train_images", *BOXES]) == 0
    assert cli.main(["run", "train_images", "by_word", *BOXES]) == 0
    assert product(here / "by_variable") == product(here / "by_word")


TWICE = [
    (["run"], "expected the photos, got none; e.g. `detic-crop run train_images`"),
    (["run", "train_images", "a", "--out", "b"], "the folder of the crops is given twice, a and --out b"),
    (
        ["run", "train_images", "a", "b"],
        "expected PHOTOS and OUT, each quoted if it has blanks; got unexpected argument b",
    ),
    (
        ["run", "train_images", "boxes.csv", "b"],
        "a pattern must be quoted: 'photos/*.jpg'; got unexpected argument b",
    ),
    (["run", "boxes.csv", "boxes.csv"], "a pattern must be quoted: 'photos/*.jpg'"),
    (
        ["run", "--in", "train_images", "boxes.csv"],
        "a pattern must be quoted: --in 'photos/*.jpg'; got unexpected arg",
    ),
    (["run", "--in", "train_images", "a b"], "did you mean --out 'a b'?; got unexpected argument a b"),
    (
        ["run", "train_images", "a", "--in", "others"],
        "the photos are given twice, train_images and --in others; leave one out",
    ),
    (
        ["run", "train_images", "--in", "others", "--out", "a"],
        "the photos are given twice, train_images and --in others; leave one out",
    ),
    (["run", "my", "photos"], "a name with blanks must be quoted: 'my photos'"),
    (
        ["run", "my", "photos", "out"],
        "a name with blanks must be quoted: 'my photos'; got unexpected argument out",
    ),
    (["run", "--in", "my", "photos"], "a name with blanks must be quoted: --in 'my photos'"),
    (["run", "my", "photos", "--out", "b"], "a name with blanks must be quoted: 'my photos'"),
]


@pytest.mark.parametrize(("arguments", "words"), TWICE, ids=lambda value: " ".join(value)[:40])
def test_too_many_words_are_one_clear_line(
    arguments: list[str], words: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with untouched(here):
        assert cli.main(arguments) == 2
    assert words in said(capsys)


# ---------------------------------------------------------------- what was probably meant

MEANT = [
    (["reveiw", "my crops"], "detic-crop review 'my crops'"),
    (["RUN", "train_images"], "detic-crop run train_images"),
    (["train_images"], "detic-crop run train_images"),
    (["my photos", "out"], "detic-crop run 'my photos' out"),
    (["photos/*.jpg"], "detic-crop run 'photos/*.jpg'"),
    (["nowhere/at/all", "--size", "64"], "detic-crop run nowhere/at/all --size 64"),
    (["s3://bucket/photos", "out"], "detic-crop run s3://bucket/photos out"),
    (["--in", "train_images", "run", "--out", "x"], "detic-crop run --in train_images --out x"),
    (["--in=train_images", "run"], "detic-crop run --in=train_images"),
    (["--in", "train_images", "--out", "x"], "detic-crop run --in train_images --out x"),
    (["--dry-run", "apply", "cropped"], "detic-crop apply --dry-run cropped"),
    (["crop", "train_images"], "detic-crop run train_images"),
    (["check", "cropped"], "detic-crop verify cropped"),
    (["gui"], "detic-crop app"),
    (["help"], "detic-crop --help"),
    (["help", "run"], "detic-crop run --help"),
    (["weights", "pul", "detic-swinb"], "detic-crop weights pull detic-swinb"),
]


@pytest.mark.parametrize(("arguments", "meant"), MEANT, ids=lambda value: " ".join(value)[:40])
def test_a_wrong_command_is_answered_with_the_right_one(
    arguments: list[str], meant: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    assert f"; did you mean `{meant}`? See detic-crop" in said(capsys)
    name, *words = shlex.split(meant)[1:]
    if not {name, *words} & {"--help", "weights"}:  # what is proposed is understood
        COMMANDS[name].make_context(name, words).close()


def test_the_folder_of_a_run_is_looked_at(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "train_images", *BOXES, "--quiet"]) == 0
    assert cli.main(["cropped"]) == 2
    assert "did you mean `detic-crop review cropped`?" in said(capsys)


WRONG = [
    (["dance"], "there is no command 'dance'; known are run, "),
    (["--verison"], "there is no option --verison; did you mean --version?"),
    (["-V"], "there is no option -V; did you mean --version?"),
    (["version"], "did you mean `detic-crop --version`?"),
    (["run", "--input", "x"], "there is no option --input; did you mean --in?"),
    (["run", "x", "--output=y"], "there is no option --output; did you mean --out?"),
    (["recrop", "c"], "expected --out, got none; e.g. `detic-crop recrop c --out recropped`"),
    (["compare", "a", "b c"], "e.g. `detic-crop compare a 'b c' --out compared`"),
    (
        ["export", "c"],
        "expected --to and --out, got none; e.g. `detic-crop export c --to imagefolder --out exported`",
    ),
    (
        ["export", "c", "--to", "yolo"],
        "expected --out, got none; e.g. `detic-crop export c --to yolo --out e",
    ),
    (["teach", "c"], "e.g. `detic-crop teach c --out mine.safetensors`"),
    (["export", "c", "yolo"], "did you mean --to yolo?; got unexpected argument yolo"),
    (["recrop", "c", "small", "--size", "9"], "did you mean --out small?"),
    (["run", "x", "--not_found", "skip"], "there is no option --not_found; did you mean --not-found?"),
    (["run", "x", "--SIZE", "3"], "did you mean --size?"),
    (["run", "x", "--sise=3"], "there is no option --sise; did you mean --size?"),
    (["run", "-in", "x"], "there is no option -in; did you mean --in?"),
    (["run", "-i", "x"], "there is no option -i; did you mean --in?"),
    (["run", "x", "-o", "y"], "there is no option -o; did you mean --out?"),
    (["run", "x", "--threshold", "0.3"], "did you mean --conf?"),
    (["run", "—in", "x"], "—in begins with a dash of a word processor; type --in"),
    (["run", "“my", "photos”"], "“my has the quotation marks of a word processor; type plain ones"),
    (["run", "x", "size=64"], "did you mean `--size 64`?"),
    (["run", "x", "not_found=skip"], "did you mean `--not-found skip`?"),
    (["review", "x", "--size", "64"], "there is no option --size; it belongs to run and recrop"),
    (["review", "my", "photos"], "a name with blanks must be quoted: 'my photos'"),
    (["apply", "x", "dry_run=yes"], "did you mean `--dry-run`?"),
    (["review"], "expected CROPPED, the folder that `detic-crop run` made; e.g. `detic-crop review cropped`"),
    (["run", "x", "--fit", "pda"], "--fit must be stretch, pad or square, got 'pda'; did you mean pad?"),
    (["export", "x", "--to", "coco", "--out", "y", "--of", "photo"], "got 'photo'; did you mean photos?"),
    (["run", "x", "--conf"], "--conf needs a value"),
    (["run", "--in", "--out", "x"], "--in needs a value, got --out, which is an option itself"),
    (["run", "x", "--workers", "all"], "--workers: 'all' is no whole number"),
    (["run", "x", "--conf", "high"], "--conf: 'high' is no number"),
    (["review", "x", "--port", "99999"], "--port: 99999 is not in the range 0<=x<=65535"),
    (["export", "c", "exported"], "did you mean --out exported?"),
    (["-q", "run", "x"], "there is no option -q; did you mean --quiet?"),
    (["--sise", "64", "run", "x"], "there is no option --sise; did you mean --size?"),
    (["compare", "a"], "expected A and B, two results for the same photos; e.g. `detic-crop compare cropped"),
    (["run", ""], "expected the name of a file or folder, got an empty word"),
    (["run", "x", ""], "expected the name of a file or folder, got an empty word"),
    (["run", "--in", "x", "--out", ""], "expected the name of a file or folder for --out, got an empty word"),
    (["run", "x", "--labels="], "expected the name of a file or folder for --labels, got an empty word"),
    (["status", ""], "expected the name of a file or folder, got an empty word"),
]


@pytest.mark.parametrize(("arguments", "words"), WRONG, ids=lambda value: " ".join(value)[:40])
def test_a_wrong_word_is_one_line_that_says_what_was_meant(
    arguments: list[str], words: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with untouched(here):
        assert cli.main(arguments) == 2
    assert words in said(capsys)


def test_a_long_word_is_cut(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (
        ["x" * 5000],
        ["--" + "x" * 5000],
        ["run", "a", "--" + "x" * 5000],
        ["/" * 5000, "y" * 5000],
    ):
        assert cli.main(arguments) == 2
        assert len(said(capsys)) < 1000


def test_a_choice_may_be_in_capitals(here: Path) -> None:
    given = COMMANDS["run"].make_context("run", ["x", "--fit", "PAD", "--format", "Jpg"]).params
    assert (given["fit"], given["format"]) == ("pad", "jpg")


@pytest.mark.parametrize(
    "arguments",
    [["run", "train_imges"], ["review", "croped"], ["audit", "./croped/"], ["status", "croped"]],
)
def test_a_path_that_leads_nowhere_is_answered_with_the_one_beside_it(
    arguments: list[str], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "cropped").mkdir()
    with untouched(here):
        assert cli.main(arguments) == 2
    near = "train_images" if arguments[0] == "run" else "cropped"
    assert re.search(rf"does not exist; pass .*; did you mean (\./)?{near}\?$", capsys.readouterr().err)


def test_words_of_other_programs_lead_to_what_exists() -> None:
    assert set(OTHER_COMMANDS.values()) <= set(COMMANDS)
    assert not set(OTHER_COMMANDS) & set(COMMANDS)
    commands = [cli.cli, *COMMANDS.values()]
    options = {name for command in commands for option in command.params for name in option.opts}
    assert set(OTHER_OPTIONS.values()) <= options


# ---------------------------------------------------------------- commands that are printed


def test_names_with_blanks_are_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert typed("detic-crop", "apply", "my crops") == "detic-crop apply 'my crops'"
    with monkeypatch.context() as patch:
        patch.setattr("os.name", "nt")
        on_windows = typed("detic-crop", "apply", r"C:\Users\me\my crops")
        plain = typed("detic-crop", "apply", r"C:\Users\me\crops")
    assert on_windows == r'detic-crop apply "C:\Users\me\my crops"'
    assert plain == r"detic-crop apply C:\Users\me\crops"


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs a bash")
@pytest.mark.parametrize(
    "name", ["plain", "it's", "$HOME x", "größe", "new\nline\t'", "back\\slash\n", "\x85\u202e", "\udce9 old"]
)
def test_a_shell_reads_a_printed_command_as_it_was_meant(name: str) -> None:
    printed = one_shown_line(typed("printf", "%s", name))
    assert printed.isprintable()
    bash = ["bash", "-c", printed]
    done = subprocess.run(bash, env={**os.environ, "LC_ALL": "C.UTF-8"}, capture_output=True, check=True)
    assert os.fsdecode(done.stdout) == name


def test_a_folder_whose_name_begins_with_a_dash(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", *BOXES, "--out", "-o", "--", "train_images"]) == 0
    assert cli.main(["status", "--", "-o"]) == 0
    command = capsys.readouterr().out.splitlines()[-1].removeprefix("next: ")
    assert command == "detic-crop review ./-o"


@pytest.mark.parametrize("name", ["status", "apply", "verify", "audit", "merge"])
@pytest.mark.parametrize(("given", "said_of_it"), [("boxes.csv", "is a file"), ("boxes.csv/x", "no folder")])
def test_a_file_in_the_place_of_a_folder(
    name: str, given: str, said_of_it: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with untouched(here):
        assert cli.main([name, given]) == 2
    assert said_of_it in complained("out_is_file", capsys.readouterr().err)


@pytest.mark.parametrize("given", ["boxes.csv", "boxes.csv/x"])
def test_a_run_into_a_file(given: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with untouched(here):
        assert cli.main(["run", "train_images", given, *BOXES]) == 2
    complained("out_is_file", capsys.readouterr().err)


def test_an_empty_name_is_not_the_working_folder(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "empty").mkdir()
    monkeypatch.chdir(here / "empty")
    with untouched(here), refused("empty_output"):
        api.run(here / "train_images", "", model=f"boxes:{here / 'boxes.csv'}")


def test_every_command_that_is_printed_is_quoted_in_one_way() -> None:
    """datacard.md and audit.html are the same files on every system."""
    users = {
        file.relative_to(ROOT / "detic_crop").as_posix()
        for file in (ROOT / "detic_crop").rglob("*.py")
        if re.search(r"^import shlex|list2cmdline", file.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert users == {"wording.py", "report/paper.py", "report/html/head.py"}


# ---------------------------------------------------------------- help


def test_every_command_is_under_one_heading() -> None:
    listed = [name for names in SECTIONS.values() for name in names]
    assert len(listed) == len(set(listed))
    assert set(COMMANDS) <= set(listed)


def test_the_help_groups_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    out = capsys.readouterr().out
    places = [out.index(f"\n{heading}:\n") for heading in SECTIONS]
    assert places == sorted(places)
    assert "..." not in out.partition("Options:")[2]  # nothing is cut off
    for name in COMMANDS:
        assert re.search(rf"^  {name}  +\S", out, re.MULTILINE), name


@pytest.mark.parametrize("name", sorted(FIRST))
def test_what_most_people_need_comes_first(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([name, "--help"]) == 0
    _, head, rest = capsys.readouterr().out.partition("What most people need:\n")
    assert head
    first, *others = re.split(r"\n\n(?=[A-Z])", rest)
    options = re.findall(r"^  (--[\w-]+)", first, re.MULTILINE)
    assert len(options) == len(FIRST[name]) <= 10
    assert all(
        re.search(rf"^  {option}\b(?!-)", "\n".join(others), re.MULTILINE) is None for option in options
    )
    assert len(others) > 2


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"weights"}))
def test_every_help_has_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([name, "--help"]) == 0
    assert re.search(rf"^  .*\bdetic-crop {name}\b(?!.*OPTIONS)", capsys.readouterr().out, re.MULTILINE)


# ---------------------------------------------------------------- colours


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, *arguments: str, **variables: str) -> str:
    """Return what a command shows on a terminal."""
    screen = Terminal()
    with monkeypatch.context() as patch:
        for stream in ("stdout", "stderr"):
            patch.setattr(sys, stream, screen)
        patch.delenv("NO_COLOR", raising=False)
        for name, value in {"TERM": "xterm", **variables}.items():
            patch.setenv(name, value)
        cli.main(arguments)
    return screen.getvalue()


def test_a_terminal_shows_errors_and_commands_in_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = on_a_terminal(monkeypatch, "reveiw")
    assert shown.startswith("\x1b[31m\x1b[1mdetic-crop:\x1b[0m there is no command")
    assert "`\x1b[1mdetic-crop review\x1b[0m`" in shown


def test_a_terminal_shows_the_number_of_doubtful_crops_in_colour(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [path.relative_to("train_images").as_posix() for path in Path("train_images").rglob("*.*")]
    rows = [f"{key},0,0,60,40,0.9,Whale\n" for key in keys]  # up to every edge
    (here / "edge.csv").write_text("image,xmin,ymin,xmax,ymax,score,class_name\n" + "".join(rows))
    shown = on_a_terminal(monkeypatch, "run", "train_images", "--model", "boxes:edge.csv", "--size", "32")
    assert "; \x1b[33m3 crops to look at\x1b[0m (flagged); " in shown
    assert "\x1b[31m" not in shown
    shown = on_a_terminal(monkeypatch, "run", "train_images", "there", *BOXES, "--max-pixels", "100")
    assert "\x1b[31m3 failed\x1b[0m" in shown
    assert "\x1b[33m" not in shown


@pytest.mark.parametrize("how", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colours_can_be_forbidden(how: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b" not in on_a_terminal(monkeypatch, "reveiw", **how)


def test_there_are_no_colours_in_a_pipe(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "train_images", *BOXES, "--max-pixels", "100"]) == 0
    assert cli.main(["reveiw"]) == 2
    told = capsys.readouterr()
    assert "\x1b" not in told.err + told.out


@pytest.mark.usefixtures("here")
def test_colours_let_no_control_character_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither of a name nor of a word that was typed."""
    shown = on_a_terminal(monkeypatch, "run", "\x1b[2J\x1b]0;title\x07", *BOXES)
    shown += on_a_terminal(monkeypatch, "\x1b[2Jrun")
    assert "\\x1b[2J" in shown
    assert set(re.findall(r"\x1b[^m]*m?", shown)) <= {"\x1b[31m", "\x1b[1m", "\x1b[0m", "\x1b[33m"}
    assert "\x07" not in shown


# ---------------------------------------------------------------- completion


def completed(*words: str) -> list[CompletionItem[str]]:
    """Return what is offered for the last word."""
    *before, begun = words
    return ShellComplete(cli.cli, {}, "detic-crop", VARIABLE).get_completions(before, begun)


COMPLETED = [
    (("rev",), "plain", ["review"]),
    (("run", ""), "file", [""]),
    (("run", "my"), "file", ["my"]),
    (("run", "--in", "my"), "file", ["my"]),
    (("run", "x", "--out", ""), "dir", [""]),
    (("run", "x", "--labels", "l"), "file", ["l"]),
    (("run", "x", "--fit", "p"), "plain", ["pad"]),
    (("run", "x", "--model", "detic-s"), "plain", ["detic-swinb"]),
    (("run", "x", "--model", "l"), "plain", ["lite", "lite:"]),
    (("run", "x", "--model", "boxes:l"), "file", ["boxes:l"]),
    (("run", "x", "--labels", "labels.csv", "--labels-key", ""), "plain", ["photo", "species"]),
    (("review", "c"), "dir", ["c"]),
    (("export", "cropped", "--to", "kag"), "plain", ["kaggle"]),
    (("split", "cropped", "--individual", "sus"), "plain", ["suspicion"]),
    (("weights", "pull", "detic-s"), "plain", ["detic-swinb"]),
    (("completion", "b"), "plain", ["bash"]),
]


@pytest.mark.parametrize(("words", "kind", "values"), COMPLETED, ids=lambda value: " ".join(value)[:40])
def test_a_shell_is_told_what_may_follow(
    words: tuple[str, ...], kind: str, values: list[str], here: Path
) -> None:
    (here / "labels.csv").write_text("photo;species\nphoto000.jpg;Orca\n")
    assert cli.main(["run", "train_images", *BOXES, "--quiet"]) == 0
    found = completed(*words)
    assert {item.type for item in found} == {kind}
    assert [item.value for item in found] == values


def test_every_folder_of_a_run_is_completed_as_a_folder() -> None:
    for name, command in COMMANDS.items():
        if any(parameter.name == "cropped" for parameter in command.params):
            assert [item.type for item in completed(name, "")] == ["dir"], name


def asked(words: str, number: int, shell: str = "bash") -> str:
    """Return what the program answers a shell."""
    done = subprocess.run(
        [sys.executable, "-m", "detic_crop"],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            VARIABLE: f"{shell}_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(number),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout


def test_the_program_answers_a_shell(here: Path) -> None:
    assert asked("detic-crop\nrev", 1) == "plain,review\n"
    assert asked("detic-crop\nrun\nmy\\ ph", 2) == "file,my ph\n"
    # Bash takes the colon for a word, and replaces what follows it.
    assert asked("detic-crop\nrun\nx\n--encounter\ngap\n:\n3", 6) == "plain,30min\n"
    assert asked("detic-crop\nrun\nx\n--fit\n=\np", 5) == "plain,pad\n"
    assert asked("detic-crop\nnothing\nx", 2) == "\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell(shell: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["completion", shell]) == 0
    script = capsys.readouterr().out
    kind = get_completion_class(shell)
    assert kind is not None
    assert script == kind(cli.cli, {}, "detic-crop", VARIABLE).source().rstrip("\n") + "\n"
    assert f"{VARIABLE}={shell}_complete" in script


def test_a_shell_that_is_not_known_is_refused(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SHELL", "/usr/bin/fish")
    assert cli.main(["completion"]) == 0
    assert "fish_complete" in capsys.readouterr().out
    monkeypatch.setenv("SHELL", "/bin/csh")
    assert cli.main(["completion"]) == 2
    assert "which shell? e.g. `detic-crop completion bash`; known: bash, zsh, fish" in said(capsys)
    assert cli.main(["completion", "bsh"]) == 2
    assert "shell must be bash, zsh or fish, got 'bsh'; did you mean bash?" in said(capsys)
