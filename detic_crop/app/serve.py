"""`detic-crop app`: the server, from its first line to its last."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import platformdirs

from detic_crop.app.child import TOKEN_VARIABLE
from detic_crop.commands.serving import login_name, server_needed
from detic_crop.commands.settings import PathLike
from detic_crop.errors import UsageError
from detic_crop.system.signals import stop_signals

_LEAST_TOKEN = 20
_MOST_TOKEN = 1024
_log = logging.getLogger(__name__)


def app(
    *,
    root: PathLike | Sequence[PathLike] | None = None,
    host: str = "127.0.0.1",
    port: int | None = None,
    open_browser: bool = True,
    token_file: PathLike | None = None,
    state: PathLike | None = None,
    at_once: int = 1,
    reviewer: str | None = None,
    ready: Callable[[str], object] = print,
) -> None:
    """Serve a local page and an API that do what the commands do, until Ctrl-C.

    Commands are done by processes of their own. Ctrl-C stops them, and they can be continued; when this
    server is killed they go on, and the next one follows them.

    Args:
        root: folders below which everything is that may be chosen; None: your home folder.
        host: address to bind to; another than this machine's own lets others on the network try.
        port: 0 for any free one; None for 8377 or, if that is taken, any free one.
        open_browser: whether to open the page in a browser.
        token_file: a file with the token that programs show; None takes DETIC_CROP_APP_TOKEN, or a new one
            with every start.
        state: folder of the jobs; None: where this system keeps the state of programs.
        at_once: jobs that are at work at once, of different folders.
        reviewer: name to note with each verdict; None takes the login name.
        ready: called with each address, which holds the token; the first is for this machine.

    Raises:
        UsageError: a folder, the address or the token cannot be used, or the extra is not installed.
        OutputError: the state cannot be written.
    """
    with server_needed("the app", "app"):
        from detic_crop.app.jobs import Jobs
        from detic_crop.app.reviews import Reviews
        from detic_crop.app.roots import Roots
        from detic_crop.app.service import Service
        from detic_crop.app.site import BODIES, make_site
        from detic_crop.commands.crop_posted import PhotoCropper
        from detic_crop.web import server
        from detic_crop.web.guard import Programs
    token = _token(token_file)
    if not 1 <= at_once <= 64:
        raise UsageError("bad_value", f"--at-once must be a whole number from 1 to 64, got {at_once}")
    given = [root] if isinstance(root, str | os.PathLike) else root
    kept = Path(state if state is not None else _usual_state()).absolute()
    roots = Roots(given or [Path.home()], [kept])
    with closing(server.listen(host, port)) as listener, stop_signals():
        jobs = Jobs(kept, at_once)
        service = Service(roots, jobs, Reviews(roots, jobs), PhotoCropper(), reviewer or login_name())
        if warning := server.warning_of(host):
            _log.warning(warning)
        jobs.start()
        try:
            programs = Programs(token, BODIES)
            server.serve(make_site(service), "app", listener, host, open_browser, ready, programs)
        finally:
            service.cropper.close()
            jobs.close()


def _token(file: PathLike | None) -> str | None:
    """Return the token of a file or of the variable; None: neither is given.

    Raises:
        UsageError: it cannot be read, or is too short to keep anybody out.
    """
    where = f"--token-file {os.fspath(file)}" if file is not None else TOKEN_VARIABLE
    if file is not None:
        try:
            with open(file, "rb") as opened:
                token = opened.read(_MOST_TOKEN + 1).decode("ascii").strip()
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "it is not ASCII"
            raise UsageError("bad_token", f"{where} cannot be read: {why}") from error
    elif TOKEN_VARIABLE in os.environ:
        token = os.environ[TOKEN_VARIABLE].strip()
    else:
        return None
    if not _LEAST_TOKEN <= len(token) <= _MOST_TOKEN or not token.isascii() or not token.isprintable():
        raise UsageError(
            "bad_token",
            f"{where} must hold {_LEAST_TOKEN} to {_MOST_TOKEN} printable ASCII signs, got {len(token)}; "
            "make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'",
        )
    return token


def _usual_state() -> Path:
    return platformdirs.user_state_path("detic-crop", appauthor=False) / "app"
