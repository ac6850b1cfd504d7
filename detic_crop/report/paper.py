"""estimate.json and datacard.md: what a paper says of the data set, and what it was made with.

Both say nothing about when or where they were written, and so are the same for the same folder.
"""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from detic_crop.config import SETTINGS, CropConfig, RunOptions
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.state import Drawn
from detic_crop.folder.tables import CARD, ESTIMATE
from detic_crop.folder.verdict_lines import Verdict
from detic_crop.photos.labels import Labels
from detic_crop.report import intervals, kappa
from detic_crop.report.agreement import WORDS, Agreement
from detic_crop.report.estimate import MAX_LEFT, Estimate
from detic_crop.report.intervals import Interval
from detic_crop.report.model import Audit
from detic_crop.report.sample import STRATA
from detic_crop.wording import counted, either, utf8, visible

_MARKUP = re.compile(r"([\\`*_{}\[\]<>|#~])")


@dataclass(frozen=True, slots=True)
class Origin:
    """How a data set was made.

    Attributes:
        commands: commands that make it, with placeholders for folders.
        counts: number of photos by status.
        versions: package → version, of the folder's last run; empty where that is not known.
        estimated_with: version of detic-crop that wrote the estimate; empty without one.
    """

    commands: Sequence[str]
    counts: Mapping[str, int]
    versions: Mapping[str, str]
    estimated_with: str


@dataclass(frozen=True, slots=True)
class Reviewed:
    """Who reviewed the sample, and when.

    Attributes:
        reviewers: name → number of photos of the sample, the most first.
        verdicts: verdict → number of photos of the sample.
        first, last: times of the first and the last verdict as they were noted; empty where none was.
    """

    reviewers: Mapping[str, int]
    verdicts: Mapping[str, int]
    first: str
    last: str

    @classmethod
    def of(cls, sample: Sequence[Drawn], verdicts: Mapping[str, Verdict]) -> Reviewed:
        """Return who reviewed a sample.

        Args:
            sample: the sample as it was drawn.
            verdicts: key → the reviewer's last word.
        """
        said = [verdicts[drawn.image] for drawn in sample if drawn.image in verdicts]
        names = Counter(verdict.reviewer for verdict in said)
        words = Counter(verdict.verdict for verdict in said)
        times = sorted(
            (time, text) for text in {verdict.time for verdict in said} if (time := _time_of(text))
        )
        return cls(
            {name: names[name] for name in sorted(names, key=lambda name: (-names[name], name))},
            {word: words[word] for word in WORDS if words[word]},
            times[0][1] if times else "",
            times[-1][1] if times else "",
        )


def _time_of(text: str) -> datetime | None:
    """Return the time that a person or the page noted; None of what is none."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def write_estimate(folder: OutputFolder, audit: Audit, sample: Sequence[Drawn], origin: Origin) -> None:
    """Write estimate.json.

    Args:
        folder: the output folder.
        audit: an audit with an estimate.
        sample: the sample as it was drawn.
        origin: how the data set was made.

    Raises:
        OutputError: the disk is full or the folder cannot be written.
    """
    folder.write_json(folder.layout.estimate_json, estimate_values(audit, sample, origin))


def estimate_values(audit: Audit, sample: Sequence[Drawn], origin: Origin) -> dict[str, Any]:
    """Return estimate.json as JSON values; shares are of 1, and None where they are not known."""
    known, reviewed = audit.estimate, Reviewed.of(sample, audit.verdicts)
    assert known is not None
    return {
        "about": ESTIMATE,
        "sentence": known.card,
        "estimates": {name: _limits(share) for name, share in _shares(known)},
        "intervals": {"level": intervals.LEVEL, "method": intervals.METHOD},
        "sample": {
            "seed": known.seed,
            "drawn": known.drawn,
            "reviewed": known.drawn - known.left,
            "without_verdict": known.left,
            "photos_since": known.come_since,
        },
        "population": {
            "crops": known.crops,
            "uncropped": known.uncropped,
            "crops_changed_by_review": known.corrected,
            "crops_after_review": known.crops_now,
            "uncropped_after_review": known.uncropped_now,
        },
        "strata": [
            {**count._asdict(), "status": STRATA[count.name].status, "meaning": STRATA[count.name].meaning}
            for count in known.strata
        ],
        "review": {
            "reviewers": dict(reviewed.reviewers),
            "verdicts": dict(reviewed.verdicts),
            "first_verdict": reviewed.first,
            "last_verdict": reviewed.last,
        },
        "agreement": {
            "method": kappa.METHOD,
            "level": intervals.LEVEL,
            "pairs": [agreement.values() for agreement in audit.agreements],
        },
        "model": audit.config.model,
        "weights": dict(audit.config.weights),
        "settings": audit.config.to_dict(),
        "fingerprint": audit.config.fingerprint(),
        "commands": list(origin.commands),
        "counts": dict(origin.counts),
        "versions": dict(origin.versions),
        "estimated_with": origin.estimated_with,
    }


def _shares(known: Estimate) -> list[tuple[str, Interval | None]]:
    return [
        ("right_crops", known.precision),
        ("uncropped_with_an_animal", known.missed),
        ("missed_animals", known.missed_animals),
        ("right_crops_after_review", known.precision_now),
        ("uncropped_with_an_animal_after_review", known.missed_now),
    ]


def _limits(share: Interval | None) -> dict[str, float] | None:
    return None if share is None else share._asdict()


def commands_of(config: CropConfig, inputs: Sequence[str], labels: Labels | None = None) -> list[str]:
    """Return the commands that make a data set, with ``CROPPED`` as its folder.

    Args:
        config: settings of the folder, as resolved; those that differ from the defaults are spelled out.
        inputs: short names of the inputs.
        labels: the label table, if there is one; without it other photos would be cropped.
    """
    words: list[str] = []
    each_has_its_own = len(set(config.confs.values())) > 1  # of joined models; one --conf would hold for all
    for name, setting in SETTINGS[CropConfig].items():
        value = getattr(config, name)
        if value != setting.default and not (name == "conf" and each_has_its_own):
            words += [setting.option, *([] if value is True else [str(value)])]
    first, *more = inputs or ["PHOTOS"]
    if labels is not None:
        usual = SETTINGS[RunOptions]["labels_key"].default
        key = [] if labels.key_column.strip().lower() == usual else ["--labels-key", labels.key_column]
        words = ["--labels", labels.name or "LABELS", *key, *words]
    begin = ["detic-crop", "run", "--in", first, "--out", "CROPPED"]
    added = [["detic-crop", "run", "--in", name, "--out", "CROPPED", "--add"] for name in more]
    return [shlex.join([*begin, *words]), *map(shlex.join, added)]


# ---------------------------------------------------------------- datacard.md


def write_card(folder: OutputFolder, audit: Audit, sample: Sequence[Drawn], origin: Origin) -> None:
    """Write datacard.md.

    Args:
        folder: the output folder.
        audit: an audit with an estimate.
        sample: the sample as it was drawn.
        origin: how the data set was made.

    Raises:
        OutputError: the disk is full or the folder cannot be written.
    """
    folder.write(folder.layout.datacard, utf8("\n".join(card_lines(audit, sample, origin)) + "\n"))


def card_lines(audit: Audit, sample: Sequence[Drawn], origin: Origin) -> Iterator[str]:
    """Yield the lines of datacard.md, Markdown."""
    yield CARD
    yield "# Data card"
    yield ""
    photos = counted(len(audit.photos), "photo")
    made_of = f" (`--in`: {', '.join(map(_plain, audit.inputs))})" if audit.inputs else ""
    yield f"Crops of dolphins and whales, cut out of {photos}{made_of} by detic-crop."
    yield ""
    yield "## How many crops are right"
    yield ""
    known = audit.estimate
    assert known is not None
    yield known.card or _nothing_known(known)
    yield ""
    yield from _sample_lines(known, Reviewed.of(sample, audit.verdicts))
    yield from _agreement_lines(audit.agreements)
    yield ""
    yield from origin_lines(audit, origin if known.card else dataclasses.replace(origin, estimated_with=""))


def _nothing_known(known: Estimate) -> str:
    reviewed = known.drawn - known.left
    so_far = f"only {reviewed:,} of its" if reviewed else "none of its"
    return (
        f"Nothing is known of how many crops are right: a random sample is drawn, and {so_far} "
        f"{counted(known.drawn, 'photo')} {either(reviewed, 'is', 'are')} reviewed so far. It takes "
        f"{100 * (1 - MAX_LEFT):.0f} % of them, and some of every stratum; unsure does not count."
    )


def _sample_lines(known: Estimate, reviewed: Reviewed) -> Iterator[str]:
    drawn = counted(known.drawn, "photo")
    left = f", {known.left:,} without a verdict" if known.left else ""
    yield f"- Sample: {drawn} drawn with seed {known.seed}, {known.drawn - known.left:,} reviewed{left}"
    people = ", ".join(f"{_plain(name) or '(no name)'} ({n:,})" for name, n in reviewed.reviewers.items())
    if people:
        yield f"- Reviewed by (photos): {people}"
    if reviewed.first:
        yield f"- Verdicts given: first {_plain(reviewed.first)}, last {_plain(reviewed.last)}"
    if reviewed.verdicts:
        yield f"- Verdicts: {', '.join(f'{word} {n:,}' for word, n in reviewed.verdicts.items())}"
    yield f"- Intervals: {100 * intervals.LEVEL:.0f} %, {intervals.METHOD}"
    if known.come_since:
        yield f"- Photos that have come or gone since the sample was drawn: {known.come_since:+,}"
    yield ""
    yield from _table(
        ("stratum", "photos", "drawn", "reviewed", "right"),
        [
            (STRATA[name].meaning, f"{size:,}", f"{drawn:,}", f"{judged:,}", f"{right:,}")
            for name, size, drawn, judged, right in known.strata
        ],
    )
    yield ""
    yield (
        "Right is a crop that the reviewer accepted, or a photo without a crop on which the reviewer gave no "
        "box: what the detector left is judged, whatever review has changed since."
    )


def _agreement_lines(agreements: Sequence[Agreement]) -> Iterator[str]:
    if not agreements:
        return
    yield ""
    yield "## How far two persons agree"
    for agreement in agreements:
        yield ""
        yield f"{_plain(agreement.sentence[:1].upper())}{_plain(agreement.sentence[1:])}."
        if agreement.photos:
            yield ""
            corner = f"{_plain(agreement.first)} ↓ / {_plain(agreement.second)} →"
            yield from _table(
                (corner, *WORDS), [(word, *(f"{n:,}" for n in counts)) for word, counts in agreement.rows]
            )
    yield ""
    yield (
        f"{kappa.METHOD[0].upper()}{kappa.METHOD[1:]}. Doubtful photos are drawn more often than others, so "
        "this speaks of the sample, not of all photos."
    )


def origin_lines(audit: Audit, origin: Origin) -> Iterator[str]:
    """Yield the section of a card that says how the folder was made, Markdown."""
    yield "## How it was made"
    yield ""
    for command in origin.commands:
        yield f"    {visible(command)}"
    yield ""
    counts = ", ".join(f"{status} {count:,}" for status, count in sorted(origin.counts.items()) if count)
    yield f"- Photos by status: {counts or 'none'}"
    yield f"- Model: {_plain(audit.config.model)}"
    for name, digest in sorted(audit.config.weights.items()):
        yield f"- SHA-256 of {_plain(name)}: {_plain(digest)}"
    yield f"- Fingerprint of the settings: {audit.config.fingerprint()}"
    if origin.versions:
        versions = ", ".join(f"{name} {version}" for name, version in origin.versions.items())
        yield f"- Versions: {_plain(versions)}"
    if origin.estimated_with:
        yield f"- Estimated with: detic-crop {origin.estimated_with}"
    yield ""
    yield from _table(
        ("setting", "value"),
        [
            (name, _plain(value))
            for name, value in audit.config.to_dict().items()
            if name != "weights" and value not in ("", None)
        ],
    )


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield f"|{'---|' * len(header)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _plain(value: object) -> str:
    """Return a value as text that Markdown shows as it stands, in one line."""
    return _MARKUP.sub(r"\\\1", visible("" if value is None else str(value)))
