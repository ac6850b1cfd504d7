"""Whole commands with `--model hf:`: run, resume, recrop, dry run, and what is refused in one line."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from detic_crop.cli import main as cli
from tests.kit.errors import complained
from tests.kit.folders import rows_of
from tests.kit.hf_models import save_model
from tests.kit.photos import write_photos


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let nothing connect, and nothing of this machine's weights count."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError(f"a connection was tried: {args}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("DETIC_CROP_WEIGHTS_DIR", str(tmp_path / "weights"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """The folder with `in`, a detector that was fine-tuned, and one that is asked with words."""
    write_photos(tmp_path / "in", 6, width=150, height=90)
    save_model("rt_detr", tmp_path / "tuned")
    save_model("owlv2", tmp_path / "words")
    return tmp_path


def run(folder: Path, *words: str, out: str = "out") -> int:
    return cli.main(["run", "--in", str(folder / "in"), "--out", str(folder / out), "--size", "32", *words])


def test_run_resume_and_recrop(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = f"hf:{photos / 'tuned'}"
    assert run(photos, "--model", model, "--conf", "0.3", "--limit", "3") == 0
    assert run(photos, "--model", model, "--conf", "0.3") == 0
    rows = rows_of(photos / "out")
    assert len(rows) == 6
    assert {row["model"] for row in rows} == {"hf:tuned"}
    assert {row["class_name"] for row in rows if row["box"]} <= {"dolphin", "whale"}
    assert any(row["box"] for row in rows)
    assert run(photos, "--model", model, "--conf", "0.3", out="at_once") == 0
    assert [row["box"] for row in rows_of(photos / "at_once")] == [row["box"] for row in rows]
    shutil.rmtree(photos / "tuned")  # kept boxes need no model
    assert cli.main(["recrop", str(photos / "out"), "--out", str(photos / "again"), "--scale", "1.5"]) == 0
    assert [row["box"] for row in rows_of(photos / "again")] == [row["box"] for row in rows]
    capsys.readouterr()
    assert run(photos) == 2  # the name of a folder is not its path
    complained("model_needs_path", capsys.readouterr().err)


def test_other_words_are_another_setting(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = f"hf:{photos / 'words'}"
    assert run(photos, "--model", model, "--vocabulary", "fin,whale") == 0
    config = json.loads((photos / "out" / "run.json").read_text())["settings"]
    assert config["vocabulary"] == "fin,whale"
    assert "model.safetensors" in config["weights"]
    capsys.readouterr()
    assert run(photos, "--model", model) == 2
    assert "vocabulary was 'fin,whale'" in complained("other_settings", capsys.readouterr().err)


def test_weights_that_changed_are_noticed(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = f"hf:{photos / 'tuned'}"
    assert run(photos, "--model", model) == 0
    config = photos / "tuned" / "config.json"
    config.write_text(config.read_text() + "\n")
    capsys.readouterr()
    assert run(photos, "--model", model) == 2
    assert "config.json has changed" in complained("other_settings", capsys.readouterr().err)


def test_a_pulled_model_is_continued_by_its_name(photos: Path) -> None:
    (photos / "weights" / "hf").mkdir(parents=True)
    shutil.move(photos / "tuned", photos / "weights" / "hf" / "seas--finder")
    assert run(photos, "--model", "hf:seas/finder", "--limit", "2") == 0
    assert run(photos) == 0
    assert {row["model"] for row in rows_of(photos / "out")} == {"hf:seas/finder"}


def test_a_dry_run_writes_nothing(photos: Path) -> None:
    assert run(photos, "--model", f"hf:{photos / 'words'}", "--dry-run") == 0
    assert not (photos / "out").exists()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--model", "hf:seas/unknown"], "missing_weights"),
        (["--model", "hf:./nothing"], "no_hf_folder"),
        (["--model", "hf:in"], "no_hf_folder"),
        (["--model", "hf:tuned", "--vocabulary", "whale"], "option_not_applicable"),
        (["--model", "hf:tuned", "--names", "a.txt"], "option_not_applicable"),
        (["--model", "hf:tuned", "--detector-size", "800"], "option_not_applicable"),
        (["--model", "hf:tuned", "--conf", "0.01"], "conf_below_floor"),
        (["--model", "hf:tuned", "--classes", "walrus"], "unknown_class"),
    ],
)
def test_what_is_refused(
    words: list[str],
    code: str,
    photos: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(photos)
    assert run(photos, *words) == 2
    said = capsys.readouterr().err
    complained(code, said)
    first, *_ = lines = said.strip().splitlines()
    assert first.startswith("cropping ")
    assert len(lines) == 2
    assert not (photos / "out").exists()


def test_nothing_but_our_lines_is_printed(photos: Path) -> None:
    command = ["-m", "detic_crop", "run", "--in", str(photos / "in"), "--out", str(photos / "out")]
    done = subprocess.run(
        [sys.executable, "-W", "default", *command, "--model", f"hf:{photos / 'words'}", "--quiet"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert [line for line in done.stderr.splitlines() if not line.startswith("detic-crop")] == []


def test_transformers_is_imported_only_when_asked_for() -> None:
    program = (
        "import sys, detic_crop, detic_crop.cli.main, detic_crop.detectors.families as f\n"
        "f.family_of('hf:a/b').resumes('hf:a/b'); f.family_of('hf:a/b').absolute('hf:a/b')\n"
        "print(sorted({'torch', 'transformers', 'huggingface_hub'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
