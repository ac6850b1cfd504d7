"""Where an output folder keeps what: paths only, nothing is read or written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from detic_crop.folder.shard import Shard
from detic_crop.photos.keys import STATE
from detic_crop.stores.addresses import is_address, join
from detic_crop.wording import typed

REJECTED = f"{STATE}/rejected"
SHARDS = "shards"
OWNER = "lock-owner.json"
PENDING = "pending"
INDEXES = "tars"


class Layout:
    """The paths of one output folder.

    The shards of a run share the crops, the verdicts and the tables, which `merge` writes; each has its own
    journal, candidates, listing, labels, lock and temporary files.

    Attributes:
        root: folder with the crops.
        shard: the shard whose paths these are; None for an unsharded run.
        shown: name of the folder in messages: its path or its address.
        root_state: the `.detic-crop` folder.
        own_state: folder of what the run does not share: `root_state`, or a shard's folder below it.
        shards: folder of the shards' states.
        journal, candidates: append-only files of the run; see `journal`.
        listing: photos of the run in input order.
        labels, label_matches: label table of the run, and which photo each of its rows names.
        part: file that says which part of the input a shard has.
        progress: what a command is doing here now, or did last.
        review, sample: verdicts, and the photos drawn to estimate from.
        second_review: verdicts that were given unseen, to be held against these.
        tables_json: how the tables are written.
        folds: the fold of each photo, once they were split.
        times: when photos were taken, as far as that was looked up after the run.
        rejected: folder of crops that were set aside.
        pending: folder of crops that wait to be packed into a tar file.
        indexes: folder of the indexes of tar files in a store.
        temporary: folder of unfinished files.
        lock, owner: file that is locked, and who holds the lock.
        audit_csv, animals_csv, audit_html, audit_xlsx, manifest: tables.
        estimate_json, datacard: what a paper says of the data set, for programs and for people.
        written: what these were written as, see `tables`.
        run_json: summary of the last run.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        shard: Shard | None = None,
        shown: str | None = None,
        own_state: Path | None = None,
    ) -> None:
        self.root: Final = Path(root)
        self.shard: Final = shard
        self.shown: Final = str(self.root) if shown is None else shown
        self.root_state: Final = self.root / STATE
        self.shards: Final = self.root_state / SHARDS
        usual = self.root_state if shard is None else self.shards / shard.folder_name
        self.own_state: Final = own_state or usual
        self.journal: Final = self.own_state / "journal.jsonl"
        self.candidates: Final = self.own_state / "candidates.jsonl"
        self.listing: Final = self.own_state / "listing.json"
        self.labels: Final = self.own_state / "labels.csv"
        self.label_matches: Final = self.own_state / "labels.json"
        self.part: Final = self.own_state / "part.json"
        self.progress: Final = self.own_state / "progress.json"
        self.review: Final = self.root_state / "review.csv"
        self.second_review: Final = self.root_state / "second_review.csv"
        self.sample: Final = self.root_state / "sample.csv"
        self.tables_json: Final = self.root_state / "tables.json"
        self.folds: Final = self.root_state / "folds.json"
        self.times: Final = self.root_state / "times.json"
        self.rejected: Final = self.root / REJECTED
        self.pending: Final = self.root_state / PENDING
        self.indexes: Final = self.root_state / INDEXES
        self.temporary: Final = self.own_state / "tmp"
        self.lock: Final = self.own_state / "lock"
        self.owner: Final = self.own_state / OWNER
        self.audit_csv: Final = self.root / "audit.csv"
        self.animals_csv: Final = self.root / "animals.csv"
        self.audit_html: Final = self.root / "audit.html"
        self.audit_xlsx: Final = self.root / "audit.xlsx"
        self.manifest: Final = self.root / "manifest.csv"
        self.estimate_json: Final = self.root / "estimate.json"
        self.datacard: Final = self.root / "datacard.md"
        self.written: Final = self.root_state / "written.json"
        self.run_json: Final = (self.root if shard is None else self.own_state) / "run.json"

    @property
    def tables(self) -> tuple[Path, ...]:
        """The files that are made from the records, for people."""
        return (self.audit_csv, self.audit_html, *self.occasional_tables)

    @property
    def occasional_tables(self) -> tuple[Path, ...]:
        """The tables that only some commands write."""
        return (self.animals_csv, self.audit_xlsx, self.manifest, self.estimate_json, self.datacard)

    @property
    def for_people(self) -> tuple[Path, ...]:
        """The tables, and the summary of the folder's last run or merge."""
        return (*self.tables, self.root / "run.json")

    @property
    def own_files(self) -> tuple[Path, ...]:
        """The files that a run does not share, the journal last."""
        inputs = (self.listing, self.part, self.labels, self.label_matches)
        return (self.run_json, self.progress, *inputs, self.candidates, self.journal)

    @property
    def shared_files(self) -> tuple[Path, ...]:
        """The files of an unsharded run that are made from all of it; a shard has none."""
        if self.shard is not None:
            return ()
        state = (self.tables_json, self.folds, self.times, self.sample, self.second_review, self.review)
        return (*self.tables, *state)

    @property
    def shared_folders(self) -> tuple[Path, ...]:
        """The folders of an unsharded run that shards fill; a shard has none."""
        return () if self.shard is not None else (self.shards,)

    @property
    def unsharded(self) -> Layout:
        """The same folder without a shard."""
        return self if self.shard is None else self.of_shard(None)

    def of_shard(self, shard: Shard | None) -> Layout:
        """Return the same folder as another shard sees it."""
        return Layout(self.root, shard, self.shown)

    def preview(self) -> Layout:
        """Return the unsharded folder with another journal, among the temporary files."""
        return Layout(self.root, None, self.shown, self.unsharded.temporary / "preview")

    def name_of(self, path: Path) -> str:
        """Return a path in the folder relative to it, with ``/``."""
        return path.relative_to(self.root).as_posix()

    def shown_of(self, path: Path) -> str:
        """Return what messages call a path in the folder."""
        return join(self.shown, self.name_of(path)) if is_address(self.shown) else str(path)

    @property
    def quoted(self) -> str:
        """The folder's name as a word of a command line."""
        return typed(f"./{self.shown}" if self.shown.startswith("-") else self.shown)

    @property
    def mailable_name(self) -> str:
        """What a page calls the folder that may be mailed: its own name, without the path to it; its address.

        Addresses are shown without secrets already, and are of no use in parts.
        """
        return self.shown if is_address(self.shown) else os.path.basename(os.path.abspath(self.root)) or "."
