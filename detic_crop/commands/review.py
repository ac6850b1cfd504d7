"""`detic-crop review`: the page to judge crops on."""

from __future__ import annotations

import getpass
import logging
from collections.abc import Callable
from contextlib import closing

from detic_crop.commands.settings import PathLike
from detic_crop.errors import UsageError
from detic_crop.folder.folder import open_on_disk
from detic_crop.system.signals import stop_signals

_log = logging.getLogger(__name__)


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
) -> int:
    """Serve a local page to judge crops, most suspicious first, until Ctrl-C; see `apply` for what follows.

    The photos are those of the journal now; a run may go on meanwhile.

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

    Returns:
        The number of verdicts given.

    Raises:
        UsageError: the folder has no finished photos, none of them is in `input`, the address cannot be
            used, or the extra is not installed; of a blind review also that there is no sample, or that the
            reviewer has judged photos of it already.
    """
    try:
        from detic_crop.review_page import blind as blind_page
        from detic_crop.review_page import page
        from detic_crop.web import server
    except ModuleNotFoundError as error:
        missing = (error.name or "").split(".")[0]
        if missing not in ("starlette", "uvicorn"):
            raise
        raise UsageError(
            "missing_extra",
            f"the review page needs {missing}, which is not installed: pip install 'detic-crop[review]'",
        ) from error
    with open_on_disk(output, "review") as folder:
        open_page = blind_page.open_blind_page if blind else page.open_page
        opened = open_page(folder, input, reviewer or _login_name())
    with closing(server.listen(host, port)) as listener, stop_signals():
        if warning := server.warning_of(host):
            _log.warning(warning)
        moved = opened.whereabouts.sentences("of these only the crops can be judged")
        for sentence in (*moved, *opened.damage):
            _log.warning(sentence)
        server.serve(opened.app(), "review", listener, host, open_browser, ready)
    return opened.given


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container without users
        return "unknown"
