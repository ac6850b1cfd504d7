"""Settings: every bad value is one clear line, the fingerprint sees every field; imports are light."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import detic_crop
from detic_crop import errors
from detic_crop.config import ALGORITHM, CropConfig, RunOptions, parse_bytes, parse_duration
from detic_crop.detectors.base import DetectorInfo
from detic_crop.detectors.devices import resolve_device
from detic_crop.errors import DeticCropError, PhotoError, UsageError
from tests.kit.errors import refused
from tests.kit.processes import run_python

# One other valid value per field; a new field must be added here, or the tests below fail.
OTHER: dict[str, Any] = {
    "model": "lite",
    "classes": "any",
    "vocabulary": "lvis",
    "conf": 0.3,
    "tiles": "auto",
    "animals": "all",
    "max_animals": 4,
    "min_side": 64,
    "not_found": "skip",
    "scale": 1.4,
    "size": 256,
    "fit": "pad",
    "format": "png",
    "quality": 80,
    "truncated": "fail",
    "decode": "scaled",
    "out_format": "tar",
    "box_format": "xywh",
    "onnx_input": "640x480,letterbox,rgb,0-1",
    "exif": "keep",
    "metadata": True,
    "gps": True,
    "precision": "bfloat16",
    "detector_size": 640,
    "weights": {"a.pth": "00ff"},
    "confs": {"lite": 0.25},
    "max_bytes": 3_000_000,
    "algorithm": ALGORITHM + 1,
}

WORDS = st.text(min_size=1).filter(lambda text: text.replace(",", "").strip() and "\0" not in text)

configs = st.builds(
    CropConfig,
    model=WORDS,
    classes=st.none() | WORDS,
    vocabulary=st.none() | st.sampled_from(["lvis", "own.npy", "dolphin,orca dorsal fin"]),
    conf=st.none() | st.floats(0, 1),
    scale=st.floats(0.1, 10),
    size=st.integers(1, 8192) | st.sampled_from(["384x768", "8192x1", "long:1600", "native"]),
    fit=st.sampled_from(["stretch", "pad", "square"]),
    format=st.sampled_from(["jpg", "png", "webp"]),
    quality=st.integers(1, 100),
    truncated=st.sampled_from(["keep", "fail"]),
    box_format=st.sampled_from([None, "xyxy", "xywh"]),
    onnx_input=st.sampled_from([None, "640", "1280x720,stretch", "bgr,0-255", "corner,imagenet"]),
    exif=st.sampled_from(["strip", "keep"]),
    metadata=st.booleans(),
    gps=st.booleans(),
    precision=st.sampled_from(["float32", "bfloat16", "float16"]),
    detector_size=st.none() | st.integers(32, 8192),
    weights=st.dictionaries(st.text(), st.text(), max_size=3),
    confs=st.dictionaries(st.text(), st.floats(0, 1), max_size=3),
    max_bytes=st.none() | st.integers(10_000, 10**12),
    algorithm=st.integers(1, 9),
)


# --- CropConfig


def test_the_defaults_are_the_original_data_sets() -> None:
    config = CropConfig()
    assert (config.scale, config.size, config.fit) == (1.2, 512, "stretch")
    assert config.classes is None
    assert DetectorInfo("any", (), 0.5).default_classes == "marine"
    assert (config.model, config.conf, config.format) == ("auto", None, "jpg")


def test_every_field_has_another_value_to_try() -> None:
    assert set(OTHER) == {field.name for field in dataclasses.fields(CropConfig)}


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(CropConfig)])
def test_the_fingerprint_changes_with_every_field(name: str) -> None:
    config, changed = CropConfig(), CropConfig(**{name: OTHER[name]})
    assert changed.fingerprint() != config.fingerprint()
    [difference] = changed.differences(config)
    if name == "weights":
        assert difference == "weights were none, now a.pth"
    elif name == "confs":
        assert difference == "confs was none, now lite 0.25"
    else:
        before = getattr(config, name)
        was = "not given" if before is None else repr(before)
        assert difference == f"{name} was {was}, now {OTHER[name]!r}"


def test_the_fingerprint_is_stable() -> None:
    """Folders on people's disks hold it: if this changes, they cannot be resumed."""
    assert CropConfig().fingerprint() == CropConfig().fingerprint()
    assert len(CropConfig().fingerprint()) == 16
    one = CropConfig(weights={"a": "1", "b": "2"})
    assert one.fingerprint() == CropConfig(weights={"b": "2", "a": "1"}).fingerprint()
    assert one.differences(CropConfig(weights={"b": "2", "a": "1"})) == []


@given(configs)
def test_a_config_survives_its_json(config: CropConfig) -> None:
    again = CropConfig.from_dict(json.loads(json.dumps(config.to_dict())))
    assert again == config
    assert again.fingerprint() == config.fingerprint()
    assert again.differences(config) == []


@given(configs, configs, st.sets(st.sampled_from(sorted(OTHER))))
def test_fingerprints_are_equal_exactly_when_settings_are(
    one: CropConfig, other: CropConfig, taken_over: set[str]
) -> None:
    mixed = dataclasses.replace(one, **{name: getattr(other, name) for name in taken_over})
    same = one.to_dict() == mixed.to_dict()
    assert (one.fingerprint() == mixed.fingerprint()) == same
    assert (not one.differences(mixed)) == same


@pytest.mark.parametrize(("name", "whole"), [("conf", 1), ("conf", 0), ("scale", 2), ("scale", 1)])
def test_a_whole_number_is_the_same_setting_as_its_float(name: str, whole: int) -> None:
    """``--scale 2`` on the command line is 2.0; ``run(scale=2)`` must be able to resume that folder."""
    code: dict[str, Any] = {name: whole}
    shell: dict[str, Any] = {name: float(whole)}
    from_code, from_shell = CropConfig(**code), CropConfig(**shell)
    assert from_code == from_shell
    assert from_code.fingerprint() == from_shell.fingerprint()


def test_settings_of_another_version_are_refused_by_name() -> None:
    with refused("other_version") as caught:
        CropConfig.from_dict({**CropConfig().to_dict(), "tint": 1, "blur": 2})
    assert "blur, tint" in caught.value.message


@pytest.mark.parametrize(
    "values", [{"format": "avif"}, {"format": [None]}, {"weights": 5}, {"algorithm": "x"}, {"size": True}]
)
def test_recorded_values_that_this_version_does_not_know_are_refused(values: dict[str, Any]) -> None:
    with refused("other_version") as caught:
        CropConfig.from_dict({**CropConfig().to_dict(), **values})
    assert next(iter(values)) in caught.value.message


def test_a_config_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        CropConfig().size = 1  # type: ignore[misc]


BAD: list[tuple[type[CropConfig] | type[RunOptions], str, Any]] = [
    *((CropConfig, "conf", value) for value in (-0.01, 1.01, math.nan, math.inf, "0.3", True)),
    *(
        (CropConfig, "scale", value)
        for value in (0, 0.09, 10.1, -1.2, math.nan, math.inf, None, "1.2", False)
    ),
    *((CropConfig, "size", value) for value in (0, -1, 8193, 512.0, None, True, math.nan, [512], (8, 8))),
    *(
        (CropConfig, "size", value)
        for value in ("", "  ", "0", "8193", "512.0", "5e2", "-5", "+5", "1" * 5000)
    ),
    *(
        (CropConfig, "size", value)
        for value in ("0x5", "5x0", "9999x1", "384*768", "384x", "x768", "x", "4x4x4")
    ),
    *(
        (CropConfig, "size", value)
        for value in ("long:", "long:0", "long:8193", "long:3x4", "long", "long:-1")
    ),
    *((CropConfig, "size", value) for value in ("native:5", "natives", "native 5", "5 native", "٥", "512px")),
    *((CropConfig, "quality", value) for value in (0, 101, 95.5, None, "95")),
    *((CropConfig, "max_bytes", value) for value in (0, -1, 9_999, 1e6, True, math.nan, "3", "9kB", "3 M B")),
    *(
        (CropConfig, "max_bytes", value)
        for value in ("", " ", "M", "-3M", "3,5MB", "9999", "1e6", "no limit")
    ),
    *((CropConfig, "fit", value) for value in ("", "Stretch", "crop", None, 1)),
    *((CropConfig, "format", value) for value in ("jpeg", ".jpg", "JPG", None)),
    *((CropConfig, "truncated", value) for value in ("skip", "", None)),
    *((CropConfig, "model", value) for value in ("", "  ", "\n")),
    *((CropConfig, "classes", value) for value in ("", " ", ",", " , ,", "\n", ",\t,")),
    *((CropConfig, "exif", value) for value in ("", "all", None, True)),
    *((CropConfig, "metadata", value) for value in ("yes", 2, 0.5)),
    *((RunOptions, "workers", value) for value in (0, -1, 257, 2.0, "4", True)),
    *((RunOptions, "max_pixels", value) for value in (0, None, 1.5, math.inf)),
    *((RunOptions, "limit", value) for value in (0, -5, 1.5, "10")),
    *((RunOptions, "time_limit", value) for value in (-1, math.nan, math.inf, "soon")),
    *((RunOptions, "photo_timeout", value) for value in (0, -1, math.nan, math.inf, "soon", None)),
    *((RunOptions, "memory", value) for value in (0, -1, 1.5, True, math.inf, "0", "0.1", "much", "")),
    *((RunOptions, "encounter", value) for value in ("", " ", "gap:", "gap:30", "gap:0s", "gap:x", 5, True)),
    *((RunOptions, "device", value) for value in ("", "gpu", "cuda:", "cuda:x", "cpu:0", "CPU", "cuda:0\n")),
]


@pytest.mark.parametrize(("kind", "name", "value"), BAD)
def test_every_bad_value_is_one_line_that_names_the_option(
    kind: type[CropConfig] | type[RunOptions], name: str, value: Any
) -> None:
    with refused("bad_value", UsageError) as caught:
        kind(**{name: value})
    message = caught.value.message
    assert len(message.splitlines()) == 1
    assert f"--{name.replace('_', '-')}" in message
    assert name in ("model", "classes") or repr(value) in message  # what was got


@pytest.mark.parametrize(
    ("name", "value"), [("model", None), ("vocabulary", ["Whale"]), ("classes", ["Whale", "Dolphin"])]
)
def test_a_setting_of_another_kind_is_refused_in_words(name: str, value: Any) -> None:
    """A list of class names is the likeliest slip of a library user."""
    with refused("bad_value") as caught:
        CropConfig(**{name: value})
    assert f"--{name} must be" in caught.value.message


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        *((CropConfig, "conf", value) for value in (0, 0.0, 1, None)),
        *((CropConfig, "scale", value) for value in (0.1, 1, 10)),
        *((CropConfig, "size", value) for value in (1, 8192, "1x8192", "8192x1", "long:1", "long:8192")),
        *((CropConfig, "quality", value) for value in (1, 100)),
        *((CropConfig, "max_bytes", value) for value in (None, 10_000, 10**12)),
        *((CropConfig, "model", value) for value in ("boxes:a b.csv", "detectron2:COCO/x.yaml")),
        *((RunOptions, "workers", value) for value in (None, 1, 256)),
        *((RunOptions, "device", value) for value in ("auto", "cpu", "cuda", "cuda:0", "cuda:15", "mps")),
        *((RunOptions, "limit", value) for value in (None, 1)),
        *((RunOptions, "max_pixels", value) for value in (1, 10**12)),
        *((RunOptions, "time_limit", value) for value in (None, 0.5, 86400)),
        *((RunOptions, "photo_timeout", value) for value in (0.001, 60, 86400)),
        *((RunOptions, "memory", value) for value in (None, 1, 10**12)),
    ],
)
def test_the_ends_of_every_range_are_allowed(
    kind: type[CropConfig] | type[RunOptions], name: str, value: Any
) -> None:
    assert getattr(kind(**{name: value}), name) == value


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("time_limit", "8h30m", 30600.0),
        ("photo_timeout", "5m", 300.0),
        ("memory", "1.5GB", 1_500_000_000),
    ],
)
def test_what_people_write_is_understood_in_python_too(name: str, text: Any, value: float) -> None:
    assert getattr(RunOptions(**{name: text}), name) == value


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (512, 512),
        ("512", 512),
        ("512x512", 512),
        ("0512", 512),
        (" 384X768\n", "384x768"),
        ("384 x 768", "384x768"),
        ("384×768", "384x768"),
        ("LONG:1600", "long:1600"),
        ("long:0016", "long:16"),
        ("Native ", "native"),
    ],
)
def test_a_size_is_kept_in_one_form(given: Any, kept: int | str) -> None:
    """Or one size would have two fingerprints, and a folder could not be resumed."""
    config = CropConfig(size=given)
    assert config.size == kept
    assert type(config.size) is type(kept)
    assert config.fingerprint() == CropConfig(size=kept).fingerprint()


@pytest.mark.parametrize("size", [512, "384x768", "long:1600", "native"])
def test_a_recorded_size_is_read_as_it_was_written(size: int | str) -> None:
    recorded = CropConfig(size=size).to_dict()
    assert recorded["size"] == size
    assert CropConfig.from_dict(json.loads(json.dumps(recorded))).size == size


# --- parse_bytes


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("8GB", 8 * 10**9),
        ("8G", 8 * 10**9),
        ("8GiB", 8 << 30),
        (" 1.5 gb ", 1_500_000_000),
        ("500MB", 500_000_000),
        ("512Mi", 512 << 20),
        ("64k", 64_000),
        ("2TB", 2 * 10**12),
        ("1000000", 1_000_000),
        ("100b", 100),
    ],
)
def test_bytes(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize(
    "text", ["", "GB", "8", "999999", "8 GBs", "-1GB", "1e9", "8,5GB", "half", "50%", "nan"]
)
def test_what_is_no_number_of_bytes_is_refused_in_one_line(text: str) -> None:
    with refused("bad_value") as caught:
        parse_bytes(text)
    assert "--memory must be a number of bytes such as 8GB" in caught.value.message
    assert repr(text) in caught.value.message


# --- parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("45s", 45),
        ("90m", 5400),
        ("8h30m", 30600),
        ("1d", 86400),
        ("1d2h3m4s", 93784),
        ("1.5h", 5400),
        ("90", 90),
        ("0.25", 0.25),
        (" 8H 30M ", 30600),
        ("0h1s", 1),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", " ", "0", "0s", "-5", "-5s", "8h30", "h", "5x", "1e3", "nan", "inf", "1:30", "5 minutes", ".5h"],
)
def test_what_is_no_duration_is_refused_in_one_line(text: str) -> None:
    with refused("bad_value") as caught:
        parse_duration(text)
    assert "--time-limit must be a duration such as 8h30m" in caught.value.message
    assert repr(text) in caught.value.message


@given(st.integers(0, 99), st.integers(0, 99), st.integers(0, 99), st.integers(1, 99))
def test_durations_add_up(days: int, hours: int, minutes: int, seconds: int) -> None:
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    assert parse_duration(f"{days}d{hours}h{minutes}m{seconds}s") == total == parse_duration(str(total))


# --- devices


def machine(monkeypatch: pytest.MonkeyPatch, n_cuda: int, has_mps: bool) -> None:
    """A torch that knows of these devices and can do nothing else."""
    torch = SimpleNamespace(
        cuda=SimpleNamespace(is_available=lambda: n_cuda > 0, device_count=lambda: n_cuda),
        backends=SimpleNamespace(mps=SimpleNamespace(is_available=lambda: has_mps)),
    )
    monkeypatch.setitem(sys.modules, "torch", torch)


@pytest.mark.parametrize(
    ("n_cuda", "has_mps", "device", "resolved"),
    [
        (0, False, "auto", "cpu"),
        (2, False, "auto", "cuda"),
        (0, True, "auto", "mps"),
        (1, True, "auto", "cuda"),
        (0, False, "cpu", "cpu"),
        (2, False, "cuda:1", "cuda:1"),
        (1, False, "cuda", "cuda"),
        (0, True, "mps", "mps"),
    ],
)
def test_devices_that_are_there(
    monkeypatch: pytest.MonkeyPatch, n_cuda: int, has_mps: bool, device: str, resolved: str
) -> None:
    machine(monkeypatch, n_cuda, has_mps)
    assert resolve_device(device) == resolved


@pytest.mark.parametrize(
    ("n_cuda", "has_mps", "device", "there"),
    [
        (0, False, "cuda", "cpu"),
        (0, True, "cuda:0", "cpu, mps"),
        (2, False, "cuda:2", "cpu, cuda:0, cuda:1"),
        (1, False, "mps", "cpu, cuda:0"),
    ],
)
def test_a_device_that_is_not_there_is_refused_and_the_others_listed(
    monkeypatch: pytest.MonkeyPatch, n_cuda: int, has_mps: bool, device: str, there: str
) -> None:
    machine(monkeypatch, n_cuda, has_mps)
    with refused("missing_device") as caught:
        resolve_device(device)
    assert caught.value.message == f"--device {device} is not on this machine; it has {there}"


# --- errors and the package itself


def test_exit_codes_are_the_documented_ones() -> None:
    codes = {
        error.__name__: error.exit_code
        for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, DeticCropError)
    }
    assert codes == {
        "DeticCropError": 1,
        "UsageError": 2,
        "UnexpectedKeywordError": 2,
        "OutputError": 1,
        "WeightsError": 2,
        "PhotoError": 1,
    }
    assert issubclass(UsageError, ValueError)
    assert (PhotoError("unreadable", "it is torn").reason, str(PhotoError("a", "b"))) == ("unreadable", "b")


@pytest.mark.parametrize(
    "module", ["detic_crop", "detic_crop.cli.main", "detic_crop.config", "detic_crop.errors"]
)
def test_importing_is_cheap(module: str) -> None:
    code = f"import sys, {module}; print(*sorted(sys.modules))"
    loaded = set(run_python(code).split())
    assert module in loaded
    assert not loaded & {"torch", "torchvision", "timm", "cv2", "numpy", "pandas", "PIL"}


def test_every_public_name_resolves() -> None:
    assert len(detic_crop.__all__) > 15
    assert list(detic_crop.__all__) == sorted(set(detic_crop.__all__))
    for name in detic_crop.__all__:
        value = getattr(detic_crop, name)
        assert getattr(value, "__name__", name) == name
        assert name in dir(detic_crop)
    assert detic_crop.CropConfig is CropConfig


def test_public_names_are_the_ones_that_type_checkers_see() -> None:
    source = Path(detic_crop.__file__).read_text(encoding="utf-8")
    promised = {line.split(" as ")[1].strip() for line in source.splitlines() if line.startswith("    from ")}
    assert promised == set(detic_crop.__all__)


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'detic_crop' has no attribute 'cut'"):
        _ = detic_crop.cut
