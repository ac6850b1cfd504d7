"""`weights pull hf:…`: from a loopback hub, broken off, damaged, refused; and what is known of it then."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from detic_crop import UsageError, load_detector
from detic_crop.cli.weights import weights as command
from detic_crop.detectors.download import DownloadError
from detic_crop.errors import WeightsError
from tests.kit.errors import refused
from tests.kit.hf_models import save_model
from tests.kit.hub import FakeHub, files_of, hub_server

ID = "seas/finder"
NAME = f"hf:{ID}"


class Said(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str


Say = Callable[..., Said]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Run ``weights`` with some words."""

    def run(*words: str) -> Said:
        capsys.readouterr()
        code = command.main(list(words), standalone_mode=False)
        return Said(code or 0, *capsys.readouterr())

    return run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the weights; nothing of this machine's hub counts."""
    monkeypatch.setenv("DETIC_CROP_WEIGHTS_DIR", str(tmp_path / "weights"))
    for name in ("HF_HUB_CACHE", "HF_HUB_OFFLINE"):
        monkeypatch.setattr(
            f"huggingface_hub.constants.{name}", tmp_path / name if "CACHE" in name else False
        )
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)
    return tmp_path / "weights" / "hf" / "seas--finder"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A hub with one tiny RT-DETR and files that nobody needs, which ``--mirror`` would name."""
    files = files_of(save_model("rt_detr", tmp_path / "made"))
    files |= {"README.md": b"# Finder", "pytorch_model.bin": b"a pickle", "onnx/model.onnx": b"another"}
    with hub_server(FakeHub(ID, files)) as server:
        monkeypatch.setenv("DETIC_CROP_MIRROR", server.address)
        yield server


def test_only_what_is_needed_is_pulled_and_runs(hub: FakeHub, folder: Path, say: Say) -> None:
    said = say("pull", NAME, "--quiet", "--mirror", hub.address)
    assert said.code == 0
    assert said.err == ""
    assert sorted(line.split()[0].rpartition("/")[2] for line in said.out.splitlines()) == [
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
    ]
    assert {name for name in hub.sent if hub.sent[name]} == {
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
    }
    kept = {file.name for file in folder.iterdir() if file.is_file()}
    assert kept == {
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
        "pulled.json",
        "weights.json",
    }
    assert json.loads((folder / "pulled.json").read_text())["commit"] == hub.commit
    assert load_detector(NAME, "cpu").info.name == NAME
    assert load_detector(f"{NAME}@{hub.commit[:10]}", "cpu").info.name == NAME


def test_what_is_there_is_not_asked_for_again(hub: FakeHub, folder: Path, say: Say) -> None:
    say("pull", NAME, "--quiet", "--mirror", hub.address)
    before = dict(hub.asked)
    said = say("pull", NAME, "--quiet", "--mirror", hub.address)
    assert said.out.count("was there already") == 3
    assert dict(hub.asked) == before


def test_another_revision_takes_its_place(hub: FakeHub, folder: Path, say: Say) -> None:
    say("pull", NAME, "--quiet", "--mirror", hub.address)
    hub.commit, hub.revisions = "f" * 40, ("main", "refs/pr/3")
    with refused("missing_weights", WeightsError, names=[f"{NAME}@refs/pr/3"]):
        load_detector(f"{NAME}@refs/pr/3", "cpu")
    say("pull", f"{NAME}@refs/pr/3", "--quiet", "--mirror", hub.address)
    assert json.loads((folder / "pulled.json").read_text())["commit"] == "f" * 40
    assert load_detector(f"{NAME}@refs/pr/3", "cpu").info.name == NAME
    assert [path.name for path in folder.parent.iterdir() if not path.name.startswith(".")] == [folder.name]
    with refused("download_failed", DownloadError, names=["no revision of it"]):
        say("pull", f"{NAME}@nothing", "--quiet", "--mirror", hub.address)


def test_a_dropped_connection_is_continued(
    hub: FakeHub, folder: Path, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 100)  # what is kept at a time
    hub.breaks = 2
    assert say("pull", NAME, "--quiet", "--mirror", hub.address).code == 0
    size = len(hub.files["model.safetensors"])
    assert hub.sent["model.safetensors"] == size  # nothing twice


def test_a_broken_download_is_continued_by_the_same_command(hub: FakeHub, folder: Path, say: Say) -> None:
    hub.breaks, hub.break_after = 100, 0
    with refused("download_failed", DownloadError, names=["the same command continues"]):
        say("pull", NAME, "--quiet", "--mirror", hub.address)
    assert not folder.exists()
    listed = say("list").out
    assert next(line for line in listed.splitlines() if line.startswith(NAME)).split()[1] == "begun"
    with refused("missing_weights", WeightsError):
        load_detector(NAME, "cpu")
    hub.breaks, before = 0, hub.asked[f"GET /{ID}/resolve/{hub.commit}/preprocessor_config.json"]
    assert say("pull", NAME, "--quiet", "--mirror", hub.address).code == 0
    assert hub.asked[f"GET /{ID}/resolve/{hub.commit}/preprocessor_config.json"] == before
    assert say("verify", NAME).code == 0


@pytest.mark.parametrize("name", ["model.safetensors", "preprocessor_config.json"])
def test_another_content_than_the_hub_says_is_removed(
    name: str, hub: FakeHub, folder: Path, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing, data = hub.listing(), hub.files[name]
    monkeypatch.setattr(hub, "listing", lambda: listing)
    hub.files[name] = bytes(len(data))
    with refused("not_the_file", DownloadError, names=[name]):
        say("pull", NAME, "--quiet", "--mirror", hub.address)
    hub.files[name] = data
    assert say("pull", NAME, "--quiet", "--mirror", hub.address).code == 0


@pytest.mark.parametrize(
    ("refusal", "code", "said"),
    [
        ((404, "RepoNotFound"), "download_failed", "no such model"),
        ((401, "RepoNotFound"), "download_failed", "no such model"),
        ((401, "GatedRepo"), "gated_model", "HF_TOKEN"),
        ((403, "GatedRepo"), "gated_model", f"https://huggingface.co/{ID}"),
        ((500, ""), "download_failed", "500"),
    ],
)
def test_what_the_hub_refuses(
    refusal: tuple[int, str], code: str, said: str, hub: FakeHub, folder: Path, say: Say
) -> None:
    hub.refusal = refusal
    with refused(code, DownloadError, names=[said, NAME]):
        say("pull", NAME, "--quiet", "--mirror", hub.address)
    assert not folder.exists()


def test_no_network(folder: Path, say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    with refused("download_failed", DownloadError, names=["http://127.0.0.1:9"]):
        say("pull", NAME, "--quiet", "--mirror", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with refused("download_failed", DownloadError):
        say("pull", NAME, "--quiet", "--mirror", "http://127.0.0.1:9")


def test_a_model_that_finds_nothing_is_refused_before_its_weights_come(
    hub: FakeHub, folder: Path, say: Say
) -> None:
    hub.files["config.json"] = b'{"model_type": "vit"}'
    with refused("unusable_hf_model", WeightsError, names=["'vit'"]):
        say("pull", NAME, "--quiet", "--mirror", hub.address)
    assert hub.sent["model.safetensors"] == 0
    assert list(folder.parent.glob("seas*")) == []
    del hub.files["config.json"]
    with refused("unusable_hf_model", WeightsError, names=["no config.json"]):
        say("pull", NAME, "--quiet", "--mirror", hub.address)


def test_a_pickle_is_not_pulled(hub: FakeHub, folder: Path, say: Say) -> None:
    del hub.files["model.safetensors"]
    with refused("missing_weights", WeightsError, names=["pytorch_model.bin", f"{NAME}@refs/pr/"]):
        say("pull", NAME, "--quiet", "--mirror", hub.address)


def test_weights_in_several_files(hub: FakeHub, folder: Path, say: Say) -> None:
    whole = hub.files.pop("model.safetensors")
    index = {"metadata": {}, "weight_map": {"a": "model-00001-of-00001.safetensors"}}
    hub.files |= {
        "model-00001-of-00001.safetensors": whole,
        "model.safetensors.index.json": json.dumps(index).encode(),
    }
    assert say("pull", NAME, "--quiet", "--mirror", hub.address).code == 0
    assert "model-00001-of-00001.safetensors" in say("verify", NAME).out


def test_list_verify_path_and_rm(hub: FakeHub, folder: Path, say: Say) -> None:
    with refused("unknown_weights", UsageError, names=["hf:OWNER/NAME"]):
        say("pull", "hf:finder")
    assert say("path", NAME) == Said(1, "", say("path", NAME).err)
    assert f"weights pull {NAME}" in say("path", NAME).err
    say("pull", NAME, "--quiet", "--mirror", hub.address)
    row = next(line for line in say("list").out.splitlines() if line.startswith(NAME))
    assert row.split()[1] == "yes"
    assert "apache-2.0" in row
    assert "RTDetrForObjectDetection" in row
    assert say("path", NAME).out == f"{folder}\n"
    assert say("verify").out.count("is as it was") == 3
    (folder / "config.json").write_bytes((folder / "config.json").read_bytes() + b" ")
    said = say("verify")
    assert said.code == 1
    assert "config.json has sha256" in said.err
    with refused("damaged_weights", WeightsError, names=[f"weights rm {NAME}"]):
        load_detector(NAME, "cpu")
    assert say("rm", NAME).out == f"{folder} removed\n"
    assert say("rm", NAME).out == f"{NAME} is not in {folder.parent.parent}\n"


def test_progress_is_told(hub: FakeHub, folder: Path, say: Say) -> None:
    assert "model.safetensors: 100%" in say("pull", NAME, "--mirror", hub.address).err
