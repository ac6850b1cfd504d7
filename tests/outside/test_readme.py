"""README and docs are used as they stand: tables agree with the code, links lead somewhere, commands run."""

from __future__ import annotations

import ast
import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import click
import pytest
from PIL import Image

import detic_crop
from detic_crop.app.child import TOKEN_VARIABLE
from detic_crop.cli import main as cli
from detic_crop.cli.main import cli as commands
from detic_crop.detectors.boxes_file import formats
from detic_crop.report.metadata_columns import METADATA, POSITION
from detic_crop.report.suspicion import FLAGS
from detic_crop.report.table import ANIMAL_COLUMNS, COLUMNS
from tests.kit.app import serving
from tests.kit.onnx_models import v8

ROOT = Path(__file__).parents[2]
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [ROOT / "README.md", *DOCS, ROOT / "CONTRIBUTING.md"]
MORE = [
    ROOT / "CHANGELOG.md",
    *(ROOT / folder / "README.md" for folder in ("benchmarks", "examples", "weights")),
]
LONGEST = 120  # characters of a line of prose
CODE = re.compile(r"^[a-z][a-z0-9]*(_[a-z0-9]+)+$")


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(language: str, text: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def detic_crop_commands(text: str, language: str = "sh") -> list[str]:
    lines = [line.split(" #")[0].strip() for block in blocks(language, text) for line in block.splitlines()]
    return [line.removeprefix("!") for line in lines if line.removeprefix("!").startswith("detic-crop ")]


# ---------------------------------------------------------------- tables


def test_every_column_and_flag_is_explained_as_in_the_code() -> None:
    page = text_of("docs/output.md")
    for name, meaning in {**COLUMNS, **METADATA, **POSITION, **FLAGS}.items():
        assert f"| `{name}` | {meaning} |" in page


def test_every_column_of_animals_is_explained_as_in_the_code() -> None:
    page = text_of("docs/animals.md")
    for name, meaning in ANIMAL_COLUMNS.items():
        assert f"| `{name}` | {meaning} |" in page


def test_the_page_of_options_is_as_the_script_makes_it() -> None:
    made = runpy.run_path(str(ROOT / "docs" / "make_options.py"))["page"]()
    assert text_of("docs/options.md") == made, "run: python docs/make_options.py"


def test_every_command_and_option_is_named() -> None:
    page = text_of("docs/options.md")
    for name, command in commands.commands.items():
        assert f"## detic-crop {name}" in page
        for option in command.params:
            if isinstance(option, click.Option) and not option.hidden:
                assert f"| `{max(option.opts, key=len)}" in page


def test_every_key_of_the_review_page_is_named() -> None:
    shown = re.findall(r"<kbd>(.*?)</kbd>", text_of("detic_crop/review_page/static/review.html"))
    table = text_of("docs/review.md").partition("## Keys")[2].partition("## ")[0]
    rows = " ".join(re.findall(r"^\| (.*?) \|", table, flags=re.MULTILINE)).lower()
    named = set(re.findall(r"[^\s,;…+]+|\+(?=\s)", rows))
    keys = {key for keys in shown for key in keys.lower().split()}
    assert keys
    assert keys - named == set()


def test_every_format_of_boxes_is_named() -> None:
    page = text_of("docs/boxes.md")
    names = [format.name for format in [*formats.WHOLE_JSON, *formats.WHOLE_XML, *formats.TABLES]]
    names += [format.name for format in [*formats.PHOTO_JSON, *formats.PHOTO_XML]]
    for name in [*names, *(format.name for format in formats.FOLDERS)]:
        assert name.split()[0] in page, name


def test_codes_of_errors_and_reasons_of_photos_exist() -> None:
    """Those in the first column of the tables of troubleshooting.md."""
    said = re.findall(r"^\| `([a-z_]+)`", text_of("docs/troubleshooting.md"), flags=re.MULTILINE)
    constants = {
        node.value
        for file in (ROOT / "detic_crop").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert len(said) > 25
    assert [code for code in said if code not in constants] == []


def test_make_targets_are_there() -> None:
    makefile = text_of("Makefile")
    for page in PAGES:
        for target in re.findall(r"`make ([\w-]*\w)", page.read_text(encoding="utf-8")):
            assert f"\n{target}:" in makefile, f"{name_of(page)}: make {target}"


def test_extras_and_versions_are_those_of_the_package() -> None:
    project = tomllib.loads(text_of("pyproject.toml"))["project"]
    for page in PAGES:
        for extras in re.findall(r"(?:detic-crop|['\"]\.)\[([\w,]+)\]", page.read_text(encoding="utf-8")):
            assert set(extras.split(",")) <= set(project["optional-dependencies"]), name_of(page)
    assert project["requires-python"] == ">=3.11"
    assert "Python 3.11" in text_of("README.md")


def test_the_citation_names_this_version() -> None:
    citation = text_of("CITATION.cff")
    assert f"\nversion: {detic_crop.__version__}\n" in citation
    assert f"\nlicense: {tomllib.loads(text_of('pyproject.toml'))['project']['license']}\n" in citation


# ---------------------------------------------------------------- pages


def anchors_of(page: Path) -> set[str]:
    """Return the anchors of the headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*PAGES, *MORE], ids=name_of)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        leads_to = (page.parent / file).resolve() if file else page
        assert leads_to.exists(), target
        if anchor:
            assert anchor in anchors_of(leads_to), target


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_lines_are_short(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if len(line) > LONGEST and not line.startswith("|")] == []


def test_the_readme_is_short() -> None:
    assert len(text_of("README.md").splitlines()) <= 150


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/design.md"])
def test_files_that_are_named_exist(page: str) -> None:
    named = re.findall(r"`((?:detic_crop|tests|docs|examples)/[\w/.]*)", text_of(page))
    named += [
        f"detic_crop/{path}"
        for path in re.findall(
            r"`((?:boxes|commands|detectors|folder|images|photos|shards|stores|work)/[\w/]+\.py)`",
            text_of(page),
        )
    ]
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_page_is_linked_from_the_index() -> None:
    index = text_of("docs/index.md")
    for page in DOCS:
        assert page.name == "index.md" or f"]({page.name})" in index


# ---------------------------------------------------------------- commands


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the reader has it: photos, a label table, boxes, a model, and a finished run."""
    folder = tmp_path_factory.mktemp("reader")
    shutil.copytree(ROOT / "examples" / "train_images", folder / "train_images")
    shutil.copy(ROOT / "examples" / "train.csv", folder)
    shutil.copy(folder / "train_images" / "dolphin_breach.jpg", folder / "whale.jpg")
    for more in ("more_images", "test_images"):
        (folder / more).mkdir()
        shutil.copy(folder / "whale.jpg", folder / more / "another.jpg")
    (folder / "train2.csv").write_text("image,box\ndolphin_breach.jpg,500 200 1000 700\norca_tall_fin.jpg,\n")
    v8(folder / "fins.onnx")
    detic_crop.run(folder / "train_images", folder / "cropped", model="lite", quiet=True)
    return folder


@pytest.fixture
def here(reader: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of a reader of one page, as the working folder."""
    shutil.copytree(reader, tmp_path / "reader")
    monkeypatch.chdir(tmp_path / "reader")
    monkeypatch.setenv("DETIC_CROP_WEIGHTS_DIR", str(tmp_path / "weights"))
    return tmp_path / "reader"


def understood(command: str) -> None:
    """Parse a command without running it."""
    name, *arguments = shlex.split(command)[1:]
    commands.commands[name].make_context(name, arguments, resilient_parsing=False).close()


def use(command: str) -> None:
    """Run a command as a reader would type it; those that need a network, weights or a person are parsed."""
    name, *arguments = shlex.split(command)[1:]
    if (
        name in ("weights", "review", "app", "teach")
        or "lite:" in command
        or "torchvision:" in command
        or "hf:" in command
        or {"detic-swinb", "ray"} & set(re.split(r"[^\w-]", command))
    ):
        understood(command)
        return
    assert cli.main([name, *arguments, *([] if name in ("audit", "status") else ["--quiet"])]) == 0, command


@pytest.mark.slow
@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_run(page: Path) -> None:
    """In order, as a reader would type them."""
    for command in detic_crop_commands(page.read_text(encoding="utf-8")):
        use(command)


@pytest.mark.slow
@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("page", ["docs/python.md", "docs/quickstart-kaggle.md", "CONTRIBUTING.md"])
def test_python_runs(page: str) -> None:
    names: dict[str, object] = {}
    found = blocks("python", text_of(page))
    assert found
    for block in found:
        exec(compile(block, page, "exec"), names)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_what_is_asked_of_the_app_is_answered(here: Path, tmp_path: Path) -> None:
    """In order, as one script; jobs are not begun, so that each answer is the same every time."""
    script = "\n".join(block for block in blocks("sh", text_of("docs/app.md")) if "curl " in block)
    assert script.count("curl ") >= 5
    with serving([here], tmp_path / "state", work=False) as app:
        script = script.replace("http://localhost:8377", f"http://127.0.0.1:{app.port}")
        strict = 'set -e; curl() { command curl -sS --fail-with-body "$@"; }'
        done = subprocess.run(
            ["bash", "-c", f"{strict}\n{script}"],
            env={**os.environ, TOKEN_VARIABLE: app.guard.token},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert '"name":"train_images"' in done.stdout
        assert app.api("GET", "/jobs/1")["state"] == "queued"
    assert json.loads((here / "row_and_crop.json").read_text())["row"]["status"] == "cropped"
    with Image.open(here / "crop.jpg") as crop:
        assert crop.size == (384, 384)
    assert '"status":"cropped"' in (here / "headers.txt").read_text()


@pytest.mark.slow
@pytest.mark.usefixtures("here")
def test_the_first_command_prints_what_the_readme_shows(capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree("cropped")
    capsys.readouterr()
    command = detic_crop_commands(text_of("README.md"))[0]
    assert cli.main(shlex.split(command)[1:]) == 0
    said = capsys.readouterr()
    [shown] = blocks("text", text_of("README.md"))
    for line in shown.splitlines():
        line = re.sub(r"; [\d.]+ photos/s$", "", line)
        assert line in said.out + said.err, line


def test_there_are_commands_to_run() -> None:
    assert len(detic_crop_commands(text_of("README.md"))) >= 3
    found = [command for page in PAGES for command in detic_crop_commands(page.read_text(encoding="utf-8"))]
    assert len(found) >= 20


def test_examples_that_need_a_store_or_another_system_are_understood() -> None:
    found = 0
    for page in PAGES:
        for command in detic_crop_commands(page.read_text(encoding="utf-8").replace("\\\n", ""), "text"):
            understood(command)
            found += 1
    assert found >= 6
