"""The settings of a call: sorted into the two kinds, and compared with those of a folder."""

from __future__ import annotations

import dataclasses
import difflib
import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from detic_crop.config import SETTINGS, CropConfig, RunOptions
from detic_crop.errors import UnexpectedKeywordError, UsageError
from detic_crop.wording import either

PathLike = str | os.PathLike[str]


def with_settings(
    config: CropConfig, options: RunOptions, settings: Mapping[str, Any]
) -> tuple[CropConfig, RunOptions]:
    """Return both kinds of settings with single fields of either replaced.

    Raises:
        UnexpectedKeywordError: a field does not exist.
        UsageError: it is not accepted, or its value is out of range.
    """
    instead_of = {
        "weights": "pass weights_file=PATH",
        "algorithm": "leave it out",
        "confs": "pass conf=SCORE",
    }
    for name, instead in instead_of.items():
        if name in settings:
            raise UsageError(
                "setting_not_accepted", f"{name} is recorded by a run, and cannot be passed; {instead}"
            )
    ours, theirs = set(SETTINGS[CropConfig]), set(SETTINGS[RunOptions])
    if unknown := [name for name in settings if name not in ours | theirs]:
        raise _unexpected(unknown, ours | theirs)
    config = dataclasses.replace(config, **{k: v for k, v in settings.items() if k in ours})
    if config.max_animals is not None and config.animals != "all":
        raise UsageError(
            "option_not_applicable", "--max-animals goes with --animals all only; add that, or leave it out"
        )
    if config.gps and not config.reads_exif:
        raise UsageError(
            "option_not_applicable",
            "--gps goes with --metadata (columns latitude and longitude) or with --exif keep (EXIF of the "
            "crops); add one of them, or leave it out",
        )
    return config, dataclasses.replace(options, **{k: v for k, v in settings.items() if k in theirs})


def _unexpected(unknown: Sequence[str], known: Collection[str]) -> UnexpectedKeywordError:
    named = []
    for name in unknown:
        near = difflib.get_close_matches(name.removeprefix("--").replace("-", "_").lower(), known, 1)
        named.append(f"{name!r}; did you mean {near[0]}?" if near else repr(name))
    said = ", ".join(named)
    advice = "" if said.endswith("?") else f"; known are {', '.join(sorted(known))}"
    return UnexpectedKeywordError(
        "unknown_setting", f"unexpected {either(len(unknown), 'setting', 'settings')} {said}{advice}"
    )


def check_same_settings(
    recorded: CropConfig | None,
    config: CropConfig,
    shown: str,
    instead: str = "another --out, or --overwrite",
) -> None:
    """Refuse to mix crops of two settings in one folder.

    Args:
        recorded: settings of the folder; None if it has none yet.
        config: settings of this call, as resolved.
        shown: name of the folder in messages.
        instead: advice on what else to pass.

    Raises:
        UsageError: names what differs.
    """
    if recorded is None or recorded.fingerprint() == config.fingerprint():
        return
    if recorded.algorithm != config.algorithm:
        other = "an earlier" if recorded.algorithm < config.algorithm else "a later"
        raise UsageError(
            "other_algorithm",
            f"{shown} was made by {other} version of detic-crop, which gives other boxes or pixels for some "
            f"photos (algorithm {recorded.algorithm}, here {config.algorithm}); finish it with that version, "
            f"pass {instead}",
        )
    raise UsageError(
        "other_settings",
        f"{shown} was made with other settings ({'; '.join(config.differences(recorded))}); "
        f"pass the same settings to go on, {instead}",
    )


def require_finished(config: CropConfig | None, shown: str) -> CropConfig:
    """Return the settings of a folder with finished photos.

    Args:
        config: settings in the folder's journal; None if it has none.
        shown: name of the folder in messages.

    Raises:
        UsageError: there are none.
    """
    if config is None:
        raise UsageError(
            "nothing_finished",
            f"{shown} has no finished photos yet; run its `detic-crop run` command again first",
        )
    return config
