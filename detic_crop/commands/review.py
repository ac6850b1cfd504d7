"""`detic-crop review`: the page to judge crops on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from detic_crop.commands.apply_beside import ApplyBeside
from detic_crop.commands.serving import login_name, server_needed
from detic_crop.commands.settings import PathLike
from detic_crop.commands.told import Told
from detic_crop.folder.folder import OutputFolder, open_on_disk
from detic_crop.review_page.applying import Applying, NothingToApply
from detic_crop.system.signals import stop_signals
from detic_crop.wording import counted

if TYPE_CHECKING:
    from detic_crop.review_page.live import LivePage

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, repr=False)
class ReviewResult(Told):
    """What came of a review.

    Attributes:
        given: number of verdicts and notes that were given.
        waiting: number of photos whose verdict is not applied yet; of a blind review 0.
        unfinished: what was cut short when the page was ended, in a sentence; empty if nothing was.
        follow: the command that makes something of the verdicts; empty if there is nothing to do.
    """

    given: int
    waiting: int = 0
    unfinished: str = ""
    follow: str = ""

    def lines(self, *, quiet: bool = False) -> list[str]:
        """Return what the command prints; see `Told`."""
        cut_short = [self.unfinished] if self.unfinished else []
        follow = f"; now run: {self.follow}" if self.follow and not self.unfinished else ""
        return [*cut_short, f"{counted(self.given, 'verdict')} given{follow}"]


def review(
    output: PathLike,
    *,
    input: PathLike | None = None,
    host: str = "127.0.0.1",
    port: int | None = None,
    open_browser: bool = True,
    reviewer: str | None = None,
    blind: bool = False,
    ready: Callable[[str], object] = print,
) -> ReviewResult:
    """Serve a local page to judge crops, most suspicious first, until Ctrl-C.

    The photos are those of the journal now; a run may go on meanwhile, and the page shows its photos when
    asked to. The page can also do what `apply` does; cut short by Ctrl-C, that keeps what was finished.

    Args:
        output: the output folder of a run.
        input: where the photos are now, if they have moved.
        host: address to bind to; another than this machine's own lets others on the network try.
        port: 0 for any free one; None for 8377 or, if that is taken, any free one.
        open_browser: whether to open the page in a browser.
        reviewer: name to note with each verdict; None takes the login name.
        blind: show the random sample only, without anything that was said of it or that the detector thought
            of it. What is said changes no crop: `write_audit` tells how it agrees with the review.
        ready: called with the address, which holds the key to the page, once it can be opened.

    Raises:
        UsageError: the folder has no finished photos, none of them is in `input`, the address cannot be
            used, or the extra is not installed; of a blind review also that there is no sample, or that the
            reviewer has judged photos of it already.
    """
    with server_needed("the review page", "review"):
        from detic_crop.review_page import live  # noqa: F401
        from detic_crop.web import server
    with open_on_disk(output, "review") as folder:
        page = open_live(folder, input, reviewer or login_name(), blind=blind)
    with closing(server.listen(host, port)) as listener, stop_signals():
        if warning := server.warning_of(host):
            _log.warning(warning)
        opened = page.page
        moved = opened.whereabouts.sentences("of these only the crops can be judged")
        for sentence in (*moved, *opened.damage):
            _log.warning(sentence)
        try:
            server.serve(page.app(), "review", listener, host, open_browser, ready)
        finally:
            unfinished = page.end()
    given, waiting = page.page.given, page.page.waiting
    follow = f"detic-crop {'audit' if blind else 'apply'} {folder.layout.quoted}"
    return ReviewResult(given, waiting, unfinished, follow if given and (blind or waiting) else "")


def open_live(
    folder: OutputFolder, input: PathLike | None, reviewer: str, *, blind: bool = False
) -> LivePage:
    """Return the page of a folder that follows what becomes of it, with what applies its verdicts.

    Args:
        folder: the output folder of a run.
        input: where the photos are now, if they have moved.
        reviewer: name to note with each verdict.
        blind: a blind review; see `review`.

    Raises:
        UsageError: see `review`.
    """
    from detic_crop.review_page.blind import open_blind_page
    from detic_crop.review_page.live import LivePage
    from detic_crop.review_page.page import open_page

    applying: Applying
    if blind:
        applying = NothingToApply(f"detic-crop audit {folder.layout.quoted}")
        return LivePage(lambda: open_blind_page(folder, input, reviewer), applying)
    applying = ApplyBeside(folder.root, input)
    return LivePage(lambda: open_page(folder, input, reviewer), applying)
