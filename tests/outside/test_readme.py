"""README and docs are used as they stand: their tables agree with the code, their commands run."""

from __future__ import annotations

import re
import shlex
import shutil
import tomllib
from pathlib import Path

import pytest

import detic_crop
from detic_crop.cli import main as cli
from detic_crop.cli.main import cli as commands
from detic_crop.detectors.boxes_file import formats
from detic_crop.report.suspicion import FLAGS
from detic_crop.report.table import COLUMNS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCS = sorted((ROOT / "docs").glob("*.md"))
LONGEST = 120  # characters of a line of prose


@pytest.fixture(scope="module")
def photo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the README's reader has it: `train_images` and `train.csv`."""
    folder = tmp_path_factory.mktemp("reader")
    shutil.copytree(ROOT / "examples" / "train_images", folder / "train_images")
    shutil.copy(ROOT / "examples" / "train.csv", folder)
    shutil.copy(folder / "train_images" / "dolphin_breach.jpg", folder / "whale.jpg")
    (folder / "more_images").mkdir()
    shutil.copy(folder / "whale.jpg", folder / "more_images" / "another.jpg")
    (folder / "train2.csv").write_text("image,box\ndolphin_breach.jpg,500 200 1000 700\norca_tall_fin.jpg,\n")
    return folder


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def detic_crop_commands(text: str = README, language: str = "sh") -> list[str]:
    lines = [line.split(" #")[0].strip() for block in blocks(language, text) for line in block.splitlines()]
    return [line for line in lines if line.startswith("detic-crop ")]


def test_every_column_and_flag_is_explained_as_in_the_code() -> None:
    for name, meaning in {**COLUMNS, **FLAGS}.items():
        assert f"| `{name}` | {meaning} |" in README


def test_every_command_and_option_is_named() -> None:
    for name, command in commands.commands.items():
        assert f"detic-crop {name}" in README
        if name == "weights":
            continue
        for option in command.params:
            if option.param_type_name == "option":
                assert f"`{max(option.opts, key=len)}" in README


def test_make_targets_are_there() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"make ([\w-]*\w)", README):
        assert f"\n{target}:" in makefile


def test_extras_and_versions_are_those_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for extra in re.findall(r"detic-crop\[(\w+)\]", README):
        assert extra in project["optional-dependencies"]
    assert project["requires-python"] == ">=3.11"
    assert "Python 3.11" in README


@pytest.mark.parametrize("document", [ROOT / "README.md", *DOCS], ids=lambda document: document.name)
def test_links_lead_to_files_and_lines_are_short(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (document.parent / target).exists(), target
    long = [line for line in text.splitlines() if len(line) > LONGEST and not line.startswith("|")]
    assert long == []


def test_every_document_is_linked() -> None:
    for document in DOCS:
        assert f"](docs/{document.name})" in README


def test_every_format_of_boxes_is_named() -> None:
    text = (ROOT / "docs" / "boxes.md").read_text(encoding="utf-8")
    names = [format.name for format in [*formats.WHOLE_JSON, *formats.WHOLE_XML, *formats.TABLES]]
    names += [format.name for format in [*formats.PHOTO_JSON, *formats.PHOTO_XML]]
    for name in [*names, *(format.name for format in formats.FOLDERS)]:
        assert name.split()[0] in text, name


def test_there_are_commands_to_run() -> None:
    assert len(detic_crop_commands()) >= 6


def use(command: str) -> None:
    """Run a command as a reader would type it; those that need a network, weights or a browser are parsed."""
    name, *arguments = shlex.split(command)[1:]
    if name in ("weights", "review") or {"detic-swinb", "ray"} & set(arguments):
        commands.commands[name].make_context(name, arguments, resilient_parsing=False).close()
        return
    assert cli.main([name, *arguments, *([] if name == "audit" else ["--quiet"])]) == 0, command


@pytest.mark.slow
@pytest.mark.parametrize("document", [ROOT / "README.md", *DOCS], ids=lambda document: document.name)
def test_commands_run(
    document: Path, photo_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In order, as a reader would type them."""
    shutil.copytree(photo_folder, tmp_path / "reader")
    monkeypatch.chdir(tmp_path / "reader")
    monkeypatch.setenv("DETIC_CROP_WEIGHTS_DIR", str(tmp_path / "weights"))
    for command in detic_crop_commands(document.read_text(encoding="utf-8")):
        use(command)


def test_examples_that_need_a_store_are_understood() -> None:
    found = 0
    for document in (ROOT / "README.md", *DOCS):
        for command in detic_crop_commands(document.read_text(encoding="utf-8"), "text"):
            name, *arguments = shlex.split(command)[1:]
            commands.commands[name].make_context(name, arguments, resilient_parsing=False).close()
            found += 1
    assert found >= 8


@pytest.mark.slow
def test_python_runs(photo_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photo_folder)
    use("detic-crop run --in train_images --out cropped")
    names: dict[str, object] = {}
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), names)
    assert isinstance(names["result"], detic_crop.CropResult)
    assert names["result"].status == "cropped"
