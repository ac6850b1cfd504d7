"""The README is used as it stands: its tables agree with the code, its commands run."""

from __future__ import annotations

import re
import shutil
import tomllib
from pathlib import Path

import pytest

import detic_crop
from detic_crop import cli
from detic_crop.audit.suspicion import FLAGS
from detic_crop.audit.table import COLUMNS
from detic_crop.cli import cli as commands

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def photo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the README's reader has it: `train_images` and `train.csv`."""
    folder = tmp_path_factory.mktemp("reader")
    shutil.copytree(ROOT / "examples" / "train_images", folder / "train_images")
    shutil.copy(ROOT / "examples" / "train.csv", folder)
    shutil.copy(folder / "train_images" / "dolphin_breach.jpg", folder / "whale.jpg")
    (folder / "train2.csv").write_text("image,box\ndolphin_breach.jpg,500 200 1000 700\norca_tall_fin.jpg,\n")
    return folder


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def detic_crop_commands() -> list[str]:
    lines = [line.split("#")[0].strip() for block in blocks("sh") for line in block.splitlines()]
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


def test_links_lead_to_files() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target


def test_there_are_commands_to_run() -> None:
    assert len(detic_crop_commands()) >= 6


@pytest.mark.slow
def test_commands_run(photo_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In order, as a reader would type them; others (network, weights, browser) are parsed."""
    monkeypatch.chdir(photo_folder)
    monkeypatch.setenv("DETIC_CROP_WEIGHTS_DIR", str(tmp_path / "weights"))
    for command in detic_crop_commands():
        arguments = command.split()[1:]
        if arguments[0] in ("weights", "review") or "detic-" in " ".join(arguments):
            name = arguments[0]
            commands.commands[name].make_context(name, arguments[1:], resilient_parsing=False).close()
            continue
        assert cli.main([*arguments, *([] if arguments[0] == "audit" else ["--quiet"])]) == 0, command


@pytest.mark.slow
def test_python_runs(photo_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photo_folder)
    names: dict[str, object] = {}
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), names)
    assert isinstance(names["result"], detic_crop.CropResult)
    assert names["result"].status == "cropped"
